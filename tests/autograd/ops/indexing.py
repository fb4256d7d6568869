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
    Op(
        "F.get_item many repeated",
        F.get_item,
        lambda x, i: np.eye(4)[i] @ x,
        [(4, 80)],
        (np.array([2, 0, 2, 3, 2, 0]),),
    ),
    Op(
        "F.permutate",
        F.permutate,
        lambda x, i: np.stack([x[2], x[0], x[1]]),
        [A34],
        (np.array([2, 0, 1]),),
        empty=False,
    ),
    Op(
        "F.permutate axis=-1",
        lambda x, i: F.permutate(x, i, axis=-1),
        lambda x, i: np.stack([x[:, 1], x[:, 0], x[:, 3], x[:, 2]], 1),
        [A34],
        (np.array([1, 0, -1, 2]),),
    ),
    Op(
        "F.permutate inv",
        lambda x, i: F.permutate(x, i, axis=0, inv=True),
        lambda x, i: np.stack([x[1], x[2], x[0]]),
        [A34],
        (np.array([2, 0, 1]),),
        empty=False,
    ),
    Op(
        "F.scatter_add",
        lambda a, b, i: F.scatter_add(a, i, b),
        lambda a, b, i: a + np.stack([b[1], 0 * b[0], b[0] + b[2]]),
        [A34, (3, 4)],
        (ROWS,),
        empty=False,
    ),
    Op(
        "F.scatter_add slice",
        lambda a, b: F.scatter_add(a, (slice(None), slice(1, 3)), b),
        lambda a, b: a + np.pad(b, ((0, 0), (1, 1))),
        [A34, (3, 2)],
    ),
    Op(
        "F.scatter_add element",
        lambda a, b: F.scatter_add(a, (2, 1), F.reshape(b, ())),
        lambda a, b: a + b * np.outer([0, 0, 1], [0, 1, 0, 0]),
        [A34, (1,)],
        empty=False,
    ),
    Op(
        "F.take_along_axis",
        lambda x, i: F.take_along_axis(x, i, 1),
        lambda x, i: np.array([[row[k] for k in ks] for row, ks in zip(x, i)]),
        [A34],
        (np.array([[0, 3, 3], [-1, 1, -1], [2, 2, 2]]),),
        empty=False,
    ),
    Op(
        "F.take_along_axis one each",
        lambda x, i: F.take_along_axis(x, i, -1),
        lambda x, i: np.choose(i[:, 0], x.T)[:, None],
        [A34],
        (ROWS[:, None],),
        empty=False,
    ),
    Op(
        "F.take_along_axis axis=0",
        lambda x, i: F.take_along_axis(x, i, 0),
        lambda x, i: np.array([[x[1, 0], x[0, 1], x[2, 2], x[2, 3]], [x[1, 0], x[2, 1], x[0, 2], x[1, 3]]]),
        [A34],
        (np.array([[1, 0, 2, 2], [1, 2, 0, 1]]),),
        empty=False,
    ),
    Op(
        "F.take_along_axis broadcast indices",
        lambda x, i: F.take_along_axis(x, i, 1),
        lambda x, i: np.stack([x[:, 2], x[:, 0], x[:, 2]], 1),
        [A34],
        (ROWS[None],),
    ),
    Op(
        "F.take_along_axis x broadcasts",
        lambda x, i: F.take_along_axis(x, i, 1),
        lambda x, i: np.array([[x[0, 2]], [x[0, 0]], [x[0, 2]]]),
        [(1, 4)],
        (ROWS[:, None],),
    ),
    Op(
        "F.take_along_axis axis=None",
        lambda x, i: F.take_along_axis(x, i, None),
        lambda x, i: np.array([x[0, 2], x[0, 0], x[0, 2]]),
        [A34],
        (ROWS,),
        empty=False,
    ),
    Op(
        "F.take_along_axis 3-d",
        lambda x, i: F.take_along_axis(x, i, 1),
        lambda x, i: np.einsum("bna,bkn->bka", x, np.eye(3)[i[:, :, 0]]),
        [(2, 3, 4)],
        (np.array([[2, 0], [1, 1]])[:, :, None],),
        empty=False,
    ),
    Op(
        "F.gather",
        lambda x, i: F.gather(x, 1, i),
        lambda x, i: np.stack([x[[0, 1, 2], i[:, 0]], x[[0, 1, 2], i[:, 1]]], 1),
        [A34],
        (np.array([[0, 3], [1, 1], [2, 0]]),),
        empty=False,
    ),
    Op(
        "F.where numbers",
        lambda x, m: F.where(m, x, np.float64(2.5)) * F.where(m, 2, x),
        lambda x, m: np.array([2 * x[0], 2.5 * x[1], 2 * x[2], 2.5 * x[3]]),
        [V4],
        (MASK,),
    ),
    Op("F.where wide y", lambda x, y, m: F.where(m, x, y), lambda x, y, m: x * m + y * ~m, [V4, A34], (MASK,)),
    Op("F.where", lambda x, y, m: F.where(m, x, y), lambda x, y, m: x * m + y * ~m, [A34, V4], (MASK,)),
]
