"""Rows of `functions/normalization.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, V4, Op

EPS = 0.1  # as large as the variances, so that rounding does not grow


def _normal(x, axes, eps=EPS):
    n = max(1, np.prod(np.take(x.shape, axes)))
    d = x - x.sum(axes, keepdims=True) / n
    return d / np.sqrt((d**2).sum(axes, keepdims=True) / n + eps)


def _bn(x, gamma, beta, axes, shape):
    return _normal(x, axes) * gamma.reshape(shape) + beta.reshape(shape)


def _batch(**named):
    return lambda x, gamma, beta: F.batch_normalization(x, gamma, beta, eps=EPS, **named)


def _channels_last(x, gamma, beta):
    return F.transpose(_batch()(F.transpose(x, (0, 3, 1, 2)), gamma, beta), (0, 2, 3, 1))


def _renorm(x, gamma, beta):
    """Running moments so far away that both corrections are at their bounds: inside, they count as constants."""
    xp = getattr(x, "xp", np)
    mean, var = (xp.asarray(np.full(4, v, x.dtype)) for v in (-5, 10))
    return F.batch_renormalization(x, gamma, beta, 1.1, 0.2, EPS, mean, var)


def _fixed(x, gamma, beta, mean, var, shape):
    gamma, beta, mean, var = (v.reshape(shape) for v in (gamma, beta, mean, var))
    return gamma * (x - mean) * (var + EPS) ** -0.5 + beta


def _groups(x, gamma, beta):
    parts = [_normal(x[:, i : i + 2], (1, 2)) for i in (0, 2)]
    return np.concatenate(parts, 1) * gamma[:, None] + beta[:, None]


def _lrn(x, n, k, alpha, beta):
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        out[:, c] = x[:, c] / (k + alpha * (x[:, max(0, c - n // 2) : c + n // 2 + 1] ** 2).sum(1)) ** beta
    return out


FIXED = [V4, V4, V4, V4]
OPS = [
    Op("F.batch_normalization", _batch(), lambda x, g, b: _bn(x, g, b, 0, 4), [A34, V4, V4]),
    Op(
        "F.batch_normalization images",
        _batch(),
        lambda x, g, b: _bn(x, g, b, (0, 2, 3), (2, 1, 1)),
        [(3, 2, 2, 3), (2,), (2,)],
        ties=True,  # of equal elements gamma's gradient is a sum of rounding errors
    ),
    Op(
        "F.batch_normalization channels last",
        _channels_last,
        lambda x, g, b: _bn(x, g, b, (0, 1, 2), 2),
        [(3, 2, 2, 2), (2,), (2,)],
    ),
    Op(
        "F.batch_normalization two axes of channels",
        _batch(),
        lambda x, g, b: _bn(x, g, b, 0, (2, 2)),
        [(3, 2, 2), (2, 2), (2, 2)],
    ),
    Op(
        "F.batch_normalization axis",
        _batch(axis=(0, 2)),
        lambda x, g, b: _bn(x, g, b, (0, 2), (1, 2, 1, 2)),
        [(2, 2, 3, 2), (2, 2), (2, 2)],
    ),
    Op("F.batch_normalization axis=1", _batch(axis=1), lambda x, g, b: _bn(x, g, b, 1, (-1, 1)), [A34, (3,), (3,)]),
    Op(
        "F.fixed_batch_normalization",
        lambda x, g, b, m, v: F.fixed_batch_normalization(x, g, b, m, v * v, EPS),
        lambda x, g, b, m, v: _fixed(x, g, b, m, v * v, 4),
        [A34, *FIXED],
    ),
    Op(
        "F.fixed_batch_normalization axis",
        lambda x, g, b, m, v: F.fixed_batch_normalization(x, g, b, m, v * v, EPS, axis=(0, -1)),
        lambda x, g, b, m, v: _fixed(x, g, b, m, v * v, (4, 1)),
        [(2, 4, 3), *FIXED],
    ),
    Op(
        "F.batch_renormalization",
        _renorm,
        lambda x, g, b: (_normal(x, 0) / 1.1 + 0.2) * g + b,
        [A34, V4, V4],
    ),
    Op(
        "F.fixed_batch_renormalization",
        lambda x, g, b, m, v: F.fixed_batch_renormalization(x, g, b, m, v * v, EPS),
        lambda x, g, b, m, v: _fixed(x, g, b, m, v * v, 4),
        [A34, *FIXED],
    ),
    Op("F.group_normalization", lambda x, g, b: F.group_normalization(x, 2, g, b, EPS), _groups, [(3, 4, 2), V4, V4]),
    Op(
        "F.layer_normalization",
        lambda x, g, b: F.layer_normalization(x, g, b, EPS),
        lambda x, g, b: _bn(x, g, b, -1, 4),
        [A34, V4, V4],
    ),
    Op(
        "F.layer_normalization of more axes",
        lambda x, g, b: F.layer_normalization(x, g, b, EPS),
        lambda x, g, b: _bn(x, g, b, -1, 4),
        [(2, 3, 4), V4, V4],
    ),
    Op(
        "F.local_response_normalization",
        lambda x: F.local_response_normalization(x, 3, 1.5, 0.4, 0.6),
        lambda x: _lrn(x, 3, 1.5, 0.4, 0.6),
        [(3, 4, 2)],
    ),
    Op("F.normalize", F.normalize, lambda x: x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-5), [A34]),
    Op(
        "F.normalize axes",
        lambda x: F.normalize(x, 0.1, axis=(1, 2)),
        lambda x: x / (np.sqrt((x**2).sum((1, 2), keepdims=True)) + 0.1),
        [(3, 2, 2)],
    ),
]
