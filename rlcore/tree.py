"""Nested dicts and tuples of arrays: observations, actions, states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import setitem
from typing import Any, NamedTuple

import numpy as np

Tree = Any  # an array, or nested dicts and tuples of such


class Ring(NamedTuple):
    """A state leaf that is only ever appended to: row r lies in slot r % len(array)."""

    array: np.ndarray
    written: int  # rows so far; the newest len(array) of them are there


def map_(f: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """f of the leaves, in the same nesting; others nest as tree does."""
    if isinstance(tree, dict):
        return {k: map_(f, v, *[o[k] for o in others]) for k, v in tree.items()}
    if isinstance(tree, tuple) and not isinstance(tree, Ring):
        return tuple([map_(f, v, *[o[i] for o in others]) for i, v in enumerate(tree)])
    return f(tree, *others)


def put(tree: Tree, where: Any, value: Tree) -> None:
    """tree[where] = value, in each leaf."""
    if type(tree) is np.ndarray:  # nearly always
        tree[where] = value
    else:
        map_(lambda leaf, part: setitem(leaf, where, part), tree, value)


def leaves(tree: Tree) -> Iterator[Any]:
    """The leaves, in order."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, tuple) and not isinstance(tree, Ring):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


def named_leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays (or Rings) of a tree, each with its path: obs, obs/camera, obs/0; a list counts as a tuple."""
    branches: Iterable[tuple[Any, Tree]]
    if isinstance(tree, dict):
        branches = tree.items()
    elif isinstance(tree, (list, tuple)) and not isinstance(tree, Ring):
        branches = enumerate(tree)
    else:
        yield path, tree
        return
    for name, branch in branches:
        yield from named_leaves(branch, f"{path}/{name}" if path else str(name))
