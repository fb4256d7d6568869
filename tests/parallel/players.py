"""Environments and agents of workers, in a module that they can import."""

from __future__ import annotations

import os
import signal
import time

import gymnasium
import numpy as np
from gymnasium import spaces

from rlcore.agents.a3c import A3C, A3CConfig
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.fields import Schedule

WIDE = 1_000
CONFIG = A3CConfig(hidden=(8,), learning_rate=Schedule(1e-2), gamma=0.9)


def agent(env, rng, config=CONFIG):
    return A3C.from_spaces(env.observation_space, env.action_space, config, rng)


def chain(seed):
    return SerialEnv(lambda: Chain(5, limit=15), 1, seed)


class Marked(gymnasium.Env):
    """Always shows one of WIDE numbers, by its seed; every reward is 1."""

    observation_space = spaces.Box(0, 1, (WIDE,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, mark):
        self.obs = np.zeros(WIDE, np.float32)
        self.obs[mark] = 1

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.obs, {}

    def step(self, action):
        self.t += 1
        return self.obs, 1.0, self.t == 10, False, {}


def marked(seed):
    return SerialEnv(lambda: Marked(seed % WIDE), 1, seed)


class Failing(Chain):
    """Something happens in step 30."""

    def __init__(self, what):
        super().__init__(5, limit=15)
        self.what, self.k = what, 0

    def step(self, action):
        self.k += 1
        if self.k == 30:
            self.what()
        return super().step(action)


def boom():
    raise KeyError("the cat is out")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(1_000)


class Rich(Chain):
    """Its rewards are too large to be squared."""

    def step(self, action):
        obs, _, terminated, truncated, info = super().step(action)
        return obs, 1e38, terminated, truncated, info


def failing(what, seed):
    return SerialEnv(lambda: Failing(what), 1, seed)


def rich(seed):
    return SerialEnv(lambda: Rich(5, limit=15), 1, seed)


def never_ready(seed):
    time.sleep(1_000)


def unhappy(seed):
    raise ValueError("no such world")
