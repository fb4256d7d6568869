"""Convolution over any number of axes, and its relatives; the kernels of two axes are in a module of their own.

Convolution, its input gradient and its weight gradient are the three derivatives of one trilinear form, sum over
outputs of g * (x convolved with W): each is the derivative of the other two, so all orders are exact.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import summed, traced
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import expand_dims, reshape, squeeze, transpose
from rlcore.autograd.functions.columns import Geometry
from rlcore.autograd.functions.convolution import Convolution_2d, Deconvolution_2d
from rlcore.autograd.functions.linalg import matmul
from rlcore.autograd.functions.parts import in_parts, scratch
from rlcore.autograd.functions.windows import (
    Windows,
    channels_first,
    channels_last,
    check_input,
    columns,
    fitting,
    overlap,
    per_axis,
    spreading,
)
from rlcore.backend import xp_of

__all__ = [
    "convolution_1d",
    "convolution_3d",
    "convolution_nd",
    "deconvolution_1d",
    "deconvolution_3d",
    "deconvolution_nd",
    "dilated_convolution_2d",
    "im2col",
    "local_convolution_2d",
    "shift",
]


def _in_groups(cols: Any, groups: int) -> Any:
    """(rows, K, C) as (groups, rows, K * C / groups)."""
    rows, K, C = cols.shape
    return cols.reshape(rows, K, groups, C // groups).transpose(2, 0, 1, 3).reshape(groups, rows, K * C // groups)


class Trilinear(Function):
    """What the three have in common: w, the windows, and the number of groups."""

    def __init__(self, w: Windows, groups: int):
        self.w, self.groups = w, groups

    def on(self, *inputs: Any) -> Any:
        """The op on Variables, its forward alone on arrays."""
        return self.apply(*inputs) if any(map(traced, inputs)) else self.forward(*inputs)

    def nbytes(self, x):
        """The size of one item's windows; x: any array (N, C, *ins) or (N, *ins, C)."""
        per_place = x.size * math.prod(self.w.ksize) // max(1, len(x) * math.prod(self.w.ins))
        return per_place * math.prod(self.w.outs) * x.dtype.itemsize

    def rows_of(self, x):
        """The windows of x (N, C, *ins) as (groups, N * outs, ksize * C / groups)."""
        w, C = self.w, x.shape[1]
        cols = scratch.take("windows", (len(x), *w.outs, *w.ksize, C), x)
        cols = columns(channels_last(x), w, cols).reshape(len(x) * math.prod(w.outs), math.prod(w.ksize), C)
        return _in_groups(cols, self.groups)

    def rows_of_output(self, g):
        """g (N, out, *outs) as (groups, N * outs, out / groups)."""
        rows = len(g) * math.prod(self.w.outs)
        return _in_groups(channels_last(g).reshape(rows, 1, g.shape[1]), self.groups)

    def matrix_of(self, W):
        """W (out, in / groups, *ksize) as (groups, ksize * in / groups, out / groups)."""
        G, out, C, K = self.groups, W.shape[0] // self.groups, W.shape[1], math.prod(self.w.ksize)
        return W.reshape(G, out, C, K).transpose(0, 3, 2, 1).reshape(G, K * C, out)


class ConvolutionND(Trilinear):
    saves = "x W"

    def forward(self, x, W, b=None):
        y = xp_of(x).empty((len(x), *self.w.outs, W.shape[0]), x.dtype)
        M = self.matrix_of(W)

        def some(i, j, totals):
            part = y[i:j]
            part[...] = (self.rows_of(x[i:j]) @ M).transpose(1, 0, 2).reshape(part.shape)
            if b is not None:
                part += b

        in_parts(len(x), self.nbytes(x), some, x)
        return channels_first(y)

    def backward(self, gy, x, W):
        ex, eW, eb = self.edges
        return (
            ex and InputGradientND(self.w, self.groups).on(gy, W),
            eW and WeightGradientND(self.w, self.groups).on(x, gy),
            eb and summed(gy, (0, *range(2, gy.ndim))),
        )


