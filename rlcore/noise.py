"""Noise that is added to continuous actions, as rows of numbers for the streams that act."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.rng import check, restore, state_of

Array = np.ndarray


class Gaussian:
    """Independent normal noise of mean 0; scale: its deviation (n,), in each dimension of an action."""

    def __init__(self, scale: Array, rng: np.random.Generator):
        self.scale, self._rng = scale, rng

    def __call__(self, streams: int) -> Array:
        """Noise (streams, n) float32."""
        return self.scale * self._rng.standard_normal((streams, len(self.scale)), np.float32)

    def reset(self, over: Array, stream: int = 0) -> None:
        """The episodes of streams from number `stream` on are over where `over` (N,) is True."""

    def state(self) -> dict[str, Any]:
        return {"rng": state_of(self._rng)}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        if state.keys() != self.state().keys():
            raise ValueError(f"load: expected a noise's {', '.join(self.state())}, got {', '.join(state)}")
        check(self._rng, state["rng"])

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        restore(self._rng, state["rng"])


class OrnsteinUhlenbeck(Gaussian):
    """Noise that drifts from 0 on in each episode: x += -theta x dt + scale sqrt(dt) N(0, 1).

    In the long run its deviation is scale / sqrt(theta (2 - theta dt)). theta and dt: by default those of
    Stable-Baselines3. Uhlenbeck and Ornstein 1930; Lillicrap et al. 2016, where dt is 1.
    """

    def __init__(self, scale: Array, rng: np.random.Generator, theta: float = 0.15, dt: float = 0.01):
        super().__init__(scale, rng)
        self.keep, self.spread = np.float32(1 - theta * dt), np.float32(math.sqrt(dt))
        self.x = np.zeros((0, len(scale)), np.float32)

    def __call__(self, streams: int) -> Array:
        if streams > len(self.x):
            more = np.zeros((streams - len(self.x), self.x.shape[1]), np.float32)
            self.x = np.concatenate((self.x, more))
        self.x[:streams] = self.keep * self.x[:streams] + self.spread * super().__call__(streams)
        return self.x[:streams].copy()

    def reset(self, over: Array, stream: int = 0) -> None:
        part = self.x[stream : stream + len(over)]
        part[over[: len(part)]] = 0

    def state(self) -> dict[str, Any]:
        return {**super().state(), "x": self.x}

    def check(self, state: dict[str, Any]) -> None:
        super().check(state)
        x = state["x"]
        if not isinstance(x, np.ndarray) or x.ndim != 2 or x.shape[1:] != self.x.shape[1:] or x.dtype != self.x.dtype:
            raise ValueError(f"load: expected the noise of actions of {self.x.shape[1]} numbers, got {x!r}")

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.x = state["x"].copy()


KINDS: dict[str, type[Gaussian]] = {"normal": Gaussian, "ornstein-uhlenbeck": OrnsteinUhlenbeck}  # by settings' names
