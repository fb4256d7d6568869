"""Reductions over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import broadcast_to, raw, summed
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import cast
from rlcore.autograd.functions.math import square

__all__ = [
    "argmax",
    "argmin",
    "average",
    "batch_l2_norm_squared",
    "logsumexp",
    "max",
    "mean",
    "min",
    "sum",
]


def kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape of a reduction over axis with keepdims."""
    if axis is None:
        return (1,) * len(shape)
    out = list(shape)
    for a in axis if isinstance(axis, tuple) else (axis,):
        out[a] = 1
    return tuple(out)


class Sum(Function):
    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        self.shape = x.shape
        return summed(x, self.axis, self.keepdims)

    def backward(self, gy):
        if self.axis is not None and not self.keepdims:
            gy = gy.reshape(kept(self.shape, self.axis))
        return broadcast_to(gy, self.shape)


def sum(x, axis=None, keepdims=False):
    """Sum over axis (an int, a tuple, or None for all)."""
    return Sum(axis, keepdims).apply(x)


class Average(Sum):
    """The plain mean: the weighted one is put together from other ops."""

    def forward(self, x):
        self.shape = x.shape
        if x.size and x.dtype.itemsize > 2:
            y = x.sum(axis=self.axis, keepdims=self.keepdims)
            self.n = x.size // y.size
            return y / self.n
        y = x.mean(axis=self.axis, keepdims=self.keepdims)  # adds halves up as singles
        self.n = x.size // (y.size or 1) or 1
        return y

    def backward(self, gy):
        return super().backward(gy * (1 / self.n))


def average(x, axis=None, weights=None, keepdims=False):
    """Mean over axis, weighted if weights (of x's shape, or of one axis) are given."""
    if weights is None:
        return Average(axis, keepdims).apply(x)
    if x.dtype.char == weights.dtype.char == "e":  # the sum of halves may be beyond what a half can hold
        return cast(average(cast(x, np.float32), axis, cast(weights, np.float32), keepdims), x.dtype)
    if weights.shape != x.shape:
        if not isinstance(axis, int) or not -x.ndim <= axis < x.ndim or weights.shape != x.shape[axis:][:1]:
            raise ValueError(
                f"average: weights {weights.shape} must have the shape of x {x.shape} or of its axis {axis}"
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
    saves = "x y"

    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        return x.max(axis=self.axis, keepdims=self.keepdims)

    def backward(self, gy, x, y):
        shape = kept(x.shape, self.axis)
        return gy.reshape(shape) * (raw(x) == raw(y).reshape(shape))  # each tied element gets all, as in Chainer


def max(x, axis=None, keepdims=False):
    """Largest element over axis; every tied element gets the whole gradient."""
    return Max(axis, keepdims).apply(x)


class Min(Max):
    def forward(self, x):
        return x.min(axis=self.axis, keepdims=self.keepdims)


def min(x, axis=None, keepdims=False):
    """Smallest element over axis; every tied element gets the whole gradient."""
    return Min(axis, keepdims).apply(x)


class Logsumexp(Function):
    saves = "x y"

    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        top = x.max(axis=self.axis, keepdims=True)
        total = summed(np.exp(x - _finite(top)), self.axis, self.keepdims)
        return np.log(np.maximum(total, 1)) + top.reshape(total.shape)  # a sum below 1 is 0: all were -inf

    def backward(self, gy, x, y):
        shape = kept(x.shape, self.axis)
        return gy.reshape(shape) * np.exp(x - _finite(y).reshape(shape))


_LOWEST = {np.dtype(t): float(np.finfo(t).min) for t in (np.float16, np.float32, np.float64)}


def _finite(x: Any) -> Any:
    """x with the lowest number for -inf, from which -inf can be subtracted."""
    return np.maximum(x, _LOWEST.get(x.dtype, -np.inf))


def logsumexp(x, axis=None, *, keepdims=False):
    """log(sum(exp(x))) over axis (an int, a tuple, or None for all), stable; -inf without a gradient where all are."""
    return Logsumexp(axis, keepdims).apply(x)


def batch_l2_norm_squared(x):
    """Sum of squares of each x[i]: x (N, ...) gives (N,)."""
    if x.ndim < 2:
        raise ValueError(f"batch_l2_norm_squared: expected x of two axes or more, got shape {tuple(x.shape)}")
    return sum(square(x), tuple(range(1, x.ndim)))


class Argmax(Function):
    def __init__(self, axis: int | None):
        self.axis = axis

    def forward(self, x):
        return x.argmax(axis=self.axis).astype(np.int32)


def argmax(x, axis=None):
    """Index (int32) of the largest element over axis, the first of several, without a gradient."""
    return Argmax(axis).apply(raw(x))


class Argmin(Argmax):
    def forward(self, x):
        return x.argmin(axis=self.axis).astype(np.int32)


def argmin(x, axis=None):
    """Index (int32) of the smallest element over axis, the first of several, without a gradient."""
    return Argmin(axis).apply(raw(x))
