"""Rows of `functions/cumulative.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, Op


def triangle(n):
    return np.tril(np.ones((n, n)))


def running(x):
    return np.array([np.multiply.reduce(x[: i + 1]) for i in range(len(x))]).reshape(x.shape)


OPS = [
    Op("F.cumsum", F.cumsum, lambda x: triangle(x.size) @ x.ravel(), [A34], scalar=True),
    Op("F.cumsum axis=0", lambda x: F.cumsum(x, 0), lambda x: triangle(len(x)) @ x, [A34]),
    Op("F.cumsum axis=-1", lambda x: F.cumsum(x, axis=-1), lambda x: x @ triangle(4).T, [A34]),
    Op("F.cumprod", F.cumprod, lambda x: running(x.ravel()), [A34], scalar=True),
    Op("F.cumprod axis=0", lambda x: F.cumprod(x, 0), running, [(5, 3)]),
    Op("F.cumprod axis=-2", lambda x: F.cumprod(x, -2), lambda x: np.stack([running(a) for a in x]), [(2, 3, 2)]),
    Op("F.prod", F.prod, lambda x: np.asarray(running(np.append(1, x))[-1]), [(3, 3)], scalar=True),
    Op("F.prod axis=0", lambda x: F.prod(x, 0), lambda x: x[0] * x[1] * x[2], [A34], empty=False),
    Op("F.prod axes", lambda x: F.prod(x, (0, -1)), lambda x: np.multiply.reduce(x, (0, 2)), [(2, 3, 4)]),
    Op(
        "F.prod keepdims",
        lambda x: F.prod(x, 1, True),
        lambda x: x[:, :1] * x[:, 1:2] * x[:, 2:3] * x[:, 3:],
        [A34],
    ),
    Op(
        "F.prod all keepdims",
        lambda x: F.prod(x, keepdims=True),
        lambda x: np.multiply.reduce(x.ravel()).reshape(1, 1),
        [(2, 3)],
    ),
]
