"""Losses."""

from __future__ import annotations

import numpy as np

from rlcore.autograd.dual import broadcast_to, weak
from rlcore.autograd.function import Function
from rlcore.autograd.functions.reduction import average, sum

__all__ = ["huber_loss", "mean_squared_error", "squared_error"]


def _alike(x0, x1):
    if x0.shape != x1.shape:
        raise ValueError(f"the two arguments must have one shape, got {x0.shape} and {x1.shape}")
    if x0.dtype is not x1.dtype and x0.dtype != x1.dtype:
        raise TypeError(f"the two arguments must have one dtype, got {x0.dtype} and {x1.dtype}")


class SquaredError(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        _alike(x0, x1)
        d = x0 - x1
        return d * d

    def backward(self, gy, x0, x1):
        e0, e1 = self.edges
        g = gy * (2 * (x0 - x1))
        return e0 and g, e1 and -g


def squared_error(x0, x1):
    """(x0 - x1)^2, elementwise, for equal shapes."""
    return SquaredError().apply(x0, x1)


class MeanSquaredError(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        _alike(x0, x1)
        d = (x0 - x1).ravel()
        return d.dot(d) / d.size

    def backward(self, gy, x0, x1):
        e0, e1 = self.edges
        d = x0 - x1
        g = d * broadcast_to(gy * (2 / (d.size or 1)), d.shape)
        return e0 and g, e1 and -g


def mean_squared_error(x0, x1):
    """Mean of (x0 - x1)^2 over all elements."""
    return MeanSquaredError().apply(x0, x1)


def _huber(x, t, delta):
    """d - slope / 2 and slope: their product is d^2 / 2 up to delta and delta * (d - delta / 2) beyond."""
    d = x - t
    slope = np.minimum(np.maximum(d, -delta), delta)
    return d - 0.5 * slope, slope


class HuberLoss(Function):
    saves = "x t slope"

    def __init__(self, delta: float):
        self.delta = delta

    def forward(self, x, t):
        _alike(x, t)
        rest, self.slope = _huber(x, t, self.delta)
        return self.slope * rest

    def composite(self, x, t):  # the slope depends on the inputs
        rest, slope = _huber(x, t, self.delta)
        return slope * rest

    def backward(self, gy, x, t, slope):
        ex, et = self.edges
        g = gy * slope
        return ex and g, et and -g


class MeanHuberLoss(HuberLoss):
    def forward(self, x, t):
        _alike(x, t)
        rest, self.slope = _huber(x, t, self.delta)
        return self.slope.ravel().dot(rest.ravel()) / rest.size

    def composite(self, x, t):
        return average(super().composite(x, t))

    def backward(self, gy, x, t, slope):
        return super().backward(gy * (1 / (x.size or 1)), x, t, slope)


def huber_loss(x, t, delta, reduce="sum_along_second_axis"):
    """Huber loss of x - t: quadratic up to delta, linear beyond (Huber 1964).

    reduce: "sum_along_second_axis" gives (N,), "no" keeps the shape, "mean" gives the mean over all elements.
    """
    if reduce == "mean":
        return MeanHuberLoss(weak(delta)).apply(x, t)
    if reduce not in ("no", "sum_along_second_axis"):
        raise ValueError(f"huber_loss: reduce must be 'sum_along_second_axis', 'mean' or 'no', got {reduce!r}")
    y = HuberLoss(weak(delta)).apply(x, t)
    return y if reduce == "no" else sum(y, axis=1)
