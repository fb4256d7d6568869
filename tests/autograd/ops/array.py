"""Rows of `functions/array.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, Op


def _broadcast_product(*xs):
    y, *more = F.broadcast(*xs)
    for x in more:
        assert x.shape == y.shape
        y = y * x
    return y


OPS = [
    Op("F.reshape", lambda x: F.reshape(x, (2, -1)), lambda x: np.reshape(x, (2, 6)), [A34], empty=False),
    Op("F.flatten", F.flatten, np.ravel, [A34]),
    Op("F.expand_dims", lambda x: F.expand_dims(x, 1), lambda x: x[:, None], [A34]),
    Op("F.expand_dims axis=-1", lambda x: F.expand_dims(x, -1), lambda x: x[..., None], [A34], scalar=True),
    Op("F.squeeze", F.squeeze, lambda x: x[0, :, 0], [(1, 3, 1)]),
    Op("F.squeeze axis=-1", lambda x: F.squeeze(x, -1), lambda x: x[..., 0], [(1, 3, 1)]),
    Op("F.squeeze axis=(0, 2)", lambda x: F.squeeze(x, (0, 2)), lambda x: x[0, :, 0], [(1, 3, 1)]),
    Op("F.transpose", F.transpose, lambda x: np.einsum("ijk->kji", x), [(2, 3, 4)]),
    Op("F.transpose axes", lambda x: F.transpose(x, (1, -1, 0)), lambda x: np.einsum("ijk->jki", x), [(2, 3, 4)]),
    Op(
        "F.broadcast_to",
        lambda x: F.broadcast_to(x, (5, 3, 4)),
        lambda x: x + np.zeros((5, 3, 4)),
        [(3, 1)],
        empty=False,
    ),
    Op("F.sum_to", lambda x: F.sum_to(x, (3, 1)), lambda x: x.sum(0).sum(1)[:, None], [(5, 3, 4)], empty=False),
    Op("F.sum_to as many axes", lambda x: F.sum_to(x, (1, 4)), lambda x: x.sum(0)[None], [A34]),
    Op("F.sum_to same", lambda x: F.sum_to(x, (3, 4)), lambda x: x, [A34], empty=False),
    Op("F.swapaxes", lambda x: F.swapaxes(x, 0, -1), lambda x: np.einsum("ijk->kji", x), [(2, 3, 4)]),
    Op("F.swapaxes same", lambda x: F.swapaxes(x, 1, -1), lambda x: x, [A34]),
    Op("F.moveaxis", lambda x: F.moveaxis(x, -1, 0), lambda x: np.einsum("ijk->kij", x), [(2, 3, 4)]),
    Op(
        "F.moveaxis two",
        lambda x: F.moveaxis(x, (0, 1), (-1, 1)),
        lambda x: np.einsum("ijkl->kjli", x),
        [(2, 3, 4, 5)],
    ),
    Op("F.rollaxis", lambda x: F.rollaxis(x, 2), lambda x: np.einsum("ijk->kij", x), [(2, 3, 4)]),
    Op("F.rollaxis start=2", lambda x: F.rollaxis(x, 0, 2), lambda x: np.einsum("ijk->jik", x), [(2, 3, 4)]),
    Op("F.rollaxis start=-1", lambda x: F.rollaxis(x, 0, -1), lambda x: np.einsum("ijk->jik", x), [(2, 3, 4)]),
    Op("F.broadcast", _broadcast_product, np.multiply, [(3, 4), (2, 1, 1)], scalar=True),
    Op("F.broadcast of three", _broadcast_product, lambda x, y, z: x * y * z, [(1,), (3, 1), (1, 4)]),
    Op("F.broadcast of one", F.broadcast, lambda x: x, [A34], scalar=True),
    Op("F.copy", lambda x: F.copy(x, -1), lambda x: x, [A34], scalar=True, host=True),
    Op("F.cast", lambda x: F.cast(x, np.float64), lambda x: x, [A34], scalar=True),
]
