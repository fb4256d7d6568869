"""Noise on actions: its statistics, streams, and state."""

import numpy as np
import pytest

from rlcore.noise import KINDS, Gaussian, OrnsteinUhlenbeck
from rlcore.rng import generator

SCALE = np.float32([0.1, 2.0])


def test_gaussian_noise_has_the_deviation_of_each_dimension_and_none_is_alike():
    noise = Gaussian(SCALE, generator(0))
    x = noise(40_000)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.std(0), SCALE, rtol=0.02)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.03)
    assert abs(np.corrcoef(x.T)[0, 1]) < 0.02
    assert abs(np.corrcoef(x[1:, 0], x[:-1, 0])[0, 1]) < 0.02


def test_steps_of_drifting_noise_by_hand():
    noise, draws = OrnsteinUhlenbeck(SCALE, generator(3), theta=0.5, dt=0.25), generator(3)
    one, two = (draws.standard_normal((2, 2), np.float32) for _ in range(2))
    first = 0.5 * SCALE * one  # sqrt(0.25) of a step from 0
    np.testing.assert_allclose(noise(2), first, rtol=1e-6)
    np.testing.assert_allclose(noise(2), 0.875 * first + 0.5 * SCALE * two, rtol=1e-5)


@pytest.mark.parametrize(("theta", "dt"), [(0.15, 1.0), (0.5, 0.2)])
def test_drifting_noise_in_the_long_run(theta, dt):
    """Deviation scale / sqrt(theta (2 - theta dt)), correlation 1 - theta dt from step to step."""
    noise = OrnsteinUhlenbeck(SCALE, generator(0), theta, dt)
    x = np.stack([noise(500) for _ in range(200)])[100:]
    np.testing.assert_allclose(x.std((0, 1)), SCALE / np.sqrt(theta * (2 - theta * dt)), rtol=0.05)
    np.testing.assert_allclose(x.mean((0, 1)), 0, atol=0.3)
    before, after = x[:-1, :, 0].ravel(), x[1:, :, 0].ravel()
    assert np.corrcoef(before, after)[0, 1] == pytest.approx(1 - theta * dt, abs=0.02)


def test_streams_drift_by_themselves_and_begin_again_where_episodes_end():
    noise = OrnsteinUhlenbeck(SCALE, generator(0))
    x = noise(4)
    assert len(np.unique(x)) == 8
    noise.reset(np.array([False, True]), stream=1)
    assert (noise.x == 0).all(axis=1).tolist() == [False, False, True, False]
    noise.reset(np.array([True, True]), stream=3)  # one more than have acted
    assert (noise.x == 0).all(axis=1).tolist() == [False, False, True, True]
    np.testing.assert_array_equal(noise.x[:2], x[:2])


def test_streams_may_become_more_and_what_was_given_stays_as_it_is():
    noise = OrnsteinUhlenbeck(SCALE, generator(0))
    first = noise(1)
    kept = first.copy()
    assert noise(3).shape == (3, 2)
    np.testing.assert_array_equal(first, kept)
    assert noise(2).shape == (2, 2)
    assert len(noise.x) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_noise_goes_on_from_its_state(kind):
    one, two = (KINDS[kind](SCALE, generator(seed)) for seed in (0, 1))
    one(3)
    two.load(one.state())
    np.testing.assert_array_equal(one(3), two(3))
    before = two.state()["rng"]
    for spoiled in ({}, {**one.state(), "y": 1}, {**one.state(), "rng": {}}):
        with pytest.raises(ValueError, match=r"load: expected a noise's rng|random state is of None"):
            two.load(spoiled)
    assert two.state()["rng"] == before


@pytest.mark.parametrize("x", [np.zeros((2, 3), np.float32), np.zeros((2, 2)), [[0.0, 0.0]], np.zeros(2, np.float32)])
def test_drifting_noise_of_other_actions_is_refused(x):
    noise = OrnsteinUhlenbeck(SCALE, generator(0))
    with pytest.raises(ValueError, match="load: expected the noise of actions of 2 numbers"):
        noise.load({**noise.state(), "x": x})
