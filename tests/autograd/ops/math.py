"""Rows of `functions/math.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op

OPS = [
    Op("F.identity", F.identity, lambda x: x, [A34], scalar=True),
    Op("F.absolute", F.absolute, lambda x: np.sqrt(x**2), [A34], scalar=True),
    Op("F.square", F.square, lambda x: x**2, [A34], scalar=True),
    Op("F.sqrt", F.sqrt, lambda x: x**0.5, [A34], positive=True, scalar=True),
    Op("F.exp", F.exp, lambda x: np.e**x, [A34], scalar=True),
    Op("F.log", F.log, lambda x: np.log2(x) * np.log(2), [A34], positive=True, scalar=True),
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
]
