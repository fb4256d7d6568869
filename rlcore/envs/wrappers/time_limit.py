"""TimeLimit: episodes cut after so many steps, and bootstrapped."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from rlcore.envs.base import Episodes, VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.stream import Step
from rlcore.tree import map_


class TimeLimit(Wrapper):
    """An episode that has not ended after `max_episode_steps` is truncated, and the next one begins at once.

    To go right around an environment that can `restart` single streams, inside all other wrappers.
    """

    def __init__(self, env: VectorEnv, max_episode_steps: int):
        super().__init__(env, max_episode_steps=index(max_episode_steps))
        if max_episode_steps < 1:
            raise ValueError(f"TimeLimit: max_episode_steps must be at least 1, got {max_episode_steps}")
        if type(env).restart in (VectorEnv.restart, Wrapper.restart):
            env.restart(np.zeros(self.n_envs, bool))  # tells why it cannot
        self.limit: int = self.settings["max_episode_steps"]
        self._elapsed = np.zeros(self.n_envs, np.int64)  # steps of the running episodes

    def first(self, obs: Any) -> Any:
        self.env.restart(np.zeros(self.n_envs, bool))  # one that cannot says so now, and not at the first limit
        self._elapsed = np.zeros(self.n_envs, np.int64)
        return obs

    def after(self, step: Step) -> Step:
        elapsed = self._elapsed
        elapsed += 1
        over = ~step.valid | step.terminated | step.truncated
        if over.any():
            elapsed[over] = 0
        if elapsed.max() < self.limit:
            return step
        late = elapsed >= self.limit
        final = map_(np.copy, step.obs) if step.final_obs is step.obs else step.final_obs
        obs, cut = self.env.restart(late)  # written in place
        elapsed[late] = 0
        info = step.info
        if len(cut[0]):
            info = {**info, "episode": _merged(info.get("episode"), cut)}
        return Step(obs, step.reward, step.terminated, step.truncated | late, final, step.valid, info)

    def own_state(self) -> dict[str, Any]:
        return {"elapsed": self._elapsed}

    def check_own(self, state: dict[str, Any]) -> None:
        if np.shape(state["elapsed"]) != (self.n_envs,):
            raise ValueError(
                f"load: TimeLimit has the steps of {np.size(state['elapsed'])} episodes, not {self.n_envs}"
            )

    def load_own(self, state: dict[str, Any]) -> None:
        self._elapsed = np.array(state["elapsed"], np.int64)


# ChainerRL and PFRL say done=False and info["needs_reset"] where the limit is reached, so that the last value is
# bootstrapped. A Step says just that by truncated: their wrapper for continuing tasks is the time limit itself.
ContinuingTimeLimit = TimeLimit


def _merged(ended: Episodes | None, cut: Episodes) -> Episodes:
    """The episodes that ended by themselves and those that were cut, in the order of their streams."""
    if ended is None:
        return cut
    stream, total, length = (np.concatenate(pair) for pair in zip(ended, cut))
    order = stream.argsort()
    return stream[order], total[order], length[order]
