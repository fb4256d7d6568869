"""Rows of `functions/reduction.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op

OPS = [
    Op("F.sum", F.sum, lambda x: x.ravel() @ np.ones(x.size), [A34], scalar=True),
    Op("F.sum axis=-2", lambda x: F.sum(x, -2), lambda x: np.einsum("ijk->ik", x), [(2, 3, 4)]),
    Op("F.sum axes", lambda x: F.sum(x, (0, 2)), lambda x: np.einsum("ijk->j", x), [(2, 3, 4)]),
    Op("F.sum keepdims", lambda x: F.sum(x, 1, keepdims=True), lambda x: x @ np.ones((4, 1)), [A34]),
    Op("F.sum all keepdims", lambda x: F.sum(x, keepdims=True), lambda x: np.einsum("ij->", x)[None, None], [A34]),
    Op("F.average", F.average, lambda x: np.einsum("ij->", x) / 12, [A34], empty=False, mean=True),
    Op("F.average axis", lambda x: F.average(x, (0, -1)), lambda x: np.einsum("ijk->j", x) / 8, [(2, 3, 4)], mean=True),
    Op(
        "F.average keepdims",
        lambda x: F.average(x, 1, keepdims=True),
        lambda x: x @ np.full((4, 1), 0.25),
        [A34],
        mean=True,
    ),
    Op(
        "F.average weights",
        lambda x, w: F.average(x, 1, w * w),
        lambda x, w: np.average(x, 1, w * w),
        [A34, V4],
        mean=True,
    ),
    Op(
        "F.average all weights",
        lambda x, w: F.average(x, 1, w * w),
        lambda x, w: (x * w**2).sum(1) / (w**2).sum(1),
        [A34, A34],
        mean=True,
    ),
    Op("F.mean", lambda x: F.mean(x, 1), lambda x: x @ np.full(4, 0.25), [A34], mean=True),
    Op("F.max", F.max, lambda x: np.sort(x.ravel())[-1], [A34], empty=False, scalar=True, ties=True),
    Op("F.max axis", lambda x: F.max(x, 1), lambda x: np.sort(x, 1)[:, -1], [A34], ties=True),
    Op(
        "F.max axes keepdims",
        lambda x: F.max(x, (0, -1), True),
        lambda x: np.maximum.reduce(x, (0, 2))[None, :, None],
        [(2, 3, 4)],
        ties=True,
    ),
    Op("F.min", F.min, lambda x: np.sort(x.ravel())[0], [A34], empty=False, scalar=True, ties=True),
    Op("F.min axis", lambda x: F.min(x, -1), lambda x: np.sort(x, 1)[:, 0], [A34], ties=True),
    Op("F.min keepdims", lambda x: F.min(x, 1, keepdims=True), lambda x: np.sort(x, 1)[:, :1], [A34], ties=True),
    Op("F.logsumexp", F.logsumexp, lambda x: np.log(np.exp(x).sum()), [A34], empty=False, scalar=True),
    Op("F.logsumexp axis", lambda x: F.logsumexp(x, 1), lambda x: np.logaddexp.reduce(x, 1), [A34]),
    Op(
        "F.logsumexp axes",
        lambda x: F.logsumexp(x, (0, -1)),
        lambda x: np.log(np.einsum("ijk->j", np.exp(x))),
        [(2, 3, 4)],
    ),
    Op(
        "F.logsumexp keepdims",
        lambda x: F.logsumexp(x, -1, keepdims=True),
        lambda x: np.logaddexp.reduce(x, 1, keepdims=True),
        [A34],
    ),
    Op(
        "F.batch_l2_norm_squared",
        F.batch_l2_norm_squared,
        lambda x: np.einsum("ijk,ijk->i", x, x),
        [(3, 2, 4)],
    ),
]
