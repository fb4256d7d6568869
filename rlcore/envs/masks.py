"""MaskFromInfo: the actions that an environment allows, told in its info, become part of what is observed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class MaskFromInfo(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Observations are {"obs": ..., "action_mask": ...}, the mask being info["action_mask"]: nonzero where allowed.

    For Discrete(n) it is an array (n,); for MultiDiscrete a part for each choice, in a tuple as Gymnasium's spaces take
    it or in one array, which is what is observed. The last observation of an episode may come without: all is allowed.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        action = env.action_space
        if isinstance(action, spaces.Discrete):
            n = int(action.n)
        elif isinstance(action, spaces.MultiDiscrete):
            n = int(action.nvec.sum())
        else:
            raise ValueError(f"MaskFromInfo: only Discrete and MultiDiscrete actions can be masked, not {action}")
        self.n, mask = n, spaces.MultiBinary(n)
        self.observation_space = spaces.Dict({"obs": env.observation_space, "action_mask": mask})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._both(obs, info, "reset()"), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated and "action_mask" not in info:
            info = {**info, "action_mask": np.ones(self.n, np.int8)}
        return self._both(obs, info, "step()"), reward, terminated, truncated, info

    def _both(self, obs: Any, info: dict[str, Any], call: str) -> dict[str, Any]:
        if "action_mask" not in info:
            raise ValueError(
                f"MaskFromInfo: {call} of {self.env} gave no info['action_mask']; its info has {list(info)}"
            )
        given = info["action_mask"]
        parts = [np.asarray(part).ravel() for part in given] if isinstance(given, (tuple, list)) else []
        mask = np.concatenate(parts) if parts else np.asarray(given).ravel()
        if len(mask) != self.n:
            raise ValueError(
                f"MaskFromInfo: {call} of {self.env} gave a mask of {len(mask)} actions, there are {self.n}"
            )
        return {"obs": obs, "action_mask": (mask != 0).astype(np.int8)}


def masked(make: Callable[[], gymnasium.Env[Any, Any]]) -> MaskFromInfo:
    """One environment of `make` whose masks are observed."""
    return MaskFromInfo(make())
