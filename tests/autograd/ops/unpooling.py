"""Rows of `functions/unpooling.py`."""

from __future__ import annotations

import itertools

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.nd_convolution import both, tuple_of
from tests.autograd.ops.row import Op


def unpooling(x, ksize, stride=None, pad=0, outsize=None, cover_all=True):
    n = x.ndim - 2
    ksize = tuple_of(ksize, n)
    stride, pad = tuple_of(ksize if stride is None else stride, n), tuple_of(pad, n)
    sizes = outsize or [
        s * (m - 1) + k - 2 * p - (s - 1 if cover_all else 0) for m, k, s, p in zip(x.shape[2:], ksize, stride, pad)
    ]
    y = np.zeros((*x.shape[:2], *[p + size + 2 * k + s for p, size, k, s in zip(pad, sizes, ksize, stride)]))
    for place in itertools.product(*map(range, x.shape[2:])):
        at = [slice(i * s, i * s + k) for i, s, k in zip(place, stride, ksize)]
        value = x[(slice(None), slice(None), *place)]
        y[(slice(None), slice(None), *at)] += value.reshape(*value.shape, *[1] * n)
    return y[(slice(None), slice(None), *[slice(p, p + size) for p, size in zip(pad, sizes)])]


INDEXES = np.array([[0, 3], [2, 1]]).reshape(1, 1, 2, 2) * np.ones((3, 2, 1, 1), np.int64)


def upsampling(x, indexes):
    y = np.zeros((*x.shape[:2], 4, 4))
    for n, c, i, j in np.ndindex(x.shape):
        ki, kj = divmod(int(indexes[n, c, i, j]), 2)
        y[n, c, 2 * i + ki, 2 * j + kj] = x[n, c, i, j]
    return y


OPS = [
    both("F.unpooling_1d", F.unpooling_1d, unpooling, [(3, 2, 4)], ksize=3, stride=2),
    both("F.unpooling_1d outsize", F.unpooling_1d, unpooling, [(2, 2, 4)], ksize=2, pad=1, outsize=(6,)),
    both("F.unpooling_2d", F.unpooling_2d, unpooling, [(3, 2, 4, 4)], ksize=2),
    both(
        "F.unpooling_2d exact", F.unpooling_2d, unpooling, [(2, 2, 4, 2)], ksize=(2, 3), stride=(1, 2), cover_all=False
    ),
    both(
        "F.unpooling_3d", F.unpooling_3d, unpooling, [(2, 2, 2, 1, 2)], ksize=(2, 2, 3), stride=(2, 1, 2), pad=(1, 0, 0)
    ),
    both("F.unpooling_nd", F.unpooling_nd, unpooling, [(3, 2, 4, 4)], ksize=2, stride=3, cover_all=False),
    Op(
        "F.upsampling_2d",
        lambda x, indexes: F.upsampling_2d(x, indexes[: len(x)], 2, cover_all=False),
        upsampling,
        [(3, 2, 2, 2)],
        consts=(INDEXES,),
    ),
]
