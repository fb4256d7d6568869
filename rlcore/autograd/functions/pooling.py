"""Pooling: the largest or the mean element of sliding windows.

Memory with channels last (what a convolution gives) stays so, and so does memory with channels first. Windows are
reduced axis by axis, rows first: whole rows are contiguous. A few images at a time, so that they stay in cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, traced
from rlcore.autograd.function import Function, recording
from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.joining import concat
from rlcore.autograd.functions.parts import in_parts, scratch
from rlcore.autograd.functions.windows import Windows, check_input, fitting, per_axis
from rlcore.backend import xp_of

__all__ = [
    "average_pooling_1d",
    "average_pooling_2d",
    "average_pooling_3d",
    "average_pooling_nd",
    "max_pooling_1d",
    "max_pooling_2d",
    "max_pooling_3d",
    "max_pooling_nd",
    "spatial_pyramid_pooling_2d",
]


def is_last(x: Any) -> bool:
    """Whether x (N, C, *sizes) is worked on as (N, *sizes, C) rather than as (N * C, *sizes, 1)."""
    return not x.flags.c_contiguous


def planes(x: Any, last: bool) -> Any:
    """x (N, C, *sizes) as (N, *sizes, C) or (N * C, *sizes, 1)."""
    if last:
        return x.transpose((0, *range(2, x.ndim), 1))
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:], 1)


def images(m: Any, like: Any, last: bool) -> Any:
    """The reverse of `planes`, for as many items and channels as `like` has."""
    if last:
        return m.transpose((0, m.ndim - 1, *range(1, m.ndim - 1)))
    return m.reshape(*like.shape[:2], *m.shape[1:-1])


def some_at_a_time(work: Any, m: Any, sizes: Any) -> None:
    """work(slice of m's first axis), where one item's input has these sizes: half a megabyte of them at a time."""
    nbytes = 2 * math.prod(sizes) * m.shape[-1] * 4
    in_parts(len(m), nbytes, lambda first, last, totals: work(slice(first, last)), m)


def along(axis: int, pairs: Any) -> list[tuple[Any, Any]]:
    """Pairs of slices of one axis as places in arrays: the axes before it are taken whole."""
    lead = (slice(None),) * axis
    return [((*lead, i), (*lead, o)) for i, o in pairs]


def reduced(f: Any, m: Any, w: Windows, nothing: float, y: Any) -> None:
    """f (np.maximum, np.add) over the windows of m (B, *ins, C), axis by axis, into y (B, *outs, C)."""
    for axis, (n, pairs) in enumerate(zip(w.outs, w.axes), 1):
        t = y if axis == w.ndim else xp_of(m).empty((*m.shape[:axis], n, *m.shape[axis + 1 :]), m.dtype)
        places = along(axis, pairs)
        whole = [i for i, o in places if o[-1] == slice(0, n)]
        if len(whole) > 1:
            f(m[whole[0]], m[whole[1]], out=t)
        elif whole:
            t[...] = m[whole[0]]
        else:
            t[...] = nothing
        for at in whole[2:]:
            f(t, m[at], out=t)
        for i, o in places:
            if o[-1] != slice(0, n):
                f(t[o], m[i], out=t[o])
        m = t


def largest(m: Any, w: Windows) -> Any:
    """The largest of each window of m (B, *ins, C), and the number, row by row, of the first that is so large.

    The last axis comes first: of equal elements in two rows the one in the earlier row counts.
    """
    xp, number, scale = xp_of(m), None, 1
    dtype = np.dtype(np.uint8 if math.prod(w.ksize) <= 256 else np.uint32)
    for axis in range(w.ndim, 0, -1):
        n, places = w.outs[axis - 1], along(axis, w.axes[axis - 1])
        shape = (*m.shape[:axis], n, *m.shape[axis + 1 :])
        t, best = xp.empty(shape, m.dtype), xp.zeros(shape, dtype)
        i, o = places[0]
        if o[-1] != slice(0, n):
            t[...] = -math.inf
        t[o] = m[i]
        if number is not None:
            best[o] = number[i]
        for k, (i, o) in enumerate(places[1:], 1):
            here, mine = t[o], best[o]
            new = np.maximum(here, m[i])
            code = np.negative((here < new).astype(dtype))  # all bits where a larger one is found
            code &= dtype.type(k * scale) if number is None else number[i] + dtype.type(k * scale)
            np.maximum(mine, code, out=mine)  # later elements have larger numbers
            if o[-1] == slice(0, n):
                t = new
            else:
                here[...] = new
        m, number, scale = t, best, scale * len(places)
    return m, number


class Places:
    """Where in memory the elements with the numbers `arg` (N, C, *outs) in their windows lie."""

    def __init__(self, arg: Any, w: Windows):
        self.w, self.last = w, is_last(arg)
        self.arg = planes(arg, self.last)
        self.sizes = w.reach if w.padded else w.ins  # with the padding, if there is any: windows may lie in it
        self.inside = (slice(None), *[slice(p, p + i) for p, i in zip(w.pad, w.ins)])

        C = self.arg.shape[-1]
        xp = xp_of(arg)
        steps = [C * math.prod(self.sizes[a + 1 :]) for a in range(w.ndim)]
        self.within, self.start = xp.zeros((), np.intp), xp.zeros((), np.intp)
        for k, o, s, step in zip(w.ksize, w.outs, w.stride, steps):
            self.within = self.within[..., None] + xp.arange(k) * step
            self.start = self.start[..., None] + xp.arange(o) * (s * step)
        self.within, self.start = self.within.ravel(), self.start[..., None] + xp.arange(C)

    def some(self, part: slice) -> tuple[Any, Any]:
        """The shape of a part's input with its padding, and flat indices into it."""
        arg = self.arg[part]
        shape = (len(arg), *self.sizes, arg.shape[-1])
        index = self.within.take(arg)
        index += self.start
        if len(arg) > 1:
            items = xp_of(arg).arange(len(arg)) * math.prod(shape[1:])
            index += items.reshape(-1, *[1] * (arg.ndim - 1))
        return shape, index.ravel()


class AtLargest(Function):
    """x (N, C, *ins) at the numbers `arg` in each window."""

    saves = "arg"

    def __init__(self, arg: Any, w: Windows):
        self.arg, self.w = arg, w

    def forward(self, x):
        places, xp = Places(self.arg, self.w), xp_of(x)
        m = planes(x, places.last)
        y = xp.empty(places.arg.shape, x.dtype)

        def some(part):
            shape, index = places.some(part)
            t = m[part]
            if self.w.padded:
                t = xp.zeros(shape, x.dtype)
                t[places.inside] = m[part]
            y[part] = t.ravel()[index].reshape(y[part].shape)

        some_at_a_time(some, m, self.w.ins)
        return images(y, x, places.last)

    def backward(self, gy, arg):
        return put(gy, arg, self.w)


class Put(AtLargest):
    """The derivative of AtLargest: zeros with g added at the numbers `arg` in each window."""

    def forward(self, g):
        places, xp = Places(self.arg, self.w), xp_of(g)
        m = planes(g, places.last)
        gx = xp.empty((len(m), *self.w.ins, m.shape[-1]), g.dtype)

        def some(part):
            shape, index = places.some(part)
            t = scratch.take("padded", shape, g) if self.w.padded else gx[part]
            t[...] = 0
            xp.add.at(t.reshape(-1), index, m[part].ravel())
            if self.w.padded:
                gx[part] = t[places.inside]

        some_at_a_time(some, m, self.w.ins)
        return images(gx, g, places.last)

    def backward(self, gx, arg):
        op = AtLargest(arg, self.w)
        return op.apply(gx) if traced(gx) else op.forward(gx)


def put(g: Any, arg: Any, w: Windows) -> Any:
    """Zeros with g (N, C, *outs) added at the numbers `arg` in each window: an op on Variables."""
    op = Put(arg, w)
    return op.apply(g) if traced(g) else op.forward(g)


class MaxPoolingND(Function):
    saves = "arg"
    found: Any = None  # the indices, if they are asked for

    def __init__(self, w: Windows, indices: bool):
        self.w, self.indices = w, indices

    def forward(self, x):
        w, xp, last = self.w, xp_of(x), is_last(x)
        m = planes(x, last)
        shape = (len(m), *w.outs, m.shape[-1])
        y, arg = xp.empty(shape, x.dtype), None
        if self.indices or recording():
            arg = xp.empty(shape, np.uint8 if math.prod(w.ksize) <= 256 else np.uint32)

        def some(part):
            if arg is None:
                reduced(np.maximum, m[part], w, -math.inf, y[part])
            else:
                y[part], arg[part] = largest(m[part], w)

        some_at_a_time(some, m, w.ins)
        self.arg = None if arg is None else images(arg, x, last)
        if self.indices:
            self.found = self.arg
        return images(y, x, last)

    def backward(self, gy, arg):
        return put(gy, arg, self.w)


class SumPoolingND(Function):
    """The sums of windows, times a factor that may differ from place to place."""

    def __init__(self, w: Windows, factor: Any = 1):
        self.w, self.factor = w, factor

    def forward(self, x):
        last = is_last(x)
        m = planes(x, last)
        if x.dtype.char == "e":  # the sum of halves may be beyond what a half can hold
            m = m.astype(np.float32)
        y = xp_of(x).empty((len(m), *self.w.outs, m.shape[-1]), m.dtype)
        some_at_a_time(lambda part: reduced(np.add, m[part], self.w, 0, y[part]), m, self.w.ins)
        pooled = images(y, x, last)
        pooled *= self.factor
        return pooled.astype(x.dtype, copy=False)

    def backward(self, gy):
        op = Unpooling(self.w)
        g = gy * self.factor
        return op.apply(g) if traced(g) else op.forward(g)


class Unpooling(Function):
    """The derivative of SumPoolingND: each element added to all places of its window."""

    def __init__(self, w: Windows):
        self.w = w

    def forward(self, x):
        last, xp = is_last(x), xp_of(x)
        m = planes(x, last)
        y = xp.zeros((len(m), *self.w.ins, m.shape[-1]), x.dtype)
        some_at_a_time(lambda part: self.spread(m[part], y[part]), m, self.w.ins)
        return images(y, x, last)

    def spread(self, m, y):
        w = self.w
        for axis in range(w.ndim, 0, -1):  # the axis with contiguous rows last
            n = w.ins[axis - 1]
            t = y if axis == 1 else xp_of(m).zeros((*m.shape[:axis], n, *m.shape[axis + 1 :]), m.dtype)
            for k, (i, o) in enumerate(along(axis, w.axes[axis - 1])):
                if k < w.stride[axis - 1]:  # nothing is there yet
                    t[i] = m[o]
                else:
                    t[i] += m[o]
            m = t

    def backward(self, gy):
        op = SumPoolingND(self.w)
        return op.apply(gy) if traced(gy) else op.forward(gy)


def settings(function: str, x: Any, ndim: int, ksize: Any, stride: Any, pad: Any) -> tuple[Any, ...]:
    """(ksize, stride, pad) with a number for each axis; stride None is ksize."""
    check_input(function, x, ndim)
    k = per_axis(function, "ksize", ksize, ndim, 1)
    return (
        k,
        k if stride is None else per_axis(function, "stride", stride, ndim, 1),
        per_axis(function, "pad", pad, ndim, 0),
    )


def _max_pooling(function, x, ndim, ksize, stride, pad, cover_all, return_indices):
    w = fitting(function, x, settings(function, x, ndim, ksize, stride, pad), cover_all)
    op = MaxPoolingND(w, return_indices)
    y = op.apply(x)
    return (y, op.found.astype(np.int64)) if return_indices else y


def max_pooling_nd(x, ksize, stride=None, pad=0, cover_all=True, return_indices=False):
    """The largest element of each window of x (N, C, *sizes); of equal ones the first has the gradient.

    stride None: ksize. Padding is -inf. cover_all: windows reach every element. return_indices: also an array of the
    largest elements' numbers in their windows, for `upsampling_2d`.
    """
    return _max_pooling("max_pooling_nd", x, max(1, x.ndim - 2), ksize, stride, pad, cover_all, return_indices)


def max_pooling_1d(x, ksize, stride=None, pad=0, cover_all=True, return_indices=False):
    """The largest element of each window of x (N, C, L), see `max_pooling_nd`."""
    return _max_pooling("max_pooling_1d", x, 1, ksize, stride, pad, cover_all, return_indices)


def max_pooling_2d(x, ksize, stride=None, pad=0, cover_all=True, return_indices=False):
    """The largest element of each window of x (N, C, H, W), see `max_pooling_nd`."""
    return _max_pooling("max_pooling_2d", x, 2, ksize, stride, pad, cover_all, return_indices)


def max_pooling_3d(x, ksize, stride=None, pad=0, cover_all=True, return_indices=False):
    """The largest element of each window of x (N, C, D, H, W), see `max_pooling_nd`."""
    return _max_pooling("max_pooling_3d", x, 3, ksize, stride, pad, cover_all, return_indices)


def _average_pooling(function, x, ndim, ksize, stride, pad, pad_value):
    if pad_value not in (0, None):
        raise ValueError(f"{function}: pad_value must be 0 or None, got {pad_value!r}")
    w = fitting(function, x, settings(function, x, ndim, ksize, stride, pad), False)
    factor: Any = 1 / math.prod(w.ksize)
    if pad_value is None and w.padded:
        counts: Any = np.ones(())
        for o, pairs in zip(w.outs, w.axes):
            inside = np.zeros(o)
            for _, at in pairs:
                inside[at] += 1
            counts = counts[..., None] * inside
        factor = xp_of(raw(x)).asarray((1 / counts).astype(x.dtype))
    return SumPoolingND(w, factor).apply(x)


def average_pooling_nd(x, ksize, stride=None, pad=0, pad_value=0):
    """The mean of each window of x (N, C, *sizes).

    stride None: ksize. pad_value 0: padding counts as zeros; None: it does not count.
    """
    return _average_pooling("average_pooling_nd", x, max(1, x.ndim - 2), ksize, stride, pad, pad_value)


def average_pooling_1d(x, ksize, stride=None, pad=0, pad_value=0):
    """The mean of each window of x (N, C, L), see `average_pooling_nd`."""
    return _average_pooling("average_pooling_1d", x, 1, ksize, stride, pad, pad_value)


def average_pooling_2d(x, ksize, stride=None, pad=0, *, pad_value=0):
    """The mean of each window of x (N, C, H, W), see `average_pooling_nd`."""
    return _average_pooling("average_pooling_2d", x, 2, ksize, stride, pad, pad_value)


def average_pooling_3d(x, ksize, stride=None, pad=0, pad_value=0):
    """The mean of each window of x (N, C, D, H, W), see `average_pooling_nd`."""
    return _average_pooling("average_pooling_3d", x, 3, ksize, stride, pad, pad_value)


def spatial_pyramid_pooling_2d(x, pyramid_height, pooling=None):
    """The largest elements of x (N, C, H, W) over 1, 4, ... 4^(height - 1) regions as channels: (N, M, 1, 1).

    pooling must be "max". A region that lies wholly in the padding gives -inf, as in Chainer (He et al. 2014).
    """
    check_input("spatial_pyramid_pooling_2d", x, 2)
    if pooling != "max":
        raise ValueError(f"spatial_pyramid_pooling_2d: pooling must be 'max', got {pooling!r}")
    levels = []
    for level in range(pyramid_height):
        ksize = [-(-n // 2**level) for n in x.shape[2:]]
        pad = [(k * 2**level - n) // 2 for k, n in zip(ksize, x.shape[2:])]
        y = max_pooling_2d(x, ksize, pad=pad)
        levels.append(reshape(y, (y.shape[0], y.shape[1] * y.shape[2] * y.shape[3], 1, 1)))
    return concat(levels, axis=1)
