"""Convolution over two axes: NCHW outside, NHWC in memory.

Convolution, its input gradient (deconvolution) and its weight gradient are the three derivatives of one trilinear form:
each is the derivative of the other two, so all orders are exact. The output's memory is NHWC, seen as NCHW, and the
next layer takes it without a copy; a weight's is (kh, kw, in, out) where its Parameter has order (2, 3, 1, 0). Columns
are made again on the way back, not kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import ones_for, raw, rectified, traced, where_positive
from rlcore.autograd.function import Function
from rlcore.autograd.functions import columns
from rlcore.autograd.functions.columns import Geometry
from rlcore.autograd.functions.parts import in_parts, scratch
from rlcore.autograd.functions.windows import in_size, out_size, per_axis
from rlcore.backend import xp_of

__all__ = ["convolution_2d", "deconvolution_2d"]

MORE = 1.3  # growth of an image through padding from which spreading products beats a second convolution


def _memory(W):
    """W (out, in, kh, kw) as contiguous memory (kh, kw, in, out)."""
    return xp_of(W).ascontiguousarray(W.transpose(2, 3, 1, 0))


def _last(x):
    """NCHW seen as NHWC."""
    return x.transpose(0, 2, 3, 1)


def _first(x):
    """NHWC seen as NCHW."""
    return x.transpose(0, 3, 1, 2)


def _laid(x):
    """x (N, C, H, W) with NHWC memory."""
    if _last(x).flags.c_contiguous:
        return x
    out = xp_of(x).empty(_last(x).shape, x.dtype)
    columns.place(out, _last(x))
    return _first(out)


def _in_single(op, *inputs):
    """An op of float16 with its sums in float32."""
    return op(*[None if a is None else a.astype(np.float32) for a in inputs]).astype(np.float16)


def _convolved(x, W, b, geometry, size, relu):
    """x (N, C, H, W) with W (out, C / groups, kh, kw), plus b, through ReLU if asked for."""
    xp, (oh, ow), o = xp_of(W), size, len(W)
    y = xp.empty((len(x), oh, ow, o), W.dtype)
    V, out, wide = columns.widened(_memory(W), y, geometry)
    images, row = _last(x), None
    if b is not None:  # a sum over a whole row of the image is faster than one over its channels
        row = xp.empty((ow, o), W.dtype)
        row[...] = b
        row = row.reshape(-1)

    def some(i, j, totals):
        columns.correlate(images[i:j], V, out[i:j], wide)
        part = y[i:j].reshape(j - i, oh, ow * o)
        if row is not None:
            part += row
        if relu:
            rectified(part, part)

    in_parts(len(x), columns.per_image(V, wide, (oh, out.shape[2])), some, W)
    return _first(y)


class _Backwards:
    """Writes images of gx (N, h, w, C) from output gradients, by a second convolution or by spreading products."""

    def __init__(self, W: Any, gx: Any, geometry: Geometry, size: tuple[int, ...]):
        self.turned = geometry.stride == (1, 1) and gx.shape[1] * gx.shape[2] <= MORE * size[0] * size[1]
        if self.turned:
            W = columns.turned(W, geometry.groups)
            self.W, self.gx, self.geometry = columns.widened(W, gx, geometry.flipped())
        else:
            self.W, self.gx, self.geometry = columns.facing(W, geometry), gx, geometry

    def __call__(self, g: Any, i: int, j: int, x: Any = None, total: Any = None) -> None:
        """Images i to j; in a second convolution `total` collects the weight gradient that x and the columns give."""
        gx = self.gx[i:j]
        if self.turned:
            columns.correlate(g, self.W, gx, self.geometry, None if x is None else x.reshape(gx.shape), total)
        else:
            columns.spread(g, self.W, gx, self.geometry)


def _deconvolved(x, W, b, geometry, size):
    """The input gradient, of images of this size, of a convolution with W (C, out / groups, kh, kw), plus b."""
    M, images = _memory(W), _last(x)
    y = xp_of(W).empty((len(x), *size, W.shape[1] * geometry.groups), W.dtype)
    write = _Backwards(M, y, geometry, x.shape[2:])

    def some(i, j, totals):
        write(images[i:j], i, j)
        if b is not None:
            part = y[i:j]
            part += b

    in_parts(len(x), max(columns.per_image(M, geometry, s) for s in (x.shape[2:], size)), some, W)
    return _first(y)


def _weight_gradient(x, g, geometry):
    """The gradient (out, C / groups, kh, kw) of the weight of a convolution of x to outputs whose gradient is g."""
    images, gs = _last(x), _last(_laid(g))
    gW = xp_of(g).zeros((*geometry.kernel, x.shape[1] // geometry.groups, g.shape[1]), g.dtype)

    def some(i, j, totals):
        columns.weight_gradient(images[i:j], gs[i:j], totals[0], geometry)

    in_parts(len(x), columns.per_image(gW, geometry, g.shape[2:]), some, g, gW)
    return gW.transpose(3, 2, 0, 1)


def _room(edge, shape, like):
    """Zeros where a gradient of this shape, a weight's or a bias's, will live, in the memory order of its kernel."""
    room = edge.out(like.dtype)
    if room is None or not (room.T if len(shape) == 1 else room.transpose(2, 3, 1, 0)).flags.c_contiguous:
        room = xp_of(like).empty(shape if len(shape) == 1 else [shape[i] for i in (2, 3, 1, 0)], like.dtype)
        room = room if len(shape) == 1 else room.transpose(3, 2, 0, 1)
    room[...] = 0
    return room


def _gradients(gy, x, W, y, geometry, edges):
    """Gradients of x, W and b where there are edges; y: the output of the ReLU that gy comes through, or None."""
    ex, eW, eb = edges
    M, (_, o, oh, ow) = _memory(W), gy.shape
    kh, kw, c, _ = M.shape
    images, gs, ys = _last(x), _last(gy), None if y is None else _last(y)
    gx = ex and xp_of(W).empty(images.shape, W.dtype)
    gW, gb = eW and _room(eW, W.shape, W), eb and _room(eb, (o,), W)
    write = ex and _Backwards(M, gx, geometry, (oh, ow))
    shared = ex and eW and write.turned and geometry.groups == 1 and images.flags.c_contiguous
    total = eW and (xp_of(W).zeros((kh, c, kw * o), W.dtype) if shared else gW.transpose(2, 3, 1, 0))

    def some(i, j, totals):
        g = gs[i:j]
        if ys is not None or not g.flags.c_contiguous:
            g = scratch.take("gradient", g.shape, g)
            if ys is None:
                g[...] = gs[i:j]
            else:
                g[...] = ys[i:j] > 0  # as floats: a product with bool takes longer
                g *= gs[i:j]
        if eb:
            rows, into = g.reshape(-1, o), totals[-1]
            into += ones_for(rows).dot(rows)
        if shared:
            write(g, i, j, images[i:j], totals[0])
            return
        if eW:
            columns.weight_gradient(images[i:j], g, totals[0], geometry)
        if ex:
            write(g, i, j)

    if shared:
        nbytes = columns.per_image(write.W, write.geometry, write.gx.shape[1:3])
    else:
        nbytes = columns.per_image(M, geometry, (oh, ow))
    in_parts(len(x), nbytes, some, W, *[t for t in (total, gb) if t is not None])
    if shared:
        into = gW.transpose(2, 3, 1, 0)
        into += total.reshape(kh, c, kw, o)[::-1].transpose(0, 2, 1, 3)[:, ::-1]
    return ex and _first(gx), gW, gb


def _bias_gradient(gy):
    """gy summed over all but its channels; float16 in float32, which can count beyond 2048."""
    if traced(gy) or gy.dtype != np.float16:
        return gy.sum(axis=(0, 2, 3))
    return gy.astype(np.float32).sum(axis=(0, 2, 3)).astype(np.float16)


class _Form(Function):
    """What the three have in common: the geometry, and the size of the result's images."""

    def __init__(self, geometry: Geometry, size: tuple[int, ...] = (0, 0)):
        self.geometry, self.size = geometry, size

    def on(self, *inputs: Any) -> Any:
        """The op on Variables, its forward alone on arrays."""
        return self.apply(*inputs) if any(map(traced, inputs)) else self.forward(*inputs)


