"""Running sums and products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from rlcore.autograd.dual import traced
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import reshape, transpose
from rlcore.autograd.functions.joining import concat
from rlcore.autograd.functions.reduction import kept, sum
from rlcore.backend import xp_of

__all__ = ["cumprod", "cumsum", "prod"]


def _span(axis: int, ndim: int, start: int | None = None, stop: int | None = None, step: int | None = None) -> Any:
    """The index that takes start:stop:step of one axis."""
    return (slice(None),) * (axis % ndim) + (slice(start, stop, step),)


class Cumsum(Function):
    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        if x.dtype.char == "e":  # or halves are added up as halves: 1 + ... + 1 ends at 2048
            return x.cumsum(axis=self.axis, dtype=np.float32).astype(x.dtype)
        return x.cumsum(axis=self.axis)

    def backward(self, gy):
        backwards = _span(self.axis, gy.ndim, step=-1)
        g = gy[backwards]
        return (Cumsum(self.axis).apply(g) if traced(g) else self.forward(g))[backwards]


def cumsum(x, axis=None):
    """Running sums along axis; of all elements in one row if axis is None."""
    return Cumsum(0).apply(reshape(x, (-1,))) if axis is None else Cumsum(axis).apply(x)


class Cumprod(Function):
    """Its derivative divides by nothing, so that zeros do no harm: it doubles a window, log2(n) times."""

    saves = "x y"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        return x.cumprod(axis=self.axis)

    def composite(self, x):
        step, n = 1, x.shape[self.axis]
        while step < n:
            head, tail, earlier = (_span(self.axis, x.ndim, *s) for s in ((0, step), (step,), (0, -step)))
            x = concat([x[head], x[tail] * x[earlier]], self.axis)
            step *= 2
        return x

    def backward(self, gy, x, y):
        """g[i] = gy[i] + x[i + 1] g[i + 1], then times the product of all elements before i."""
        step, n = 1, x.shape[self.axis]
        g, window = gy.copy(), x[_span(self.axis, x.ndim, 1)]
        while step < n:
            head, tail = _span(self.axis, x.ndim, 0, -step), _span(self.axis, x.ndim, step)
            g[head] += window * g[tail]
            window = window[head] * window[tail]
            step *= 2
        g[_span(self.axis, x.ndim, 1)] *= y[_span(self.axis, x.ndim, 0, -1)]
        return g


def cumprod(x, axis=None):
    """Running products along axis; of all elements in one row if axis is None."""
    return Cumprod(0).apply(reshape(x, (-1,))) if axis is None else Cumprod(axis).apply(x)


class Prod(Function):
    """The product over the last axis."""

    saves = "x"

    def forward(self, x):
        return x.prod(axis=-1)

    def composite(self, x):
        while x.shape[-1] > 1:
            half = x.shape[-1] // 2
            x = concat([x[..., :half] * x[..., half : 2 * half], x[..., 2 * half :]], -1)
        return x[..., 0] if x.shape[-1] else sum(x, -1) + 1

    def backward(self, gy, x):
        """The product of all other elements, by no division: zeros do no harm."""
        before, after = xp_of(x).ones(x.shape, x.dtype), xp_of(x).ones(x.shape, x.dtype)
        before[..., 1:] = x[..., :-1].cumprod(axis=-1)
        after[..., -2::-1] = x[..., :0:-1].cumprod(axis=-1)
        return gy[..., None] * before * after


def prod(x, axis=None, keepdims=False):
    """Product over axis (an int, a tuple, or None for all), with exact derivatives where elements are 0."""
    axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim, "prod")
    stay = tuple([a for a in range(x.ndim) if a not in axes])
    rows = reshape(transpose(x, stay + axes), (*[x.shape[a] for a in stay], math.prod([x.shape[a] for a in axes])))
    y = Prod().apply(rows)
    return reshape(y, kept(x.shape, axes)) if keepdims else y
