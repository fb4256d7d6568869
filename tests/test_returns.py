"""Advantages: numbers by hand, sums over every later step, and the identities of the papers."""

from typing import NamedTuple

import numpy as np
import pytest

from rlcore.buffers import Replay
from rlcore.returns import (
    explained_variance,
    gae,
    n_step_returns,
    normalized,
    rescaled,
    rollout_gae,
    rollout_vtrace,
    unrescaled,
    vtrace,
)
from rlcore.rng import generator
from rlcore.stream import Step


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


# The identities, each on 1000 random rollouts, with sums written out for each row


class Rows(NamedTuple):
    """Steps of some streams, (T, N) each; `after` is the value of a row's true successor, and what it was."""

    reward: np.ndarray
    value: np.ndarray
    after: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray


def rollouts():
    """1000 of them: 1 to 12 steps of 1 to 8 streams; where the next row follows, its value is that of the successor."""
    for seed in range(1_000):
        reward, value, after, terminated, truncated, valid = random_rows(seed)
        goes_on = ~(terminated | truncated)[:-1]
        after[:-1] = np.where(goes_on, value[1:], after[:-1])
        yield Rows(reward, value, after, terminated, truncated, valid)


def targets(rows, n, gamma):
    """Of each transition: up to n rewards, up to the end of its piece of the stream, and the value of what followed."""
    out = np.zeros(rows.reward.shape)
    for i in range(out.shape[1]):
        one = list(zip(*[column[:, i].tolist() for column in rows]))  # a stream's rows, as tuples
        for t, (*_, valid) in enumerate(one):
            total, weight = 0.0, 1.0
            for reward, value, after, terminated, truncated, goes in one[t : t + n] if valid else ():
                if not goes:
                    last = value  # of an observation that was seen, and led to no transition
                    break
                total, weight, last = total + weight * reward, weight * gamma, after
                if terminated or truncated:
                    last *= truncated
                    break
            out[t, i] = total + weight * last if valid else 0
    return out


def advantages(rows, gamma, lam):
    names = ("reward", "terminated", "truncated", "valid")
    columns = {name: getattr(rows, name) for name in names} | {"final_value": rows.after}
    return rollout_gae(columns, rows.value, gamma, lam)


def test_gae_of_lambda_1_and_the_value_is_monte_carlo():
    for rows in rollouts():
        found = advantages(rows, 0.9, 1.0) + rows.value
        np.testing.assert_allclose((found * rows.valid), targets(rows, 99, 0.9), rtol=1e-12, atol=1e-12)


def test_gae_of_lambda_0_and_the_value_is_the_td_target():
    for rows in rollouts():
        found = advantages(rows, 0.9, 0.0) + rows.value
        np.testing.assert_allclose((found * rows.valid), targets(rows, 1, 0.9), rtol=1e-12, atol=1e-12)


def test_gae_is_the_mixture_of_all_n_step_returns():
    """The lambda-return, weights (1 - lam) lam^(n - 1), the rest for the last (Sutton and Barto 2018, eq. 12.3)."""
    for rows in list(rollouts())[::10]:
        steps = len(rows.reward)
        found, lam = (advantages(rows, 0.9, 0.7) + rows.value) * rows.valid, 0.7
        mixture = sum((1 - lam) * lam ** (n - 1) * targets(rows, n, 0.9) for n in range(1, steps + 1))
        np.testing.assert_allclose(found, mixture + lam**steps * targets(rows, steps, 0.9), rtol=1e-12, atol=1e-12)


def test_nothing_of_what_follows_a_cut_leaks_through_it():
    """An episode's end of either kind, or a row that is no transition: what comes after it may be anything."""
    for seed, rows in enumerate(rollouts()):
        cut = rows.terminated | rows.truncated | ~rows.valid
        other = Rows(*[a.copy() for a in rows])
        for i in range(rows.reward.shape[1]):
            first = int(cut[:, i].argmax()) if cut[:, i].any() else len(cut)
            for column in (other.reward, other.value, other.after):
                column[first + 1 :, i] = generator(seed).normal(size=len(cut[first + 1 :])) * 1e6
        kept = ~(cut.cumsum(0) - cut).astype(bool)  # up to the first cut, and that row
        one, two = advantages(rows, 0.9, 0.8), advantages(other, 0.9, 0.8)
        np.testing.assert_array_equal(one[kept], two[kept])


def test_a_truncated_row_counts_the_value_of_its_last_observation_and_a_terminated_one_does_not():
    for rows in rollouts():
        moved = rows._replace(after=rows.after + 1.0 * (rows.terminated | rows.truncated))
        change = advantages(moved, 0.9, 0.0) - advantages(rows, 0.9, 0.0)
        np.testing.assert_allclose(change, 0.9 * (rows.truncated & rows.valid), atol=1e-12)