class Convolution_2d(_Form):
    saves = "x W"
    relu = False

    def forward(self, x, W, b=None):
        if W.dtype == np.float16:
            return _in_single(self.forward, x, W, b)
        return _convolved(x, W, b, self.geometry, self.size, self.relu)

    def backward(self, gy, x, W, y=None):
        ex, eW, eb = self.edges
        if not traced(gy) and gy.dtype != np.float16:
            return _gradients(gy, x, W, y, self.geometry, self.edges)
        if y is not None:
            gy = where_positive(gy, raw(y))
        return (
            ex and Deconvolution_2d(self.geometry, x.shape[2:]).on(gy, W),
            eW and WeightGradient(self.geometry).on(x, gy),
            eb and _bias_gradient(gy),
        )


class ConvolutionRelu(Convolution_2d):
    """Convolution and ReLU in one vertex, while the images are in cache."""

    saves = "x W y"
    relu = True


class Deconvolution_2d(_Form):
    """The input gradient of a convolution whose outputs have the size of x."""

    saves = "x W"

    def forward(self, x, W, b=None):
        if W.dtype == np.float16:
            return _in_single(self.forward, x, W, b)
        return _deconvolved(x, W, b, self.geometry, self.size)

    def backward(self, gy, x, W):
        ex, eW, eb = self.edges
        return (
            ex and Convolution_2d(self.geometry, x.shape[2:]).on(gy, W),
            eW and WeightGradient(self.geometry).on(gy, x),
            eb and _bias_gradient(gy),
        )


