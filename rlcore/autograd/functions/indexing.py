"""Picking elements, and putting them back."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, scatter, shape_of, traced
from rlcore.autograd.dual import sum_to as _sum_to
from rlcore.autograd.function import Function
from rlcore.backend import xp_of

__all__ = [
    "get_item",
    "select_item",
    "where",
]


class GetItem(Function):
    saves = "index"

    def __init__(self, index: Any):
        self.index = index

    def forward(self, x):
        self.shape = x.shape
        return x[self.index]

    def backward(self, gy, index):
        return scatter(gy, index, self.shape)


def get_item(x, slices):
    """x[slices] by NumPy's rules, basic and advanced."""
    return GetItem(tuple(map(raw, slices)) if isinstance(slices, tuple) else raw(slices)).apply(x)


class Scatter(Function):
    """The derivative of GetItem."""

    saves = "index"

    def __init__(self, index: Any, shape: tuple[int, ...]):
        self.index, self.shape = index, shape

    def forward(self, g):
        return scatter(g, self.index, self.shape)

    def backward(self, gy, index):
        return gy[index]


class SelectItem(Function):
    saves = "index"

    def forward(self, x, t):
        if x.ndim != 2 or t.shape != x.shape[:1]:
            raise ValueError(f"expected x (N, A) and t (N,), got {x.shape} and {t.shape}")
        if t.dtype.kind not in "iu":
            raise TypeError(f"t must hold integers, got {t.dtype}")
        self.shape, self.index = x.shape, (_arange(t), t)
        return x[self.index]

    def backward(self, gy, index):
        if traced(gy):
            return scatter(gy, index, self.shape), None
        gx = xp_of(gy).zeros(self.shape, gy.dtype)
        gx[index] = gy  # each row once: nothing to add up
        return gx, None


_ARANGE = np.arange(256)


def _arange(t: Any) -> Any:
    """0 ... len(t) - 1 beside t; short ones on the CPU are slices of one array."""
    return _ARANGE[: len(t)] if isinstance(t, np.ndarray) and len(t) <= 256 else xp_of(t).arange(len(t))


def select_item(x, t):
    """x[i, t[i]] for every row i: x (N, A), t (N,) integers; gives (N,)."""
    return SelectItem().apply(x, t)


class Where(Function):
    saves = "condition"

    def __init__(self, condition: Any):
        self.condition = condition

    def forward(self, x0, x1):
        self.s0, self.s1 = shape_of(x0), shape_of(x1)
        return xp_of(self.condition).where(self.condition, x0, x1)

    def backward(self, gy, condition):
        e0, e1 = self.edges
        return e0 and _sum_to(gy * condition, self.s0), e1 and _sum_to(gy * ~condition, self.s1)


def where(condition, x, y):
    """x where condition holds, else y; condition is an array of bool."""
    condition = raw(condition)
    if condition.dtype != bool:
        raise TypeError(f"where: condition must be bool, got {condition.dtype}")
    return Where(condition).apply(x, y)
