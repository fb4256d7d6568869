"""Observations and rewards scaled by their running moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.envs.wrappers.observations import boxes, of_boxes
from rlcore.envs.wrappers.rewards import RewardWrapper
from rlcore.stream import Step
from rlcore.tree import leaves, map_

PRIOR = 1e-4  # rows that the first mean, 0, and the first variance, 1, count for: as in Baselines, Gymnasium and SB3


class Moments:
    """Mean and variance (d,) of all rows seen, in float64, written in place (Chan et al. 1983, eq. 2.1).

    std: the square root of the variance plus epsilon. Of several ranks, each has moments of its own that it `share`s:
    with those of the rows that it has seen since the last `join`, from which on all have the same.
    """

    own: Moments | None = None  # of the rows since then
    _before: tuple[Any, Any, float]  # mean, variance and count at that time

    def __init__(self, d: int, epsilon: float):
        if not epsilon > 0:
            raise ValueError(f"epsilon, added to a variance, must be positive, got {epsilon}")
        self.mean, self.var, self.count = np.zeros(d), np.ones(d), PRIOR
        self.epsilon = epsilon
        self.std = np.sqrt(self.var + epsilon)
        self._weights = np.zeros(0)

    def update(self, x: np.ndarray) -> None:
        """Take in rows (n, d) of float64, n > 0."""
        n = len(x)
        if n != len(self._weights):
            self._weights = np.full(n, 1 / n)
        mean = self._weights @ x  # half the time of x.mean(0)
        off = x - mean
        off *= off
        self.merge(n, mean, self._weights @ off)
        self.std = np.sqrt(self.var + self.epsilon)
        if self.own is not None:
            self.own.update(x)

    def merge(self, n: float, mean: np.ndarray, var: np.ndarray) -> None:
        """Take in n > 0 rows of this mean and variance; std stays as it was."""
        total = self.count + n
        new, old = n / total, self.count / total
        delta = mean - self.mean
        self.mean += delta * new
        self.var *= old
        self.var += (var + delta * delta * old) * new
        self.count = total

    def share(self) -> None:
        """From now on, keep apart what the next `join` is to be told."""
        if self.own is None:
            self._begin()

    def join(self, parts: Sequence[tuple[float, np.ndarray, np.ndarray]]) -> None:
        """Become what they were at the last join, and the count, mean and variance of each rank's rows since."""
        self.mean[...], self.var[...], self.count = self._before
        for n, mean, var in parts:
            if n:
                self.merge(n, mean, var)
        self.std = np.sqrt(self.var + self.epsilon)
        self._begin()

    def _begin(self) -> None:
        self._before = self.mean.copy(), self.var.copy(), self.count
        self.own = Moments(len(self.mean), self.epsilon)
        self.own.count = 0.0

    def state(self) -> dict[str, Any]:
        state = {"mean": self.mean, "var": self.var, "count": self.count}
        return state if self.own is None else {**state, "own": self.own.state(), "before": self._before}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this."""
        for name in ("mean", "var"):
            array = np.asarray(state[name])
            if array.shape != self.mean.shape or not np.isfinite(array).all():
                raise ValueError(f"load: {name} of running moments must be {self.mean.shape} and finite, got {array}")
        if not state["count"] > 0 or np.min(state["var"], initial=0) < 0:
            raise ValueError("load: running moments with a negative variance or no count")
        if "own" in state:
            own, (mean, var, _) = state["own"], state["before"]
            arrays = [np.asarray(array) for array in (own["mean"], own["var"], mean, var)]
            if not all(a.shape == self.mean.shape and np.isfinite(a).all() for a in arrays) or own["count"] < 0:
                raise ValueError(f"load: running moments shared between ranks must be {self.mean.shape} and finite")

    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back, in place: whoever shares these moments shares the new ones."""
        self.mean[...], self.var[...], self.count = state["mean"], state["var"], float(state["count"])
        self.std = np.sqrt(self.var + self.epsilon)
        if self.own is not None or "own" in state:
            self._begin()
        if self.own is not None and "own" in state:
            self.own.load(state["own"])
            mean, var, count = state["before"]
            self._before = np.array(mean), np.array(var), float(count)


