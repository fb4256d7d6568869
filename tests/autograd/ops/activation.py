"""Rows of `functions/activation.py`."""

from __future__ import annotations

import numpy as np
from scipy import special

from rlcore.autograd import functions as F
from rlcore.autograd import using_config
from tests.autograd.ops.row import A34, V4, Op


def _softmax(x, axis):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


def _prelu(x, W):
    return np.where(x < 0, W * x, x)


def _rrelu_in_test_mode(x):
    with using_config("train", False):
        return F.rrelu(x, 0.1, 0.5)


R34 = np.linspace(0.1, 0.4, 12).reshape(A34)
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772

OPS = [
    Op("F.relu", F.relu, lambda x: np.where(x > 0, x, 0), [A34], scalar=True),
    Op("F.clipped_relu", F.clipped_relu, lambda x: np.where(x > 0, x, 0), [A34], scalar=True),
    Op(
        "F.clipped_relu z",
        lambda x: F.clipped_relu(x, 0.8),
        lambda x: np.where(x < 0.8, x, 0.8),
        [A34],
        positive=True,
    ),
    Op("F.relu6", lambda x: F.relu6(9 * x), lambda x: np.sort([0 * x, 9 * x, 6 + 0 * x], axis=0)[1], [A34]),
    Op("F.crelu", F.crelu, lambda x: np.hstack([x * (x > 0), -x * (x < 0)]), [A34]),
    Op("F.crelu axis=0", lambda x: F.crelu(x, 0), lambda x: np.vstack([x * (x > 0), -x * (x < 0)]), [A34]),
    Op("F.leaky_relu", F.leaky_relu, lambda x: _prelu(x, 0.2), [A34], scalar=True),
    Op("F.leaky_relu slope", lambda x: F.leaky_relu(x, 0.01), lambda x: _prelu(x, 0.01), [A34]),
    Op("F.prelu", F.prelu, _prelu, [A34, V4]),
    Op("F.prelu one", lambda x, W: F.prelu(x, F.reshape(W, ())), _prelu, [A34, (1,)]),
    Op("F.prelu channels", F.prelu, lambda x, W: _prelu(x, W[:, None]), [(2, 3, 4), (3,)]),
    Op("F.prelu two axes", F.prelu, lambda x, W: _prelu(x, W[..., None]), [(2, 3, 2, 2), (3, 2)]),
    Op("F.rrelu", lambda x, r: F.rrelu(x, r=r.astype(x.dtype)), _prelu, [A34], (R34,), empty=False),
    Op("F.rrelu in test mode", _rrelu_in_test_mode, lambda x: _prelu(x, 0.3), [A34], scalar=True),
    Op("F.elu", F.elu, _elu, [A34], scalar=True),
    Op("F.elu alpha", lambda x: F.elu(x, alpha=0.3), lambda x: _elu(x, 0.3), [A34]),
    Op("F.selu", F.selu, lambda x: SCALE * _elu(x, ALPHA), [A34], scalar=True),
    Op("F.selu arguments", lambda x: F.selu(x, 0.5, 2), lambda x: 2 * _elu(x, 0.5), [A34]),
    Op("F.softplus", F.softplus, lambda x: np.logaddexp(x, 0), [A34], scalar=True),
    Op("F.softplus beta", lambda x: F.softplus(x, 3.0), lambda x: np.logaddexp(3 * x, 0) / 3, [A34], scalar=True),
    Op("F.swish", F.swish, lambda x, b: x * special.expit(b * x), [A34, V4]),
    Op("F.swish one", lambda x, b: F.swish(x, F.reshape(b, ())), lambda x, b: x * special.expit(b * x), [A34, (1,)]),
    Op("F.swish channels", F.swish, lambda x, b: x * special.expit(b[:, None] * x), [(2, 3, 4), (3,)]),
    Op("F.tanh", F.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1), [A34], scalar=True),
    Op("F.sigmoid", F.sigmoid, lambda x: 1 / (1 + np.exp(-x)), [A34], scalar=True),
    Op("F.hard_sigmoid", F.hard_sigmoid, lambda x: 0.5 + x / 5, [A34], scalar=True),
    Op(
        "F.hard_sigmoid ends",
        lambda x: F.hard_sigmoid(4 * x),
        lambda x: np.interp(4 * x, [-2.5, 2.5], [0, 1]),
        [A34],
    ),
    Op("F.softmax", F.softmax, lambda x: _softmax(x, 1), [A34]),
    Op("F.softmax axis=0", lambda x: F.softmax(x, axis=0), lambda x: _softmax(x, 0), [(2, 3)]),
    Op("F.softmax axis=-1", lambda x: F.softmax(x, axis=-1), lambda x: _softmax(x, -1), [A34]),
    Op("F.log_softmax", F.log_softmax, lambda x: np.log(_softmax(x, 1)), [A34]),
    Op("F.log_softmax axis=0", lambda x: F.log_softmax(x, 0), lambda x: np.log(_softmax(x, 0)), [(2, 3)]),
    Op("F.log_softmax axis=-1", lambda x: F.log_softmax(x, -1), lambda x: np.log(_softmax(x, -1)), [(2, 3, 4)]),
    Op("F.maxout", lambda x: F.maxout(x, 2), lambda x: x.reshape(-1, 2, 2).max(2), [A34], ties=True),
    Op(
        "F.maxout axis=0",
        lambda x: F.maxout(x, 3, axis=-2),
        lambda x: np.stack([x[:3].max(0), x[3:].max(0)]),
        [(6, 3)],
        ties=True,
    ),
]
