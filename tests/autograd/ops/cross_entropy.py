"""Rows of `functions/cross_entropy.py`."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, xlogy

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, Op

T3 = np.array([2, 0, 3])
T3_ONE_IGNORED = np.array([2, -1, 3])
T24 = np.array([[0, 2, -1, 1], [1, 1, 0, 2]])
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])
BITS = np.array([[0, 1, 1, -1], [1, -1, 0, 0], [1, 1, 0, 1]])


def _losses(x, t, ignored=-1):
    """One by one: the last axis of x are the classes; 0 for an ignored label."""
    rows = x.reshape(-1, x.shape[-1])
    p = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
    each = [0.0 if k == ignored else -np.log(row[k]) for row, k in zip(p, t.ravel())]
    return np.array(each).reshape(t.shape)


def _soft(x, t):
    return np.array([-np.log(np.exp(row) / np.exp(row).sum()) @ k for row, k in zip(x, t)])


def _probabilities(t):
    return np.abs(t) / np.abs(t).sum(1, keepdims=True)


def _bits(x, t):
    p = expit(x)
    return -np.where(t == -1, 0, np.where(t == 1, np.log(p), np.log(1 - p)))


def weighted(x, t, w, **named):
    return F.softmax_cross_entropy(x, t, class_weight=w.astype(x.dtype), **named)


def soft(x, t, **named):
    return F.softmax_cross_entropy(x, _probabilities(t).astype(x.dtype), **named)


SOFT = np.linspace(0.1, 2, 12).reshape(A34)
ONE_HOT = np.eye(4)[T3]


OPS = [
    Op(
        "F.softmax_cross_entropy", F.softmax_cross_entropy, lambda x, t: _losses(x, t).mean(), [A34], (T3,), empty=False
    ),
    Op(
        "F.softmax_cross_entropy ignores",
        F.softmax_cross_entropy,
        lambda x, t: _losses(x, t).sum() / 2,
        [A34],
        (T3_ONE_IGNORED,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy ignore_label",
        lambda x, t: F.softmax_cross_entropy(x, t, ignore_label=3),
        lambda x, t: _losses(x, t, 3).sum() / 2,
        [A34],
        (T3,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy normalize=False",
        lambda x, t: F.softmax_cross_entropy(x, t, normalize=False),
        lambda x, t: _losses(x, t).sum() / 3,
        [A34],
        (T3_ONE_IGNORED,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy cache_score=False",
        lambda x, t: F.softmax_cross_entropy(x, t, cache_score=False),
        lambda x, t: _losses(x, t).sum() / 2,
        [A34],
        (T3_ONE_IGNORED,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy no",
        lambda x, t: F.softmax_cross_entropy(x, t, reduce="no"),
        _losses,
        [A34],
        (T3_ONE_IGNORED,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy axes",
        F.softmax_cross_entropy,
        lambda x, t: _losses(x.transpose(0, 2, 1), t).sum() / 7,
        [(2, 3, 4)],
        (T24,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy axes normalize=False",
        lambda x, t: F.softmax_cross_entropy(x, t, False, False),
        lambda x, t: _losses(x.transpose(0, 2, 1), t).sum() / 2,
        [(2, 3, 4)],
        (T24,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy axes no",
        lambda x, t: F.softmax_cross_entropy(x, t, reduce="no"),
        lambda x, t: _losses(x.transpose(0, 2, 1), t),
        [(2, 3, 4)],
        (T24,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy class_weight",
        weighted,
        lambda x, t, w: (_losses(x, t) * [2, 0, 0.25]).sum() / 2,
        [A34],
        (T3_ONE_IGNORED, WEIGHT),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy class_weight no",
        lambda x, t, w: weighted(x, t, w, reduce="no"),
        lambda x, t, w: _losses(x, t) * [2, 0.5, 0.25],
        [A34],
        (T3, WEIGHT),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy soft",
        soft,
        lambda x, t: _soft(x, _probabilities(t)).mean(),
        [A34],
        (SOFT,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy soft no",
        lambda x, t: soft(x, t, reduce="no"),
        lambda x, t: _soft(x, _probabilities(t)),
        [A34],
        (SOFT,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy kl-divergence",
        lambda x, t: soft(x, t, soft_target_loss="kl-divergence"),
        lambda x, t: (_soft(x, _probabilities(t)) + xlogy(_probabilities(t), _probabilities(t)).sum(1)).mean(),
        [A34],
        (SOFT,),
        empty=False,
    ),
    Op(
        "F.softmax_cross_entropy kl-divergence of one-hot",
        lambda x, t: soft(x, t, soft_target_loss="kl-divergence", reduce="no"),
        lambda x, t: _losses(x, t.argmax(1)),
        [A34],
        (ONE_HOT,),
        empty=False,
    ),
    Op(
        "F.sigmoid_cross_entropy",
        F.sigmoid_cross_entropy,
        lambda x, t: _bits(x, t).sum() / 10,
        [A34],
        (BITS,),
        empty=False,
    ),
    Op(
        "F.sigmoid_cross_entropy normalize=False",
        lambda x, t: F.sigmoid_cross_entropy(x, t, False),
        lambda x, t: _bits(x, t).sum() / 3,
        [A34],
        (BITS,),
        empty=False,
    ),
    Op(
        "F.sigmoid_cross_entropy no",
        lambda x, t: F.sigmoid_cross_entropy(x, t, reduce="no"),
        _bits,
        [A34],
        (BITS,),
        empty=False,
    ),
]
