"""Returns and advantages: arrays (T, N) of T steps of N streams in, such arrays out."""

from __future__ import annotations

import math
from collections.abc import Mapping

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


def rollout_gae(columns: Mapping[str, Array], value: Array, gamma: float, lam: float) -> Array:
    """`gae` (T, N) of a rollout's columns and the values of its observations (T, N).

    `final_value` holds the values of successors that are not the next row's observation: where the episode was cut
    short, and in the last row.
    """
    final, truncated, terminated = columns["final_value"], columns["truncated"], columns["terminated"]
    following = np.concatenate((value[1:], final[-1:]))
    next_value = np.where(truncated, final, following)
    return gae(columns["reward"], value, next_value, terminated, terminated | truncated, columns["valid"], gamma, lam)


def normalized(x: Array) -> Array:
    """Mean 0 and deviation 1 (N,), by n - 1 as Stable-Baselines3; a single element stays."""
    if len(x) < 2:
        return x
    x = x - x.sum() / len(x)
    return x / (math.sqrt(x.dot(x) / (len(x) - 1)) + 1e-8)


def explained_variance(error: Array, target: Array) -> float | None:
    """The share of the variance of targets (N,) that predictions explain which err by `error`; None if it is 0."""
    error, target = error - error.sum() / len(error), target - target.sum() / len(target)
    spread = float(target.dot(target))
    return 1 - float(error.dot(error)) / spread if spread else None


def n_step_returns(reward: Array, discount: Array, value: Array, valid: Array, n: int) -> Array:
    """Returns (T, N) of up to n rewards along sequences, and the value of what followed the last of them.

    value (T + 1, N) is that of every observation, of the one after the last row too, discount (T, N) what the value of
    a row's successor is multiplied with. Sums end at rows that are no transitions (not valid), whose value counts, and
    with the sequence. Sutton and Barto 2018, eq. 7.1.
    """
    returns = value.copy()
    for _ in range(n):
        returns[:-1] = np.where(valid, reward + discount * returns[1:], value[:-1])
    return returns[:-1]


def rescaled(x: Array, eps: float) -> Array:
    """sign(x) (sqrt(|x| + 1) - 1) + eps x: values of any size in a small range. Pohlen et al. 2018, proposition A.1."""
    return x / (np.sqrt(abs(x) + 1) + 1) + eps * x


def unrescaled(x: Array, eps: float) -> Array:
    """The inverse of `rescaled`, in a form that subtracts no numbers that are nearly equal."""
    y = abs(x) + (1 + eps)
    root = 2 * y / (1 + np.sqrt(1 + 4 * eps * y))  # sqrt(|inverse| + 1)
    return np.sign(x) * ((root - 1) * (root + 1))
