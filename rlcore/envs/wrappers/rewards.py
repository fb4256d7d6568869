"""What agents get instead of the environment's rewards; `info["episode"]` keeps to the raw ones."""

from __future__ import annotations

import numpy as np

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.stream import Step


class RewardWrapper(Wrapper):
    """Changes the rewards alone, in `reward`; an environment to evaluate on goes without it."""

    def reward(self, reward: np.ndarray) -> np.ndarray:
        """Rewards (N,) float32 as they are to be seen."""
        return reward

    def after(self, step: Step) -> Step:
        obs, reward, terminated, truncated, final_obs, valid, info = step
        return Step(obs, self.reward(reward), terminated, truncated, final_obs, valid, info)

    def on(self, env: VectorEnv) -> VectorEnv:
        return env


class ClipReward(RewardWrapper):
    """Rewards clipped to [low, high]; None: no bound on that side."""

    def __init__(self, env: VectorEnv, low: float | None = -1.0, high: float | None = 1.0):
        bounds = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
        low, high = (bound if np.isfinite(bound) else None for bound in bounds)  # infinity is no number of JSON's
        super().__init__(env, low=low, high=high)
        if not bounds[0] < bounds[1]:
            raise ValueError(f"ClipReward: low must be below high, got {bounds[0]} and {bounds[1]}")
        self._low, self._high = (np.array(bound, np.float32) for bound in bounds)

    def reward(self, reward: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(reward, self._low), self._high)  # a third of np.clip's time


class SignReward(RewardWrapper):
    """The signs of the rewards, -1, 0 or 1 (Mnih et al. 2015)."""

    def reward(self, reward: np.ndarray) -> np.ndarray:
        return np.sign(reward)


class ScaleReward(RewardWrapper):
    """Rewards times `scale`."""

    def __init__(self, env: VectorEnv, scale: float):
        super().__init__(env, scale=float(scale))
        if not np.isfinite(scale):
            raise ValueError(f"ScaleReward: scale must be finite, got {scale}")
        self._scale = np.array(scale, np.float32)

    def reward(self, reward: np.ndarray) -> np.ndarray:
        return reward * self._scale
