"""Advantages: numbers by hand, sums over every later step, and the identities of the papers."""

import numpy as np
import pytest

from rlcore.returns import gae, n_step_returns, rescaled, unrescaled
from rlcore.rng import generator


def column(*values, dtype=np.float64):
    return np.array(values, dtype)[:, None]


def test_numbers_by_hand():
    """Three steps, of which the second ends the episode; gamma 0.5, lambda 0.5."""
    terminated = column(0, 1, 0, dtype=bool)
    advantage = gae(
        column(1, 2, 3), column(10, 20, 30), column(20, 99, 8), terminated, terminated, np.ones((3, 1), bool), 0.5, 0.5
    )
    # from the end: 3 + 4 - 30; 2 - 20, nothing after; 1 + 10 - 10 and a quarter of -18
    np.testing.assert_array_equal(advantage, column(1 - 0.25 * 18, -18, -23))


def test_a_cut_counts_what_would_have_come_and_lets_nothing_through():
    cut, never = column(0, 1, 0, dtype=bool), np.zeros((3, 1), bool)
    advantage = gae(column(1, 2, 3), column(10, 20, 30), column(20, 6, 8), never, cut, ~never, 0.5, 0.5)
    np.testing.assert_array_equal(advantage, column(1 - 0.25 * 15, 2 + 3 - 20, -23))


def test_a_row_that_is_no_transition_has_none_and_cuts():
    """NEXT_STEP: the row after an end only resets; then a stream that was cut without an end."""
    ended = column(1, 0, 0, 0, 0, dtype=bool)
    valid = column(1, 0, 1, 0, 1, dtype=bool)
    value, following = column(1, 50, 2, 60, 3), column(99, 2, 60, 3, 4)
    advantage = gae(column(1, 70, 1, 80, 1), value, following, ended, ended, valid, 0.5, 1.0)
    np.testing.assert_array_equal(advantage, column(0, 0, 1 + 30 - 2, 0, 1 + 2 - 3))


def random_rows(seed):
    rng = generator(seed)
    shape = rng.integers(1, 13), rng.integers(1, 9)
    terminated = rng.random(shape) < 0.15
    truncated = (rng.random(shape) < 0.15) & ~terminated
    valid = rng.random(shape) > 0.15
    reward, value, after = rng.normal(size=(3, *shape))
    return reward, value, after, terminated, truncated, valid


def by_sums(reward, value, after, terminated, truncated, valid, gamma, lam):
    """Eq. 16, for each row its own sum: delta_t + gamma lam delta_t+1 + ... up to where the stream is cut."""
    steps, streams = reward.shape
    out = np.zeros((steps, streams))
    for i in range(streams):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                if not valid[k, i]:
                    break
                following = 0.0 if terminated[k, i] else gamma * after[k, i]
                out[t, i] += weight * (reward[k, i] + following - value[k, i])
                if terminated[k, i] or truncated[k, i]:
                    break
                weight *= gamma * lam
    return out


@pytest.mark.parametrize("seed", range(200))
def test_every_row_is_the_sum_over_its_later_steps(seed):
    rng = generator(1_000 + seed)
    gamma, lam = rng.random(2).tolist()
    reward, value, after, terminated, truncated, valid = random_rows(seed)
    given = reward, value, after, terminated, terminated | truncated, valid
    before = [a.copy() for a in given]
    expected = by_sums(reward, value, after, terminated, truncated, valid, gamma, lam)
    np.testing.assert_allclose(gae(*given, gamma, lam), expected, rtol=1e-12, atol=1e-12)
    for a, b in zip(given, before):
        np.testing.assert_array_equal(a, b)
    single = gae(*(a.astype(np.float32) if a.dtype == float else a for a in given), gamma, lam)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_lambda_0_is_the_td_error_and_1_is_monte_carlo(seed):
    """Where next_value is the next row's value, lambda 1 with V added is the discounted sum, bootstrapped at cuts."""
    reward, value, after, terminated, truncated, _ = random_rows(seed)
    ended, valid = terminated | truncated, np.ones(reward.shape, bool)
    after[:-1] = np.where(truncated[:-1], after[:-1], value[1:])
    td = gae(reward, value, after, terminated, ended, valid, 0.9, 0.0)
    np.testing.assert_allclose(td, reward + 0.9 * after * ~terminated - value)
    monte_carlo = np.empty_like(reward)
    for t in reversed(range(len(reward))):
        later = after[t] if t == len(reward) - 1 else np.where(truncated[t], after[t], monte_carlo[t + 1])
        monte_carlo[t] = reward[t] + 0.9 * np.where(terminated[t], 0, later)
    np.testing.assert_allclose(gae(reward, value, after, terminated, ended, valid, 0.9, 1.0) + value, monte_carlo)


def test_returns_of_n_steps_by_hand():
    """Two sequences of four rows, n = 2, gamma 0.5; the second one's episode is cut after its second row."""
    reward = np.array([[1.0, 1], [2, 2], [3, 99], [4, 99]])
    discount, value = np.full((4, 2), 0.5), np.array([[10.0, 10], [20, 20], [40, 40], [80, 77], [160, 66]])
    valid = np.array([[True, True], [True, True], [True, False], [True, False]])
    returns = n_step_returns(reward, discount, value, valid, 2)
    # 1 + 2 / 2 + 40 / 4; 2 + 3 / 2 + 80 / 4; 3 + 4 / 2 + 160 / 4; and one step alone before the end: 4 + 160 / 2
    np.testing.assert_array_equal(returns[:, 0], [12, 23.5, 45, 84])
    np.testing.assert_array_equal(returns[:2, 1], [12, 2 + 20])  # the value of what followed the cut, once
    discount[1, 1] = 0  # had it ended there, nothing would count that follows
    np.testing.assert_array_equal(n_step_returns(reward, discount, value, valid, 3)[:2, 1], [1 + 2 / 2, 2])


@pytest.mark.parametrize("n", [1, 3, 50])
def test_returns_of_n_steps_are_sums_over_each_row(n):
    rng = generator(n)
    reward, discount = rng.normal(size=(7, 5)), 0.9 * (rng.random((7, 5)) < 0.8)
    value, last = rng.normal(size=(8, 5)), rng.integers(1, 8, 5)  # rows of each sequence that are transitions
    returns = n_step_returns(reward, discount, value, np.arange(7)[:, None] < last, n)
    for i in range(5):
        for t in range(last[i]):
            total, factor, k = 0.0, 1.0, t
            while k < min(t + n, last[i]):
                total, factor, k = total + factor * reward[k, i], factor * discount[k, i], k + 1
            assert returns[t, i] == pytest.approx(total + factor * value[k, i])


def test_rescaled_values_by_hand():
    np.testing.assert_allclose(rescaled(np.array([3.0, -8, 0]), 0.01), [1 + 0.03, -2 - 0.08, 0])
    np.testing.assert_allclose(unrescaled(np.array([1.03, -2.08, 0]), 0.01), [3, -8, 0], atol=1e-12)
    np.testing.assert_allclose(unrescaled(np.array([2.0, -3]), 0), [8, -15])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_rescaling_is_undone(dtype, tolerance):
    x = np.array([0, 1e-4, -0.3, 1, -7, 500, -1e5, 1e8], dtype)
    for eps in (0.0, 1e-3, 0.1):
        back = unrescaled(rescaled(x, eps), eps)
        assert back.dtype == dtype
        np.testing.assert_allclose(back, x, rtol=tolerance, atol=3 * np.finfo(dtype).eps)
