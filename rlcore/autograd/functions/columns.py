"""Kernels of 2-D convolution, its input gradient and its weight gradient, on NHWC memory, a few images at a time.

Patches become columns by strided copies of whole rows, and the products are many small ones: below a million
multiplications OpenBLAS skips packing and runs at 140 to 160 GFLOP/s instead of 105 (one AVX-512 core, 32 channels).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rlcore.autograd.dual import ones_for
from rlcore.autograd.functions.parts import CHUNK, scratch
from rlcore.backend import xp_of

SMALL = 1_000_000  # multiplications up to which OpenBLAS does not pack
FEW = 32  # rows of a weight gradient's product, below which its sum over products costs too much
ROWS = 256  # rows of a product, beyond which the weight gradient's slows down


class Geometry(NamedTuple):
    """How a kernel moves over an image; pairs are (vertical, horizontal)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    pad: tuple[int, ...] = (0, 0)
    dilate: tuple[int, ...] = (1, 1)
    groups: int = 1

    def span(self, out: tuple[int, int]) -> tuple[int, int]:
        """The extent of padded input that `out` positions read."""
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilate
        return (out[0] - 1) * sh + (kh - 1) * dh + 1, (out[1] - 1) * sw + (kw - 1) * dw + 1

    def flipped(self) -> Geometry:
        """The geometry that carries gradients back where the stride is 1."""
        pad = [(k - 1) * d - p for k, d, p in zip(self.kernel, self.dilate, self.pad)]
        return self._replace(pad=(pad[0], pad[1]))


