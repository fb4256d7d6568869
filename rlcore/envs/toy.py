"""Tiny environments with known answers, for tests and for learning the library."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Chain(gymnasium.Env[np.ndarray, Any]):
    """States 0 to n in a row: action 1 moves right, 0 left; reaching n gives 1 and ends the episode.

    Observations are one-hot, and state n, which is only ever a last observation, differs from the first one. Under
    "always right" the value of state s is gamma ** (n - 1 - s).
    """

    def __init__(self, n: int = 5, limit: int | None = None):
        self.n, self.limit = n, limit
        self.observation_space = spaces.Box(0, 1, (n + 1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.s = self.t = 0

    def _obs(self) -> np.ndarray:
        obs = np.zeros(self.n + 1, np.float32)
        obs[self.s] = 1
        return obs

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.s = self.t = 0
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.s = self.s + 1 if action else max(self.s - 1, 0)
        self.t += 1
        over = self.s == self.n
        return self._obs(), float(over), over, self.t == self.limit, {}


class Forever(gymnasium.Env[np.ndarray, Any]):
    """One state, reward 1 at every step, cut after `limit`: its value is 1 / (1 - gamma) if cuts are bootstrapped."""

    def __init__(self, limit: int = 5):
        self.limit, self.t = limit, 0
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.ones(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.ones(1, np.float32), 1.0, False, self.t == self.limit, {}


class HashChain(gymnasium.Env[np.ndarray, Any]):
    """The next state is a hash of state, action and episode, so that a transition mixed from two episodes is found.

    Observations are (episode seed, state), integers; episodes end at random, half of them by truncation.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 2**31 - 1, (2,), np.int64)
        self.action_space = spaces.Discrete(4)
        self.episode = self.s = 0

    @staticmethod
    def after(obs: Any, action: Any) -> Any:
        """The true successors (N, 2) of observations (N, 2) under actions (N,)."""
        s = (obs[:, 1] * 6364136 + obs[:, 0] * 97 + action * 7919 + 1) % (2**31 - 1)
        return np.stack([obs[:, 0], s], axis=1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode = int(self.np_random.integers(2**31 - 1))
        self.s = 0
        return np.array([self.episode, self.s]), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs = self.after(np.array([[self.episode, self.s]]), np.array([action]))[0]
        self.s = int(obs[1])
        u = self.np_random.random()
        return obs, float(self.s % 7), u < 0.1, 0.1 <= u < 0.2, {}
