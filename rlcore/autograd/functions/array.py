"""Shapes, indexing, joining and splitting."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import broadcast_to as _broadcast
from rlcore.autograd.dual import raw, scatter, traced
from rlcore.autograd.dual import sum_to as _sum_to
from rlcore.autograd.function import Function
from rlcore.backend import xp_of


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
        self.s0, self.s1 = getattr(x0, "shape", ()), getattr(x1, "shape", ())
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


class Concat(Function):
    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *xs):
        self.sizes = [x.shape[self.axis] for x in xs]
        return xp_of(xs[0]).concatenate(xs, axis=self.axis)

    def backward(self, gy):
        at, gs = 0, []
        before = (slice(None),) * (self.axis % gy.ndim)
        for size in self.sizes:
            part = (*before, slice(at, at + size))
            gs.append(gy[part])
            at += size
        return gs[0] if len(gs) == 1 else gs


def concat(xs, axis=1):
    """Arrays joined along an axis that they have."""
    return Concat(axis).apply(*xs)


def stack(xs, axis=0):
    """Arrays of one shape joined along a new axis."""
    return concat([expand_dims(x, axis) for x in xs], axis=axis)


class SplitAxis(Function):
    many = True

    def __init__(self, at: list[int], axis: int):
        self.at, self.axis = at, axis

    def forward(self, x):
        self.shape = x.shape
        return xp_of(x).split(x, self.at, axis=self.axis)

    def backward(self, gys):
        ends = [0, *self.at, self.shape[self.axis]]
        some = next(iter(gys.values()))
        parts = []
        for k in range(len(ends) - 1):
            if gys[k] is None:
                shape = list(self.shape)
                shape[self.axis] = ends[k + 1] - ends[k]
                parts.append(xp_of(raw(some)).zeros(shape, raw(some).dtype))
            else:
                parts.append(gys[k])
        return concat(parts, self.axis) if traced(some) else xp_of(some).concatenate(parts, axis=self.axis)


def split_axis(x, indices_or_sections, axis, force_tuple=True):
    """x cut along axis: a tuple of parts, at the indices given or into so many equal ones."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"split_axis: axis {axis} is out of range for x of shape {tuple(x.shape)}")
    n = x.shape[axis]
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        if k < 1 or n % k:
            raise ValueError(f"split_axis: axis {axis} of length {n} does not divide into {k} equal parts")
        at = [n // k * i for i in range(1, k)]
    else:
        at = [int(i) for i in indices_or_sections]
        if sorted(at) != at or not all(0 <= i <= n for i in at):
            raise ValueError(f"split_axis: indices must rise from 0 to {n}, the length of axis {axis}; got {at}")
    parts = SplitAxis(at, axis).apply(x)
    return parts if force_tuple or len(parts) > 1 else parts[0]