class InputGradientND(Trilinear):
    """The gradient of x in a convolution; as a function of its own, the deconvolution of g."""

    saves = "g W"

    def forward(self, g, W, b=None):
        w, G, K, C = self.w, self.groups, math.prod(self.w.ksize), W.shape[1]
        x = xp_of(g).empty((len(g), *w.ins, G * C), g.dtype)
        M = self.matrix_of(W).transpose(0, 2, 1)

        def some(i, j, totals):
            rows = self.rows_of_output(g[i:j])
            cols = scratch.take("windows", (G, rows.shape[1], K * C), g)
            np.matmul(rows, M, out=cols)
            cols = cols.reshape(G, cols.shape[1], K, C).transpose(1, 2, 0, 3)
            part = x[i:j]
            part[...] = overlap(cols.reshape(j - i, *w.outs, *w.ksize, G * C), w)
            if b is not None:
                part += b

        in_parts(len(g), self.nbytes(x), some, g)
        return channels_first(x)

    def backward(self, gx, g, W):
        eg, eW, eb = self.edges
        return (
            eg and ConvolutionND(self.w, self.groups).on(gx, W),
            eW and WeightGradientND(self.w, self.groups).on(gx, g),
            eb and summed(gx, (0, *range(2, gx.ndim))),
        )