class NormalizeObservation(Wrapper):
    """Floats of Box observations less their running mean, over their standard deviation, clipped to [-clip, clip].

    While `training`, the moments take in each observation that there is to act on once, first ones included; true last
    ones are only scaled. `on(env)` shares them, live, and does not change them. Integers (images, masks, counts) stay
    as they are: cast or rescale them first. epsilon: added to the variance. clip: None does not clip.
    """

    learns = True

    def __init__(self, env: VectorEnv, clip: float | None = 10.0, epsilon: float = 1e-8):
        if clip is not None and not clip > 0:
            raise ValueError(f"NormalizeObservation: clip must be positive or None, got {clip}")
        super().__init__(env, clip=None if clip is None else float(clip), epsilon=float(epsilon))
        self.clip, self.training = self.settings["clip"], True
        self.moments = map_(
            lambda box: None if _whole(box) else Moments(int(np.prod(box.shape)), epsilon), boxes(env.observation_space)
        )
        if all(moments is None for moments in leaves(self.moments)):
            raise ValueError(
                f"NormalizeObservation: there is no Box of floats in {env.observation_space}; CastObservation and "
                "RescaleObservation make one of integers"
            )
        bound = np.inf if clip is None else clip
        self.observation_space = of_boxes(
            env.observation_space, lambda box: box if _whole(box) else spaces.Box(-bound, bound, box.shape, np.float32)
        )

    def first(self, obs: Any) -> Any:
        return self._scaled(obs, self.training)

    def after(self, step: Step) -> Step:
        obs, reward, terminated, truncated, final_obs, valid, info = step
        now = self._scaled(obs, self.training)
        final = now if final_obs is obs else self._scaled(final_obs, False)
        return Step(now, reward, terminated, truncated, final, valid, info)

    def _scaled(self, obs: Any, count: bool) -> Any:
        if type(obs) is np.ndarray:
            return self._scale(self.moments, obs, count)
        return map_(lambda moments, leaf: self._scale(moments, leaf, count), self.moments, obs)

    def _scale(self, moments: Moments | None, leaf: np.ndarray, count: bool) -> np.ndarray:
        if moments is None:
            return leaf
        x = leaf.reshape(self.n_envs, -1).astype(np.float64)
        if count:
            moments.update(x)
        x -= moments.mean
        x /= moments.std
        if self.clip is not None:
            np.minimum(np.maximum(x, -self.clip, out=x), self.clip, out=x)
        return x.astype(np.float32).reshape(leaf.shape)

    def on(self, env: VectorEnv) -> NormalizeObservation:
        other = type(self)(env, **self.settings)
        other.moments, other.training = self.moments, False
        return other

    def own_state(self) -> dict[str, Any]:
        return {"moments": [moments and moments.state() for moments in leaves(self.moments)]}

    def check_own(self, state: dict[str, Any]) -> None:
        own = list(leaves(self.moments))
        if [s is None for s in state["moments"]] != [m is None for m in own]:
            raise ValueError("load: NormalizeObservation has moments of other observations")
        for moments, saved in zip(own, state["moments"]):
            if moments is not None:
                moments.check(saved)

    def load_own(self, state: dict[str, Any]) -> None:
        for moments, saved in zip(leaves(self.moments), state["moments"]):
            if moments is not None:
                moments.load(saved)

    def exported(self) -> dict[str, Any]:
        mean, var = (
            map_(
                lambda m, box, name=name: m and getattr(m, name).reshape(box.shape),
                self.moments,
                boxes(self.env.observation_space),
            )
            for name in ("mean", "var")
        )
        return {"kind": "normalize", "mean": mean, "var": var, **self.settings}


class NormalizeReward(RewardWrapper):
    """Rewards divided by the running standard deviation of the discounted return, then clipped to [-clip, clip].

    Each stream sums R = gamma R + r from the start of its episode, as Stable-Baselines3's VecNormalize does; the mean
    is not subtracted. gamma: the agent's discount. epsilon: added to the variance. clip: None does not clip.
    """

    def __init__(self, env: VectorEnv, gamma: float = 0.99, epsilon: float = 1e-8, clip: float | None = 10.0):
        if not 0 <= gamma <= 1:
            raise ValueError(f"NormalizeReward: gamma must be within [0, 1], got {gamma}")
        if clip is not None and not clip > 0:
            raise ValueError(f"NormalizeReward: clip must be positive or None, got {clip}")
        super().__init__(env, gamma=float(gamma), epsilon=float(epsilon), clip=None if clip is None else float(clip))
        self.gamma, self.clip = float(gamma), self.settings["clip"]
        self.moments = Moments(1, epsilon)
        self._returns = np.zeros((self.n_envs, 1))

    def first(self, obs: Any) -> Any:
        self._returns = np.zeros((self.n_envs, 1))
        return obs

    def after(self, step: Step) -> Step:
        obs, reward, terminated, truncated, final_obs, valid, info = step
        returns = self._returns
        returns *= self.gamma
        returns[:, 0] += reward
        if valid.all():
            self.moments.update(returns)
        elif valid.any():
            self.moments.update(returns[valid])
        over = terminated | truncated | ~valid
        if over.any():
            returns[over] = 0
        scaled = reward / self.moments.std
        if self.clip is not None:
            scaled = np.minimum(np.maximum(scaled, -self.clip), self.clip)
        return Step(obs, scaled.astype(np.float32), terminated, truncated, final_obs, valid, info)

    def own_state(self) -> dict[str, Any]:
        return {"moments": self.moments.state(), "returns": self._returns}

    def check_own(self, state: dict[str, Any]) -> None:
        self.moments.check(state["moments"])
        if np.shape(state["returns"]) != (self.n_envs, 1):
            raise ValueError(f"load: NormalizeReward has returns of shape {np.shape(state['returns'])}")

    def load_own(self, state: dict[str, Any]) -> None:
        self.moments.load(state["moments"])
        self._returns = np.array(state["returns"], np.float64)


def _whole(box: spaces.Box | None) -> bool:
    """Whether this is no Box of floats."""
    return box is None or box.dtype.kind != "f"
