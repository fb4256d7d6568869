"""Returns and advantages: arrays (T, N) of T steps of N streams in, such arrays out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rlcore.backend import xp_of

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
    terminated, ended = columns["terminated"], columns["terminated"] | columns["truncated"]
    next_value = successors(columns, value)
    return gae(columns["reward"], value, next_value, terminated, ended, columns["valid"], gamma, lam)


def successors(columns: Mapping[str, Array], value: Array) -> Array:
    """The values (T, N) of the true successors of a rollout's rows, whose own are `value`; see `rollout_gae`."""
    final = columns["final_value"]
    following = np.concatenate((value[1:], final[-1:]))
    return np.where(columns["truncated"], final, following)


def vtrace(
    log_prob: Array,
    behaviour: Array,
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    ended: Array,
    valid: Array,
    gamma: float,
    lam: float = 1.0,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
    clip_pg_rho: float = 1.0,
) -> tuple[Array, Array]:
    """V-trace targets of the values, and advantages of the policy gradient (T, N). Espeholt et al. 2018.

    log_prob and behaviour: of the actions, by the policy that is learned and by the one that acted. Ratios of their
    probabilities are clipped to clip_rho in a TD error (eq. 1), to clip_c in the trace, which decays by lam (remark 2),
    and to clip_pg_rho in the policy gradient (section 4.2). The rest as in `gae`; a row that is no transition has its
    value for target, and advantage 0.
    """
    log_ratio = np.where(valid, log_prob - behaviour, 0)
    rho, c, pg_rho = (np.exp(np.minimum(log_ratio, math.log(most))) for most in (clip_rho, clip_c, clip_pg_rho))
    discount = gamma * (~terminated).astype(reward.dtype)
    error = rho * (reward + discount * next_value - value) * valid
    goes_on = valid & ~ended
    trace = gamma * lam * c * goes_on
    for t in range(len(error) - 2, -1, -1):  # remark 1: error becomes target - value
        error[t] += trace[t] * error[t + 1]
    following = next_value.copy()  # the targets of the successors, which are their values where the stream is cut
    following[:-1] += goes_on[:-1] * error[1:]
    return value + error, pg_rho * (reward + discount * following - value) * valid


def rollout_vtrace(
    columns: Mapping[str, Array], log_prob: Array, value: Array, gamma: float, lam: float, *clips: float
) -> tuple[Array, Array]:
    """`vtrace` of a rollout's columns, as `rollout_gae`; log_prob (T, N): of its actions, by the policy as it is now.

    clips: clip_rho, clip_c, clip_pg_rho.
    """
    terminated, ended = columns["terminated"], columns["terminated"] | columns["truncated"]
    behaviour, reward, next_value = columns["log_prob"], columns["reward"], successors(columns, value)
    ends = terminated, ended, columns["valid"]
    return vtrace(log_prob, behaviour, reward, value, next_value, *ends, gamma, lam, *clips)


def normalized(x: Array) -> Array:
    """Mean 0 and deviation 1 (N,), by n - 1 as Stable-Baselines3; a single element stays."""
    if len(x) < 2:
        return x
    x = x - x.sum() / len(x)
    return x / (math.sqrt(x.dot(x) / (len(x) - 1)) + 1e-8)


def moments(x: Array) -> tuple[float, float, float]:
    """Number, mean, and sum of squared deviations from it, of numbers (n,)."""
    if not len(x):
        return 0.0, 0.0, 0.0
    mean = float(x.sum(dtype=np.float64) / len(x))
    off = x - mean
    return float(len(x)), mean, float(off.dot(off))


def merged(parts: Array) -> tuple[float, float, float]:
    """The `moments` of several parts together, given theirs (k, 3). Chan et al. 1983, eq. 2.1."""
    n, mean, square = parts.T
    total = float(n.sum())
    joint = float(n.dot(mean) / max(total, 1))
    return total, joint, float(square.sum() + n.dot((mean - joint) ** 2))


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
        returns[:-1] = xp_of(value).where(valid, reward + discount * returns[1:], value[:-1])
    return returns[:-1]


def rescaled(x: Array, eps: float) -> Array:
    """sign(x) (sqrt(|x| + 1) - 1) + eps x: values of any size in a small range. Pohlen et al. 2018, proposition A.1."""
    return x / (np.sqrt(abs(x) + 1) + 1) + eps * x


def unrescaled(x: Array, eps: float) -> Array:
    """The inverse of `rescaled`, in a form that subtracts no numbers that are nearly equal."""
    y = abs(x) + (1 + eps)
    root = 2 * y / (1 + np.sqrt(1 + 4 * eps * y))  # sqrt(|inverse| + 1)
    return np.sign(x) * ((root - 1) * (root + 1))
