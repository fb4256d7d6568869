"""Rows of `functions/activation.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, Op


def _softmax(x, axis):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


OPS = [
    Op("F.relu", F.relu, lambda x: np.where(x > 0, x, 0), [A34], scalar=True),
    Op("F.tanh", F.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1), [A34], scalar=True),
    Op("F.sigmoid", F.sigmoid, lambda x: 1 / (1 + np.exp(-x)), [A34], scalar=True),
    Op("F.softmax", F.softmax, lambda x: _softmax(x, 1), [A34]),
    Op("F.softmax axis=0", lambda x: F.softmax(x, axis=0), lambda x: _softmax(x, 0), [(2, 3)]),
    Op("F.log_softmax", F.log_softmax, lambda x: np.log(_softmax(x, 1)), [A34]),
    Op("F.log_softmax axis=-1", lambda x: F.log_softmax(x, -1), lambda x: np.log(_softmax(x, -1)), [(2, 3, 4)]),
]
