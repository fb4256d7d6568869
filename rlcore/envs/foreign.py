"""ForeignEnv: a Gymnasium vector environment, in any of the three auto-reset modes, as a stream of Steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from rlcore.envs.base import VectorEnv, episode_seed
from rlcore.envs.vector import empty_batch
from rlcore.stream import Step
from rlcore.tree import map_


class ForeignEnv(VectorEnv):
    """Wraps a gymnasium.vector.VectorEnv, which must say its `autoreset_mode` in its metadata.

    DISABLED resets ended streams at once, SAME_STEP has its true successors in info, and the row that NEXT_STEP spends on
    a reset comes with valid=False. It cannot be resumed exactly: running episodes are dropped.
    """

    resumable = "no"

    def __init__(self, vector_env: Any, seed: int = 0):
        mode = vector_env.metadata.get("autoreset_mode")
        try:
            self.mode = AutoresetMode(mode)
        except ValueError:
            known = ", ".join(m.name for m in AutoresetMode)
            raise ValueError(
                f"{type(vector_env).__name__}: metadata['autoreset_mode'] is {mode!r}, so it is not known which rows are "
                f"transitions; set it to one of gymnasium.vector.AutoresetMode's {known}"
            ) from None
        self.env, self.seed, self.n_envs = vector_env, seed, vector_env.num_envs
        self.observation_space = vector_env.single_observation_space
        self.action_space = vector_env.single_action_space
        self.obs: Any = None
        self._ended = np.zeros(self.n_envs, bool)  # by the last step, and not yet reset
        self._episodes = np.arange(self.n_envs)  # numbers of the running ones
        self._returns, self._lengths = np.zeros(self.n_envs), np.zeros(self.n_envs, np.int64)

    def reset(self) -> Any:
        self._ended = np.zeros(self.n_envs, bool)
        self._episodes = np.arange(self.n_envs)
        self._returns, self._lengths = np.zeros(self.n_envs), np.zeros(self.n_envs, np.int64)
        seeds = [episode_seed(self.seed, i) for i in range(self.n_envs)]
        self.obs = self._batch(self.env.reset(seed=seeds)[0])
        return self.obs

    def _batch(self, obs: Any) -> Any:
        """A copy with floats as float32."""
        out = empty_batch(self.observation_space, self.n_envs)
        map_(lambda array, o: array.__setitem__(..., o), out, obs)
        return out

    def step(self, action: Any) -> Step:
        obs, reward, terminated, cut, info = self.env.step(action)
        final = obs = self._batch(obs)
        valid, truncated = ~self._ended, cut & ~terminated
        ended = terminated | truncated
        self._returns += reward * valid
        self._lengths += valid
        episodes = {}
        if ended.any():
            which = ended.nonzero()[0]
            episodes["episode"] = which, self._returns[which], self._lengths[which]
            self._returns[which], self._lengths[which] = 0.0, 0
            self._episodes[which] += self.n_envs
            if self.mode is AutoresetMode.SAME_STEP:
                final = map_(np.copy, obs)
                for i in which:
                    map_(lambda array, o, i=i: array.__setitem__(i, o), final, info["final_obs"][i])
            elif self.mode is AutoresetMode.DISABLED:
                seeds = [episode_seed(self.seed, int(n)) for n in self._episodes]
                obs = self._batch(self.env.reset(seed=seeds, options={"reset_mask": ended})[0])
        self._ended = ended if self.mode is AutoresetMode.NEXT_STEP else np.zeros(self.n_envs, bool)
        self.obs = obs
        return Step(obs, reward.astype(np.float32), terminated, truncated, final, valid, episodes)

    def state(self) -> dict[str, Any]:
        return {"n_envs": self.n_envs}

    def load(self, state: dict[str, Any]) -> Any:
        if state["n_envs"] != self.n_envs:
            raise ValueError(f"load: the state is of {state['n_envs']} environments, here are {self.n_envs}")
        return self.reset()

    def close(self) -> None:
        self.env.close()
