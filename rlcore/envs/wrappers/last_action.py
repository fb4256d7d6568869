"""LastActionReward: what was done last, and what came of it, as part of what is seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.stream import Step

ACTION, REWARD = "last_action", "last_reward"


class LastActionReward(Wrapper):
    """Observations come with the action and the reward that led to them, for networks that remember.

    A Dict gets the keys "last_action" (n,) and "last_reward" (1,), others become the "obs" of one. Discrete actions are
    one-hot; before the first step of an episode all is 0. Kapturowski et al. 2019, section 2.3. clip: the size up to
    which a reward is seen, for rewards that are clipped in training and not in an evaluation.
    """

    def __init__(self, env: VectorEnv, clip: float | None = None):
        super().__init__(env, clip=clip)
        if clip is not None and not clip > 0:
            raise ValueError(f"LastActionReward: clip must be above 0, got {clip}")
        self.clip = math.inf if clip is None else clip
        seen, does = env.observation_space, env.action_space
        if not isinstance(does, (spaces.Discrete, spaces.Box, spaces.MultiBinary)):
            raise ValueError(f"LastActionReward needs actions of Discrete, Box or MultiBinary, got {does}")
        parts = dict(seen.spaces) if isinstance(seen, spaces.Dict) else {"obs": seen}
        if taken := parts.keys() & {ACTION, REWARD}:
            raise ValueError(f"LastActionReward: observations have {', '.join(sorted(taken))} already")
        self._start = int(does.start) if isinstance(does, spaces.Discrete) else None
        self.size = int(does.n) if isinstance(does, spaces.Discrete) else math.prod(does.shape)
        more = {ACTION: self.size, REWARD: 1}
        self.observation_space = spaces.Dict(
            {**parts, **{name: spaces.Box(-np.inf, np.inf, (n,), np.float32) for name, n in more.items()}}
        )
        self._nested = isinstance(seen, spaces.Dict)

    def first(self, obs: Any) -> Any:
        none = np.zeros((self.n_envs, self.size), np.float32), np.zeros((self.n_envs, 1), np.float32)
        return self._seen(obs, *none)

    def act(self, action: Any) -> Any:
        self._done = action
        return action

    def after(self, step: Step) -> Step:
        action = self._numbers(self._done)
        reward = np.clip(step.reward, -self.clip, self.clip).reshape(-1, 1)
        over, same = ~step.valid, step.final_obs is step.obs
        if not same:
            over |= step.ended
        obs = final_obs = self._seen(step.final_obs, action, reward)
        if over.any():
            first = over[:, None]
            obs = self._seen(step.obs, np.where(first, np.float32(0), action), np.where(first, np.float32(0), reward))
        return step._replace(obs=obs, final_obs=obs if same else final_obs)

    def _numbers(self, action: Any) -> Any:
        """Actions as rows (N, n) of floats."""
        if self._start is None:
            return np.array(action, np.float32).reshape(self.n_envs, self.size)
        return np.equal.outer(np.asarray(action) - self._start, np.arange(self.size)).astype(np.float32)

    def _seen(self, obs: Any, action: Any, reward: Any) -> Any:
        return {**(obs if self._nested else {"obs": obs}), ACTION: action, REWARD: reward}

    def exported(self) -> dict[str, Any]:
        raise ValueError("a policy that sees its last action and reward cannot be exported")
