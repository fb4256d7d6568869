"""Rows of `functions/convolution.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def convolved(x, W, b=None, stride=1, pad=0, dilate=1, groups=1, cover_all=False):
    """Each output position by itself: the patch that it sees, times W."""
    (sh, sw), (ph, pw), (dh, dw) = map(pair, (stride, pad, dilate))
    span = [(k - 1) * d + 1 for k, d in zip(W.shape[2:], (dh, dw))]
    fit = [n + 2 * p - k for n, k, p in zip(x.shape[2:], span, (ph, pw))]
    oh, ow = ((f + s - 1 if cover_all else f) // s + 1 for f, s in zip(fit, (sh, sw)))
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph + sh), (pw, pw + sw)))
    y = np.zeros((len(x), len(W), oh, ow))
    C, N = W.shape[1], len(W) // groups
    for i, j in np.ndindex(oh, ow):
        patch = padded[:, :, i * sh : i * sh + span[0] : dh, j * sw : j * sw + span[1] : dw]
        for k in range(groups):
            out = slice(k * N, (k + 1) * N)
            y[:, out, i, j] = np.einsum("ncrs,ocrs->no", patch[:, k * C : (k + 1) * C], W[out])
    return y if b is None else y + b[:, None, None]


def deconvolved(x, W, b=None, stride=1, pad=0, outsize=None, dilate=1, groups=1):
    """Each input position by itself: W, scaled, is added where it lands."""
    (sh, sw), (ph, pw), (dh, dw) = map(pair, (stride, pad, dilate))
    n, C, h, w = x.shape
    span = [(k - 1) * d + 1 for k, d in zip(W.shape[2:], (dh, dw))]
    full = np.zeros((n, W.shape[1] * groups, sh * h + span[0] + ph, sw * w + span[1] + pw))
    C, N = C // groups, W.shape[1]
    for i, j in np.ndindex(h, w):
        for k in range(groups):
            chosen = slice(k * C, (k + 1) * C)
            at = full[:, k * N : (k + 1) * N, i * sh : i * sh + span[0] : dh, j * sw : j * sw + span[1] : dw]
            at += np.einsum("nc,cors->nors", x[:, chosen, i, j], W[chosen])
    size = outsize or (sh * (h - 1) + span[0] - 2 * ph, sw * (w - 1) + span[1] - 2 * pw)
    y = full[:, :, ph : ph + size[0], pw : pw + size[1]]
    return y if b is None else y + b[:, None, None]


def row(name, shapes, f=F.convolution_2d, ref=convolved, **named):
    in_numpy = {k: v for k, v in named.items() if k != "relu"}
    rectify = (lambda y: np.maximum(y, 0)) if named.get("relu") else (lambda y: y)
    return Op(name, lambda *xs: f(*xs, **named), lambda *xs: rectify(ref(*xs, **in_numpy)), shapes)


X, W, B = (3, 2, 5, 4), (4, 2, 2, 2), (4,)


def transposed(name, shapes, **named):
    return row(name, shapes, F.deconvolution_2d, deconvolved, **named)


OPS = [
    row("F.convolution_2d", [X, W, B]),
    row("F.convolution_2d nobias", [X, W]),
    row("F.convolution_2d stride", [(3, 2, 6, 7), (4, 2, 4, 2), B], stride=2),
    row("F.convolution_2d pairs", [(3, 2, 7, 5), (4, 2, 1, 2), B], stride=(1, 2), pad=(2, 1), dilate=(2, 1)),
    row("F.convolution_2d wide gaps", [(3, 2, 5, 7), (4, 2, 2, 2), B], stride=(4, 1), pad=(0, 2), dilate=(1, 2)),
    row("F.convolution_2d dilated strides", [(3, 2, 7, 8), (4, 2, 2, 2), B], stride=(2, 2), dilate=(2, 4)),
    row("F.convolution_2d cover_all", [(3, 2, 6, 5), (4, 2, 2, 2), B], stride=(4, 2), cover_all=True),
    row("F.convolution_2d groups", [(3, 4, 5, 4), (4, 2, 2, 2), B], groups=2, pad=1),
    row("F.convolution_2d groups with a stride", [(3, 4, 5, 6), (4, 1, 2, 4), B], groups=4, stride=2, pad=(1, 2)),
    row("F.convolution_2d 1 x 1", [X, (4, 2, 1, 1), B]),
    row("F.convolution_2d whole image", [X, (4, 2, 5, 4), B]),
    row("F.convolution_2d padding wider than the kernel", [(1, 2, 2, 2), (2, 2, 1, 2), (2,)], pad=(2, 2)),
    row("F.convolution_2d relu", [X, W, B], relu=True),
    row("F.convolution_2d relu nobias, pairs of columns", [(3, 2, 4, 6), (4, 2, 2, 2)], relu=True, pad=(1, 1)),
    transposed("F.deconvolution_2d", [(3, 4, 4, 5), (4, 2, 2, 2), (2,)]),
    transposed("F.deconvolution_2d nobias", [(3, 4, 4, 5), (4, 2, 2, 2)]),
    transposed("F.deconvolution_2d stride", [(3, 4, 2, 4), (4, 2, 4, 2), (2,)], stride=2, pad=(1, 0)),
    transposed("F.deconvolution_2d outsize", [(3, 4, 2, 4), (4, 2, 4, 2), (2,)], stride=2, outsize=(7, 8)),
    transposed("F.deconvolution_2d groups", [(3, 4, 4, 2), (4, 1, 2, 2), (2,)], stride=(1, 2), groups=2, dilate=(1, 2)),
]
