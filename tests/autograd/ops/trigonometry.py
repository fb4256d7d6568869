"""Rows of `functions/trigonometry.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op


def angle(y, x):
    return np.angle(x + 1j * y)


OPS = [
    Op("F.sin", F.sin, lambda x: np.exp(1j * x).imag, [A34], scalar=True),
    Op("F.cos", F.cos, lambda x: np.exp(1j * x).real, [A34], scalar=True),
    Op("F.tan", F.tan, lambda x: np.sin(x) / np.cos(x), [A34], scalar=True),
    Op(
        "F.arcsin", lambda x: F.arcsin(0.7 * x), lambda x: angle(0.7 * x, np.sqrt(1 - 0.49 * x * x)), [A34], scalar=True
    ),
    Op(
        "F.arccos", lambda x: F.arccos(0.7 * x), lambda x: angle(np.sqrt(1 - 0.49 * x * x), 0.7 * x), [A34], scalar=True
    ),
    Op("F.arctan", F.arctan, lambda x: angle(x, 1), [A34], scalar=True),
    Op("F.arctan2", F.arctan2, angle, [A34, V4], scalar=True),
    Op("F.arctan2 wide abscissa", F.arctan2, angle, [V4, A34]),
    Op(
        "F.arctan2 numbers", lambda x: F.arctan2(x, 0.5) - F.arctan2(2, x), lambda x: angle(x, 0.5) - angle(2, x), [A34]
    ),
    Op("F.sinh", F.sinh, lambda x: (np.exp(x) - np.exp(-x)) / 2, [A34], scalar=True),
    Op("F.cosh", F.cosh, lambda x: (np.exp(x) + np.exp(-x)) / 2, [A34], scalar=True),
    Op(
        "F.arctanh",
        lambda x: F.arctanh(0.7 * x),
        lambda x: (np.log(1 + 0.7 * x) - np.log(1 - 0.7 * x)) / 2,
        [A34],
        scalar=True,
    ),
]
