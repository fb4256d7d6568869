"""Losses of reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlcore.autograd import functions as F
from rlcore.autograd.dual import raw
from rlcore.autograd.function import Function
from rlcore.autograd.functions.indexing import arange_beside
from rlcore.backend import xp_of


class PPOLoss(Function):
    saves = "log_prob entropy value old advantage old_value target slope error"

    def __init__(self, clip_range: float, clip_range_vf: float | None, ent_coef: float, vf_coef: float):
        self.clip_range, self.clip_range_vf, self.ent_coef, self.vf_coef = clip_range, clip_range_vf, ent_coef, vf_coef

    def forward(
        self, log_prob: Any, entropy: Any, value: Any, old: Any, advantage: Any, old_value: Any, target: Any
    ) -> Any:
        n, clip_range, clip_range_vf = len(log_prob), self.clip_range, self.clip_range_vf
        log_ratio = log_prob - old
        ratio = np.exp(log_ratio)
        off = ratio - 1
        plain = ratio * advantage
        clipped = np.minimum(np.maximum(off, -clip_range), clip_range)
        clipped += 1
        clipped *= advantage
        least = np.minimum(plain, clipped)
        self.slope = plain * (plain == least)
        self.policy_loss = -least.sum() / n
        if clip_range_vf is None:
            self.error = error = value - target
            square = error * error
        else:
            moved = value - old_value
            bounded = np.minimum(np.maximum(moved, -clip_range_vf), clip_range_vf)
            error = old_value + bounded - target
            square = error * error
            self.error = error * (moved == bounded)
        self.value_loss = square.sum() / n
        self.entropy_loss = -entropy.sum() / n
        self.clip_fraction = xp_of(off).count_nonzero(abs(off) > clip_range) / n
        off -= log_ratio
        self.approx_kl = off.sum() / n  # without bias and of little variance, as Stable-Baselines3's
        return self.policy_loss + self.vf_coef * self.value_loss + self.ent_coef * self.entropy_loss

    def composite(
        self, log_prob: Any, entropy: Any, value: Any, old: Any, advantage: Any, old_value: Any, target: Any
    ) -> Any:
        ratio = F.exp(log_prob - old)
        clipped = F.clip(ratio, 1 - self.clip_range, 1 + self.clip_range)
        if self.clip_range_vf is not None:
            value = old_value + F.clip(value - old_value, -self.clip_range_vf, self.clip_range_vf)
        gain = F.average(F.minimum(ratio * advantage, clipped * advantage))
        return self.vf_coef * F.average(F.square(value - target)) - gain - self.ent_coef * F.average(entropy)

    def backward(
        self,
        gy: Any,
        log_prob: Any,
        entropy: Any,
        value: Any,
        old: Any,
        advantage: Any,
        old_value: Any,
        target: Any,
        slope: Any,
        error: Any,
    ) -> Any:
        share, (first, second, third, *_) = gy / len(slope), self.edges
        spread = None
        if second is not None and self.ent_coef:
            spread = xp_of(slope).full(slope.shape, -self.ent_coef * share, slope.dtype)
        value = third and error * (2 * self.vf_coef * share)
        return first and slope * -share, spread, value, None, None, None, None


def ppo_loss(
    log_prob: Any,
    entropy: Any,
    value: Any,
    batch: Mapping[str, Any],
    advantage: Any,
    *,
    clip_range: float,
    clip_range_vf: float | None,
    ent_coef: float,
    vf_coef: float,
) -> tuple[Any, dict[str, Any]]:
    """PPO's loss, and its parts by the names of Stable-Baselines3; Schulman et al. 2017, eq. 7 and 9.

    The lesser of the ratio of probabilities and of the ratio clipped to 1 +- clip_range, times the advantage, averaged
    and negated; ent_coef times the negated entropy; vf_coef times the squared error of values, which count as moving by
    at most clip_range_vf. log_prob, entropy, value (N,), with gradients; advantage (N,), and batch: log_prob, value,
    return (N,) before the update.
    """
    op = PPOLoss(clip_range, clip_range_vf, ent_coef, vf_coef)
    loss = op.apply(log_prob, entropy, value, batch["log_prob"], advantage, batch["value"], batch["return"])
    return loss, {
        "loss": loss.array, "policy_gradient_loss": op.policy_loss, "value_loss": op.value_loss,
        "entropy_loss": op.entropy_loss, "clip_fraction": op.clip_fraction, "approx_kl": op.approx_kl,
    }  # fmt: skip


class ActorCriticLoss(Function):
    saves = "advantage value target"

    def __init__(self, ent_coef: float, vf_coef: float):
        self.ent_coef, self.vf_coef = ent_coef, vf_coef

    def forward(self, log_prob: Any, entropy: Any, value: Any, advantage: Any, target: Any) -> Any:
        error = value - target
        self.policy_loss = -(log_prob * advantage).sum() / len(error)
        self.entropy_loss = -entropy.sum() / len(error)
        self.value_loss = (error * error).sum() / len(error)
        return self.policy_loss + self.ent_coef * self.entropy_loss + self.vf_coef * self.value_loss

    def backward(self, gy: Any, advantage: Any, value: Any, target: Any) -> Any:
        share, log_prob, entropy = gy / len(advantage), None, None
        if self.edges[0] is not None:
            log_prob = -share * advantage
        if self.edges[1] is not None and self.ent_coef:
            entropy = share * xp_of(advantage).full(advantage.shape, -self.ent_coef, advantage.dtype)
        return log_prob, entropy, (value - target) * (2 * self.vf_coef * share), None, None


def actor_critic_loss(
    log_prob: Any, entropy: Any, value: Any, advantage: Any, target: Any, ent_coef: float, vf_coef: float
) -> tuple[Any, dict[str, Any]]:
    """-log_prob * advantage - ent_coef * entropy + vf_coef * (value - target)^2, averaged; its parts by name.

    log_prob, entropy and value (N,), with gradients; advantage and target (N,), without. Mnih et al. 2016, section 4.
    """
    op = ActorCriticLoss(ent_coef, vf_coef)
    loss = op.apply(log_prob, entropy, value, advantage, target)
    return loss, {"policy_loss": op.policy_loss, "value_loss": op.value_loss, "entropy_loss": op.entropy_loss}


class ActionCrossEntropy(Function):
    saves = "logits action target slope"

    def forward(self, logits: Any, action: Any, target: Any) -> Any:
        x = logits[arange_beside(action, len(action)), action]
        x -= x.max(axis=1, keepdims=True)
        p = np.exp(x)
        total = p.sum(axis=1, keepdims=True)
        loss = np.log(total).reshape(-1) - (target * x).sum(axis=1)
        p /= total
        p -= target
        self.slope = p
        return loss

    def composite(self, logits: Any, action: Any, target: Any) -> Any:
        rows = F.get_item(logits, (arange_beside(raw(action), len(action)), action))
        return -F.sum(F.log_softmax(rows) * target, axis=1)

    def backward(self, gy: Any, logits: Any, action: Any, target: Any, slope: Any) -> Any:
        g = xp_of(gy).zeros(logits.shape, gy.dtype)
        g[arange_beside(action, len(action)), action] = slope * gy.reshape(-1, 1)  # each row once: nothing to add up
        return g, None, None


def action_cross_entropy(logits: Any, action: Any, target: Any) -> Any:
    """The cross-entropy (N,) of logits[i, action[i]] (N, A, K), with a gradient, against probabilities target (N, K).

    Bellemare et al. 2017, section 4.1. The target's rows sum to 1.
    """
    return ActionCrossEntropy().apply(logits, action, target)


def mean_of(losses: Any, batch: dict[str, Any]) -> Any:
    """The mean of the losses (N,) of a batch's transitions, each times its weight where a replay has given weights."""
    return F.average(losses * batch["weight"]) if "weight" in batch else F.average(losses)