@pytest.mark.parametrize("n", [1, 12])
def test_returns_drawn_from_a_replay_are_td_targets_and_monte_carlo(n):
    """What a replay draws, with V put in: for n = 1 the TD target, for n >= T the sum of all rewards to the cut."""
    for seed, rows in enumerate(rollouts()):
        steps, streams = rows.reward.shape
        replay = Replay(256, {"obs": ((), np.int64), "action": ((), np.int64)}, generator(seed), n, 0.9)
        number = np.arange(steps * streams).reshape(steps, streams)  # of an observation; its successor's is 1000 more
        ended = rows.terminated | rows.truncated
        for t in range(steps):
            following = number[t + 1] if t + 1 < steps else number[t] + 1_000
            final = np.where(ended[t], number[t] + 1_000, following)
            flags = rows.terminated[t], rows.truncated[t], final, rows.valid[t]
            step = Step(following, rows.reward[t].astype(np.float32), *flags, {})
            replay.add(number[t], number[t], step)
        following = np.zeros(streams)  # one row more, so that the last rows have a successor
        last = number[-1] + 1_000
        open_ = np.zeros(streams, bool)
        replay.add(last, last, Step(last, following.astype(np.float32), open_, open_, last, open_, {}))
        if not len(replay):
            assert not rows.valid.any()
            continue
        value = np.concatenate((rows.value.ravel(), np.zeros(1_000 - number.size), rows.after.ravel()))
        batch = replay.sample(64)
        found = batch["reward"] + batch["discount"] * value[batch["next_obs"]]
        expected = targets(rows, n, 0.9).ravel()[batch["obs"]]
        assert rows.valid.ravel()[batch["obs"]].all()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [1, 4, 12])
def test_returns_of_n_steps_are_td_targets_and_monte_carlo(n):
    """`n_step_returns` goes along one piece of a stream: up to its first cut."""
    for rows in rollouts():
        streams = rows.reward.shape[1]
        ended = rows.terminated | rows.truncated
        inside = np.cumprod(rows.valid & ~np.concatenate((np.zeros((1, streams), bool), ended[:-1])), axis=0) > 0
        value = np.concatenate((rows.value, rows.after[-1:]))
        value[1:][ended] = rows.after[ended]  # of the last observation, where an episode ends
        found = n_step_returns(rows.reward, 0.9 * ~rows.terminated, value, inside, n)
        np.testing.assert_allclose(found[inside], targets(rows, n, 0.9)[inside], rtol=1e-12, atol=1e-12)


def test_the_advantages_of_a_rollout_by_hand():
    """A step that is cut short, one that ends the episode, and the last one; gamma 0.5, lambda 1."""
    flags = {name: np.zeros((3, 1), bool) for name in ("truncated", "terminated")}
    flags["truncated"][0] = flags["terminated"][1] = True
    columns = {**flags, "reward": column(1, 2, 3), "final_value": column(40, 99, 8), "valid": np.ones((3, 1), bool)}
    value = column(10, 20, 30)
    np.testing.assert_array_equal(rollout_gae(columns, value, 0.5, 1.0), column(1 + 20 - 10, 2 - 20, 3 + 4 - 30))
    flags["truncated"][0] = False  # the next row's value counts, and what comes after it
    np.testing.assert_array_equal(rollout_gae(columns, value, 0.5, 1.0), column(1 + 10 - 10 - 9, 2 - 20, 3 + 4 - 30))


def test_normalized_and_explained_by_hand():
    np.testing.assert_allclose(normalized(np.array([1.0, 2, 6])), np.array([-2.0, -1, 3]) / np.sqrt(7))
    np.testing.assert_array_equal(normalized(np.array([5.0])), [5])
    assert explained_variance(np.array([1.0, 3]), np.array([0.0, 4])) == pytest.approx(1 - 1 / 4)
    assert explained_variance(np.array([7.0, 7]), np.array([0.0, 4])) == 1
    assert explained_variance(np.array([1.0, 3]), np.array([4.0, 4])) is None


# V-trace

LOG2 = float(np.log(2))


def test_vtrace_by_hand():
    """Three steps, ratios 4, 1/2 and 2, gamma 1/2; the errors are 1, 2 and 3 before their ratios."""
    log_prob, behaviour = column(0, -LOG2, 0), column(-2 * LOG2, 0, -LOG2)
    never = np.zeros((3, 1), bool)
    rows = column(6, 2, 5), column(10, 10, 20), column(10, 20, 36), never, never, ~never
    target, advantage = vtrace(log_prob, behaviour, *rows, 0.5)
    # all ratios clipped to 1; the second is 1/2: the third error is 3; the second 1 + 3 / 4; the first 1 + 1.75 / 2
    np.testing.assert_allclose(target, column(10 + 1 + 0.875, 10 + 1 + 0.75, 20 + 3))
    np.testing.assert_allclose(advantage, column(6 + 11.75 / 2 - 10, (2 + 23 / 2 - 10) / 2, 3))
    # rho up to 3, c up to 1, the policy gradient up to 2, lambda 1/2: 3, 1 and 6 to begin with
    target, advantage = vtrace(log_prob, behaviour, *rows, 0.5, 0.5, 3, 1, 2)
    np.testing.assert_allclose(target, column(10 + 3 + 1.75 / 4, 10 + 1 + 6 / 8, 20 + 6))
    np.testing.assert_allclose(advantage, column(2 * (6 + 11.75 / 2 - 10), (2 + 26 / 2 - 10) / 2, 2 * 3))


