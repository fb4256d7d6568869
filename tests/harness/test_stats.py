"""Statistics against hand-computed cases, SciPy, and simulations of what intervals promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlcore.harness import stats
from rlcore.harness.stats import bootstrap, compare, difference, iqm, probability_of_improvement
from rlcore.rng import generator

finite = st.floats(-1e6, 1e6)


def naive_iqm(x):
    """Each run as a block of equal width; the mean height between the quartiles, by a fine grid of 4 n blocks."""
    return np.repeat(np.sort(x), 4)[len(x) : 3 * len(x)].mean()


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([7], 7),
        ([1, 3], 2),
        ([0, 10, 90], (0.25 * 0 + 10 + 0.25 * 90) / 1.5),
        ([4, 1, 3, 2], 2.5),
        ([0, 1, 2, 4, 100], (0.75 * 1 + 2 + 0.75 * 4) / 2.5),
        ([-900, 5, 6, 7, 8, 9, 10, 900], 7.5),
    ],
)
def test_iqm_by_hand(x, expected):
    assert iqm(x) == pytest.approx(expected)


@given(st.lists(finite, min_size=1, max_size=23))
def test_iqm_is_the_mean_of_the_middle_half(x):
    assert iqm(x) == pytest.approx(naive_iqm(np.array(x)), rel=1e-9, abs=1e-6)


def test_iqm_is_scipys_trimmed_mean_where_that_trims_a_quarter():
    scipy_stats = pytest.importorskip("scipy.stats")
    x = generator(0).normal(size=(3, 12, 2))
    np.testing.assert_allclose(iqm(x, axis=1), scipy_stats.trim_mean(x, 0.25, axis=1))


def test_optimality_gap_and_profile_by_hand():
    assert stats.optimality_gap([0.5, 2.0, 1.0, 0.0]) == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    profile = stats.performance_profile([np.array([1, 2, 3]), np.array([2])], [0, 1, 2, 3])
    np.testing.assert_allclose(profile, [1, (2 / 3 + 1) / 2, (1 / 3 + 0) / 2, 0])


def test_better_is_the_mann_whitney_statistic():
    assert stats.better([1, 2], [1, 0, 3]) == pytest.approx((0.5 + 1 + 0 + 1 + 1 + 0) / 6)
    mannwhitneyu = pytest.importorskip("scipy.stats").mannwhitneyu
    rng = generator(1)
    x, y = rng.integers(0, 6, 9), rng.integers(0, 6, 7)
    assert stats.better(x, y) == pytest.approx(mannwhitneyu(x, y).statistic / 63)


def test_bootstrap_of_two_runs_by_hand():
    """Means of two draws from {0, 1} are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4."""
    found = bootstrap([np.array([0.0, 1.0])], generator(0), np.mean, level=0.4)
    assert found == (0.5, 0.5, 0.5)
    found = bootstrap([np.array([0.0, 1.0])], generator(0), np.mean, level=0.6)
    assert found == (0.5, 0.0, 1.0)


def test_bootstrap_draws_within_a_task():
    """Two tasks without spread: nothing varies, though their runs differ."""
    found = bootstrap([np.zeros(3), np.ones(3)], generator(0), np.mean)
    assert found == (0.5, 0.5, 0.5)


def test_bootstrap_is_scipys():
    scipy_stats = pytest.importorskip("scipy.stats")
    x = generator(2).normal(size=20)
    own = bootstrap([x], generator(0))
    theirs = scipy_stats.bootstrap((x,), iqm, method="percentile", rng=generator(1)).confidence_interval
    assert (own.low, own.high) == pytest.approx(tuple(theirs), abs=0.02)


def test_bootstrap_of_a_curve_is_that_of_its_points_with_the_runs_kept_together(monkeypatch):
    rng = generator(3)
    curves = rng.normal(size=(6, 4))
    whole = bootstrap([curves], generator(0))
    for k in range(4):
        one = bootstrap([curves[:, k]], generator(0))
        np.testing.assert_allclose([v[k] for v in whole], one)


def test_same_seed_same_interval_and_a_block_more_is_as_good(monkeypatch):
    x = generator(4).normal(size=10)
    assert bootstrap([x], generator(0)) == bootstrap([x], generator(0))
    assert bootstrap([x], generator(0)) != bootstrap([x], generator(1))
    whole = bootstrap([x], generator(0))
    monkeypatch.setattr(stats, "BLOCK", 37)
    np.testing.assert_allclose(bootstrap([x], generator(0)), whole)


def coverage(n, statistic, rounds=600):
    rng = generator(5)
    found = [bootstrap([rng.normal(size=n)], rng, statistic, resamples=400) for _ in range(rounds)]
    return np.mean([f.low <= 0 <= f.high for f in found])


@pytest.mark.parametrize("n", [8, 20, 50])
def test_intervals_of_the_iqm_cover_what_they_promise(n):
    """A share of 600 has a standard error of 0.9 %."""
    assert coverage(n, iqm) == pytest.approx(0.95, abs=0.03)


def test_few_runs_are_covered_less_as_is_said():
    assert coverage(3, iqm) == pytest.approx(0.74, abs=0.05)
    assert coverage(4, iqm) == pytest.approx(0.87, abs=0.04)
    assert coverage(5, iqm) == pytest.approx(0.91, abs=0.03)


def test_intervals_of_a_difference_cover_what_they_promise():
    rng = generator(6)
    found = [difference([rng.normal(1, 1, 10)], [rng.normal(0, 2, 12)], rng, resamples=400) for _ in range(600)]
    assert np.mean([f.low <= 1 <= f.high for f in found]) == pytest.approx(0.95, abs=0.03)


def test_difference_is_turned_by_swapping():
    a, b = generator(7).normal(size=(2, 9))
    forth, back = difference([a], [b], generator(0)), difference([b], [a], generator(0))
    assert forth.value == -back.value == iqm(a) - iqm(b)
    assert forth.low == pytest.approx(-back.high, abs=0.1)


def test_probability_of_improvement_over_tasks():
    up, down = np.arange(5.0), np.arange(5.0) - 10
    assert probability_of_improvement([up, up], [down, down], generator(0)) == (1, 1, 1)
    found = probability_of_improvement([up, down, up], [down, up, up * 1], generator(0))
    assert found.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert 1 / 3 < found.low < 0.5 < found.high < 2 / 3
    with pytest.raises(ValueError, match="a has 1 tasks, b has 2"):
        probability_of_improvement([up], [up, up], generator(0))


def test_probability_of_improvement_covers():
    """Of N(1, 1) over N(0, 1) it is Phi(1 / sqrt 2) = 0.7602."""
    rng = generator(8)
    found = [probability_of_improvement([rng.normal(1, 1, 12)], [rng.normal(0, 1, 12)], rng, 400) for _ in range(300)]
    assert np.mean([f.low <= 0.7602 <= f.high for f in found]) == pytest.approx(0.94, abs=0.04)


def test_seeds_needed_give_the_power_they_promise():
    """The IQM of a normal sample has the variance 1.20 / n: its 25 % trimmed mean's."""
    rng = generator(9)
    a, b = rng.normal(0.8, 1, 400), rng.normal(0, 1, 400)
    a, b = a - iqm(a) + 0.8, b - iqm(b)
    seeds = compare(("a", "b"), a, b, rng, resamples=500).seeds
    assert seeds == pytest.approx((1.96 + 0.8416) ** 2 * 2 * 1.2 / 0.8**2, rel=0.15)
    won = [
        compare(("a", "b"), rng.normal(0.8, 1, seeds), rng.normal(0, 1, seeds), rng, resamples=200).sign
        for _ in range(200)
    ]
    assert np.mean(np.array(won) == 1) == pytest.approx(0.8, abs=0.08)


