"""Arrays put together and cut apart."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from rlcore.autograd.dual import raw, traced
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import axis_of, reshape
from rlcore.backend import xp_of

__all__ = [
    "concat",
    "dstack",
    "hstack",
    "pad_sequence",
    "separate",
    "split_axis",
    "stack",
    "transpose_sequence",
    "vstack",
]


class Concat(Function):
    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *xs):
        axis = self.axis
        self.sizes, dtype = [x.shape[axis] for x in xs], xs[0].dtype
        for x in xs:
            if x.dtype is not dtype and x.dtype != dtype:  # NumPy would promote in silence
                raise TypeError("the arrays must have one dtype")
        return xp_of(xs[0]).concatenate(xs, axis)

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
    if len(xs) == 0:
        raise ValueError("concat: give at least one array")
    return Concat(axis).apply(*xs)


def hstack(xs):
    """Arrays joined along their second axis, vectors along their only one."""
    xs = [reshape(x, (1,)) if x.ndim == 0 else x for x in xs]
    return concat(xs, axis=0 if xs and xs[0].ndim == 1 else 1)


def vstack(xs):
    """Arrays joined along their first axis; a vector counts as one row."""
    return concat([reshape(x, (1, -1)) if x.ndim < 2 else x for x in xs], axis=0)


def dstack(xs):
    """Arrays joined along their third axis, which is put behind vectors and matrices that have none."""
    return concat([reshape(x, ((1, -1, 1) if x.ndim < 2 else (*x.shape, 1))) if x.ndim < 3 else x for x in xs], axis=2)


class Stack(Function):
    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *xs):
        shape, dtype, k = xs[0].shape, xs[0].dtype, len(xs)
        n = len(shape) + 1
        if not -n <= self.axis < n:
            raise ValueError(f"axis {self.axis} is out of range for {n} axes")
        if [x.shape for x in xs].count(shape) < k or [x.dtype for x in xs].count(dtype) < k:
            raise ValueError("the arrays must have one shape and one dtype")
        at = self.axis % n
        y = xp_of(xs[0]).empty((*shape[:at], k, *shape[at:]), dtype)
        self.before = before = (slice(None),) * at
        for i, x in enumerate(xs):
            y[(*before, i) if before else i] = x
        return y

    def backward(self, gy):
        places = [(*self.before, i) for i in range(len(self.edges))]
        gs = [gy[place] for place in places]
        return gs[0] if len(gs) == 1 else gs


def stack(xs, axis=0):
    """Arrays of one shape joined along a new axis."""
    if len(xs) == 0:
        raise ValueError("stack: give at least one array")
    return Stack(axis).apply(*xs)


class Separate(Function):
    many = True

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        before = (slice(None),) * self.axis
        self.n = x.shape[self.axis]
        places = [(*before, i) for i in range(self.n)]
        return tuple([x[place] for place in places])

    def backward(self, gys):
        gs = _whole(gys, [None] * self.n)
        return stack(gs, self.axis) if any(map(traced, gs)) else Stack(self.axis).forward(*gs)


def _whole(gys: Any, shapes: Any) -> list[Any]:
    """The output gradients as a list, zeros for what was not used; a shape of None is that of those given."""
    some = next(iter(gys.values()))
    xp, dtype = xp_of(raw(some)), some.dtype
    gs = [gys[k] for k in range(len(shapes))]
    return [xp.zeros(shape or some.shape, dtype) if g is None else g for g, shape in zip(gs, shapes)]


def separate(x, axis=0):
    """The slices of x along an axis, which they lack: a tuple."""
    return Separate(axis_of("separate", axis, x)).apply(x)


class PadSequence(Function):
    def __init__(self, length: int | None, padding: Any):
        self.length, self.padding = length, padding

    def forward(self, *xs):
        self.lengths = [len(x) for x in xs]
        longest, rest = max(self.lengths), xs[0].shape[1:]
        length = longest if self.length is None else self.length
        if length < longest:
            raise ValueError(f"length {length} is less than that of the longest sequence, {longest}")
        for x in xs:
            if x.shape[1:] != rest or x.dtype != xs[0].dtype:
                raise ValueError("the sequences must have one dtype, and one shape but for their length")
        y = xp_of(xs[0]).full((len(xs), length, *rest), self.padding, xs[0].dtype)
        for i, x in enumerate(xs):
            y[i, : len(x)] = x
        return y

    def backward(self, gy):
        gs = [gy[i, :n] for i, n in enumerate(self.lengths)]
        return gs[0] if len(gs) == 1 else gs


def pad_sequence(xs, length=None, padding=0):
    """Sequences (T_i, ...) in one array (N, T, ...), filled up with `padding` to `length` or the longest of them."""
    if len(xs) == 0:
        raise ValueError("pad_sequence: give at least one sequence")
    return PadSequence(length, padding).apply(*xs)


class TransposeSequence(Function):
    many = True

    def forward(self, *xs):
        self.lengths = lengths = [len(x) for x in xs]
        if lengths != sorted(lengths, reverse=True):
            raise ValueError("the sequences must be sorted by length, the longest first")
        for x in xs:
            if x.shape[1:] != xs[0].shape[1:] or x.dtype != xs[0].dtype:
                raise ValueError("the sequences must have one dtype, and one shape but for their length")
        counts = [sum(n > t for n in lengths) for t in range(lengths[0])]
        starts = list(accumulate(counts, initial=0))
        xp, rest = xp_of(xs[0]), xs[0].shape[1:]
        packed, at = xp.empty((starts[-1], *rest), xs[0].dtype), xp.asarray(starts)
        for i, x in enumerate(xs):
            packed[at[: len(x)] + i] = x
        self.shapes = [(n, *rest) for n in counts]
        return tuple([packed[start : start + n] for start, n in zip(starts, counts)])

    def backward(self, gys):
        gs = _whole(gys, self.shapes)
        back = transpose_sequence(gs) if any(map(traced, gs)) else TransposeSequence().forward(*gs)
        absent = len(self.lengths) - len(back)  # sequences of length 0
        back += (gs[0][:0],) * absent
        return back[0] if len(back) == 1 else back


def transpose_sequence(xs):
    """Sequences (T_i, ...), the longest first, as a tuple of steps: step t holds element t of all that have one."""
    return TransposeSequence().apply(*xs) if len(xs) else ()


class SplitAxis(Function):
    many = True

    def __init__(self, at: list[int], axis: int):
        self.at, self.axis = at, axis

    def forward(self, x):
        self.shape = x.shape
        before = (slice(None),) * self.axis
        parts = [(*before, slice(start, end)) for start, end in pairwise([0, *self.at, None])]
        return [x[part] for part in parts]

    def backward(self, gys):
        n = len(self.at) + 1
        if len(gys) == n:
            parts = [gys[k] for k in range(n)]
        else:
            before, after = self.shape[: self.axis], self.shape[self.axis + 1 :]
            ends = pairwise([0, *self.at, self.shape[self.axis]])
            parts = _whole(gys, [(*before, end - start, *after) for start, end in ends])
        if any(map(traced, parts)):
            return concat(parts, self.axis)
        return xp_of(parts[0]).concatenate(parts, axis=self.axis)


def split_axis(x, indices_or_sections, axis, force_tuple=True):
    """x cut along axis: a tuple of parts, at the indices given or into so many equal ones."""
    axis = axis_of("split_axis", axis, x)
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
