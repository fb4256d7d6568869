"""Rows of `functions/nd_convolution.py`; the references are loops over output places."""

from __future__ import annotations

import itertools
import math

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op


def tuple_of(value, ndim):
    return value if isinstance(value, tuple) else (value,) * ndim


def windows(x, ksize, stride=1, pad=0, dilate=1, cover_all=False):
    """(place, window (N, C, *ksize)) for each place, cut out of x after it was padded far enough."""
    n = len(ksize)
    stride, pad, dilate = (tuple_of(v, n) for v in (stride, pad, dilate))
    x = np.pad(x, [(0, 0), (0, 0), *[(p, p + s + k * d) for p, s, k, d in zip(pad, stride, ksize, dilate)]])
    spans = [(k - 1) * d + 1 for k, d in zip(ksize, dilate)]
    sizes = [m - s - k * d for m, s, k, d in zip(x.shape[2:], stride, ksize, dilate)]  # with both paddings
    places = []
    for size, span, s in zip(sizes, spans, stride):
        starts = list(range(0, size - span + 1, s))
        if cover_all and starts[-1] + span < size:
            starts.append(starts[-1] + s)
        places.append(starts)
    for place in itertools.product(*[range(len(p)) for p in places]):
        cut = [slice(p[i], p[i] + span, d) for p, i, span, d in zip(places, place, spans, dilate)]
        yield place, x[(slice(None), slice(None), *cut)]


def convolution(x, W, b=None, stride=1, pad=0, dilate=1, cover_all=False, groups=1):
    cut = dict(windows(x, W.shape[2:], stride, pad, dilate, cover_all))
    y = np.zeros((len(x), W.shape[0], *[n + 1 for n in max(cut)]))
    C, out, size = W.shape[1], W.shape[0] // groups, math.prod(W.shape[1:])
    for place, window in cut.items():
        for g in range(groups):
            part = window[:, g * C : (g + 1) * C].reshape(len(x), size)
            filters = W[g * out : (g + 1) * out].reshape(out, size)
            y[(slice(None), slice(g * out, (g + 1) * out), *place)] = part @ filters.T
    return y if b is None else y + b.reshape(-1, *[1] * (x.ndim - 2))


def deconvolution(x, W, b=None, stride=1, pad=0, dilate=1, groups=1, outsize=None):
    n = x.ndim - 2
    stride, pad, dilate = (tuple_of(v, n) for v in (stride, pad, dilate))
    spans = [(k - 1) * d + 1 for k, d in zip(W.shape[2:], dilate)]
    full = [(m - 1) * s + k for m, s, k in zip(x.shape[2:], stride, spans)]
    sizes = [f - 2 * p for f, p in zip(full, pad)] if outsize is None else outsize
    y = np.zeros((len(x), W.shape[1] * groups, *[max(f, p + m) for f, p, m in zip(full, pad, sizes)]))
    C, out = W.shape[0] // groups, W.shape[1]
    for place in itertools.product(*map(range, x.shape[2:])):
        at = [slice(i * s, i * s + k, d) for i, s, k, d in zip(place, stride, spans, dilate)]
        for g in range(groups):
            part = x[(slice(None), slice(g * C, (g + 1) * C), *place)]
            spread = np.tensordot(part, W[g * C : (g + 1) * C], 1)
            y[(slice(None), slice(g * out, (g + 1) * out), *at)] += spread
    y = y[(slice(None), slice(None), *[slice(p, p + m) for p, m in zip(pad, sizes)])]
    return y if b is None else y + b.reshape(-1, *[1] * n)


def depthwise(x, W, b=None, **settings):
    parts = [convolution(x[:, c : c + 1], W[:, c : c + 1], **settings) for c in range(x.shape[1])]
    y = np.concatenate(parts, axis=1)
    return y if b is None else y + b[:, None, None]


def local(x, W, b=None, stride=1):
    y = np.zeros((len(x), *W.shape[:3]))
    for (i, j), window in windows(x, W.shape[4:], stride):
        y[:, :, i, j] = np.einsum("nchw,ochw->no", window, W[:, i, j])
    return y if b is None else y + b


def im2col(x, ksize, **settings):
    cut = dict(windows(x, ksize, **settings))
    y = np.zeros((len(x), x.shape[1] * ksize[0] * ksize[1], *[n + 1 for n in max(cut)]))
    for (i, j), window in cut.items():
        y[:, :, i, j] = window.reshape(y.shape[:2])
    return y


def shift_3x3(x):
    """Nine channels or more, moved as Chainer 7.8.1 does: the fifth takes the ninth's direction, the ninth stays."""
    y, padded = x.copy(), np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    H, W = x.shape[2:]
    for c, (dy, dx) in enumerate([(1, 1), (1, 0), (1, -1), (0, 1), (-1, -1), (0, -1), (-1, 1), (-1, 0)]):
        y[:, c] = padded[:, c, 1 + dy : 1 + dy + H, 1 + dx : 1 + dx + W]
    return y


