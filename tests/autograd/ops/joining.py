"""Rows of `functions/joining.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, B34, Op

OPS = [
    Op("F.concat", lambda x, y: F.concat([x, y]), lambda x, y: np.hstack([x, y]), [A34, (3, 2)]),
    Op("F.concat axis=-2", lambda x, y: F.concat([x, y], axis=-2), lambda x, y: np.vstack([x, y]), [A34, (2, 4)]),
    Op("F.concat axis=2", lambda x, y: F.concat([x, y], 2), lambda x, y: np.dstack([x, y]), [(2, 3, 1), (2, 3, 2)]),
    Op("F.concat axis=-1", lambda x, y: F.concat([x, y], -1), lambda x, y: np.dstack([x, y]), [(2, 3, 1), (2, 3, 2)]),
    Op("F.concat of one", lambda x: F.concat([x], axis=0), lambda x: x, [A34]),
    Op("F.stack", lambda x, y: F.stack([x, y]), lambda x, y: np.array([x, y]), [A34, B34], scalar=True),
    Op("F.stack axis=-1", lambda x, y: F.stack([x, y], axis=-1), lambda x, y: np.dstack([x, y]), [A34, B34]),
    Op("F.stack axis=-3", lambda x, y: F.stack([x, y], axis=-3), lambda x, y: np.array([x, y]), [A34, B34]),
    Op("F.stack one", lambda x: F.stack([x], axis=1), lambda x: x[:, None], [A34]),
    Op("F.hstack", lambda x, y: F.hstack([x, y]), lambda x, y: np.concatenate([x, y], 1), [A34, (3, 2)]),
    Op("F.hstack vectors", lambda x, y: F.hstack([x, y]), lambda x, y: np.array([*x, *y]), [(3,), (2,)]),
    Op(
        "F.hstack scalars",
        lambda x, y: F.hstack([F.reshape(x, ()), F.reshape(y, ())]),
        lambda x, y: np.array([*x.ravel(), *y.ravel()]),
        [(1,), (1,)],
        scalar=True,
    ),
    Op("F.vstack", lambda x, y: F.vstack([x, y]), lambda x, y: np.concatenate([x, y], 0), [A34, (2, 4)]),
    Op("F.vstack vectors", lambda x, y: F.vstack([x, y]), lambda x, y: np.array([x, y]), [(3,), (3,)]),
    Op(
        "F.vstack scalars",
        lambda x, y: F.vstack([F.reshape(x, ()), F.reshape(y, ())]),
        lambda x, y: np.array([x.ravel(), y.ravel()]),
        [(1,), (1,)],
        scalar=True,
    ),
    Op("F.dstack", lambda x, y: F.dstack([x, y]), lambda x, y: np.stack([x, y], 2), [A34, B34]),
    Op("F.dstack vectors", lambda x, y: F.dstack([x, y]), lambda x, y: np.stack([x, y], 1)[None], [(3,), (3,)]),
    Op(
        "F.dstack scalars",
        lambda x, y: F.dstack([F.reshape(x, ()), F.reshape(y, ())]),
        lambda x, y: np.array([[[*x.ravel(), *y.ravel()]]]),
        [(1,), (1,)],
        scalar=True,
    ),
    Op(
        "F.dstack 3-d",
        lambda x, y: F.dstack([x, y]),
        lambda x, y: np.concatenate([x, y], -1),
        [(2, 3, 1), (2, 3, 2)],
    ),
    Op("F.separate", lambda x: F.separate(x, 1), lambda x: tuple(x.T), [A34]),
    Op("F.separate of a vector", F.separate, lambda x: (x[0], x[1]), [(2,)]),
    Op("F.separate one part used", lambda x: F.separate(x, -1)[2] ** 3, lambda x: x[:, 2] ** 3, [A34]),
    Op(
        "F.pad_sequence",
        lambda x, y: F.pad_sequence([x, y]),
        lambda x, y: np.array([np.vstack([x, np.zeros((2, 4))]), y]),
        [(1, 4), A34],
        empty=False,
    ),
    Op(
        "F.pad_sequence length",
        lambda x, y: F.pad_sequence([x, y], 5, -2),
        lambda x, y: np.array([[*x, -2, -2], [*y, -2, -2, -2]]),
        [(3,), (2,)],
        empty=False,
    ),
    Op(
        "F.pad_sequence of one",
        lambda x: F.pad_sequence([x], 4),
        lambda x: np.vstack([x, x[:1] * 0])[None],
        [A34],
        empty=False,
    ),
    Op(
        "F.transpose_sequence",
        lambda x, y, z: F.transpose_sequence([x, y, z]),
        lambda x, y, z: (np.array([x[0], y[0], z[0]]), np.array([x[1]]), np.array([x[2]])),
        [A34, (1, 4), (1, 4)],
        empty=False,
    ),
    Op(
        "F.transpose_sequence last step used",
        lambda x, y: F.transpose_sequence([x, y])[1] ** 2,
        lambda x, y: np.array([x[1] ** 2, y[1] ** 2]),
        [(3,), (2,)],
        empty=False,
    ),
    Op("F.transpose_sequence of one", lambda x: F.transpose_sequence([x]), lambda x: (x[:1], x[1:]), [(2, 4)]),
    Op("F.split_axis", lambda x: F.split_axis(x, 2, 1), lambda x: (x[:, :2], x[:, 2:]), [A34]),
    Op("F.split_axis at", lambda x: F.split_axis(x, [1, 3], 1), lambda x: (x[:, :1], x[:, 1:3], x[:, 3:]), [A34]),
    Op("F.split_axis one part used", lambda x: F.split_axis(x, [1, 3], 1)[1] ** 3, lambda x: x[:, 1:3] ** 3, [A34]),
    Op("F.split_axis axis=-1", lambda x: F.split_axis(x, [1], -1), lambda x: (x[..., :1], x[..., 1:]), [(2, 3, 4)]),
    Op("F.split_axis axis=0", lambda x: F.split_axis(x, [1], 0), lambda x: (x[:1], x[1:]), [(2, 3, 4)]),
    Op("F.split_axis axis=0 one part used", lambda x: F.split_axis(x, 2, 0)[0] ** 2, lambda x: x[:1] ** 2, [(2, 3, 4)]),
    Op("F.split_axis alone", lambda x: F.split_axis(x, 1, 0, force_tuple=False), lambda x: x, [A34]),
]
