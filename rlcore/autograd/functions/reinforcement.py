"""Losses and projections of distributional reinforcement learning."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, scatter, shape_of
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import broadcast, reshape
from rlcore.autograd.functions.indexing import arange_beside
from rlcore.autograd.functions.loss import absolute_error, check_dtypes, check_reduce, huber_loss
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
        low = np.fmin(np.floor(at), n - 2)  # a number also where the reward is NaN, which then is the share
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
    """The loss of each row, (B,)."""

    saves = "quantiles targets to_quantiles to_targets"

    def __init__(self, taus: Any, delta: float):
        self.taus, self.delta = taus, delta

    def forward(self, quantiles, targets):
        (b, n), m, xp, dtype = quantiles.shape, targets.shape[1], xp_of(quantiles), quantiles.dtype
        y, self.to_quantiles, self.to_targets = xp.empty(b, dtype), xp.empty((b, n), dtype), xp.empty((b, m), dtype)
        ones, scale = xp.ones(max(n, m), dtype), 1 / ((self.delta or 1) * (m or 1))
        # on the CPU a few rows at a time, whose pairs stay in the cache; all pairs together are never kept
        k = max(CACHED // (n * m or 1), 1) if isinstance(quantiles, np.ndarray) else b or 1
        for start in range(0, b, k):
            rows = slice(start, start + k)
            d = targets[rows, None, :] - quantiles[rows, :, None]
            slope = abs((self.taus[rows] if self.taus.ndim == 3 else self.taus) - (d < 0))
            if self.delta == 0:
                slope *= np.sign(d)
            else:
                limited = d.clip(-self.delta, self.delta)
                slope *= limited
                limited *= 0.5
                d -= limited
            y[rows] = (d.reshape(-1, 1, n * m) @ slope.reshape(-1, n * m, 1)).reshape(-1) if n * m else 0
            self.to_quantiles[rows] = slope @ ones[:m]
            self.to_targets[rows] = ones[:n] @ slope
        self.to_quantiles *= -scale
        self.to_targets *= scale
        y *= scale
        return y

    def composite(self, quantiles, targets):
        return sum(_pairs(quantiles, targets, self.taus, self.delta), axis=(1, 2)) * (1 / (targets.shape[1] or 1))

    def backward(self, gy, quantiles, targets, to_quantiles, to_targets):
        e_quantiles, e_targets = self.edges
        gy = gy.reshape(-1, 1)
        return e_quantiles and gy * to_quantiles, e_targets and gy * to_targets


CACHED = 2**15  # elements


def _pairs(quantiles: Any, targets: Any, taus: Any, delta: float) -> Any:
    """The loss of each pair, (B, N, M)."""
    (b, n), m = quantiles.shape, targets.shape[1]
    t, q = broadcast(reshape(targets, (b, 1, m)), reshape(quantiles, (b, n, 1)))
    loss = absolute_error(t, q) if delta == 0 else huber_loss(t, q, delta, "no") * (1 / delta)
    return loss * abs(taus - (t.array < q.array))


def quantile_huber_loss(quantiles, targets, taus=None, delta=1.0, reduce="mean"):
    """|tau - [d < 0]| huber(d) / delta of d = target - quantile, summed over quantiles, averaged over targets and rows.

    quantiles (B, N) at the fractions taus, (N,) or (B, N), the midpoints (i + 1/2) / N where none are given; targets
    (B, M). reduce: "mean" over rows, "sum_along_second_axis" gives the rows (B,), "no" every pair (B, N, M). Delta 0 is
    quantile regression without Huber. Dabney et al. 2018, IQN, eq. 3; QR-DQN's eq. 10 does not divide by delta.
    """
    check_reduce("quantile_huber_loss", reduce, ("mean", "sum_along_second_axis", "no"))
    check_dtypes("quantile_huber_loss", quantiles=quantiles, targets=targets)
    if delta < 0:
        raise ValueError(f"quantile_huber_loss: delta must be >= 0, got {delta!r}")
    if len(quantiles.shape) != 2 or len(targets.shape) != 2 or len(quantiles) != len(targets):
        raise ValueError(
            "quantile_huber_loss: expected quantiles (B, N) and targets (B, M), got "
            f"{tuple(quantiles.shape)} and {tuple(targets.shape)}"
        )
    n, q = quantiles.shape[1], raw(quantiles)
    taus = (xp_of(q).arange(n) + 0.5) / n if taus is None else raw(taus)
    if taus.shape not in ((n,), q.shape):
        raise ValueError(f"quantile_huber_loss: taus must be ({n},) or {tuple(q.shape)}, got {tuple(taus.shape)}")
    taus = taus.astype(q.dtype).reshape(*taus.shape, 1)
    if reduce == "no":
        return _pairs(quantiles, targets, taus, delta)
    y = QuantileHuberLoss(taus, delta).apply(quantiles, targets)
    return average(y) if reduce == "mean" else y
