"""Losses of reinforcement learning, row by row."""

from __future__ import annotations

from typing import Any

from rlcore.autograd import functions as F


def clipped_surrogate(ratio: Any, advantage: Any, clip_range: float) -> Any:
    """PPO's objective (N,): the lesser of ratio and clipped ratio, times the advantage. Schulman et al. 2017, eq. 7."""
    return F.minimum(ratio * advantage, F.clip(ratio, 1 - clip_range, 1 + clip_range) * advantage)
