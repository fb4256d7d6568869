"""Toy tasks, and how many seeds must solve them: 9 of 10.

With a true success rate of 0.99 that fails by chance once in 250 runs; a learner that solves it half of the time passes
once in 100 (binomial distribution).
"""

import gymnasium
import numpy as np
from gymnasium import spaces

from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.harness import evaluate, train
from rlcore.rng import generator

SEEDS, PASSES = 10, 9


class Bandit(gymnasium.Env):
    """One step an episode. Seen is which of the arms are allowed; of these, the reward of the highest is highest."""

    def __init__(self, arms=5, masked=True):
        self.arms, self.masked = arms, masked
        mask = spaces.MultiBinary(arms)
        one = spaces.Box(0, 1, (1,), np.float32)
        self.observation_space = spaces.Dict({"obs": mask, "action_mask": mask}) if masked else one
        self.action_space = spaces.Discrete(arms)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.allowed = np.ones(self.arms, np.int8)
        if not self.masked:
            return np.ones(1, np.float32), {}
        self.allowed = (self.np_random.random(self.arms) < 0.6).astype(np.int8)
        self.allowed[self.np_random.integers(self.arms)] = 1
        return {"obs": self.allowed, "action_mask": self.allowed}, {}

    def step(self, action):
        if not self.allowed[action]:
            raise ValueError("a forbidden arm was pulled")
        obs = {"obs": self.allowed, "action_mask": self.allowed} if self.masked else np.ones(1, np.float32)
        return obs, action / (self.arms - 1) + self.np_random.normal() * 0.1, True, False, {}


class Aim(gymnasium.Env):
    """Continuous: each step a place in [-1, 1] is shown, and the reward falls with the square of the distance to it."""

    observation_space = action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.place = 0, self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.place, {}

    def step(self, action):
        reward = -float((action[0] - 0.5 * self.place[0]) ** 2)
        self.t, self.place = self.t + 1, self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.place, reward, False, self.t == 8, {}


class TMaze(gymnasium.Env):
    """The side of the reward is shown at the first step, and must be turned to at the last: 1 if right, else 0.

    Between lies a corridor that is the same for both, walked whatever the action; observations are the side (-1, 1; 0
    but at the start) and whether this is the junction. length: steps of an episode; spread: up to so many more, drawn
    anew. Bakker 2002. Without memory half of the turns are right.
    """

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length=5, spread=0):
        self.length, self.spread = length, spread

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side = int(self.np_random.integers(2))
        self.left = self.length + int(self.np_random.integers(self.spread + 1)) - 1
        return np.float32([2 * self.side - 1, self.left == 0]), {}

    def step(self, action):
        self.left -= 1
        over = self.left < 0
        return np.float32([0, self.left == 0]), float(over and action == self.side), over, False, {}


def solves_chain(cls, config, n_envs, steps, seed):
    """Whether the policy walks Chain(5) in 5 steps; a random walk mostly meets the limit of 15."""
    env = SerialEnv(lambda: Chain(5, limit=15), n_envs, seed)
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(seed))
    train(agent, env, steps)
    returns, lengths = evaluate(agent.policy(), SerialEnv(lambda: Chain(5, limit=15)), 3)
    return bool((returns == 1).all() and (lengths == 5).all())


def finds_best_arm(cls, config, n_envs, steps, seed, masked):
    """Whether the best allowed arm is found in at least 30 of the 31 sets; a forbidden one ends the test."""
    env = SerialEnv(lambda: Bandit(masked=masked), n_envs, seed)
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(seed))
    train(agent, env, steps)
    sets = np.array([[k >> i & 1 for i in range(5)] for k in range(1, 32)], np.int8)
    best = [max(i for i in range(5) if k >> i & 1) for k in range(1, 32)]
    obs = {"obs": sets, "action_mask": sets} if masked else np.ones((1, 1), np.float32)
    right = agent.policy()(obs) == (best if masked else 4)
    return np.count_nonzero(right) >= (30 if masked else 1)


def aims(cls, config, n_envs, steps, seed):
    """Whether half of the place that is shown is aimed at, within 0.1 everywhere."""
    env = SerialEnv(Aim, n_envs, seed)
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(seed))
    train(agent, env, steps)
    places = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    return np.abs(agent.policy()(places) - 0.5 * places).max() < 0.1


def remembers(cls, config, n_envs, steps, seed, length=5):
    """Whether the policy turns to the right side in 16 of 16 mazes, of different lengths."""
    env = SerialEnv(lambda: TMaze(length, spread=2), n_envs, seed)
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(seed))
    train(agent, env, steps)
    returns, lengths = evaluate(agent.policy(), SerialEnv(lambda: TMaze(length, spread=2), 4), 16)
    return bool((returns == 1).all() and len(set(lengths.tolist())) > 1)
