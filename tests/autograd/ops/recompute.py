"""Rows of `functions/recompute.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op


def _chain(x, y):
    return F.tanh(x) * y, x - y


OPS = [
    Op("F.forget", lambda x: F.forget(F.tanh, x), np.tanh, [A34], scalar=True),
    Op("F.forget two", lambda x, y: F.forget(_chain, x, y), lambda x, y: (np.tanh(x) * y, x - y), [A34, V4]),
    Op("F.forget captured", lambda x, y: F.forget(lambda x: F.tanh(x) * y, x), lambda x, y: np.tanh(x) * y, [A34, V4]),
]
