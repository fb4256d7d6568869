"""Rows of `functions/rounding.py`; the steps themselves are constants, so x times a step is what has a gradient."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op


def remainder(x, y):
    return x - y * np.sign(x) * np.sign(y) * (np.abs(x) >= np.abs(y)) * np.floor(np.abs(x) / np.abs(y))


OPS = [
    Op("F.sign", lambda x: x * F.sign(x), lambda x: np.sqrt(x * x), [A34], scalar=True),
    Op("F.floor", lambda x: x * F.floor(x + 2), lambda x: np.where(x > 0, 2 * x, x), [A34], scalar=True),
    Op("F.ceil", lambda x: x * F.ceil(x + 2), lambda x: np.where(x > 0, 3 * x, 2 * x), [A34], scalar=True),
    Op("F.fix", lambda x: x * F.fix(x - 1), lambda x: np.where(x > 0, 0 * x, -x), [A34], scalar=True),
    Op("F.fmod", lambda x, y: F.fmod(2 * x, 0.25 * y + 0.1), lambda x, y: remainder(2 * x, 0.25 * y + 0.1), [A34, V4]),
    Op("F.fmod wide divisor", lambda x, y: F.fmod(x, 0.4 * y), lambda x, y: remainder(x, 0.4 * y), [V4, A34]),
    Op("F.fmod number", lambda x: F.fmod(4 * x, 0.75), lambda x: remainder(4 * x, 0.75), [A34], scalar=True),
    Op("F.fmod of a number", lambda y: F.fmod(4, y), lambda y: remainder(4, y), [A34], scalar=True),
]