def both(name, f, ref, shapes, *, empty=True, **settings):
    """A row whose function and reference have the same settings."""
    return Op(name, lambda *xs: f(*xs, **settings), lambda *xs: ref(*xs, **settings), shapes, empty=empty)


OPS = [
    both("F.convolution_1d", F.convolution_1d, convolution, [(3, 2, 7), (3, 2, 4), (3,)], stride=2, pad=1),
    both("F.convolution_1d cover_all", F.convolution_1d, convolution, [(2, 2, 6), (4, 2, 2)], stride=3, cover_all=True),
    both("F.convolution_1d groups", F.convolution_1d, convolution, [(2, 4, 5), (6, 2, 2), (6,)], groups=2, dilate=2),
    both("F.convolution_3d", F.convolution_3d, convolution, [(3, 2, 4, 2, 4), (3, 2, 2, 1, 2), (3,)], stride=(2, 1, 1)),
    both(
        "F.convolution_3d settings",
        F.convolution_3d,
        convolution,
        [(2, 2, 4, 2, 4), (2, 1, 2, 2, 1)],
        stride=(1, 2, 2),
        pad=(1, 1, 0),
        dilate=(2, 1, 1),
        groups=2,
        cover_all=True,
    ),
    both("F.convolution_nd", F.convolution_nd, convolution, [(2, 2, 5), (4, 2, 2), (4,)], pad=2, stride=2),
    both("F.convolution_nd two axes", F.convolution_nd, convolution, [(3, 2, 4, 5), (2, 2, 2, 2), (2,)], pad=(0, 1)),
    both(
        "F.convolution_nd four axes",
        F.convolution_nd,
        convolution,
        [(1, 2, 2, 2, 2, 2), (2, 2, 1, 2, 2, 1)],
        pad=(1, 0, 0, 0),
    ),
    both("F.deconvolution_1d", F.deconvolution_1d, deconvolution, [(3, 2, 5), (2, 4, 4), (4,)], stride=2, pad=1),
    both(
        "F.deconvolution_1d outsize", F.deconvolution_1d, deconvolution, [(2, 2, 2), (2, 2, 2)], stride=4, outsize=(8,)
    ),
    both(
        "F.deconvolution_1d groups", F.deconvolution_1d, deconvolution, [(2, 4, 4), (4, 1, 2), (2,)], groups=2, dilate=2
    ),
    both(
        "F.deconvolution_3d",
        F.deconvolution_3d,
        deconvolution,
        [(3, 2, 2, 2, 4), (2, 2, 2, 1, 2), (2,)],
        stride=(2, 1, 3),
        pad=(1, 0, 0),
    ),
    both(
        "F.deconvolution_3d settings",
        F.deconvolution_3d,
        deconvolution,
        [(2, 2, 2, 2, 5), (2, 1, 2, 1, 2)],
        stride=(1, 2, 2),
        dilate=(2, 1, 2),
        groups=2,
        outsize=(4, 4, 11),
    ),
    both("F.deconvolution_nd", F.deconvolution_nd, deconvolution, [(3, 2, 4), (2, 2, 2), (2,)], stride=2),
    both("F.deconvolution_nd two axes", F.deconvolution_nd, deconvolution, [(2, 2, 2, 4), (2, 1, 2, 2)], stride=(2, 1)),
    both(
        "F.depthwise_convolution_2d", F.depthwise_convolution_2d, depthwise, [(3, 2, 4, 4), (2, 2, 2, 2), (4,)], pad=1
    ),
    both(
        "F.depthwise_convolution_2d stride",
        F.depthwise_convolution_2d,
        depthwise,
        [(2, 2, 4, 5), (1, 2, 2, 2)],
        stride=2,
    ),
    both(
        "F.dilated_convolution_2d",
        F.dilated_convolution_2d,
        convolution,
        [(3, 2, 5, 4), (2, 2, 2, 2), (2,)],
        dilate=(2, 1),
    ),
    both(
        "F.dilated_convolution_2d cover_all",
        F.dilated_convolution_2d,
        convolution,
        [(2, 1, 5, 4), (2, 1, 2, 2)],
        dilate=2,
        stride=2,
        pad=1,
        cover_all=True,
    ),
    both(
        "F.local_convolution_2d",
        F.local_convolution_2d,
        local,
        [(2, 2, 4, 2), (2, 2, 1, 2, 2, 2), (2, 2, 1)],
        stride=2,
    ),
    both(
        "F.local_convolution_2d nobias", F.local_convolution_2d, local, [(3, 1, 2, 4), (2, 1, 2, 1, 2, 3)], empty=False
    ),
    both("F.im2col", F.im2col, im2col, [(3, 2, 4, 4)], ksize=(2, 2)),
    both(
        "F.im2col settings",
        F.im2col,
        im2col,
        [(2, 2, 4, 5)],
        ksize=(2, 3),
        stride=(2, 1),
        pad=(1, 0),
        dilate=(1, 2),
        cover_all=True,
    ),
    Op("F.shift", F.shift, shift_3x3, [(1, 10, 2, 4)]),
]