class WeightGradient(_Form):
    saves = "x g"

    def forward(self, x, g):
        if g.dtype == np.float16:
            return _in_single(self.forward, x, g)
        return _weight_gradient(x, g, self.geometry)

    def backward(self, gW, x, g):
        ex, eg = self.edges
        return (
            ex and Deconvolution_2d(self.geometry, x.shape[2:]).on(g, gW),
            eg and Convolution_2d(self.geometry, g.shape[2:]).on(x, gW),
        )


def _checked(function, x, W, b, stride, pad, dilate, groups, transposed=False):
    """The geometry, after all that can be wrong with the arguments of a convolution (transposed: a deconvolution)."""
    given = f"x {tuple(x.shape)}, W {tuple(W.shape)}, groups {groups}"
    form = "W (C, out / groups, kh, kw)" if transposed else "W (out, C / groups, kh, kw)"
    if x.ndim != 4 or W.ndim != 4:
        raise ValueError(f"{function}: expected x (N, C, H, W) and {form}, got {given}")
    channels, out = (W.shape[0], W.shape[1] * groups) if transposed else (W.shape[1] * groups, W.shape[0])
    if groups < 1 or x.shape[1] != channels or W.shape[0] % groups:
        raise ValueError(f"{function}: expected x (N, C, H, W) and {form}, got {given}")
    if b is not None and b.shape != (out,):
        raise ValueError(f"{function}: expected b {(out,)}, one for each output channel, got b {tuple(b.shape)}")
    if x.dtype != W.dtype and x.dtype.kind == "f":
        raise TypeError(f"{function}: x is {x.dtype} and W is {W.dtype}; cast x with x.astype({W.dtype.name!r})")
    if b is not None and b.dtype != W.dtype:
        raise TypeError(f"{function}: b is {b.dtype} and W is {W.dtype}; they must have one dtype")
    return Geometry(
        tuple(W.shape[2:]),
        per_axis(function, "stride", stride, 2, 1),
        per_axis(function, "pad", pad, 2, 0),
        per_axis(function, "dilate", dilate, 2, 1),
        groups,
    )


def convolution_2d(x, W, b=None, stride=1, pad=0, cover_all=False, *, dilate=1, groups=1, scale=None, relu=False):
    """Convolution of x (N, C, H, W) with W (out, C / groups, kh, kw) and b (out,): (N, out, oh, ow).

    stride, pad and dilate: an integer, or (vertical, horizontal). cover_all: windows reach every element. scale: a
    factor of x, folded into W, with which x may be of integers (frames of uint8 with scale=1 / 255). relu: max(y, 0).
    """
    geometry = _checked("convolution_2d", x, W, b, stride, pad, dilate, groups)
    if x.dtype.kind != "f" and scale is None:
        raise TypeError(
            f"convolution_2d: x is {x.dtype}; give scale (1 / 255 for frames) or cast x with x.astype({W.dtype.name!r})"
        )
    axes = zip(x.shape[2:], geometry.kernel, geometry.stride, geometry.pad, geometry.dilate)
    size = tuple([out_size(n, k, s, p, cover_all, d) for n, k, s, p, d in axes])
    if size[0] < 1 or size[1] < 1:
        raise ValueError(
            f"convolution_2d: the kernel is larger than the padded images: x {tuple(x.shape)}, W {tuple(W.shape)}, "
            f"pad {geometry.pad}, dilate {geometry.dilate}"
        )
    if scale is not None:
        W = W * scale
    if x.dtype.kind != "f":
        x = _laid(raw(x))  # once, for the weight gradient too
    return (ConvolutionRelu if relu else Convolution_2d)(geometry, size).apply(x, W, b)


def deconvolution_2d(x, W, b=None, stride=1, pad=0, outsize=None, *, dilate=1, groups=1):
    """Transposed convolution of x (N, C, H, W) with W (C, out / groups, kh, kw) and b (out,): (N, out, oh, ow).

    outsize: (oh, ow) where a stride leaves more than one possible; the smallest if None.
    """
    geometry = _checked("deconvolution_2d", x, W, b, stride, pad, dilate, groups, transposed=True)
    if x.dtype.kind != "f":
        raise TypeError(f"deconvolution_2d: x is {x.dtype}; cast it with x.astype({W.dtype.name!r})")
    axes = list(zip(x.shape[2:], geometry.kernel, geometry.stride, geometry.pad, geometry.dilate))
    if outsize is None:
        size = tuple([in_size(n, k, s, p, False, d) for n, k, s, p, d in axes])
    else:
        size = per_axis("deconvolution_2d", "outsize", outsize, 2, 1)
    for n, (m, k, s, p, d) in zip(size, axes):
        if n < 1 or m not in (out_size(n, k, s, p, False, d), out_size(n, k, s, p, True, d)):
            raise ValueError(
                f"deconvolution_2d: no result of size {size} belongs to x {tuple(x.shape)} with W {tuple(W.shape)}, "
                f"stride {geometry.stride}, pad {geometry.pad}, dilate {geometry.dilate}"
            )
    return Deconvolution_2d(geometry, size).apply(x, W, b)
