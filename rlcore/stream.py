"""What flows from environments to agents and buffers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    """One step of N streams; every field has a leading axis N, also when N = 1.

    The arrays hold until the environment has stepped twice more.
    """

    obs: Any  # what to act on next: after an end, the new episode's first observation
    reward: np.ndarray  # (N,) float32
    terminated: np.ndarray  # (N,) bool: the task ended, what follows is worth 0
    truncated: np.ndarray  # (N,) bool: cut short, never with terminated; bootstrap from final_obs
    final_obs: Any  # the true successor; the same object as obs when no episode ended
    valid: np.ndarray  # (N,) bool: False for a row that is no transition; the stream is cut before and after it
    info: dict[str, Any]  # {} or {"episode": (stream, return, length) arrays of the episodes that ended}

    @property
    def ended(self) -> np.ndarray:
        """(N,) bool: the episode is over, by its own end or cut short."""
        return self.terminated | self.truncated
