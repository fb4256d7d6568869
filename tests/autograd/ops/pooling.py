"""Rows of `functions/pooling.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.nd_convolution import both, tuple_of, windows
from tests.autograd.ops.row import Op


def max_pooling(x, ksize, stride=None, pad=0, cover_all=True):
    shifted = x + 1000  # zeros of the padding are never the largest
    return reduced(shifted, ksize, stride, pad, cover_all, lambda w: w.max(axis=1)) - 1000


def average_pooling(x, ksize, stride=None, pad=0, pad_value=0):
    sums = reduced(x, ksize, stride, pad, False, lambda w: w.sum(axis=1))
    counts = reduced(np.ones_like(x), ksize, stride, pad, False, lambda w: w.sum(axis=1))
    return sums / (np.prod(tuple_of(ksize, x.ndim - 2)) if pad_value == 0 else counts)


def reduced(x, ksize, stride, pad, cover_all, f):
    n, (N, C) = x.ndim - 2, x.shape[:2]
    ksize = tuple_of(ksize, n)
    cut = dict(windows(x, ksize, ksize if stride is None else stride, pad, 1, cover_all))
    y = np.zeros((N, C, *[k + 1 for k in max(cut)]))
    for place, window in cut.items():
        y[(slice(None), slice(None), *place)] = f(window.reshape(N * C, np.prod(ksize))).reshape(N, C)
    return y


def pyramid(x):
    """Of height 2, for an even size and an odd one: 1 and 2 x 2 regions."""
    N, C, H, W = x.shape
    rows, columns = (slice(0, H // 2), slice(H // 2, H)), (slice(0, (W + 1) // 2), slice((W + 1) // 2, W))
    parts = [x.max(axis=(2, 3))[:, :, None]]
    parts.append(np.stack([x[:, :, r, c].max(axis=(2, 3)) for r in rows for c in columns], axis=2))
    return np.concatenate([p.reshape(N, C * p.shape[2]) for p in parts], axis=1)[:, :, None, None]


def largest(name, f, shape, **settings):
    return Op(name, lambda x: f(x, **settings), lambda x: max_pooling(x, **settings), [shape], ties=True)


OPS = [
    largest("F.max_pooling_1d", F.max_pooling_1d, (3, 2, 7), ksize=3, stride=2),
    largest("F.max_pooling_1d pad", F.max_pooling_1d, (2, 2, 4), ksize=3, stride=2, pad=1),
    largest("F.max_pooling_2d", F.max_pooling_2d, (3, 2, 4, 5), ksize=2),
    largest("F.max_pooling_2d overlap", F.max_pooling_2d, (2, 2, 5, 4), ksize=3, stride=2, pad=1, cover_all=False),
    largest("F.max_pooling_2d oblong", F.max_pooling_2d, (2, 1, 5, 6), ksize=(3, 2), stride=(1, 2), pad=(0, 1)),
    largest("F.max_pooling_3d", F.max_pooling_3d, (2, 1, 4, 2, 5), ksize=(2, 1, 3), stride=(2, 1, 1), pad=(1, 0, 1)),
    largest("F.max_pooling_nd", F.max_pooling_nd, (3, 2, 5, 4), ksize=(2, 3), cover_all=False),
    largest("F.max_pooling_nd four axes", F.max_pooling_nd, (1, 2, 2, 2, 4, 2), ksize=(1, 2, 2, 2), stride=1),
    largest("F.max_pooling_nd wide", F.max_pooling_nd, (1, 1, 20, 20), ksize=17, stride=3),
    both("F.average_pooling_1d", F.average_pooling_1d, average_pooling, [(3, 2, 7)], ksize=3, stride=2),
    both(
        "F.average_pooling_1d pad", F.average_pooling_1d, average_pooling, [(2, 2, 5)], ksize=2, pad=1, pad_value=None
    ),
    both("F.average_pooling_2d", F.average_pooling_2d, average_pooling, [(3, 2, 4, 5)], ksize=2),
    both(
        "F.average_pooling_2d overlap", F.average_pooling_2d, average_pooling, [(2, 2, 5, 4)], ksize=3, stride=1, pad=1
    ),
    both(
        "F.average_pooling_2d oblong",
        F.average_pooling_2d,
        average_pooling,
        [(2, 2, 5, 6)],
        ksize=3,
        stride=(1, 2),
        pad=(0, 1),
    ),
    both(
        "F.average_pooling_2d pad_value=None",
        F.average_pooling_2d,
        average_pooling,
        [(2, 2, 4, 4)],
        ksize=(3, 2),
        stride=2,
        pad=(1, 0),
        pad_value=None,
    ),
    both("F.average_pooling_3d", F.average_pooling_3d, average_pooling, [(2, 1, 4, 2, 4)], ksize=2, stride=(2, 1, 1)),
    both(
        "F.average_pooling_nd",
        F.average_pooling_nd,
        average_pooling,
        [(3, 2, 4, 4)],
        ksize=(3, 2),
        pad=1,
        pad_value=None,
    ),
    Op(
        "F.spatial_pyramid_pooling_2d",
        lambda x: F.spatial_pyramid_pooling_2d(x, 2, "max"),
        pyramid,
        [(3, 2, 4, 5)],
        ties=True,
    ),
]
