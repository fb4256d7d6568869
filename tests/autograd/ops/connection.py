"""Rows of `functions/connection.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op

OPS = [
    Op("F.linear", F.linear, lambda x, W, b: np.einsum("ni,oi->no", x, W) + b, [(3, 4), (2, 4), (2,)]),
    Op("F.linear nobias", F.linear, lambda x, W: np.einsum("ni,oi->no", x, W), [(3, 4), (2, 4)]),
    Op(
        "F.linear flattens", F.linear, lambda x, W: np.einsum("nij,oij->no", x, W.reshape(4, 2, 2)), [(3, 2, 2), (4, 4)]
    ),
    Op(
        "F.linear n_batch_axes=2",
        lambda x, W, b: F.linear(x, W, b, 2),
        lambda x, W, b: x @ W.T + b,
        [(3, 5, 4), (2, 4), (2,)],
    ),
]
