"""The reverse of pooling: small maps made large."""

from __future__ import annotations

import numpy as np

from rlcore.autograd.dual import raw
from rlcore.autograd.functions.pooling import Put, Unpooling, settings
from rlcore.autograd.functions.windows import spreading

__all__ = ["unpooling_1d", "unpooling_2d", "unpooling_3d", "unpooling_nd", "upsampling_2d"]


def _unpooling(function, x, ndim, ksize, stride, pad, outsize, cover_all):
    w = spreading(function, x, settings(function, x, ndim, ksize, stride, pad), outsize, cover_all)
    return Unpooling(w).apply(x)


def unpooling_nd(x, ksize, stride=None, pad=0, outsize=None, cover_all=True):
    """Each element of x (N, C, *sizes) in all places of its window, added up where windows overlap.

    stride None: ksize. outsize: the result's sizes; if None those from which pooling, with cover_all or without, gives
    x's: the smallest of them.
    """
    return _unpooling("unpooling_nd", x, max(1, x.ndim - 2), ksize, stride, pad, outsize, cover_all)


def unpooling_1d(x, ksize, stride=None, pad=0, outsize=None, cover_all=True):
    """Each element of x (N, C, L) in all places of its window, see `unpooling_nd`."""
    return _unpooling("unpooling_1d", x, 1, ksize, stride, pad, outsize, cover_all)


def unpooling_2d(x, ksize, stride=None, pad=0, outsize=None, cover_all=True):
    """Each element of x (N, C, H, W) in all places of its window, see `unpooling_nd`."""
    return _unpooling("unpooling_2d", x, 2, ksize, stride, pad, outsize, cover_all)


def unpooling_3d(x, ksize, stride=None, pad=0, outsize=None, cover_all=True):
    """Each element of x (N, C, D, H, W) in all places of its window, see `unpooling_nd`."""
    return _unpooling("unpooling_3d", x, 3, ksize, stride, pad, outsize, cover_all)


def upsampling_2d(x, indexes, ksize, stride=None, pad=0, outsize=None, cover_all=True):
    """Each element of x (N, C, H, W) where `indexes` of max_pooling_2d(return_indices=True) say; zeros elsewhere."""
    indexes = raw(indexes)
    w = spreading("upsampling_2d", x, settings("upsampling_2d", x, 2, ksize, stride, pad), outsize, cover_all)
    if indexes.shape != x.shape:
        raise ValueError(f"upsampling_2d: indexes {tuple(indexes.shape)} must have x's shape {tuple(x.shape)}")
    if indexes.dtype.kind not in "iu":
        raise TypeError(f"upsampling_2d: indexes must hold integers, got {indexes.dtype}")
    on_host = isinstance(indexes, np.ndarray)  # on a device the answer would have to be waited for
    if on_host and indexes.size and (indexes.min() < 0 or indexes.max() >= w.ksize[0] * w.ksize[1]):
        raise IndexError(
            f"upsampling_2d: indexes must be from 0 to {w.ksize[0] * w.ksize[1] - 1} for ksize {w.ksize}, got "
            f"{indexes.min()} to {indexes.max()}"
        )
    return Put(indexes, w).apply(x)
