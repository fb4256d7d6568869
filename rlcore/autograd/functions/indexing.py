"""Picking elements, and putting them back."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import operands, raw, scatter, shape_of, traced
from rlcore.autograd.dual import sum_to as _sum_to
from rlcore.autograd.function import Function
from rlcore.backend import xp_of

__all__ = [
    "gather",
    "get_item",
    "permutate",
    "scatter_add",
    "select_item",
    "take_along_axis",
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
        self.shape, self.index = x.shape, (arange_beside(t, len(t)), t)
        return x[self.index]

    def backward(self, gy, index):
        if traced(gy):
            return scatter(gy, index, self.shape), None
        gx = xp_of(gy).zeros(self.shape, gy.dtype)
        gx[index] = gy  # each row once: nothing to add up
        return gx, None


_ARANGE = np.arange(256)


def arange_beside(like: Any, n: int) -> Any:
    """0 ... n - 1 on like's device; short ones on the CPU are slices of one array."""
    return _ARANGE[:n] if n <= 256 and isinstance(like, np.ndarray) else xp_of(like).arange(n)


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
    return Where(condition).apply(*operands(x, y))


def permutate(x, indices, axis=0, inv=False):
    """x[..., indices, ...] along axis; inv undoes it: element indices[i] of the result is then element i of x."""
    indices = raw(indices)
    if not -x.ndim <= axis < x.ndim or indices.shape != (x.shape[axis],) or indices.dtype.kind not in "iu":
        raise ValueError(
            "permutate: indices must be integers, as many as x has elements along axis; got indices "
            f"{tuple(indices.shape)} {indices.dtype}, axis {axis}, x {tuple(x.shape)}"
        )
    if inv:
        indices = (indices % len(indices)).argsort() if len(indices) else indices
    return GetItem((slice(None),) * (axis % x.ndim) + (indices,)).apply(x)


def scatter_add(a, slices, b):
    """a with b added at a[slices]; what is indexed twice is added twice."""
    index = tuple(map(raw, slices)) if isinstance(slices, tuple) else raw(slices)
    try:
        place = raw(a)[index]
    except IndexError as error:
        raise IndexError(f"scatter_add: {error} (got a {tuple(a.shape)})") from error
    if shape_of(place) != shape_of(b) or place.dtype != b.dtype:
        raise ValueError(
            f"scatter_add: a[slices] is {shape_of(place)} {place.dtype}, b {shape_of(b)} {b.dtype}; give b that shape "
            "and dtype"
        )
    return Scatter(index, a.shape).apply(b) + a


class TakeAlongAxis(Function):
    saves = "mesh"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x, indices):
        if indices.dtype.kind not in "iu":
            raise TypeError(f"indices must be integers, got {indices.dtype}")
        if indices.ndim != x.ndim or not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"x and indices must have the same number of axes, and axis {self.axis}")
        self.shape, axis = x.shape, self.axis % x.ndim
        self.mesh = tuple([
            indices if a == axis else arange_beside(indices, n).reshape(n, *[1] * (x.ndim - a - 1))
            for a, n in enumerate(x.shape)
        ])  # fmt: skip
        # one index along axis, in an array no wider than x: no element is taken twice
        self.once = indices.shape[axis] == 1 and all(
            k <= n for a, (k, n) in enumerate(zip(indices.shape, x.shape)) if a != axis
        )
        return x[self.mesh]

    def backward(self, gy, mesh):
        if traced(gy) or not self.once:
            return scatter(gy, mesh, self.shape), None
        gx = xp_of(gy).zeros(self.shape, gy.dtype)
        gx[mesh] = gy
        return gx, None


def take_along_axis(x, indices, axis):
    """x[..., indices[..., i, ...], ...] for each i along axis, as numpy.take_along_axis: the other axes broadcast.

    With axis None, x and indices are flattened. An index that occurs twice receives both gradients.
    """
    if axis is None:
        x, indices, axis = x.reshape(-1), raw(indices).reshape(-1), 0
    return TakeAlongAxis(axis).apply(x, indices)


def gather(x, axis, index):
    """`take_along_axis` with PyTorch's order of arguments."""
    return take_along_axis(x, index, axis)