def test_vtrace_ends_where_a_stream_is_cut():
    """The first row ends, or is cut, or the second is no transition; gamma 1, no ratio."""
    zero, never, first = np.zeros((2, 1)), np.zeros((2, 1), bool), column(1, 0, dtype=bool)

    def found(terminated, ended, valid):
        rows = column(1, 2), column(10, 20), column(7, 30), terminated, ended, valid
        return [a.ravel().tolist() for a in vtrace(zero, zero, *rows, 1.0)]

    assert found(first, first, ~never) == [[1, 32], [-9, 12]]
    assert found(never, first, ~never) == [[8, 32], [-2, 12]]
    assert found(never, never, ~first[::-1]) == [[8, 20], [-2, 0]]
    assert found(never, never, ~first) == [[10, 32], [0, 12]]
    assert found(never, never, ~never) == [
        [8 + 12, 32],
        [8 + 12 - 10, 12],
    ]  # the next row's target is 12 above its value


def vtrace_by_sums(ratio, rows, gamma, lam, clip_rho, clip_c, clip_pg_rho):
    """Eq. 1: V + sum over t of gamma^(t - s) c_s ... c_(t-1) delta_t, up to the cut, each product by itself."""
    reward, value, after, terminated, truncated, valid = rows
    steps, streams = reward.shape

    def target(s, i):
        total, c = value[s, i], []
        for t in range(s, steps):
            if not valid[t, i]:
                break
            follows = 0.0 if terminated[t, i] else gamma * after[t, i]
            delta = min(clip_rho, ratio[t, i]) * (reward[t, i] + follows - value[t, i])
            total += gamma ** (t - s) * np.prod(c) * delta
            if terminated[t, i] or truncated[t, i]:
                break
            c.append(lam * min(clip_c, ratio[t, i]))
        return total

    targets = np.array([[target(s, i) for i in range(streams)] for s in range(steps)])
    advantages = np.zeros((steps, streams))
    for s in range(steps):
        for i in range(streams):
            if valid[s, i]:
                cut = terminated[s, i] or truncated[s, i] or s + 1 == steps or not valid[s + 1, i]
                # of a row that goes on, `after` is the value of the next one
                follows = after[s, i] if cut else after[s, i] + targets[s + 1, i] - value[s + 1, i]
                q = reward[s, i] + (0.0 if terminated[s, i] else gamma * follows)
                advantages[s, i] = min(clip_pg_rho, ratio[s, i]) * (q - value[s, i])
    return targets, advantages


@pytest.mark.parametrize("seed", range(100))
def test_vtrace_is_the_papers_sum_of_products(seed):
    rng = generator(2_000 + seed)
    rows = random_rows(seed)
    log_prob, behaviour = rng.normal(size=(2, *rows[0].shape))
    log_prob[~rows[5]] = 1e9  # of a row that is no transition it may be anything
    gamma, lam = rng.random(2).tolist()
    clips = rng.uniform(0.5, 3, 3).tolist() if seed % 4 else [1.0, 1.0, 1.0]
    reward, value, after, terminated, truncated, valid = rows
    given = log_prob, behaviour, reward, value, after, terminated, terminated | truncated, valid
    before = [a.copy() for a in given]
    ratio = np.exp(np.where(valid, log_prob - behaviour, 0))
    expected = vtrace_by_sums(ratio, rows, gamma, lam, *clips)
    found = vtrace(*given, gamma, lam, *clips)
    single = vtrace(*(a.astype(np.float32) if a.dtype == float else a for a in given), gamma, lam, *clips)
    for a, b, c in zip(found, expected, single):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        assert c.dtype == np.float32
        np.testing.assert_allclose(c, b, rtol=2e-4, atol=2e-5)
    for a, b in zip(given, before):
        np.testing.assert_array_equal(a, b)


def test_vtrace_of_the_policy_that_acted_is_the_lambda_return():
    """With clips of 1 or more (remark 1 of the paper); for lambda 1 the advantage is that of A2C."""
    for rows in list(rollouts())[::10]:
        names = ("reward", "terminated", "truncated", "valid")
        columns = {name: getattr(rows, name) for name in names}
        columns |= {"final_value": rows.after, "log_prob": generator(0).normal(size=rows.reward.shape)}
        for lam in (0.0, 0.7, 1.0):
            target, advantage = rollout_vtrace(columns, columns["log_prob"], rows.value, 0.9, lam, 1.0, 2.0, 1.0)
            np.testing.assert_allclose(target, advantages(rows, 0.9, lam) + rows.value, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(advantage, advantages(rows, 0.9, 1.0), rtol=1e-12, atol=1e-12)


def test_a_ratio_too_large_for_a_float_is_clipped():
    never = np.zeros((1, 1), bool)
    rows = [np.float32([[x]]) for x in (3, 1, 0)]
    target, advantage = vtrace(np.float32([[500]]), np.float32([[-500]]), *rows, never, never, ~never, 0.5, 1, 4, 1, 2)
    assert (target.item(), advantage.item()) == (pytest.approx(1 + 4 * 2), pytest.approx(2 * 2))
