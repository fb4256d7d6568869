"""Rows of `functions/noise.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from rlcore.autograd import using_config
from rlcore.rng import generator
from tests.autograd.ops.row import A34, Op

FACTORS = np.array([[0, 2.0, 2, 0], [2, 2, 0, 2], [0, 0, 2, 2]])
EPS = np.linspace(-2, 1.5, 12).reshape(A34)
MASK, MASKS = generator(1).random((2, 4)) > 0.3, generator(2).random((3, 2, 4)) > 0.3


def in_test_mode(f):
    def tested(*args):
        with using_config("train", False):
            return f(*args)

    return tested


def gumbel_ref(x, tau, axis):
    e = np.exp((x + generator(4).gumbel(size=x.shape)) / tau)
    return e / e.sum(axis, keepdims=True)


def _connect(x, W, b, mask, ratio):
    return np.array([(W * m) @ row / (1 - ratio) + b for row, m in zip(x, mask)])


OPS = [
    Op(
        "F.dropout",
        lambda x, m: F.dropout(x, mask=m),
        lambda x, m: np.where(m, 2 * x, 0),
        [A34],
        (FACTORS,),
        empty=False,
    ),
    Op(
        "F.dropout draws",
        lambda x: F.dropout(x, 0.25, rng=generator(3)),
        lambda x: np.where(generator(3).integers(0, 65536, x.shape, np.uint16) < 16384, 0, x / 0.75),
        [A34],
        scalar=True,
    ),
    Op("F.dropout in test mode", in_test_mode(lambda x: F.dropout(x) * 2), lambda x: x + x, [A34], scalar=True),
    Op(
        "F.gaussian",
        lambda m, v, e: F.gaussian(m, v, eps=e),
        lambda m, v, e: m + np.sqrt(np.exp(v)) * e,
        [A34, A34],
        (EPS,),
        empty=False,
    ),
    Op(
        "F.gumbel_softmax", lambda x: F.gumbel_softmax(x, 0.7, rng=generator(4)), lambda x: gumbel_ref(x, 0.7, 1), [A34]
    ),
    Op(
        "F.gumbel_softmax axis=0",
        lambda x: F.gumbel_softmax(x, 0.5, axis=0, rng=generator(4)),
        lambda x: gumbel_ref(x, 0.5, 0),
        [A34],
        empty=False,
    ),
    Op(
        "F.zoneout",
        lambda h, x: F.zoneout(h, x, 0.25, rng=generator(5)),
        lambda h, x: np.where(generator(5).integers(0, 65536, x.shape, np.uint16) < 16384, h, x),
        [A34, A34],
        scalar=True,
    ),
    Op(
        "F.zoneout in test mode",
        in_test_mode(lambda h, x: F.zoneout(h, x, 0.25) * h),
        lambda h, x: x * h,
        [A34, A34],
        scalar=True,
    ),
    Op(
        "F.simplified_dropconnect",
        lambda x, W, b, m: F.simplified_dropconnect(x, W, b, 0.2, mask=m),
        lambda x, W, b, m: _connect(x, W, b, m, 0.2),
        [A34, (2, 4), (2,)],
        (MASKS,),
        empty=False,
    ),
    Op(
        "F.simplified_dropconnect one mask",
        lambda x, W, b, m: F.simplified_dropconnect(x, W, b, 0.5, mask=m, use_batchwise_mask=False),
        lambda x, W, b, m: _connect(x, W, b, [m] * len(x), 0.5),
        [A34, (2, 4), (2,)],
        (MASK,),
        empty=False,
    ),
    Op(
        "F.simplified_dropconnect nobias, axes",
        lambda x, W, m: F.simplified_dropconnect(x, W, ratio=0, mask=m),
        lambda x, W, m: _connect(x.reshape(3, 4), W, 0, m, 0),
        [(3, 2, 2), (2, 4)],
        (MASKS,),
        empty=False,
    ),
    Op(
        "F.simplified_dropconnect train=False",
        lambda x, W: F.simplified_dropconnect(x, W, train=False),
        lambda x, W: np.einsum("ni,oi->no", x, W),
        [A34, (2, 4)],
    ),
]
