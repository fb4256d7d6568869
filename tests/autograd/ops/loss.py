"""Rows of `functions/loss.py`."""

from __future__ import annotations

import numpy as np
from scipy import stats

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, B34, V4, Op


def _huber(x, t, delta):
    d = x - t
    return np.where(abs(d) <= delta, 0.5 * d**2, delta * (abs(d) - 0.5 * delta))


def _gaussian(x, mean, ln_var):
    return -stats.norm.logpdf(x, mean, np.exp(ln_var / 2))


def _divergence(mean, ln_var):
    """By quadrature of the two densities."""
    (nodes, weights), sigma = np.polynomial.hermite_e.hermegauss(20), np.exp(ln_var / 2)
    at = mean[..., None] + sigma[..., None] * nodes
    ratio = stats.norm.logpdf(at, mean[..., None], sigma[..., None]) - stats.norm.logpdf(at)
    return ratio @ (weights / weights.sum())


def _bernoulli(x, y):
    return -(x * np.log(1 / (1 + np.exp(-y))) + (1 - x) * np.log(1 / (1 + np.exp(y))))


def _contrastive(x0, x1, y, margin=1):
    d = [np.linalg.norm(a - b) for a, b in zip(x0, x1)]
    return np.array([0.5 * (k**2 if same else np.where(k < margin, margin - k, 0) ** 2) for k, same in zip(d, y)])


def _triplet(a, p, n, margin):
    d = [np.linalg.norm(x - y) ** 2 - np.linalg.norm(x - z) ** 2 + margin for x, y, z in zip(a, p, n)]
    return np.array([np.where(k > 0, k, 0) for k in d])


def _hinge(x, t):
    right = np.eye(x.shape[1])[t] > 0
    return np.where(right, np.where(x < 1, 1 - x, 0), np.where(x > -1, 1 + x, 0))


def _covariance(y, z):
    return np.cov(y.T, z.T, bias=True)[: y.shape[1], y.shape[1] :]


PAIRS, LABELS = np.array([1, 0, 0]), np.array([2, 0, 3])
TWO = [A34, B34]
OPS = [
    Op("F.squared_difference", F.squared_difference, lambda x, t: (x - t) ** 2, TWO, scalar=True),
    Op("F.absolute_error", F.absolute_error, lambda x, t: np.where(x > t, x - t, t - x), TWO, scalar=True, ties=True),
    Op(
        "F.mean_absolute_error",
        F.mean_absolute_error,
        lambda x, t: np.linalg.norm((x - t).ravel(), 1) / x.size,
        TWO,
        scalar=True,
        empty=False,
        ties=True,
    ),
    Op("F.bernoulli_nll", lambda x, y: F.bernoulli_nll(x, 3 * y), lambda x, y: _bernoulli(x, 3 * y).sum(), TWO),
    Op(
        "F.bernoulli_nll mean",
        lambda x, y: F.bernoulli_nll(x, y, "mean"),
        lambda x, y: _bernoulli(x, y).mean(),
        TWO,
        empty=False,
    ),
    Op(
        "F.bernoulli_nll no",
        lambda x, y: F.bernoulli_nll(x, y, "no"),
        _bernoulli,
        [A34, V4],
        scalar=True,
    ),
    Op("F.gaussian_nll", F.gaussian_nll, lambda x, m, v: _gaussian(x, m, v).sum(), [A34, B34, V4]),
    Op(
        "F.gaussian_nll mean",
        lambda x, m, v: F.gaussian_nll(x, m, v, "mean"),
        lambda x, m, v: _gaussian(x, m, v).mean(),
        [A34, B34, A34],
        empty=False,
    ),
    Op("F.gaussian_nll no", lambda x, m, v: F.gaussian_nll(x, m, v, "no"), _gaussian, [A34, B34, A34], scalar=True),
    Op("F.gaussian_kl_divergence", F.gaussian_kl_divergence, lambda m, v: _divergence(m, v).sum(), TWO),
    Op(
        "F.gaussian_kl_divergence mean",
        lambda m, v: F.gaussian_kl_divergence(m, v, "mean"),
        lambda m, v: _divergence(m, v).mean(),
        TWO,
        empty=False,
    ),
    Op(
        "F.gaussian_kl_divergence no",
        lambda m, v: F.gaussian_kl_divergence(m, v, "no"),
        _divergence,
        TWO,
        scalar=True,
    ),
    Op(
        "F.contrastive",
        lambda x, y, t: F.contrastive(0.4 * x, 0.4 * y, t),
        lambda x, y, t: _contrastive(0.4 * x, 0.4 * y, t).mean(),
        TWO,
        (PAIRS,),
        empty=False,
        ties=True,
    ),
    Op(
        "F.contrastive no",
        lambda x, y, t: F.contrastive(x, y, t, 4, "no"),
        lambda x, y, t: _contrastive(x, y, t, 4),
        TWO,
        (PAIRS,),
        empty=False,
        ties=True,
    ),
    Op(
        "F.triplet",
        lambda a, p, n: F.triplet(a, p, n, 1.5),
        lambda a, p, n: _triplet(a, p, n, 1.5).mean(),
        [A34, B34, A34],
        empty=False,
    ),
    Op(
        "F.triplet no",
        lambda a, p, n: F.triplet(a, p, n, 0.1, "no"),
        lambda a, p, n: _triplet(a, p, n, 0.1),
        [A34, B34, A34],
        empty=False,
    ),
    Op("F.hinge", F.hinge, lambda x, t: _hinge(x, t).sum() / 3, [A34], (LABELS,), empty=False),
    Op(
        "F.hinge L2",
        lambda x, t: F.hinge(2 * x, t, "L2"),
        lambda x, t: (_hinge(2 * x, t) ** 2).sum() / 3,
        [A34],
        (LABELS,),
        empty=False,
    ),
    Op("F.hinge no", lambda x, t: F.hinge(x, t, "L1", "no"), _hinge, [A34], (LABELS,), empty=False),
    Op(
        "F.cross_covariance",
        F.cross_covariance,
        lambda y, z: 0.5 * np.linalg.norm(_covariance(y, z)) ** 2,
        [A34, (3, 2)],
        empty=False,
    ),
    Op(
        "F.cross_covariance no",
        lambda y, z: F.cross_covariance(y, z, "no"),
        _covariance,
        [A34, (3, 2)],
        empty=False,
    ),
    Op("F.squared_error", F.squared_error, lambda x, t: (x - t) ** 2, [A34, B34], scalar=True),
    Op(
        "F.mean_squared_error",
        F.mean_squared_error,
        lambda x, t: np.mean((x - t) ** 2),
        [A34, B34],
        scalar=True,
        mean=True,
    ),
    Op("F.huber_loss", lambda x, t: F.huber_loss(x, t, 0.5), lambda x, t: _huber(x, t, 0.5).sum(1), [A34, B34]),
    Op(
        "F.huber_loss no",
        lambda x, t: F.huber_loss(x, t, 0.5, "no"),
        lambda x, t: _huber(x, t, 0.5),
        [A34, B34],
        scalar=True,
    ),
    Op(
        "F.huber_loss mean",
        lambda x, t: F.huber_loss(x, t, 0.7, "mean"),
        lambda x, t: _huber(x, t, 0.7).mean(),
        [A34, B34],
        scalar=True,
        mean=True,
    ),
]