class WeightGradientND(Trilinear):
    """The gradient of W in a convolution."""

    saves = "x g"

    def forward(self, x, g):
        G, K, C, out = self.groups, math.prod(self.w.ksize), x.shape[1] // self.groups, g.shape[1]
        gW = xp_of(x).zeros((G, K * C, out // G), x.dtype)

        def some(i, j, totals):
            total = totals[0]
            total += self.rows_of(x[i:j]).transpose(0, 2, 1) @ self.rows_of_output(g[i:j])

        in_parts(len(x), self.nbytes(x), some, x, gW)
        return gW.reshape(G, K, C, out // G).transpose(0, 3, 2, 1).reshape(out, C, *self.w.ksize)

    def backward(self, gW, x, g):
        ex, eg = self.edges
        return (
            ex and InputGradientND(self.w, self.groups).on(g, gW),
            eg and ConvolutionND(self.w, self.groups).on(x, gW),
        )


def _check_weights(function, ndim, x, W, b, groups, *, transposed=False):
    """What is wrong with x, W, b of a convolution, or (transposed) of a deconvolution, before anything is computed."""
    check_input(function, x, ndim)
    given = f"x {tuple(x.shape)}, W {tuple(W.shape)}, groups {groups}"
    if W.ndim != ndim + 2:
        raise ValueError(f"{function}: expected W of {ndim + 2} axes, got {given}")
    out, C = (W.shape[1] * groups, W.shape[0]) if transposed else (W.shape[0], W.shape[1] * groups)
    if groups < 1 or x.shape[1] != C or W.shape[0] % groups:
        what = "W (C, out / groups, *ksize)" if transposed else "W (out, C / groups, *ksize)"
        raise ValueError(f"{function}: expected x (N, C, *sizes) and {what}, got {given}")
    check_bias_and_dtypes(function, x, W, b, out, given)


def check_bias_and_dtypes(function, x, W, b, out, given):
    if b is not None and b.shape != (out,):
        raise ValueError(f"{function}: expected b {(out,)}, got b {tuple(b.shape)} with {given}")
    for name, a in (("W", W), ("b", b)):
        if a is not None and a.dtype != x.dtype:
            raise TypeError(
                f"{function}: x is {x.dtype} and {name} is {a.dtype}; cast x with x.astype({a.dtype.name!r})"
            )


def settings_of(function, ksize, stride, pad, dilate):
    ndim = len(ksize)
    return (
        (
            tuple(ksize),
            per_axis(function, "stride", stride, ndim, 1),
            per_axis(function, "pad", pad, ndim, 0),
        ),
        per_axis(function, "dilate", dilate, ndim, 1),
    )


def _convolution(function, ndim, x, W, b, stride, pad, cover_all, dilate, groups):
    _check_weights(function, ndim, x, W, b, groups)
    w, dilate = settings_of(function, W.shape[2:], stride, pad, dilate)
    return _over(fitting(function, x, w, cover_all, dilate), groups, x, W, b, ConvolutionND, Convolution_2d)


def _deconvolution(function, ndim, x, W, b, stride, pad, outsize, dilate, groups):
    _check_weights(function, ndim, x, W, b, groups, transposed=True)
    w, dilate = settings_of(function, W.shape[2:], stride, pad, dilate)
    return _over(spreading(function, x, w, outsize, False, dilate), groups, x, W, b, InputGradientND, Deconvolution_2d)


def _over(w, groups, x, W, b, op, op_2d):
    """One axis and two go to the kernels of two axes, which are faster."""
    if w.ndim > 2:
        return op(w, groups).apply(x, W, b)
    size = w.ins if op_2d is Deconvolution_2d else w.outs
    if w.ndim == 2:
        return op_2d(Geometry(w.ksize, w.stride, w.pad, w.dilate, groups), size).apply(x, W, b)
    geometry = Geometry((1, *w.ksize), (1, *w.stride), (0, *w.pad), (1, *w.dilate), groups)
    return squeeze(op_2d(geometry, (1, *size)).apply(expand_dims(x, 2), expand_dims(W, 2), b), 2)


def convolution_nd(x, W, b=None, stride=1, pad=0, cover_all=False, dilate=1, groups=1):
    """Convolution over all axes after the second: x (N, C, *sizes), W (out, C / groups, *ksize), b (out,).

    stride, pad and dilate: one integer, or one for each axis. cover_all: windows reach every element.
    """
    return _convolution("convolution_nd", max(1, x.ndim - 2), x, W, b, stride, pad, cover_all, dilate, groups)


def convolution_1d(x, W, b=None, stride=1, pad=0, cover_all=False, dilate=1, groups=1):
    """Convolution of x (N, C, L) with W (out, C / groups, k), see `convolution_nd`."""
    return _convolution("convolution_1d", 1, x, W, b, stride, pad, cover_all, dilate, groups)


def convolution_3d(x, W, b=None, stride=1, pad=0, cover_all=False, dilate=1, groups=1):
    """Convolution of x (N, C, D, H, W) with W (out, C / groups, kd, kh, kw), see `convolution_nd`."""
    return _convolution("convolution_3d", 3, x, W, b, stride, pad, cover_all, dilate, groups)


def deconvolution_nd(x, W, b=None, stride=1, pad=0, outsize=None, dilate=1, groups=1):
    """Transposed convolution over all axes after the second: x (N, C, *sizes), W (C, out / groups, *ksize), b (out,).

    outsize: the result's sizes, where a stride leaves more than one possible; the smallest if None.
    """
    return _deconvolution("deconvolution_nd", max(1, x.ndim - 2), x, W, b, stride, pad, outsize, dilate, groups)


def deconvolution_1d(x, W, b=None, stride=1, pad=0, outsize=None, dilate=1, groups=1):
    """Transposed convolution of x (N, C, L) with W (C, out / groups, k), see `deconvolution_nd`."""
    return _deconvolution("deconvolution_1d", 1, x, W, b, stride, pad, outsize, dilate, groups)


def deconvolution_3d(x, W, b=None, stride=1, pad=0, outsize=None, dilate=1, groups=1):
    """Transposed convolution of x (N, C, D, H, W) with W (C, out / groups, kd, kh, kw), see `deconvolution_nd`."""
    return _deconvolution("deconvolution_3d", 3, x, W, b, stride, pad, outsize, dilate, groups)


def dilated_convolution_2d(x, W, b=None, stride=1, pad=0, dilate=1, cover_all=False):
    """Convolution of x (N, C, H, W) whose windows skip dilate - 1 elements (Yu and Koltun 2016)."""
    return _convolution("dilated_convolution_2d", 2, x, W, b, stride, pad, cover_all, dilate, 1)


class Im2Col(Function):
    def __init__(self, w: Windows):
        self.w = w

    def forward(self, x):
        n = self.w.ndim
        cols = columns(channels_last(x), self.w)
        return cols.transpose(0, 2 * n + 1, *range(n + 1, 2 * n + 1), *range(1, n + 1)).reshape(
            len(x), x.shape[1] * math.prod(self.w.ksize), *self.w.outs
        )

    def backward(self, gy):
        return Col2Im(self.w).apply(gy) if traced(gy) else Col2Im(self.w).forward(gy)


class Col2Im(Im2Col):
    """The derivative of Im2Col."""

    def forward(self, g):
        w, n = self.w, self.w.ndim
        cols = g.reshape(len(g), g.shape[1] // math.prod(w.ksize), *w.ksize, *w.outs)
        return channels_first(overlap(cols.transpose(0, *range(n + 2, 2 * n + 2), *range(2, n + 2), 1), w))

    def backward(self, gx):
        return Im2Col(self.w).apply(gx) if traced(gx) else Im2Col(self.w).forward(gx)


def im2col(x, ksize, stride=1, pad=0, cover_all=False, dilate=1):
    """The windows of x (N, C, H, W) as channels: (N, C * kh * kw, oh, ow)."""
    check_input("im2col", x, 2)
    w, dilate = settings_of("im2col", per_axis("im2col", "ksize", ksize, 2, 1), stride, pad, dilate)
    return Im2Col(fitting("im2col", x, w, cover_all, dilate)).apply(x)


def local_convolution_2d(x, W, b=None, stride=1):
    """Convolution of x (N, C, H, W) with a filter for each place: W (out, oh, ow, C, kh, kw), b (out, oh, ow)."""
    check_input("local_convolution_2d", x, 2)
    given = f"x {tuple(x.shape)}, W {tuple(W.shape)}, stride {stride}"
    if W.ndim != 6 or W.shape[3] != x.shape[1]:
        raise ValueError(f"local_convolution_2d: expected W (out, oh, ow, C, kh, kw), got {given}")
    if b is not None and b.shape != W.shape[:3]:
        raise ValueError(f"local_convolution_2d: expected b {W.shape[:3]}, got b {tuple(b.shape)} with {given}")
    if W.dtype != x.dtype or (b is not None and b.dtype != x.dtype):
        raise TypeError(f"local_convolution_2d: x is {x.dtype} and W is {W.dtype}; x, W and b must have one dtype")
    out, oh, ow, C, kh, kw = W.shape
    cols = im2col(x, (kh, kw), stride)
    if cols.shape[2:] != (oh, ow):
        raise ValueError(f"local_convolution_2d: there are {cols.shape[2:]} windows, got {given}")
    rows = reshape(transpose(cols, (2, 3, 0, 1)), (oh * ow, x.shape[0], C * kh * kw))
    filters = reshape(transpose(W, (1, 2, 3, 4, 5, 0)), (oh * ow, C * kh * kw, out))
    y = transpose(reshape(matmul(rows, filters), (oh, ow, x.shape[0], out)), (2, 3, 0, 1))
    return y if b is None else y + b


class Shift(Function):
    """Blocks of `size` channels, each moved by its own (dy, dx), zeros coming in; further channels stay."""

    def __init__(self, size: int, moves: Any):
        self.size, self.moves = size, moves

    def forward(self, x):
        y = x.copy()
        for g, (dy, dx) in enumerate(self.moves):
            block = slice(g * self.size, (g + 1) * self.size)
            (into_y, from_y), (into_x, from_x) = _moved(x.shape[2], dy), _moved(x.shape[3], dx)
            y[:, block] = 0
            y[:, block, into_y, into_x] = x[:, block, from_y, from_x]
        return y

    def backward(self, gy):
        back = Shift(self.size, [(-dy, -dx) for dy, dx in self.moves])
        return back.apply(gy) if traced(gy) else back.forward(gy)


def _moved(n: int, d: int) -> tuple[slice, slice]:
    """Where elements of an axis of length n go to, and come from, when moved by d."""
    d = max(-n, min(n, d))
    return slice(max(0, d), n + min(0, d)), slice(max(0, -d), n - max(0, d))


def shift(x, ksize=3, dilate=1):
    """Blocks of channels of x (N, C, H, W) moved in the directions of a ksize window (Wu et al. 2018)."""
    check_input("shift", x, 2)
    kh, kw = per_axis("shift", "ksize", ksize, 2, 1)
    if kh % 2 == 0 or kw % 2 == 0:
        raise ValueError(f"shift: ksize must be odd, got {ksize!r}")
    dy, dx = per_axis("shift", "dilate", dilate, 2, 1)
    moves = [((i - kh // 2) * dy, (j - kw // 2) * dx) for i in range(kh) for j in range(kw)]
    moves[kh * kw // 2] = moves[-1]  # the block in the middle moves as the last, which stays: Chainer's order
    return Shift(x.shape[1] // (kh * kw), moves[:-1]).apply(x)
