"""State-dependent exploration: the density by plain loops, its gradient, and the noise that has this density."""

import math

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.heads import StateDependent, StateDependentNormal
from rlcore.rng import generator

BOX = spaces.Box(-2, 1, (2,), np.float32)


def density(mean, features, log_std, action):
    """log_prob and entropy of one row, by Raffin et al. 2021, eq. 10, and Stable-Baselines3's 1e-6."""
    log_prob = entropy = 0.0
    for a in range(len(mean)):
        column = min(a, log_std.shape[1] - 1)
        variance = 1e-6 + sum((f * math.exp(log_std[k, column])) ** 2 for k, f in enumerate(features))
        log_prob -= (action[a] - mean[a]) ** 2 / (2 * variance) + 0.5 * math.log(2 * math.pi * variance)
        entropy += 0.5 * math.log(2 * math.pi * math.e * variance)
    return log_prob, entropy


@pytest.mark.parametrize("columns", [1, 2])
def test_the_density_and_its_gradient_are_those_of_the_formula(columns):
    rng = generator(columns)
    mean, features, action = rng.normal(size=(5, 2)), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    log_std, weight = rng.normal(size=(3, columns)) * 0.5, rng.normal(size=5)
    inputs = [Variable(mean), Variable(features), Variable(log_std)]
    d = StateDependentNormal(*inputs)
    for i in range(5):
        expected = density(mean[i], features[i], log_std, action[i])
        assert (d.log_prob(action).array[i], d.entropy.array[i]) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(d.mode.array, mean)

    def loss():
        rows = [density(mean[i], features[i], log_std, action[i]) for i in range(5)]
        return sum(w * (p + 0.3 * e) for w, (p, e) in zip(weight, rows))

    gs = grad([F.sum((d.log_prob(action) + 0.3 * d.entropy) * weight)], inputs)
    assert gs[1] is None  # no gradient makes the features serve the noise
    for array, g in ((mean, gs[0].array), (log_std, gs[2].array)):
        for at in np.ndindex(array.shape):
            before = array[at]
            array[at] = before + 1e-6
            up = loss()
            array[at] = before - 1e-6
            slope = (up - loss()) / 2e-6
            array[at] = before
            assert g[at] == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("full_std", [True, False])
def test_noise_has_the_deviation_that_the_density_says(full_std):
    n = 20_000
    head = StateDependent(BOX, 3, -0.7, full_std, generator(0))
    head.log_std.array = head.log_std.array + np.float32([[0.1], [0.5], [-0.4]])
    features = np.repeat(np.float32([[0.5, -1.0, 2.0]]), n, axis=0)
    d = head(features)
    action, log_prob = d.explored(head.coefficients(n, generator(1)))
    noise = action - d.mean.array
    np.testing.assert_allclose(noise.std(axis=0), d.stddev.array[0] * np.ones(2), rtol=0.02)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(log_prob, d.log_prob(action).array)
    if full_std:  # a function for each action
        assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    assert log_prob.mean() == pytest.approx(-d.entropy.array[0], abs=0.02)
    assert (action.dtype, log_prob.dtype) == (np.float32, np.float32)


def test_noise_is_a_function_of_the_state_while_its_coefficients_hold():
    head = StateDependent(BOX, 3, 0.0, True, generator(0))
    coefficients, rng = head.coefficients(4, generator(1)), generator(2)
    features = rng.normal(size=(4, 3)).astype(np.float32)
    d, other = head(features), head(2 * features)
    noise, doubled = (e.explored(coefficients)[0] - e.mean.array for e in (d, other))
    np.testing.assert_array_equal(d.explored(coefficients)[0], d.explored(coefficients)[0])
    np.testing.assert_allclose(doubled, 2 * noise, rtol=1e-4, atol=1e-6)
    for i in range(4):
        np.testing.assert_allclose(noise[i], features[i] @ coefficients[i], rtol=1e-3, atol=1e-5)
