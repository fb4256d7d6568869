"""Rows of `functions/indexing.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op

ROWS = np.array([2, 0, 2])
MASK = np.array([True, False, True, False])

OPS = [
    Op(
        "F.get_item slice",
        lambda x: F.get_item(x, (slice(None), None, slice(3, 0, -2))),
        lambda x: x[:, None, 3:0:-2],
        [A34],
    ),
    Op(
        "F.get_item repeated",
        F.get_item,
        lambda x, _: np.stack([x[2], x[0], x[2]]),
        [A34],
        (ROWS,),
        empty=False,
    ),
    Op(
        "F.get_item mask",
        lambda x, m: F.get_item(x, (slice(None), m)),
        lambda x, m: np.stack([x[:, 0], x[:, 2]], 1),
        [A34],
        (MASK,),
    ),
    Op(
        "F.get_item pairs",
        lambda x: F.get_item(x, ([0, 0, 2], [1, 1, 3])),
        lambda x: x[[0, 0, 2], [1, 1, 3]],
        [A34],
        empty=False,
    ),
    Op("F.select_item", F.select_item, lambda x, t: np.choose(t, x.T), [(3, 4)], (ROWS,), empty=False),
    Op("F.where", lambda x, y, m: F.where(m, x, y), lambda x, y, m: x * m + y * ~m, [A34, V4], (MASK,)),
]
