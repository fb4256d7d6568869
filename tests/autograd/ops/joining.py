"""Rows of `functions/joining.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, B34, Op

OPS = [
    Op("F.concat", lambda x, y: F.concat([x, y]), lambda x, y: np.hstack([x, y]), [A34, (3, 2)]),
    Op("F.concat axis=-2", lambda x, y: F.concat([x, y], axis=-2), lambda x, y: np.vstack([x, y]), [A34, (2, 4)]),
    Op("F.concat of one", lambda x: F.concat([x], axis=0), lambda x: x, [A34]),
    Op("F.stack", lambda x, y: F.stack([x, y]), lambda x, y: np.array([x, y]), [A34, B34], scalar=True),
    Op("F.stack axis=-1", lambda x, y: F.stack([x, y], axis=-1), lambda x, y: np.dstack([x, y]), [A34, B34]),
    Op("F.split_axis", lambda x: F.split_axis(x, 2, 1), lambda x: (x[:, :2], x[:, 2:]), [A34]),
    Op("F.split_axis at", lambda x: F.split_axis(x, [1, 3], 1), lambda x: (x[:, :1], x[:, 1:3], x[:, 3:]), [A34]),
    Op("F.split_axis one part used", lambda x: F.split_axis(x, [1, 3], 1)[1] ** 3, lambda x: x[:, 1:3] ** 3, [A34]),
    Op("F.split_axis alone", lambda x: F.split_axis(x, 1, 0, force_tuple=False), lambda x: x, [A34]),
]
