"""Losses of reinforcement learning."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd import functions as F
from rlcore.autograd.function import Function


class ClippedSurrogate(Function):
    saves = "log_prob old advantage slope"

    def __init__(self, clip_range: float):
        self.clip_range = clip_range

    def forward(self, log_prob: Any, old: Any, advantage: Any) -> Any:
        ratio = np.exp(log_prob - old)
        plain, clipped = ratio * advantage, ratio.clip(1 - self.clip_range, 1 + self.clip_range) * advantage
        self.slope = plain * (plain <= clipped) * (-1 / len(plain))
        return -np.minimum(plain, clipped).sum() / len(plain)

    def composite(self, log_prob: Any, old: Any, advantage: Any) -> Any:
        ratio = F.exp(log_prob - old)
        clipped = F.clip(ratio, 1 - self.clip_range, 1 + self.clip_range)
        return -F.average(F.minimum(ratio * advantage, clipped * advantage))

    def backward(self, gy: Any, log_prob: Any, old: Any, advantage: Any, slope: Any) -> Any:
        return gy * slope, None, None


def clipped_surrogate(log_prob: Any, old: Any, advantage: Any, clip_range: float) -> Any:
    """PPO's loss: the lesser of ratio and clipped ratio, times the advantage, averaged and negated.

    log_prob (N,), with a gradient; old (N,), that of the policy which acted. Schulman et al. 2017, eq. 7.
    """
    return ClippedSurrogate(clip_range).apply(log_prob, old, advantage)
