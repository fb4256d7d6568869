"""Rows of `functions/reinforcement.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import Op

ATOMS = np.linspace(-1.5, 2.5, 5)
REWARD = np.array([0.3, -2.0, 0.7])
DISCOUNT = np.array([0.9, 0.5, 0.0])
TAUS = np.array([[0.1, 0.4, 0.6, 0.9], [0.2, 0.3, 0.5, 0.8], [0.05, 0.5, 0.7, 0.95]])


def project(p, reward, discount, atoms):
    """Algorithm 1 of Bellemare et al. 2017, line by line."""
    m, step = np.zeros(p.shape), atoms[1] - atoms[0]
    discount = np.broadcast_to(discount, reward.shape)
    for row in range(len(p)):
        for j, z in enumerate(atoms):
            moved = min(max(reward[row] + discount[row] * z, atoms[0]), atoms[-1])
            b = (moved - atoms[0]) / step
            lower, upper = int(np.floor(b + 1e-12)), int(np.ceil(b - 1e-12))
            if lower == upper:
                m[row, lower] += p[row, j]
            else:
                m[row, lower] += p[row, j] * (upper - b)
                m[row, upper] += p[row, j] * (b - lower)
    return m


def pairs(quantiles, targets, taus, delta):
    """Equations 9 and 10 of Dabney et al. 2018 (QR-DQN), divided by delta as in IQN."""
    (b, n), m = quantiles.shape, targets.shape[1]
    taus, loss = np.broadcast_to(taus, quantiles.shape), np.zeros((b, n, m))
    for row in range(b):
        for i in range(n):
            for j in range(m):
                u = targets[row, j] - quantiles[row, i]
                huber = abs(u) if delta == 0 else 0.5 * u * u if abs(u) <= delta else delta * (abs(u) - 0.5 * delta)
                loss[row, i, j] = abs(taus[row, i] - (u < 0)) * huber / (delta or 1)
    return loss


def _rows(*args):
    return pairs(*args).sum(1).mean(1)


MIDPOINTS = np.array([0.125, 0.375, 0.625, 0.875])


OPS = [
    Op("F.categorical_projection", F.categorical_projection, project, [(3, 5)], (REWARD, DISCOUNT, ATOMS), empty=False),
    Op(
        "F.categorical_projection one discount",
        lambda p, r, z: F.categorical_projection(p, r, 0.97, z),
        lambda p, r, z: project(p, r, 0.97, z),
        [(3, 5)],
        (REWARD, ATOMS),
        empty=False,
    ),
    Op(
        "F.categorical_projection onto itself",
        lambda p, r, z: F.categorical_projection(p, r, 1.0, z),
        lambda p, r, z: p,
        [(3, 5)],
        (np.zeros(3), ATOMS),
        empty=False,
    ),
    Op(
        "F.quantile_huber_loss",
        F.quantile_huber_loss,
        lambda q, t: _rows(q, t, MIDPOINTS, 1.0).mean(),
        [(3, 4), (3, 2)],
        ties=True,
        empty=False,
    ),
    Op(
        "F.quantile_huber_loss rows",
        lambda q, t, taus: F.quantile_huber_loss(q, t, taus, 0.5, "sum_along_second_axis"),
        lambda q, t, taus: _rows(q, t, taus, 0.5),
        [(3, 4), (3, 2)],
        (TAUS,),
        empty=False,
        ties=True,
    ),
    Op(
        "F.quantile_huber_loss no",
        lambda q, t: F.quantile_huber_loss(q, t, None, 0.7, "no"),
        lambda q, t: pairs(q, t, MIDPOINTS, 0.7),
        [(3, 4), (3, 2)],
        ties=True,
    ),
    Op(
        "F.quantile_huber_loss delta=0",
        lambda q, t: F.quantile_huber_loss(q, t, delta=0),
        lambda q, t: _rows(q, t, MIDPOINTS, 0).mean(),
        [(3, 4), (3, 2)],
        ties=True,
        empty=False,
    ),
]
