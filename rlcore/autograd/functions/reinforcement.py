"""Losses and projections of distributional reinforcement learning."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, scatter, shape_of, traced
from rlcore.autograd.function import Function
from rlcore.autograd.functions.indexing import arange_beside
from rlcore.autograd.functions.loss import check_reduce
from rlcore.autograd.functions.math import clip
from rlcore.autograd.functions.reduction import average, sum
from rlcore.backend import xp_of

__all__ = ["categorical_projection", "quantile_huber_loss"]


class CategoricalProjection(Function):
    saves = "low share"

    def __init__(self, reward: Any, discount: Any, atoms: Any):
        self.given: Any = (reward, discount, atoms)

    def forward(self, probs_next):
        (reward, discount, atoms), self.given = self.given, None
        b, n = probs_next.shape
        step = (atoms[-1:] - atoms[:1]) / (n - 1)
        discount = discount[:, None] if shape_of(discount) else discount
        at = (((reward - atoms[:1]) / step)[:, None] + discount * (atoms / step)).clip(0, n - 1)
        low = np.minimum(np.floor(at), n - 2)
        self.share = (at - low).astype(probs_next.dtype)  # of the atom above; all of it for the last atom
        self.low = low.astype(np.intp) + (arange_beside(low, b) * n)[:, None]  # counted through all rows
        up, low, size = probs_next * self.share, self.low.reshape(-1), (probs_next.size,)
        # an eighth of the time of a triangular kernel (B, N, N), for 32 rows of 51 atoms
        y = scatter((probs_next - up).reshape(-1), low, size) + scatter(up.reshape(-1), low + 1, size)
        return y.reshape(probs_next.shape)

    def backward(self, gy, low, share):
        gy = gy.reshape(-1)
        return gy[low] * (1 - share) + gy[low + 1] * share


def categorical_projection(probs_next, reward, discount, atoms):
    """The distribution of reward + discount * z on the atoms z themselves. Bellemare et al. 2017, algorithm 1.

    probs_next (B, N), reward (B,), discount (B,) or a number: gamma^n where the episode goes on, 0 where it has
    terminated; atoms (N,) evenly spaced, rising. Returns (B, N), with a gradient with respect to probs_next alone.
    """
    reward, discount, atoms = raw(reward), raw(discount), raw(atoms)
    shapes = tuple(probs_next.shape), shape_of(reward), shape_of(discount), shape_of(atoms)
    b, n = shapes[0] if len(shapes[0]) == 2 else (-1, -1)
    if n < 2 or shapes[1] != (b,) or shapes[2] not in ((b,), ()) or shapes[3] != (n,):
        raise ValueError(
            "categorical_projection: expected probs_next (B, N), reward (B,), discount (B,) or a number, and atoms "
            f"(N,), N at least 2; got {shapes[0]}, {shapes[1]}, {shapes[2]} and {shapes[3]}"
        )
    return CategoricalProjection(reward, discount, atoms).apply(probs_next)


class QuantileHuberLoss(Function):
    """The loss of each pair (B, N, M) or, with `rows`, its sum over quantiles and mean over targets (B,)."""

    saves = "quantiles targets slope"

    def __init__(self, taus: Any, delta: float, rows: bool):
        self.taus, self.delta, self.rows = taus, delta, rows

    def forward(self, quantiles, targets):
        if quantiles.ndim != 2 or targets.ndim != 2 or len(quantiles) != len(targets):
            raise ValueError("expected quantiles (B, N) and targets (B, M)")
        if quantiles.dtype != targets.dtype:
            raise TypeError("quantiles and targets must have one dtype")
        rest, self.slope = self.pairs(quantiles, targets)
        if self.rows:
            b, n, m = rest.shape
            return (rest.reshape(b, 1, n * m) @ self.slope.reshape(b, n * m, 1)).reshape(b) * (1 / (m or 1))
        return rest * self.slope

    def pairs(self, quantiles, targets):
        """Two factors of the losses (B, N, M); the second is their derivative with respect to the targets."""
        (b, n), m = quantiles.shape, targets.shape[1]
        d = targets.reshape(b, 1, m) - quantiles.reshape(b, n, 1)
        weight = abs(self.taus - (raw(d) < 0))
        if self.delta == 0:
            return d, weight * np.sign(raw(d))
        limited = clip(d, -self.delta, self.delta) if traced(d) else d.clip(-self.delta, self.delta)
        weight *= 1 / self.delta
        return d - 0.5 * limited, limited * weight

    def composite(self, quantiles, targets):
        rest, slope = self.pairs(quantiles, targets)
        return sum(rest * slope, axis=(1, 2)) * (1 / (targets.shape[1] or 1)) if self.rows else rest * slope

    def backward(self, gy, quantiles, targets, slope):
        e_quantiles, e_targets = self.edges
        if self.rows:
            gy = gy.reshape(-1, 1) * (1 / (targets.shape[1] or 1))
            return e_quantiles and -gy * slope.sum(axis=2), e_targets and gy * slope.sum(axis=1)
        g = gy * slope
        return e_quantiles and -g.sum(axis=2), e_targets and g.sum(axis=1)


def quantile_huber_loss(quantiles, targets, taus=None, delta=1.0, reduce="mean"):
    """|tau - [d < 0]| huber(d) / delta of d = target - quantile, summed over quantiles, averaged over targets and rows.

    quantiles (B, N) at the fractions taus, (N,) or (B, N), the midpoints (i + 1/2) / N where none are given; targets
    (B, M). reduce: "mean" over rows, "sum_along_second_axis" gives the rows (B,), "no" every pair (B, N, M). Delta 0 is
    quantile regression without Huber. Dabney et al. 2018, IQN, eq. 3; QR-DQN's eq. 10 does not divide by delta.
    """
    check_reduce("quantile_huber_loss", reduce, ("mean", "sum_along_second_axis", "no"))
    if delta < 0:
        raise ValueError(f"quantile_huber_loss: delta must be >= 0, got {delta!r}")
    n, q = quantiles.shape[-1], raw(quantiles)
    taus = (xp_of(q).arange(n) + 0.5) / n if taus is None else raw(taus)
    if taus.shape not in ((n,), q.shape):
        raise ValueError(f"quantile_huber_loss: taus must be ({n},) or {tuple(q.shape)}, got {tuple(taus.shape)}")
    taus = taus.astype(q.dtype).reshape(*taus.shape, 1)
    y = QuantileHuberLoss(taus, delta, reduce != "no").apply(quantiles, targets)
    return average(y) if reduce == "mean" else y
