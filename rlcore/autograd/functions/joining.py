"""Arrays put together and cut apart."""

from __future__ import annotations

from rlcore.autograd.dual import raw, traced
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import expand_dims
from rlcore.backend import xp_of

__all__ = [
    "concat",
    "split_axis",
    "stack",
]


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
