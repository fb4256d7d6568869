"""Rows of `functions/loss.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, B34, Op


def _huber(x, t, delta):
    d = x - t
    return np.where(abs(d) <= delta, 0.5 * d**2, delta * (abs(d) - 0.5 * delta))


OPS = [
    Op("F.squared_error", F.squared_error, lambda x, t: (x - t) ** 2, [A34, B34], scalar=True),
    Op(
        "F.mean_squared_error",
        F.mean_squared_error,
        lambda x, t: np.mean((x - t) ** 2),
        [A34, B34],
        scalar=True,
        mean=True,
    ),
    Op("F.huber_loss", lambda x, t: F.huber_loss(x, t, 0.5), lambda x, t: _huber(x, t, 0.5).sum(1), [A34, B34]),
    Op(
        "F.huber_loss no",
        lambda x, t: F.huber_loss(x, t, 0.5, "no"),
        lambda x, t: _huber(x, t, 0.5),
        [A34, B34],
        scalar=True,
    ),
    Op(
        "F.huber_loss mean",
        lambda x, t: F.huber_loss(x, t, 0.7, "mean"),
        lambda x, t: _huber(x, t, 0.7).mean(),
        [A34, B34],
        scalar=True,
        mean=True,
    ),
]
