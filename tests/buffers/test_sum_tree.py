"""The sum tree against plain sums: what it finds, that it does not drift, that sums depend on the leaves alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.buffers.sum_tree import FAN, TOP, SumTree
from rlcore.rng import generator

SIZES = (1, 2, FAN - 1, FAN + 1, FAN * TOP, FAN * TOP + 1)  # one level of nodes, and two from the last one on


def tree_of(weights: np.ndarray) -> SumTree:
    tree = SumTree(len(weights))
    tree.set(np.arange(len(weights)), weights)
    return tree


def sums(tree: SumTree) -> list[list[float]]:
    return [level.tolist() for level in tree._sums]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_found_is_where_the_sums_pass_the_fraction(size):
    weights = np.floor(8 * generator(size).random(size))  # small whole numbers: every sum is exact
    weights[0] = 1
    tree, total = tree_of(weights), int(weights.sum())
    assert tree.total == total
    some = np.unique(np.linspace(0, total - 1, min(total, 5000)).astype(int))
    expected = np.searchsorted(np.cumsum(weights), some + 0.5, "right")
    assert (tree.find((some + 0.5) / total) == expected).all()
    assert (weights[expected] > 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_the_ends_of_the_range_find_the_first_and_the_last_leaf_of_a_weight(size):
    first, last = size // 3, size - 1 - size // 5
    tree = SumTree(size)
    tree.set(np.array([first, last]), np.array([0.1, 0.3]))
    ends = np.array([0, 1e-300, 1 - 2.0**-53, 1.0])
    assert tree.find(ends).tolist() == [first, first, last, last]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 0.99))
def test_a_leaf_of_no_weight_is_never_found(seed, share):
    """Weights over 20 decades, so that sums round, and fractions right at the borders of leaves."""
    rng = generator(seed)
    size = int(rng.integers(1, 3000))
    weights = 10.0 ** rng.uniform(-10, 10, size) * (rng.random(size) > share)
    weights[rng.integers(size)] = 1e-3
    tree = tree_of(weights)
    borders = np.cumsum(weights) / weights.sum()
    fractions = np.concatenate([borders, np.nextafter(borders, 0), np.nextafter(borders, 2), rng.random(100)])
    assert (weights[tree.find(fractions.clip(0, 1))] > 0).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_sums_are_a_function_of_the_leaves_whatever_changed_them(seed):
    rng = generator(seed)
    size = int(rng.choice([1, 40, 2000, FAN * TOP + 700]))
    tree, weights = SumTree(size), np.zeros(size)
    for n in rng.choice([1, 2, 30, 2000], 6):
        at, values = rng.integers(0, size, n), rng.random(n) * 10.0 ** rng.integers(-5, 5, n)
        tree.set(at, values)
        for i, value in zip(at, values, strict=True):
            weights[i] = value  # of equal ones the last
        assert (tree.leaves == weights).all()
    assert sums(tree) == sums(tree_of(weights))
    again = copy.deepcopy(sums(tree))
    tree.set(np.arange(size), weights)
    assert sums(tree) == again


def test_a_million_updates_over_ten_decades_leave_no_drift():
    rng, size = generator(0), 50_000
    tree = SumTree(size)
    for _ in range(1000):
        tree.set(rng.integers(0, size, 1000), 10.0 ** rng.uniform(-5, 5, 1000))
    for at in np.split(rng.permutation(size), size // 1000):  # then everything collapses
        tree.set(at, np.full(1000, 1e-7))
    exact = 1e-7 * size
    assert abs(tree.total - exact) / exact <= 1e-12
    assert abs(tree.total - tree.leaves.sum()) / exact <= 1e-12
    assert all((level >= 0).all() for level in tree._sums)


def test_frequencies_are_in_proportion_to_the_weights():
    rng = generator(1)
    weights = 10.0 ** rng.uniform(-1, 1, 200)
    weights[::7] = 0
    tree, counts = tree_of(weights), np.zeros(200, np.int64)
    for _ in range(200):
        counts += np.bincount(tree.find(rng.random(5000)), minlength=200)
    expected = 1e6 * weights / weights.sum()
    drawn = weights > 0
    assert not counts[~drawn].any()
    freedom = drawn.sum() - 1
    statistic = ((counts - expected)[drawn] ** 2 / expected[drawn]).sum()
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)  # chi-square: mean k, variance 2 k
