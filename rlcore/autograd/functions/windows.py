"""Sliding windows over N spatial axes: sizes, and which input and output elements one kernel offset joins."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any

from rlcore.autograd.functions.columns import strided
from rlcore.backend import xp_of


def per_axis(function: str, name: str, value: Any, ndim: int, least: int) -> tuple[int, ...]:
    """A number, or one for each of ndim axes, as a tuple; ValueError if one is smaller than `least`."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * ndim
    if len(values) != ndim or any(v < least for v in values):
        raise ValueError(f"{function}: {name} must be {ndim} integers of at least {least}, got {value!r}")
    return values


def out_size(size: int, k: int, stride: int, pad: int, cover_all: bool = False, dilate: int = 1) -> int:
    """How many windows fit; cover_all: as many as it takes to reach every element."""
    left = size + 2 * pad - ((k - 1) * dilate + 1)
    return (left + stride - 1 if cover_all else left) // stride + 1


def in_size(size: int, k: int, stride: int, pad: int, cover_all: bool = False, dilate: int = 1) -> int:
    """The smallest size from which `out_size` gives `size`."""
    return stride * (size - 1) + (k - 1) * dilate + 1 - 2 * pad - (stride - 1 if cover_all else 0)


class Windows:
    """Windows of ksize elements, `dilate` apart, every `stride` elements of an input padded by `pad` on both sides."""

    def __init__(self, ins: Any, outs: Any, ksize: Any, stride: Any, pad: Any, dilate: Any = None):
        self.ins, self.outs, self.ksize, self.stride, self.pad = ins, outs, ksize, stride, pad
        self.ndim, self.dilate = len(ins), dilate or (1,) * len(ins)
        self.axes = [
            [self._pair(i, o, s, j * d - p) for j in range(k)]
            for i, o, k, s, p, d in zip(ins, outs, ksize, stride, pad, self.dilate)
        ]
        # sizes of the input with its padding, as far as windows reach
        self.reach = tuple(
            [
                max(p + i, (o - 1) * s + (k - 1) * d + 1)
                for i, o, k, s, p, d in zip(ins, outs, ksize, stride, pad, self.dilate)
            ]
        )
        self.padded = any(
            p > 0 or (o - 1) * s + (k - 1) * d >= i
            for i, o, k, s, p, d in zip(ins, outs, ksize, stride, pad, self.dilate)
        )

    @staticmethod
    def _pair(size: int, out: int, stride: int, start: int) -> tuple[slice, slice]:
        """(inputs, outputs) that are joined where output o reads input o * stride + start; the rest is padding."""
        low = max(0, -(start // stride))
        high = max(low, min(out, (size - 1 - start) // stride + 1))
        first = low * stride + start
        if high == low:
            return slice(0, 0), slice(0, 0)
        return slice(first, first + (high - low - 1) * stride + 1, stride), slice(low, high)

    def offsets(self) -> Any:
        """For each offset in a window, row by row: its index, the slices of the input and those of the output.

        All three leave the axis before the windows' whole.
        """
        whole = slice(None)
        for index in itertools.product(*map(range, self.ksize)):
            pairs = [axis[j] for axis, j in zip(self.axes, index)]
            yield (whole, *index), (whole, *[p[0] for p in pairs]), (whole, *[p[1] for p in pairs])


@lru_cache(256)
def windows(*settings: Any) -> Windows:
    """Windows(*settings), made once: 8 us for two axes."""
    return Windows(*settings)


def channels_last(x: Any) -> Any:
    """(N, C, *sizes) seen as (N, *sizes, C)."""
    return x.transpose((0, *range(2, x.ndim), 1))


def channels_first(x: Any) -> Any:
    """(N, *sizes, C) seen as (N, C, *sizes)."""
    return x.transpose((0, x.ndim - 1, *range(1, x.ndim - 1)))


def columns(x: Any, w: Windows, out: Any = None) -> Any:
    """The windows of x (N, *ins, C) as an array (N, *outs, *ksize, C), zero where they lie on padding."""
    N, C = len(x), x.shape[-1]
    sizes = w.reach if w.padded else w.ins
    wide = x
    if w.padded or not x.flags.c_contiguous:
        wide = (xp_of(x).zeros if w.padded else xp_of(x).empty)((N, *sizes, C), x.dtype)
        inner = (slice(None), *[slice(p, p + i) for p, i in zip(w.pad, w.ins)])
        wide[inner] = x
    step = [C * x.dtype.itemsize * math.prod(sizes[axis + 1 :]) for axis in range(-1, w.ndim)]
    outs, ksize = ([n * s for n, s in zip(step[1:], t)] for t in (w.stride, w.dilate))
    shape = (N, *w.outs, *w.ksize, C)
    view = strided(wide, shape, (step[0], *outs, *ksize, x.dtype.itemsize))
    if out is None:
        return view.copy()
    out[...] = view
    return out


def overlap(cols: Any, w: Windows) -> Any:
    """The adjoint of `columns`: (N, *outs, *ksize, C) added up where they came from, (N, *ins, C)."""
    x = xp_of(cols).zeros((len(cols), *w.ins, cols.shape[-1]), cols.dtype)
    for index, i, o in w.offsets():
        x[i] += cols[o + index[1:]]
    return x


def check_input(function: str, x: Any, ndim: int) -> None:
    """ValueError unless x is (N, C) and ndim sizes, TypeError unless it is of floats."""
    if x.ndim != ndim + 2:
        raise ValueError(f"{function}: expected x (N, C, {ndim} sizes), got x {tuple(x.shape)}")
    if x.dtype.kind != "f":
        raise TypeError(f"{function}: x must be of floats, got {x.dtype}; cast it with x.astype('float32')")


def fitting(function: str, x: Any, w: tuple, cover_all: bool, dilate: Any = None) -> Windows:
    """The windows (ksize, stride, pad) of x; ValueError if not one fits along some axis."""
    ksize, stride, pad = w
    dilate = dilate or (1,) * len(ksize)
    outs = tuple([out_size(n, k, s, p, cover_all, d) for n, k, s, p, d in zip(x.shape[2:], ksize, stride, pad, dilate)])
    if min(outs, default=1) < 1:
        raise ValueError(
            f"{function}: no window fits into x {tuple(x.shape)} with ksize {ksize}, pad {pad}, dilate {dilate}"
        )
    return windows(tuple(x.shape[2:]), outs, ksize, stride, pad, dilate)


def spreading(function: str, x: Any, w: tuple, outsize: Any, cover_all: bool, dilate: Any = None) -> Windows:
    """The windows of a result of size `outsize` (None: derived) whose number is x's sizes."""
    ksize, stride, pad = w
    dilate = dilate or (1,) * len(ksize)
    outs = tuple(x.shape[2:])
    axes = list(zip(outs, ksize, stride, pad, dilate))
    if outsize is None:
        ins = tuple([in_size(n, k, s, p, cover_all, d) for n, k, s, p, d in axes])
    else:
        ins = per_axis(function, "outsize", outsize, len(outs), 1)
        for size, (n, k, s, p, d) in zip(ins, axes):
            if n not in (out_size(size, k, s, p, True, d), out_size(size, k, s, p, False, d)):
                raise ValueError(
                    f"{function}: outsize {ins} does not belong to x {tuple(x.shape)} with ksize {ksize}, stride "
                    f"{stride}, pad {pad}, dilate {dilate}"
                )
    if math.prod(outs) and min(ins, default=1) < 1:
        raise ValueError(f"{function}: the result would have sizes {ins} for x {tuple(x.shape)}, pad {pad}")
    return windows(ins, outs, ksize, stride, pad, dilate)
