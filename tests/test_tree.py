"""Trees: nested dicts and tuples keep their nesting; everything else, Rings and lists too, is a leaf."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlcore.stream import Step
from rlcore.tree import Ring, leaves, map_, put

TREES = st.recursive(
    st.integers(),
    lambda inner: st.dictionaries(st.text("abc"), inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
)


def flat(tree):
    """The leaves by a second definition."""
    if isinstance(tree, (dict, tuple)):
        branches = tree.values() if isinstance(tree, dict) else tree
        return [leaf for branch in branches for leaf in flat(branch)]
    return [tree]


def test_one_array_is_a_tree():
    a, b = np.array([1, 2]), np.array([3, 4])
    assert map_(np.add, a, b).tolist() == [4, 6]
    assert next(leaves(a)) is a


def test_nesting_is_kept():
    tree = {"a": 1, "b": (2, {"c": 3})}
    other = {"b": (20, {"c": 30}), "a": 10}  # by key, not by order
    assert map_(lambda x, y: x + y, tree, other) == {"a": 11, "b": (22, {"c": 33})}
    assert list(leaves(tree)) == [1, 2, 3]


def test_the_first_tree_says_what_is_a_leaf():
    assert map_(lambda x, y: (x, y), {"a": 1}, {"a": {"deeper": 2}}) == {"a": (1, {"deeper": 2})}
    assert map_(lambda x, y: x + y, (1, 2), [3, 4]) == (4, 6)  # a list that was a tuple before it went through JSON


def test_others_that_nest_otherwise_are_refused():
    with pytest.raises(KeyError):
        map_(max, {"a": 1}, {"b": 2})
    with pytest.raises(IndexError):
        map_(max, (1, 2), (3,))


def test_rings_and_lists_are_leaves():
    ring = Ring(np.zeros(3), 5)
    tree = {"ring": ring, "list": [1, 2]}
    assert list(leaves(tree)) == [ring, [1, 2]]
    assert map_(lambda leaf: leaf, tree) == tree
    assert map_(lambda leaf: leaf, tree)["ring"] is ring


def test_a_step_is_a_tree_of_its_fields():
    step = Step(*[np.array([i]) for i in range(6)], {"episode": (np.array([6]),)})
    assert [int(leaf[0]) for leaf in leaves(step)] == list(range(7))


@given(TREES)
def test_map_and_leaves_meet(tree):
    assert list(leaves(tree)) == flat(tree)
    doubled = map_(lambda x, y: x + y, tree, tree)
    assert flat(doubled) == [2 * x for x in flat(tree)]
    assert map_(lambda x: x // 2, doubled) == tree


def test_put_writes_into_each_leaf():
    tree = {"a": np.zeros((2, 3)), "b": (np.zeros(2, int),)}
    put(tree, 1, {"a": [1, 2, 3], "b": (4,)})
    assert tree["a"].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert tree["b"][0].tolist() == [0, 4]
    put(plain := np.zeros(3), np.array([True, False, True]), 7)
    assert plain.tolist() == [7, 0, 7]
