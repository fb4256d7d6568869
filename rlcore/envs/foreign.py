"""ForeignEnv: a Gymnasium vector environment, in any of the three auto-reset modes, as a stream of Steps."""

from __future__ import annotations

from operator import index
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from rlcore.envs.base import VectorEnv, episode_seed, no_transition, refuse_others
from rlcore.envs.batch import LARGEST, complaint, empty_batch, finite, infinite_row, put, structure
from rlcore.stream import Step
from rlcore.tree import map_


class ForeignEnv(VectorEnv):
    """Wraps a gymnasium.vector.VectorEnv, which must say its `autoreset_mode` in its metadata.

    DISABLED resets ended streams at once, SAME_STEP has its true successors in info, and the row that NEXT_STEP spends
    on a reset comes with valid=False. One that takes no seed per stream gets one for all. It cannot be resumed exactly:
    running episodes are dropped.
    """

    resumable = "no"

    def __init__(self, vector_env: Any, seed: int = 0):
        mode = vector_env.metadata.get("autoreset_mode")
        try:
            self.mode = AutoresetMode(mode)
        except ValueError:
            known = ", ".join(m.name for m in AutoresetMode)
            raise ValueError(
                f"{type(vector_env).__name__}: metadata['autoreset_mode'] is {mode!r}, so it is not known which rows "
                f"are transitions; set it to one of gymnasium.vector.AutoresetMode's {known}"
            ) from None
        self.env, self.seed, self.n_envs = vector_env, index(seed), vector_env.num_envs
        self.observation_space = vector_env.single_observation_space
        self.action_space = vector_env.single_action_space
        self.obs: Any = None
        self._ended = np.zeros(self.n_envs, bool)  # by the last step, and not yet reset
        self._numbers = np.arange(self.n_envs)  # of the running episodes
        self._returns, self._lengths = np.zeros(self.n_envs), np.zeros(self.n_envs, np.int64)
        self._lost = True  # no way back into the running episodes, or none yet: the next step begins new ones
        self._one_seed = False  # reset() takes one seed for all streams, as some of Gymnasium's own do

    def reset(self) -> Any:
        self._numbers = np.arange(self.n_envs)
        return self._begin_all()

    def _begin_all(self) -> Any:
        self._ended = np.zeros(self.n_envs, bool)
        self._returns, self._lengths = np.zeros(self.n_envs), np.zeros(self.n_envs, np.int64)
        self.obs = self._reset(None)
        self._lost = False
        return self.obs

    def _reset(self, mask: np.ndarray | None) -> Any:
        """Begin the episodes `_numbers` in the streams of a mask, in all if None."""
        options = None if mask is None else {"reset_mask": mask}
        if not self._one_seed:
            try:
                seeds = [episode_seed(self.seed, k) for k in self._numbers.tolist()]
                return self._batch(self.env.reset(seed=seeds, options=options)[0], "reset()")
            except (gymnasium.error.Error, TypeError):
                if mask is not None:  # the first reset has shown that it takes a list
                    raise
        first = self._numbers[0 if mask is None else mask.argmax()]
        obs = self._batch(self.env.reset(seed=episode_seed(self.seed, first), options=options)[0], "reset()")
        self._one_seed = True
        return obs

    def _batch(self, obs: Any, call: str) -> Any:
        """A copy with floats as float32; ValueError if it has not the shape and kind that the space promises."""
        out = empty_batch(self.observation_space, self.n_envs)
        map_(self._refuse_unlike, out, obs)
        put(out, ..., obs)
        self._refuse_infinite(out, call)
        return out

    def _refuse_infinite(self, batch: Any, call: str) -> None:
        if not finite(batch):
            i = infinite_row(batch, self.n_envs)
            k = self._lengths[i]
            raise ValueError(f"stream {i} of {self.env}: {call} gave NaN or infinity in the observation after step {k}")

    def _refuse_unlike(self, own: np.ndarray, obs: Any) -> None:
        obs = np.asarray(obs)
        if obs.shape != own.shape or not np.can_cast(obs.dtype, own.dtype, "same_kind"):
            raise ValueError(
                f"{self.env} gave observations of shape {obs.shape} {obs.dtype}, "
                f"its observation_space promises {own.shape} {own.dtype}"
            )

    def step(self, action: Any) -> Step:
        if self._lost:
            return self._begin_anew()
        self._lost = True  # until the end: an error or an interruption leaves some streams a step ahead of the others
        obs, reward, terminated, cut, info = self.env.step(action)
        final = obs = self._batch(obs, "step()")
        valid = ~self._ended
        reward = np.where(valid, reward, 0.0)
        sound = np.abs(reward) <= LARGEST
        if not sound.all():
            i = sound.argmin()
            raise ValueError(f"stream {i} of {self.env} gave the reward {reward[i]} in step {self._lengths[i] + 1}")
        terminated = np.asarray(terminated, bool) & valid
        truncated = np.asarray(cut, bool) & valid & ~terminated
        ended = terminated | truncated
        self._returns += reward
        self._lengths += valid
        episodes = {}
        if ended.any():
            which = ended.nonzero()[0]
            if self.mode is AutoresetMode.SAME_STEP:
                final = self._true_last(obs, info, which)
            episodes["episode"] = which, self._returns[which], self._lengths[which]
            self._returns[which], self._lengths[which] = 0.0, 0
            self._numbers[which] += self.n_envs
            if self.mode is AutoresetMode.DISABLED:
                obs = self._reset(ended)
        self._ended = ended if self.mode is AutoresetMode.NEXT_STEP else np.zeros(self.n_envs, bool)
        self.obs, self._lost = obs, False
        return Step(obs, reward.astype(np.float32), terminated, truncated, final, valid, episodes)

    def _true_last(self, obs: Any, info: dict[str, Any], which: np.ndarray) -> Any:
        """obs with the true last observations of the streams that ended."""
        if "final_obs" not in info:
            raise ValueError(f"{self.env} resets in the SAME_STEP, but an episode ended without info['final_obs']")
        final, promised = map_(np.copy, obs), structure(self.observation_space)
        for i in which:
            if wrong := complaint(promised, info["final_obs"][i]):
                raise ValueError(f"stream {i} of {self.env}: info['final_obs'] has {wrong}")
            put(final, i, info["final_obs"][i])
        self._refuse_infinite(final, "info['final_obs']")
        return final

    def _begin_anew(self) -> Step:
        """Begin the episodes after the lost ones, in rows that are no transitions."""
        if self.obs is None:
            raise ValueError("ForeignEnv: call reset() before step()")
        self._numbers += self.n_envs
        return no_transition(self._begin_all(), self.n_envs)

    def state(self) -> dict[str, Any]:
        state = {**self._made(), "seed": self.seed, "started": self.obs is not None}
        return {**state, "numbers": self._numbers, "obs": self.obs} if state["started"] else state

    def check(self, state: dict[str, Any]) -> None:
        refuse_others(state, self._made())
        if state["started"]:
            self._batch(state["obs"], "load()")

    def load(self, state: dict[str, Any]) -> Any:
        self.check(state)
        if not state["started"]:
            self.seed = state["seed"]
            return self.reset()
        obs = self._batch(state["obs"], "load()")
        self.seed, self.obs, self._lost = state["seed"], obs, True
        self._numbers = np.array(state["numbers"])
        return obs

    def _made(self) -> dict[str, Any]:
        return {"env": getattr(self.env.spec, "id", type(self.env.unwrapped).__name__), "n_envs": self.n_envs}

    def close(self) -> None:
        self.env.close()
