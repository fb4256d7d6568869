"""Policies of every kind of space and network, to be exported: with random observations and untrained networks."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from rlcore.agents import (
    A2C,
    A3C,
    APPO,
    DQN,
    DRQN,
    IMPALA,
    PPO,
    QRDQN,
    R2D2,
    REINFORCE,
    SAC,
    TD3,
    TRPO,
    CategoricalDQN,
    DoubleDQN,
    Rainbow,
)
from rlcore.envs import SerialEnv
from rlcore.envs.wrappers import (
    CastObservation,
    ClipAction,
    FlattenObservation,
    FrameStack,
    NormalizeObservation,
    RescaleAction,
    RescaleObservation,
    innermost,
    twin,
)
from rlcore.rng import generator

VECTOR = spaces.Box(-2, 2, (5,), np.float32)
FRAMES = spaces.Box(0, 255, (4, 40, 44), np.uint8)
NESTED = spaces.Dict(a=VECTOR, b=spaces.Tuple((spaces.Discrete(3, start=1), spaces.Box(0, 5, (2, 2), np.int64))))
MASKED = spaces.Dict(obs=VECTOR, action_mask=spaces.MultiBinary(3))
THREE, FORCE = spaces.Discrete(3), spaces.Box(np.float32([-2, -1, 0]), np.float32([2, 3, 1]))


class Drawn(gymnasium.Env):
    """Observations drawn from their space; no episode ends by itself."""

    def __init__(self, observation_space: Any, action_space: Any):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self._obs(), {}

    def step(self, action):
        assert self.action_space.contains(action) or isinstance(self.action_space, spaces.Discrete)
        return self._obs(), 0.0, False, False, {}

    def _obs(self):
        obs = self.observation_space.sample()
        if isinstance(obs, dict) and "action_mask" in obs:
            obs["action_mask"][obs["a" if "a" in obs else "action_mask"].argmax() % 3] = 1  # one is allowed at least
        return obs


class Case(NamedTuple):
    name: str
    agent: type
    observation_space: Any
    action_space: Any
    wraps: tuple[Any, ...] = ()  # the innermost first
    settings: dict[str, Any] = {}


CASES = [
    Case("vector", DQN, VECTOR, THREE),
    Case("discrete", DQN, spaces.Discrete(6, start=2), THREE),
    Case("integers", DQN, spaces.Box(0, 9, (2, 3), np.int64), THREE),
    Case("frames", DQN, FRAMES, THREE, settings={"buffer_size": 100}),
    Case("frames, channels last", DQN, spaces.Box(0, 255, (40, 44, 3), np.uint8), THREE, settings={"buffer_size": 100}),
    Case("flattened", DQN, NESTED, THREE, (FlattenObservation,)),
    Case("discrete from 5", DoubleDQN, VECTOR, spaces.Discrete(3, start=5)),
    Case("masked values", DQN, MASKED, THREE),
    Case("nested values", DQN, NESTED, THREE, settings={"dueling": True}),
    Case("dueling frames", DQN, FRAMES, THREE, settings={"buffer_size": 100, "dueling": True}),
    Case("categorical", CategoricalDQN, VECTOR, THREE, settings={"n_atoms": 7}),
    Case("categorical, masked", CategoricalDQN, MASKED, THREE, settings={"n_atoms": 7, "dueling": True}),
    Case("quantiles", QRDQN, VECTOR, THREE, settings={"n_quantiles": 6}),
    Case("rainbow", Rainbow, VECTOR, THREE, settings={"buffer_size": 100, "n_atoms": 7, "hidden": (8, 8)}),
    Case("logits", PPO, VECTOR, spaces.Discrete(3, start=5)),
    Case("relu", PPO, VECTOR, THREE, settings={"activation": "relu", "hidden": (8, 8)}),
    Case("shared frames", PPO, FRAMES, THREE),
    Case("several numbers", PPO, spaces.MultiDiscrete([3, 4]), spaces.MultiDiscrete([3, 2, 5], start=[0, 1, -1])),
    Case("bits", PPO, spaces.MultiBinary(4), spaces.MultiBinary(4)),
    Case("continuous", PPO, VECTOR, FORCE),
    Case("rescaled", PPO, VECTOR, FORCE, (RescaleAction,)),
    Case("clipped", PPO, VECTOR, FORCE, (ClipAction,)),
    Case("normalised and stacked", PPO, VECTOR, FORCE, (NormalizeObservation, lambda env: FrameStack(env, 3))),
    Case("frames as floats", PPO, spaces.Box(0, 255, (6,), np.uint8), THREE, (RescaleObservation,)),
    Case("cast", PPO, spaces.Box(0, 255, (6,), np.uint8), THREE, (CastObservation, NormalizeObservation)),
    Case("nested", PPO, NESTED, spaces.Dict(x=THREE, y=spaces.Tuple((FORCE, spaces.MultiBinary(2))))),
    Case("nested, normalised", PPO, NESTED, THREE, (NormalizeObservation,)),
    Case("one network", PPO, VECTOR, THREE, settings={"share_layers": True}),
    Case("state-dependent noise", PPO, VECTOR, FORCE, settings={"use_sde": True}),
    Case("memory", PPO, VECTOR, THREE, settings={"lstm_hidden_size": 6}),
    Case("memory, noise", PPO, NESTED, FORCE, settings={"lstm_hidden_size": 6, "use_sde": True, "share_layers": True}),
    Case("memory, masked", PPO, MASKED, THREE, settings={"lstm_hidden_size": 6}),
    Case("masked", PPO, MASKED, THREE),
    Case("a2c", A2C, NESTED, FORCE),
    Case("a3c", A3C, VECTOR, THREE),
    Case("a2c, with a memory", A2C, MASKED, THREE, settings={"lstm_hidden_size": 6}),
    Case("impala", IMPALA, VECTOR, spaces.Discrete(3, start=5)),
    Case("appo, with a memory", APPO, VECTOR, FORCE, settings={"lstm_hidden_size": 6}),
    Case("without a baseline", REINFORCE, VECTOR, THREE, settings={"baseline": False}),
    Case("trust region", TRPO, MASKED, THREE),
    Case("squashed", TD3, VECTOR, FORCE, settings={"buffer_size": 300, "hidden": (8,)}),
    Case("squashed mean", SAC, NESTED, FORCE, (RescaleAction,), settings={"buffer_size": 300, "hidden": (8, 8)}),
    Case("with a memory", DRQN, VECTOR, spaces.Discrete(3, start=5)),
    Case("dueling, with a memory", R2D2, spaces.Discrete(6, start=2), THREE),
    Case("frames, with a memory", DRQN, FRAMES, THREE, settings={"buffer_size": 100}),
    Case("masked and nested, with a memory", R2D2, spaces.Dict(**MASKED, more=NESTED), THREE),
    Case("stacked, with a memory", DRQN, VECTOR, THREE, (lambda env: FrameStack(env, 2),)),
    Case("actor-critic with a memory", PPO, VECTOR, FORCE, settings={"lstm_hidden_size": 8}),
    Case("masked, flattened and stacked", PPO, MASKED, THREE, (FlattenObservation, lambda env: FrameStack(env, 2))),
]


def built(case: Case, n_envs: int = 4) -> tuple[Any, Any, Any]:
    """The agent, its environment, and another one to act in, with the same moments."""

    def made(seed):
        return SerialEnv(lambda: Drawn(case.observation_space, case.action_space), n_envs, seed)

    env = made(0)
    for wrap in case.wraps:
        env = wrap(env)
    config = case.agent.Config(**case.settings)
    agent = case.agent.from_spaces(env.observation_space, env.action_space, config, generator(0))
    for p in agent.actor.params():  # larger, so that not all observations lead to one action
        p.array = p.array * 3
    env.reset()
    policy = agent.policy()
    for _ in range(3):  # moments move
        env.step(policy(env.obs))
    other = twin(env, made(1))
    other.reset()
    return agent, env, other


def played(policy: Any, env: Any, steps: int) -> Any:
    """For each step: what the environment inside showed, and what it was told to do."""
    inside = innermost(env)
    told: list[Any] = []
    step = inside.step
    inside.step = lambda action: (told.append(action), step(action))[1]
    for _ in range(steps):
        seen = inside.obs
        action = policy(env.obs)
        env.step(action)
        yield seen, told[-1]
