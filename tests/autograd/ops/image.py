"""Rows of `functions/image.py`."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op


def _resized(x, rows, columns):
    """x read at these coordinates by SciPy's linear interpolation."""
    h, w = x.shape[2:]
    read = RegularGridInterpolator((np.arange(h), np.arange(w)), np.moveaxis(x, (2, 3), (0, 1)))
    return np.moveaxis(read(np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)), (0, 1), (2, 3))


OPS = [
    Op(
        "F.depth2space",
        lambda x: F.depth2space(x, 2),
        lambda x: np.block([[x[:, i * 2 + j, None, :1, :1] for j in (0, 1)] for i in (0, 1)]),
        [(3, 4, 1, 1)],
    ),
    Op(
        "F.depth2space more",
        lambda x: F.depth2space(x, 2),
        lambda x: np.stack(
            [
                np.kron(x[:, k], [[1, 0], [0, 0]])
                + np.kron(x[:, 2 + k], [[0, 1], [0, 0]])
                + np.kron(x[:, 4 + k], [[0, 0], [1, 0]])
                + np.kron(x[:, 6 + k], [[0, 0], [0, 1]])
                for k in (0, 1)
            ],
            1,
        ),
        [(2, 8, 2, 3)],
        empty=False,
    ),
    Op(
        "F.space2depth",
        lambda x: F.space2depth(x, 2),
        lambda x: np.concatenate([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1),
        [(3, 2, 4, 2)],
    ),
    Op(
        "F.resize_images",
        lambda x: F.resize_images(x, (5, 2)),
        lambda x: _resized(x, [0, 0.5, 1, 1.5, 2], [0, 3]),
        [(1, 2, 3, 4)],
        empty=False,
    ),
    Op(
        "F.resize_images to one",
        lambda x: F.resize_images(x, (1, 1)),
        lambda x: x[:, :, :1, :1],
        [(3, 1, 2, 4)],
    ),
    Op(
        "F.resize_images edges",
        lambda x: F.resize_images(x, (5, 2), align_corners=False),
        lambda x: _resized(x, [0, 0.4, 1, 1.6, 2], [0.5, 2.5]),
        [(1, 2, 3, 4)],
        empty=False,
    ),
    Op(
        "F.resize_images nearest",
        lambda x: F.resize_images(x, (5, 2), mode="nearest"),
        lambda x: x[:, :, [0, 0, 1, 1, 2]][..., [0, 2]],
        [(1, 2, 3, 4)],
        empty=False,
    ),
]
