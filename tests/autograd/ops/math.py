"""Rows of `functions/math.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op

OPS = [
    Op("F.identity", F.identity, lambda x: x, [A34], scalar=True),
    Op("F.add", F.add, lambda x, y: x - (-y), [A34, V4], scalar=True),
    Op("F.add one", F.add, lambda x: x, [A34], scalar=True),
    Op(
        "F.add several",
        lambda x, y, z: F.add(x, 2, y, z, x),
        lambda x, y, z: 2 * x + y + z + 2,
        [A34, V4, (2, 1, 1)],
        scalar=True,
    ),
    Op("F.absolute", F.absolute, lambda x: np.sqrt(x**2), [A34], scalar=True),
    Op("F.square", F.square, lambda x: x**2, [A34], scalar=True),
    Op("F.sqrt", F.sqrt, lambda x: x**0.5, [A34], positive=True, scalar=True),
    Op("F.rsqrt", F.rsqrt, lambda x: x**-0.5, [A34], positive=True, scalar=True),
    Op("F.exp", F.exp, lambda x: np.e**x, [A34], scalar=True),
    Op("F.log", F.log, lambda x: np.log2(x) * np.log(2), [A34], positive=True, scalar=True),
    Op("F.expm1", F.expm1, lambda x: 2 * np.exp(x / 2) * np.sinh(x / 2), [A34], scalar=True),
    Op("F.log1p", F.log1p, lambda x: 2 * np.arctanh(x / (2 + x)), [A34], scalar=True, orders=2),
    Op("F.log1p positive", F.log1p, lambda x: np.log(1 + x), [A34], scalar=True, positive=True),
    Op("F.log2", F.log2, lambda x: np.log(x) / np.log(2), [A34], positive=True, scalar=True),
    Op("F.log10", F.log10, lambda x: np.log(x) / np.log(10), [A34], positive=True, scalar=True),
    Op("F.maximum", F.maximum, lambda x, y: np.where(x > y, x, y), [A34, V4], scalar=True, ties=True),
    Op(
        "F.maximum scalar",
        lambda x: F.maximum(x, 0.1),
        lambda x: np.where(x > 0.1, x, 0.1),
        [A34],
        scalar=True,
        ties=True,
    ),
    Op("F.minimum", F.minimum, lambda x, y: np.where(x < y, x, y), [V4, A34], scalar=True, ties=True),
    Op(
        "F.minimum scalar",
        lambda x: F.minimum(0.1, x),
        lambda x: np.where(x < 0.1, x, 0.1),
        [A34],
        scalar=True,
        ties=True,
    ),
    Op(
        "F.clip",
        lambda x: F.clip(x, -0.6, 0.5),
        lambda x: np.where(x < -0.6, -0.6, np.where(x > 0.5, 0.5, x)),
        [A34],
        scalar=True,
    ),
    Op("F.clip below", lambda x: F.clip(x, -0.6, None), lambda x: np.where(x < -0.6, -0.6, x), [A34], scalar=True),
    Op("F.clip above", lambda x: F.clip(x, None, 0.5), lambda x: np.where(x > 0.5, 0.5, x), [A34], scalar=True),
    Op(
        "F.linear_interpolate",
        F.linear_interpolate,
        lambda p, x, y: y + p * (x - y),
        [A34, A34, A34],
        scalar=True,
    ),
    Op(
        "F.linear_interpolate number",
        lambda x, y: F.linear_interpolate(0.25, x, y),
        lambda x, y: (x + 3 * y) / 4,
        [A34, V4],
        scalar=True,
    ),
    Op("F.bias", F.bias, lambda x, y: np.einsum("ijk,j->ijk", x * 0 + 1, y) + x, [(2, 3, 4), (3,)]),
    Op("F.bias axis=0", lambda x, y: F.bias(x, y, 0), lambda x, y: (x.T + y.T).T, [(2, 3, 4), (2, 3)]),
    Op("F.scale", F.scale, lambda x, y: np.einsum("ijk,j->ijk", x, y), [(2, 3, 4), (3,)]),
    Op("F.scale axis=2", lambda x, y: F.scale(x, y, 2), np.multiply, [(2, 3, 4), (4,)]),
]
