"""Columns: arrays, nested as observations and actions are, whose leading axes count rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.tree import Tree, leaves, map_, named_leaves


def zeros(rows: tuple[int, ...], spec: Tree) -> Tree:
    """A column for rows of this spec: (shape, dtype), or nested dicts and tuples of these."""
    if isinstance(spec, dict):
        return {name: zeros(rows, branch) for name, branch in spec.items()}
    if not isinstance(spec, tuple):
        raise TypeError(f"a column is (shape, dtype), or a dict or tuple of these, with a tuple as shape; got {spec!r}")
    if len(spec) == 2 and isinstance(spec[0], tuple) and all(isinstance(length, int) for length in spec[0]):
        return np.zeros((*rows, *spec[0]), spec[1])
    return tuple(zeros(rows, branch) for branch in spec)


def rows_like(tree: Tree, rows: tuple[int, ...]) -> Tree:
    """Arrays for so many rows of columns, whatever is in them."""
    return map_(lambda column: np.empty((*rows, *column.shape[1:]), column.dtype), tree)


def pairs(tree: Tree, other: Tree) -> list[tuple[np.ndarray, np.ndarray]]:
    """The arrays of one tree, each with that in its place in the other."""
    others = dict(named_leaves(other))
    return [(leaf, others[path]) for path, leaf in named_leaves(tree)]


def row_bytes(spec: Tree) -> int:
    """Bytes of one row of this spec."""
    return sum([column.itemsize * math.prod(column.shape[1:]) for column in leaves(zeros((0,), spec))])


def told(value: Any) -> str:
    """Dtype and shape, for comparisons and messages."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else "no array"


def check_rows(what: str, given: Tree, columns: Tree, n: int, lead: int = 1) -> None:
    """ValueError names the first leaf that is not n rows for its column, whose leading axes number `lead`."""
    values: dict[str, Any] = dict(named_leaves(given))
    for path, column in named_leaves(columns):
        got, wanted = told(values.get(path)), f"{column.dtype} {(n, *column.shape[lead:])}"
        if got != wanted:
            raise ValueError(f"{what} column {path}: expected {wanted}, got {got}")