class SquaredErrors(Function):
    saves = "q goal weight error"

    def forward(self, q: Any, goal: Any, weight: Any = None) -> Any:
        self.error = error = q - goal
        square = error * error
        if weight is not None:
            square *= weight
        return square.sum() * (0.5 / len(goal))

    def composite(self, q: Any, goal: Any, weight: Any = None) -> Any:
        square = F.square(q - goal)
        return F.sum(square if weight is None else square * weight) * (0.5 / len(goal))

    def backward(self, gy: Any, q: Any, goal: Any, weight: Any, error: Any) -> Any:
        g = error * (gy / len(goal))
        return g if weight is None else g * weight, None, None


def squared_errors(q: Any, goal: Any, weight: Any = None) -> Any:
    """Half the squared errors of K critics' values, averaged over transitions and summed over critics.

    q (K, N), with a gradient; goal and weight (N,). Haarnoja et al. 2018, eq. 5.
    """
    return SquaredErrors().apply(q, goal, weight)


class SoftPolicyLoss(Function):
    saves = "log_prob q alpha least"

    def forward(self, log_prob: Any, q: Any, alpha: Any) -> Any:
        least = q.min(axis=0)
        self.least = q == least
        return (alpha * log_prob - least).sum() / len(log_prob)

    def composite(self, log_prob: Any, q: Any, alpha: Any) -> Any:
        return F.average(alpha * log_prob - F.min(q, axis=0))

    def backward(self, gy: Any, log_prob: Any, q: Any, alpha: Any, least: Any) -> Any:
        share = gy / len(log_prob)
        return xp_of(log_prob).broadcast_to(share * alpha, log_prob.shape), least * -share, None


def soft_policy_loss(log_prob: Any, q: Any, alpha: Any) -> Any:
    """alpha * log_prob less the least of K critics' values, averaged.

    log_prob (N,) and q (K, N) of the policy's own actions, with gradients; alpha (1,). Haarnoja et al. 2018, eq. 7 with
    the lesser of two critics (section 4.2); of values that tie each gets the whole gradient.
    """
    return SoftPolicyLoss().apply(log_prob, q, alpha)
