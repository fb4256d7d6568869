"""Returns and advantages: arrays (T, N) of T steps of N streams in, such arrays out."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    ended: Array,
    valid: Array,
    gamma: float,
    lam: float,
) -> Array:
    """Generalised advantage estimates (T, N). Schulman et al. 2016, eq. 16; lam 0 is the TD error, 1 Monte Carlo.

    next_value is the value of a row's true successor: of final_obs where the episode was cut short, of whatever follows
    the last row. It does not count where terminated. Estimates end at `ended`, and at rows that are no transitions (not
    valid), whose own is 0.
    """
    advantage = reward + gamma * next_value * ~terminated - value
    advantage *= valid
    decay = (gamma * lam) * (valid & ~ended).astype(advantage.dtype)
    for t in range(len(advantage) - 2, -1, -1):
        advantage[t] += decay[t] * advantage[t + 1]
    return advantage