def strided(x: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Any:
    """A view of a contiguous array; strides and offset in bytes."""
    if isinstance(x, np.ndarray):
        return np.ndarray(shape, x.dtype, x, offset, strides)  # a tenth of as_strided's time
    return xp_of(x).lib.stride_tricks.as_strided(x.reshape(-1)[offset // x.dtype.itemsize :], shape, strides)


@lru_cache(1024)
def band(oh: int, ow: int, inner: int, outer: int) -> int:
    """How many output rows go into one product: a divisor of oh that keeps it small, oh if none does."""
    fits = [q for q in range(1, oh + 1) if oh % q == 0 and ow * q * inner * outer <= SMALL and ow * q <= ROWS]
    return fits[-1] if fits else oh


def paired(geometry: Geometry, o: int, ow: int) -> Geometry | None:
    """The geometry in which two adjacent output columns are taken as channels of one, if that pays.

    A product with 16 columns runs at two thirds of the speed of one with 32; of four taps, against three, one is zero.
    """
    (kh, kw), (sh, sw) = geometry.kernel, geometry.stride
    if geometry.groups > 1 or geometry.dilate[1] > 1 or o > 16 or ow % 2 or kw < 2 * sw:
        return None
    return geometry._replace(kernel=(kh, kw + sw), stride=(sh, 2 * sw))


def widened(W: Any, y: Any, geometry: Geometry) -> tuple[Any, Any, Geometry]:
    """W (kh, kw, C, O), y (m, oh, ow, O) and geometry in pairs of columns, if that pays."""
    wide = paired(geometry, W.shape[3], y.shape[2])
    if wide is None:
        return W, y, geometry
    (kh, kw, c, o), sw = W.shape, geometry.stride[1]
    V = xp_of(W).zeros((kh, kw + sw, c, 2, o), W.dtype)
    V[:, :kw, :, 0] = W
    V[:, sw:, :, 1] = W
    return V.reshape(*V.shape[:3], 2 * o), y.reshape(*y.shape[:2], y.shape[2] // 2, 2 * o), wide


def within(x: Any, top: int, left: int, height: int, width: int) -> Any:
    """Rows and columns of x (m, h, w, c), contiguous, zeros where they lie outside; x itself where it serves."""
    m, h, w, c = x.shape
    if top == left == 0 and height <= h and width <= w and x.flags.c_contiguous:
        return x
    out = scratch.take("within", (m, height, width, c), x)
    t, b, f, r = max(0, -top), min(height, h - top), max(0, -left), min(width, w - left)
    if t >= b or f >= r:
        out[...] = 0
        return out
    out[:, :t] = 0
    out[:, b:] = 0
    out[:, t:b, :f] = 0
    out[:, t:b, r:] = 0
    place(out[:, t:b, f:r], x[:, top + t : top + b, left + f : left + r])
    return out


def place(out: Any, x: Any) -> None:
    """out (m, h, w, c) becomes x, channel by channel where x is planes: NumPy would go through 4 numbers at a time."""
    if x.strides[3] > x.strides[2] and x.shape[3] < x.shape[2]:
        for k in range(x.shape[3]):
            out[..., k] = x[..., k]
    else:
        out[...] = x


def columns(x: Any, top: int, oh: int, ow: int, geometry: Geometry, dtype: Any, split: bool) -> Any:
    """Patches of x for oh output rows from `top` on: (parts, m, oh * ow, columns); split: a part for each kernel row.

    With a vertical stride of 1 the parts overlap in memory: kernel row i of output row j is kernel row 0 of row j + i.
    """
    (kh, kw), (sh, sw), (dh, dw) = geometry.kernel, geometry.stride, geometry.dilate
    m, c = len(x), x.shape[3]
    if split and sh == 1:
        out = scratch.take("columns", (m, oh + (kh - 1) * dh, ow, kw, c), x, dtype)
        _rows(x, top - geometry.pad[0], out, geometry)
        a, b = out.strides[:2]
        return strided(out, (kh, m, oh * ow, kw * c), (dh * b, a, kw * c * dtype.itemsize, dtype.itemsize))
    x = within(x, top * sh - geometry.pad[0], -geometry.pad[1], *geometry.span((oh, ow)))
    a, b, d, e = x.strides
    if split:
        out = scratch.take("columns", (kh, m, oh, ow, kw, c), x, dtype)
        out[...] = strided(x, out.shape, (dh * b, a, sh * b, sw * d, dw * d, e))
        return out.reshape(kh, m, oh * ow, kw * c)
    out = scratch.take("columns", (m, oh, ow, kh, kw, c), x, dtype)
    out[...] = strided(x, out.shape, (a, sh * b, sw * d, dh * b, dw * d, e))
    return out.reshape(1, m, oh * ow, kh * kw * c)


def _rows(x: Any, top: int, out: Any, geometry: Geometry) -> None:
    """out (m, rows, ow, kw, c) becomes the patches, one row high, of x's rows from `top` on, zero where x ends.

    Patches at the edges are copied by themselves, which saves a padded copy of x.
    """
    h, w = x.shape[1:3]
    rows, ow, kw = out.shape[1:4]
    pw, sw, dw = geometry.pad[1], geometry.stride[1], geometry.dilate[1]
    first = max(0, -(-pw // sw))
    last = max(first, min(ow, (w + pw - (kw - 1) * dw - 1) // sw + 1))
    if not x.flags.c_contiguous or first + ow - last > 4:
        x = within(x, top, -pw, rows, (ow - 1) * sw + (kw - 1) * dw + 1)
        a, b, d, e = x.strides
        out[...] = strided(x, out.shape, (a, b, sw * d, dw * d, e))
        return
    t, end = max(0, -top), max(0, min(rows, h - top))
    out[:, :t] = 0
    out[:, end:] = 0
    a, b, d, e = x.strides
    if end > t and last > first:
        inner = out[:, t:end, first:last]
        inner[...] = strided(x, inner.shape, (a, b, sw * d, dw * d, e), (top + t) * b + (first * sw - pw) * d)
    for j in (*range(min(first, ow)), *range(last, ow)):
        at = j * sw - pw
        low = min(kw, max(0, -(at // dw)))
        high = max(low, min(kw, -((at - w) // dw)))
        out[:, t:end, j, :low] = 0
        out[:, t:end, j, high:] = 0
        if high > low:
            edge = at + low * dw
            out[:, t:end, j, low:high] = x[:, top + t : top + end, edge : edge + (high - low - 1) * dw + 1 : dw]


def rows_at_a_time(count: int, nbytes: int) -> int:
    """How many output rows are done at a time, if one takes nbytes of columns."""
    return max(1, min(count, CHUNK // max(1, nbytes)))


def splits(geometry: Geometry, W: Any, ow: int) -> bool:
    """Whether a product for each kernel row, and a sum, beat one product with the columns of the whole kernel.

    They do where columns are long against the sums that they save, or a product would be too large otherwise.
    """
    kh, kw, c, o = W.shape
    o //= geometry.groups
    if geometry.stride[0] > 1:
        return kh > 1 and ow * kh * kw * c * o > SMALL // 3
    return kh > 1 and 2 * kw * c >= 3 * o


def correlate(x: Any, W: Any, y: Any, geometry: Geometry, other: Any = None, total: Any = None) -> None:
    """y (m, oh, ow, O) becomes x (m, h, w, C) seen through W (kh, kw, C / groups, O).

    other (m, oh, ow, p * D): what y is the gradient of; what it and the columns give is added to `total`
    (kh, D, taps * C), in W's order of taps, for each of the p adjacent columns that `widened` took as channels.
    """
    kh, kw, c, o = W.shape
    m, oh, ow, _ = y.shape
    o //= geometry.groups
    split = splits(geometry, W, ow) or (other is not None and kh > 1)
    rows = rows_at_a_time(oh, m * W.dtype.itemsize * ow * (kw * c + o if split else kh * kw * c))
    for k in range(geometry.groups):
        Wk = W[..., k * o : (k + 1) * o].reshape(kh if split else 1, 1, 1, -1, o)
        for top in range(0, oh, rows):
            r = min(rows, oh - top)
            A = columns(x[..., k * c : (k + 1) * c], top, r, ow, geometry, W.dtype, split)
            q = band(r, ow, A.shape[3], o)
            A = A.reshape(len(A), m, r // q, q * ow, A.shape[3])
            out = y[:, top : top + r, :, k * o : (k + 1) * o].reshape(m, r // q, q * ow, o)
            np.matmul(A[0], Wk[0], out=out)
            if split:
                T = scratch.take("products", out.shape, x, W.dtype)
                for i in range(1, kh):
                    np.matmul(A[i], Wk[i], out=T)
                    out += T
            if other is not None:
                _, D, taps = total.shape
                B = other[:, top : top + r].reshape(1, m, r // q, q * ow, o).transpose(0, 1, 2, 4, 3)
                P = scratch.take("products", (len(A), m, r // q, D, taps), x, W.dtype)
                for i in range(o // D):
                    np.matmul(B[:, :, :, i * D : (i + 1) * D], A[..., i * c : i * c + taps], out=P)
                    total += _added(P).reshape(total.shape)


def _added(P: Any) -> Any:
    """P (parts, m, n, K, O) summed over m and n: a product with ones takes half the time of the sum."""
    P = P.reshape(len(P), P.shape[1] * P.shape[2], P.shape[3] * P.shape[4])
    return np.matmul(ones_for(P[0]), P)


def weight_gradient(x: Any, g: Any, gW: Any, geometry: Geometry) -> None:
    """Add to gW (kh, kw, C / groups, O) what x (m, h, w, C) and g (m, oh, ow, O) give."""
    kh, kw, c, o = gW.shape
    m, oh, ow, _ = g.shape
    wide = paired(geometry, o, ow)
    if wide is not None:
        both, sw = xp_of(gW).zeros((kh, wide.kernel[1], c, 2 * o), gW.dtype), geometry.stride[1]
        weight_gradient(x, g.reshape(m, oh, ow // 2, 2 * o), both, wide)
        gW += both[:, :kw, :, :o]
        gW += both[:, sw:, :, o:]
        return
    o //= geometry.groups
    split = kh > 1 and (geometry.stride[0] == 1 or FEW * kh * kw * c * o > SMALL)
    K = kw * c if split else kh * kw * c
    rows = rows_at_a_time(oh, m * ow * kh * kw * c * gW.dtype.itemsize)
    for k in range(geometry.groups):
        gWk = gW[..., k * o : (k + 1) * o]
        for top in range(0, oh, rows):
            r = min(rows, oh - top)
            q = band(r, ow, K, o)
            small = q * ow * K * o <= SMALL
            A = columns(x[..., k * c : (k + 1) * c], top, r, ow, geometry, gW.dtype, split and small)
            B = g[:, top : top + r, :, k * o : (k + 1) * o]
            if not small:  # many channels: one product for all images
                gWk += A.reshape(-1, A.shape[3]).T.dot(B.reshape(-1, o)).reshape(gWk.shape)
                continue
            A = A.reshape(len(A), m, r // q, q * ow, K)
            P = scratch.take("products", (*A.shape[:3], K, o), x, gW.dtype)
            np.matmul(A.transpose(0, 1, 2, 4, 3), B.reshape(*A.shape[1:4], o), out=P)
            gWk += _added(P).reshape(gWk.shape)


def turned(W: Any, groups: int) -> Any:
    """The weight (kh, kw, O / groups, C) by which a geometry of stride 1 carries gradients back."""
    kh, kw, c, o = W.shape
    parts = W[::-1, ::-1].reshape(kh, kw, c, groups, o // groups).transpose(0, 1, 4, 3, 2)
    return xp_of(W).ascontiguousarray(parts).reshape(kh, kw, o // groups, groups * c)


def facing(W: Any, geometry: Geometry) -> Any:
    """W (kh, kw, C / groups, O) as matrices (groups, kh, 1, 1, taps * O / groups, sw * C / groups), for `spread`.

    They give sw adjacent pixels at once, from the `taps` positions whose windows reach them.
    """
    kh, kw, c, o = W.shape
    groups, sw, dw = geometry.groups, geometry.stride[1], geometry.dilate[1]
    o //= groups
    taps = (kw - 1) * dw // sw + 1
    out = xp_of(W).zeros((groups, kh, taps, o, sw, c), W.dtype)
    for s in range(kw):
        t, phase = divmod(s * dw, sw)
        out[:, :, taps - 1 - t, :, phase] = W[:, s].reshape(kh, c, groups, o).transpose(2, 0, 3, 1)
    return out.reshape(groups, kh, 1, 1, taps * o, sw * c)


def spread(g: Any, W: Any, gx: Any, geometry: Geometry) -> None:
    """gx (m, h, w, C) becomes the input gradient of g (m, oh, ow, O); W as `facing` gives it.

    Along a row what reaches a pixel is gathered, as columns; down the image rows are added where they belong.
    """
    groups, kh, _, _, K, c = W.shape
    m, oh, ow, o = g.shape
    (sh, sw), dh, (ph, pw) = geometry.stride, geometry.dilate[0], geometry.pad
    o //= groups
    taps = K // o
    blocks = ow + taps - 1
    across = Geometry((1, taps), pad=(0, taps - 1))
    height, width = geometry.span((oh, ow))[0], blocks * sw
    direct = ph == pw == 0 and height <= gx.shape[1] and width <= gx.shape[2] and gx.flags.c_contiguous
    out = gx if direct else scratch.take("spread", (m, height, width, gx.shape[3]), gx)
    out[...] = 0
    a, b, d, e = out.strides
    rows = rows_at_a_time(oh, m * blocks * (K + kh * c) * gx.dtype.itemsize)
    for k in range(groups):
        for top in range(0, oh, rows):
            r = min(rows, oh - top)
            A = columns(g[..., k * o : (k + 1) * o], top, r, blocks, across, gx.dtype, False)
            q = band(r, blocks, K, c)
            T = scratch.take("products", (kh, m, r // q, q * blocks, c), gx)
            np.matmul(A.reshape(m, r // q, q * blocks, K), W[k], out=T)
            T = T.reshape(kh, m, r, blocks, sw, c // sw).transpose(1, 2, 0, 3, 4, 5)
            for i, n in pieces(kh, sh, dh):
                at = (top * sh + i * dh) * b + k * (c // sw) * e
                to = strided(out, (m, r, n, blocks, sw, c // sw), (a, sh * b, b, sw * d, d, e), at)
                to += T[:, :, i : i + n]
    if not direct:
        gx[...] = 0
        h, w = min(gx.shape[1], height - ph), min(gx.shape[2], width - pw)
        gx[:, :h, :w] = out[:, ph : ph + h, pw : pw + w]


def pieces(kernel: int, stride: int, dilate: int) -> list[tuple[int, int]]:
    """(first tap, number of taps) of the parts of a kernel that do not meet themselves one stride on."""
    step = stride if dilate == 1 else 1
    return [(i, min(step, kernel - i)) for i in range(0, kernel, step)]


def per_image(W: Any, geometry: Geometry, size: tuple[int, ...]) -> int:
    """Bytes of columns and products that an image with so many output positions takes."""
    kh, kw, c, o = W.shape
    kept = kw * c + o if geometry.stride[0] == 1 and splits(geometry, W, size[1]) else kh * kw * c
    return size[0] * size[1] * kept * W.dtype.itemsize
