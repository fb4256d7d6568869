"""Rows of `functions/rearranging.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op


def _bordered(x, left, right, value):
    return np.hstack([np.full((len(x), left), value), x, np.full((len(x), right), value)])


OPS = [
    Op("F.flip", lambda x: F.flip(x, 1), lambda x: np.stack([x[:, 3], x[:, 2], x[:, 1], x[:, 0]], 1), [A34]),
    Op("F.flip axis=-2", lambda x: F.flip(x, -2), lambda x: np.stack([*x][::-1]) if len(x) else x, [A34]),
    Op("F.flipud", F.flipud, lambda x: np.eye(len(x))[::-1] @ x, [A34]),
    Op("F.fliplr", F.fliplr, lambda x: x @ np.eye(4)[::-1], [A34]),
    Op("F.diagonal", F.diagonal, lambda x: np.array([x[i, i] for i in range(min(x.shape))]), [A34]),
    Op("F.diagonal above", lambda x: F.diagonal(x, 2), lambda x: np.array([x[0, 2], x[1, 3]]), [A34], empty=False),
    Op("F.diagonal below", lambda x: F.diagonal(x, -2), lambda x: np.array([x[2, 0]]), [A34], empty=False),
    Op(
        "F.diagonal axes",
        lambda x: F.diagonal(x, 1, -1, 0),
        lambda x: np.stack([x[i + 1, :, i] for i in range(2)], 1),
        [(4, 3, 2)],
        empty=False,
    ),
    Op(
        "F.as_strided windows",
        lambda x: F.as_strided(x, (3, 2), (1, 1), 1),
        lambda x: np.array([x[1:3], x[2:4], x[3:5]]),
        [(5,)],
    ),
    Op(
        "F.as_strided backwards",
        lambda x: F.as_strided(x, (2, 3), (-4, 0), 9),
        lambda x: np.array([[x[2, 1]] * 3, [x[1, 1]] * 3]),
        [A34],
        empty=False,
    ),
    Op("F.as_strided 0-d", lambda x: F.as_strided(x, (), ()), lambda x: np.asarray(x.ravel()[0]), [(2,)]),
    Op("F.repeat", lambda x: F.repeat(x, 2), lambda x: np.stack([x.ravel()] * 2, 1).ravel(), [A34], scalar=True),
    Op("F.repeat axis=-2", lambda x: F.repeat(x, 2, axis=-2), lambda x: np.kron(x, [[1], [1]]), [A34]),
    Op("F.repeat tuple of one", lambda x: F.repeat(x, (3,), axis=1), lambda x: np.kron(x, [[1, 1, 1]]), [A34]),
    Op(
        "F.repeat by element",
        lambda x: F.repeat(x, (1, 0, 3, 1), axis=1),
        lambda x: np.stack([x[:, 0], x[:, 2], x[:, 2], x[:, 2], x[:, 3]], 1),
        [A34],
    ),
    Op(
        "F.repeat by element of the last axis",
        lambda x: F.repeat(x, (2, 0), axis=-1),
        lambda x: np.stack([x[..., 0]] * 2, -1),
        [(3, 4, 2)],
    ),
    Op("F.tile", lambda x: F.tile(x, (2, 3)), lambda x: np.kron(np.ones((2, 3)), x), [A34]),
    Op("F.tile number", lambda x: F.tile(x, 2), lambda x: np.concatenate([x, x], -1), [A34]),
    Op("F.tile more axes", lambda x: F.tile(x, (2, 1, 2)), lambda x: np.array([np.hstack([x, x])] * 2), [A34]),
    Op(
        "F.tile of a scalar",
        lambda x: F.tile(F.reshape(x, ()), (2, 2)),
        lambda x: np.full((2, 2), x),
        [(1,)],
        scalar=True,
    ),
    Op("F.pad", lambda x: F.pad(x, 1, "constant"), lambda x: _bordered(_bordered(x, 1, 1, 0).T, 1, 1, 0).T, [A34]),
    Op(
        "F.pad constant_values",
        lambda x: F.pad(x, ((0, 0), (2, 1)), "constant", constant_values=1.5),
        lambda x: _bordered(x, 2, 1, 1.5),
        [A34],
    ),
    Op(
        "F.pad by side",
        lambda x: F.pad(x, (1, 2), "constant", constant_values=(3, 4)),
        lambda x: np.concatenate([[3], x, [4, 4]]),
        [V4],
    ),
    Op("F.pad edge", lambda x: F.pad(x, ((0, 0), (2, 1)), "edge"), lambda x: x[:, [0, 0, 0, 1, 2, 3, 3]], [A34]),
    Op("F.pad reflect", lambda x: F.pad(x, (2, 1), "reflect"), lambda x: x[[2, 1, 0, 1, 2, 3, 2]], [V4]),
    Op("F.pad symmetric", lambda x: F.pad(x, (2, 1), "symmetric"), lambda x: x[[1, 0, 0, 1, 2, 3, 3]], [V4]),
    Op(
        "F.pad wrap",
        lambda x: F.pad(x, ((1, 0), (0, 2)), "wrap"),
        lambda x: np.vstack([x[-1:], x])[:, [0, 1, 2, 3, 0, 1]],
        [A34],
        empty=False,
    ),
]
