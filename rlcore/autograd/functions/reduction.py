"""Reductions over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import broadcast_to, raw, shape_of
from rlcore.autograd.function import Function
from rlcore.backend import xp_of

__all__ = [
    "argmax",
    "argmin",
    "average",
    "max",
    "mean",
    "min",
    "sum",
]


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple([a % ndim for a in axes])


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape of a reduction over axis with keepdims."""
    axes = _axes(axis, len(shape))
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def _dropped(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    axes = _axes(axis, len(shape))
    return tuple([n for i, n in enumerate(shape) if i not in axes])


class Sum(Function):
    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        self.shape = x.shape
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, gy):
        if self.axis is not None and not self.keepdims:
            gy = gy.reshape(_kept(self.shape, self.axis))
        return broadcast_to(gy, self.shape)


def sum(x, axis=None, keepdims=False):
    """Sum over axis (an int, a tuple, or None for all)."""
    return Sum(axis, keepdims).apply(x)


class Average(Function):
    """The plain mean: the weighted one is put together from other ops."""

    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        self.shape = x.shape
        y = x.mean(axis=self.axis, keepdims=self.keepdims)
        self.n = x.size // (y.size or 1)
        return y

    def backward(self, gy):
        if self.axis is not None and not self.keepdims:
            gy = gy.reshape(_kept(self.shape, self.axis))
        return broadcast_to(gy * (1 / (self.n or 1)), self.shape)


def average(x, axis=None, weights=None, keepdims=False):
    """Mean over axis, weighted if weights (of x's shape, or of one axis) are given."""
    if weights is None:
        return Average(axis, keepdims).apply(x)
    if shape_of(weights) != shape_of(x):
        if not isinstance(axis, int) or len(weights.shape) != 1 or weights.shape[0] != x.shape[axis]:
            raise ValueError(
                f"average: weights {shape_of(weights)} must have the shape of x {shape_of(x)} or of its axis {axis}"
            )
        shape = [1] * x.ndim
        shape[axis] = -1
        weights = weights.reshape(shape)
        total = sum(weights)
    else:
        total = sum(weights, axis, keepdims)
    return sum(x * weights, axis, keepdims) / total


mean = average


class Max(Function):
    saves = "top"
    reduce = "max"

    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        y = getattr(x, self.reduce)(axis=self.axis, keepdims=True)
        self.shape, self.top = x.shape, x == y  # every tied element gets the whole gradient, as in Chainer
        return y if self.keepdims else y.reshape(_dropped(x.shape, self.axis))

    def backward(self, gy, top):
        return broadcast_to(gy.reshape(_kept(self.shape, self.axis)), self.shape) * top


def max(x, axis=None, keepdims=False):
    """Largest element over axis; every tied element gets the whole gradient."""
    return Max(axis, keepdims).apply(x)


class Min(Max):
    reduce = "min"


def min(x, axis=None, keepdims=False):
    """Smallest element over axis; every tied element gets the whole gradient."""
    return Min(axis, keepdims).apply(x)


def argmax(x, axis=None):
    """Index of the largest element over axis, without a gradient."""
    array = raw(x)
    return _constant(xp_of(array).asarray(array.argmax(axis=axis)).astype(np.int32))


def argmin(x, axis=None):
    """Index of the smallest element over axis, without a gradient."""
    array = raw(x)
    return _constant(xp_of(array).asarray(array.argmin(axis=axis)).astype(np.int32))


def _constant(array: Any) -> Any:
    from rlcore.autograd.variable import handle

    return handle(array, None)