def test_false_alarms_of_verdicts_are_rare():
    rng = generator(10)
    signs = [compare(("a", "b"), *rng.normal(size=(2, 5)), rng, resamples=400).sign for _ in range(400)]
    assert np.mean(np.abs(signs)) < 0.09


def test_verdicts_in_words():
    rng = generator(0)
    a = np.array([480.0, 490, 500, 495, 500])
    found = compare(("dqn", "ppo"), a, a - 100, rng, "CartPole-v1")
    assert found.sign == 1
    assert found.words.startswith("dqn is better than ppo on CartPole-v1: IQM difference 100.0 [")
    assert found.words.endswith("over 5 seeds each")
    turned = compare(("ppo", "dqn"), a - 100, a, rng, "CartPole-v1")
    assert (turned.sign, turned.difference.value) == (-1, -100)
    assert turned.words.startswith("dqn is better than ppo on CartPole-v1: IQM difference 100.0 [")
    unsure = compare(("dqn", "ppo"), a, a[:4] - 2, rng)
    assert unsure.sign == 0
    assert unsure.words.startswith("cannot tell dqn from ppo: IQM difference")
    assert f"over 5 and 4 seeds; to tell a difference of this size would need about {unsure.seeds:,} seeds each" in (
        unsure.words
    )
    same = compare(("dqn", "ppo"), np.full(5, 500.0), np.full(5, 500.0), rng)
    assert (same.sign, same.seeds, same.words) == (0, None, "dqn and ppo are equal over 5 seeds each")
    apart = compare(("dqn", "ppo"), np.full(5, 500.0), np.full(5, 499.0), rng)
    assert (apart.sign, apart.seeds) == (1, None)


@pytest.mark.parametrize(("n", "m", "tells"), [(1, 1, False), (3, 3, False), (2, 7, False), (4, 4, True), (3, 5, True)])
def test_no_verdict_where_a_complete_separation_may_be_chance(n, m, tells):
    """Of the C(n + m, n) equally likely orders two are complete separations: 10 % at 3 and 3, 2.9 % at 4 and 4."""
    found = compare(("a", "b"), np.arange(n) + 100.0, np.arange(m) * 1.0, generator(0))
    assert found.sign == tells
    assert ("completely apart by chance alone" in found.words) != tells


def test_one_run_gives_no_number_of_seeds():
    assert compare(("a", "b"), np.array([3.0]), np.arange(5.0), generator(0)).seeds is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: bootstrap([], rng), "no tasks"),
        (lambda rng: bootstrap([np.zeros(0)], rng), r"task 0 has shape \(0,\)"),
        (lambda rng: bootstrap([np.zeros(2), np.array([1, np.nan])], rng), "task 1 holds a score that is not finite"),
        (lambda rng: bootstrap([np.zeros(2)], rng, resamples=0), "resamples must be at least 1, got 0"),
        (lambda rng: bootstrap([np.zeros(2)], rng, level=95), "level must be between 0 and 1, got 95"),
        (lambda rng: compare(("a", "b"), np.zeros(3), np.array([np.inf]), rng), "not finite"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(generator(0))


@pytest.mark.parametrize(
    ("x", "text"),
    [(500, "500.0"), (12.345, "12.3"), (1.178, "1.18"), (0.5, "0.500"), (-110.44, "-110.4"), (12345.6, "12,346"),
     (0, "0.0"), (1e-5, "1e-05"), (np.inf, "inf")],
)  # fmt: skip
def test_numbers_as_text(x, text):
    assert stats.number(x) == text
