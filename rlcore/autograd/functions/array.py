"""Shapes and dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import broadcast_to as _broadcast
from rlcore.autograd.dual import raw
from rlcore.autograd.dual import sum_to as _sum_to
from rlcore.autograd.function import Function

__all__ = [
    "reshape",
    "flatten",
    "expand_dims",
    "squeeze",
    "transpose",
    "broadcast_to",
    "sum_to",
    "cast",
]


class Reshape(Function):
    def __init__(self, shape: Any):
        self.to = shape

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(self.to)

    def backward(self, gy):
        return gy.reshape(self.shape)


def reshape(x, shape):
    """x with another shape of the same size."""
    return Reshape(shape).apply(x)


def flatten(x):
    """x as one axis."""
    return Reshape((-1,)).apply(x)


def expand_dims(x, axis):
    """x with an axis of length 1 put in at `axis`."""
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise ValueError(f"expand_dims: axis {axis} is out of range for x of shape {tuple(x.shape)}")
    shape = list(x.shape)
    shape.insert(axis if axis >= 0 else axis + x.ndim + 1, 1)
    return Reshape(tuple(shape)).apply(x)


def squeeze(x, axis=None):
    """x without the axes of length 1, or without those named."""
    axes = range(x.ndim) if axis is None else [a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))]
    for a in () if axis is None else axis if isinstance(axis, tuple) else (axis,):
        if not -x.ndim <= a < x.ndim:
            raise ValueError(f"squeeze: axis {a} is out of range for x of shape {tuple(x.shape)}")
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of shape {tuple(x.shape)} has length {x.shape[a]}, expected 1")
    return Reshape(tuple([n for a, n in enumerate(x.shape) if a not in axes or n != 1])).apply(x)


class Transpose(Function):
    def __init__(self, axes: Any):
        self.axes = axes

    def forward(self, x):
        return x.T if self.axes is None else x.transpose(self.axes)

    def backward(self, gy):
        return gy.T if self.axes is None else gy.transpose(tuple(np.argsort([a % gy.ndim for a in self.axes]).tolist()))


def transpose(x, axes=None):
    """x with its axes permuted, reversed if axes is None."""
    return Transpose(axes).apply(x)


class BroadcastTo(Function):
    def __init__(self, shape: Any):
        self.to = shape

    def forward(self, x):
        if len(self.to) < x.ndim:
            raise ValueError(f"x of shape {x.shape} cannot be broadcast to {self.to}, which has fewer axes")
        self.shape = x.shape
        return _broadcast(x, self.to)

    def backward(self, gy):
        return _sum_to(gy, self.shape)


def broadcast_to(x, shape):
    """x repeated to `shape` by NumPy's rules."""
    return BroadcastTo(tuple(shape)).apply(x)


class SumTo(Function):
    def __init__(self, shape: Any):
        self.to = shape

    def forward(self, x):
        if np.broadcast_shapes(x.shape, self.to) != x.shape:
            raise ValueError(f"{self.to} cannot be broadcast to x's shape {x.shape}")
        self.shape = x.shape
        return _sum_to(x, self.to)

    def backward(self, gy):
        return _broadcast(gy, self.shape)


def sum_to(x, shape):
    """x summed over the axes along which `shape` would be broadcast to x's shape."""
    return SumTo(tuple(shape)).apply(x)


class Cast(Function):
    def __init__(self, dtype: Any):
        self.to = np.dtype(dtype)

    def forward(self, x):
        self.dtype = x.dtype
        return x.astype(self.to)

    def backward(self, gy):
        return gy.astype(self.dtype)


def cast(x, typ):
    """x converted to another dtype; integers have no gradient."""
    if np.dtype(typ).kind != "f":
        x = raw(x)
    return Cast(typ).apply(x)
