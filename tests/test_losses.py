"""Losses: numbers by hand, gradients where they must be and must not, and the formula made of other ops."""

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.losses import clipped_surrogate
from rlcore.rng import generator


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.2),  # inside: the ratio times the advantage
        (1.5, 2.0, 2.4, 0.0),  # good, and likelier already than is rewarded
        (1.5, -2.0, -3.0, -3.0),  # bad, and too likely: nothing holds the correction
        (0.5, 2.0, 1.0, 1.0),  # good, and too unlikely
        (0.5, -2.0, -1.6, 0.0),  # bad, and unlikely enough
        (0.9, -2.0, -1.8, -1.8),
    ],
)
def test_the_six_cases_of_the_clipped_surrogate(ratio, advantage, value, slope):
    """Schulman et al. 2017, figure 1, with range 0.2; the derivative is by the logarithm of the probability."""
    log_prob = Variable(np.log([ratio]))
    loss = clipped_surrogate(log_prob, np.zeros(1), np.array([advantage]), 0.2)
    loss.backward()
    assert loss.array == pytest.approx(-value)
    assert log_prob.grad == pytest.approx([-slope])


@pytest.mark.parametrize("seed", range(5))
def test_the_clipped_surrogate_is_its_formula(seed):
    rng = generator(seed)
    x, old, advantage = rng.normal(size=(3, 50)) * 0.3
    x, again = Variable(x), Variable(x)
    ratio = F.exp(again - old)
    formula = -F.average(F.minimum(ratio * advantage, F.clip(ratio, 0.8, 1.2) * advantage))
    loss = clipped_surrogate(x, old, advantage, 0.2)
    assert loss.array == pytest.approx(formula.array)
    (one,), (two,) = (
        grad([y], [v], enable_double_backprop=True) for y, v in ((loss, x), (formula, again))
    )  # fmt: skip
    np.testing.assert_allclose(one.array, two.array, rtol=1e-12, atol=1e-15)
    (one,), (two,) = grad([F.sum(one * advantage)], [x]), grad([F.sum(two * advantage)], [again])
    np.testing.assert_allclose(one.array, two.array, rtol=1e-12, atol=1e-15)
    assert np.abs(one.array).max() > 1e-4
