"""Shapes and dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlcore.autograd.dual import broadcast_to as _broadcast
from rlcore.autograd.dual import raw, traced
from rlcore.autograd.dual import sum_to as _sum_to
from rlcore.autograd.function import Function
from rlcore.backend import to_cpu, xp_of

__all__ = [
    "broadcast",
    "broadcast_to",
    "cast",
    "copy",
    "expand_dims",
    "flatten",
    "moveaxis",
    "reshape",
    "rollaxis",
    "squeeze",
    "sum_to",
    "swapaxes",
    "transpose",
]


def axis_of(name: str, axis: int, x: Any) -> int:
    """The axis of x counted from the front; ValueError naming the function if x has no such axis."""
    ndim = x.ndim
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name}: axis {axis} is out of range for x of shape {tuple(x.shape)}")
    return axis % ndim


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
    shape = x.shape
    at = axis if axis >= 0 else axis + len(shape) + 1
    if not 0 <= at <= len(shape):
        raise ValueError(f"expand_dims: axis {axis} is out of range for x of shape {tuple(shape)}")
    return Reshape((*shape[:at], 1, *shape[at:])).apply(x)


def squeeze(x, axis=None):
    """x without the axes of length 1, or without those named."""
    shape = x.shape
    if axis is None:
        return Reshape(tuple([n for n in shape if n != 1])).apply(x)
    axes = [axis_of("squeeze", a, x) for a in axis] if isinstance(axis, tuple) else [axis_of("squeeze", axis, x)]
    for a in axes:
        if shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of shape {tuple(shape)} has length {shape[a]}, expected 1")
    if len(axes) == 1:
        return Reshape(shape[: axes[0]] + shape[axes[0] + 1 :]).apply(x)
    return Reshape(tuple([n for a, n in enumerate(shape) if a not in axes])).apply(x)


class Transpose(Function):
    def __init__(self, axes: Any):
        self.axes = axes

    def forward(self, x):
        return x.T if self.axes is None else x.transpose(self.axes)

    def backward(self, gy):
        if self.axes is None:
            return gy.T
        back = [0] * len(self.axes)
        for i, a in enumerate(self.axes):
            back[a] = i
        return gy.transpose(*back)


def transpose(x, axes=None):
    """x with its axes permuted, reversed if axes is None."""
    return Transpose(axes).apply(x)


def swapaxes(x, axis1, axis2):
    """x with two axes exchanged."""
    axes = list(range(x.ndim))
    a, b = axis_of("swapaxes", axis1, x), axis_of("swapaxes", axis2, x)
    axes[a], axes[b] = b, a
    return Transpose(tuple(axes)).apply(x)


def moveaxis(x, source, destination):
    """x with the axes `source` put at `destination` (ints or sequences of ints), the others in their order."""
    source, destination = (
        [axis_of("moveaxis", a, x) for a in (axes if isinstance(axes, (tuple, list)) else (axes,))]
        for axes in (source, destination)
    )
    if len(source) != len(destination) or len({*source}) < len(source) or len({*destination}) < len(source):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must name as many axes, each once")
    axes = [a for a in range(x.ndim) if a not in source]
    for d, a in sorted(zip(destination, source)):
        axes.insert(d, a)
    return Transpose(tuple(axes)).apply(x)


def rollaxis(x, axis, start=0):
    """x with an axis moved backwards until it lies before the axis `start`."""
    a = axis_of("rollaxis", axis, x)
    if not -x.ndim <= start <= x.ndim:
        raise ValueError(f"rollaxis: start {start} is out of range for x of shape {tuple(x.shape)}")
    start += x.ndim * (start < 0)
    return moveaxis(x, a, start - (a < start))


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


def broadcast(*args):
    """Arrays repeated to one common shape: a tuple, or one Variable for one argument."""
    if not args:
        raise ValueError("broadcast: give at least one array")
    shapes = [tuple(x.shape) for x in args]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ValueError(f"broadcast: the shapes {', '.join(map(str, shapes))} have no common one") from error
    ys = tuple([BroadcastTo(shape).apply(x) for x in args])
    return ys if len(ys) > 1 else ys[0]


class SumTo(Function):
    def __init__(self, shape: Any):
        self.to = shape

    def forward(self, x):
        lead = x.ndim - len(self.to)
        if lead < 0 or [m for n, m in zip(x.shape[lead:], self.to) if m not in (1, n)]:
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


class Copy(Function):
    def __init__(self, to: Callable[[Any], Any]):
        self.to = to

    def forward(self, x):
        self.back = _mover(x)
        return self.to(x)

    def backward(self, gy):
        return Copy(self.back).apply(gy) if traced(gy) else self.back(gy)


def _mover(like: Any) -> Callable[[Any], Any]:
    """What takes an array to where `like` lives."""
    if xp_of(like) is np:
        return _to_host
    number = like.device.id
    return lambda x: _to_gpu(x, number)


def _to_host(x: Any) -> Any:
    return x if xp_of(x) is np else to_cpu(x)


def _to_gpu(x: Any, number: int) -> Any:
    import cupy

    with cupy.cuda.Device(number):
        return cupy.asarray(x)


def copy(x, dst):
    """x on another device: the number of a GPU, or -1 for the CPU; its gradient goes back to where x lives."""
    if not isinstance(dst, (int, np.integer)) or dst < -1:
        raise ValueError(f"copy: dst must be the number of a GPU, or -1 for the CPU, got {dst!r}")
    return Copy(_to_host if dst == -1 else lambda array: _to_gpu(array, int(dst))).apply(x)
