"""Small MDPs whose optimal values are known: all that learn by values come within 5 % of their range."""

from dataclasses import fields

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import DQN, QRDQN, CategoricalDQN, DoubleDQN
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain, Forever
from rlcore.explorers import Schedule
from rlcore.harness import train
from rlcore.rng import generator

AGENTS = [DQN, DoubleDQN, CategoricalDQN, QRDQN]
GAMMA = 0.9


class Table(gymnasium.Env):
    """An MDP by its table: `after(state, action)` gives [(probability, state, reward, end)]; observed are states."""

    def __init__(self, n_states, n_actions, after, limit=20):
        self.after, self.limit = after, limit
        self.observation_space, self.action_space = spaces.Discrete(n_states), spaces.Discrete(n_actions)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.s = 0, int(self.np_random.integers(self.observation_space.n))
        while not self.after(self.s, 0):  # ends are no beginnings
            self.s = int(self.np_random.integers(self.observation_space.n))
        return self.s, {}

    def step(self, action):
        outcomes, u = self.after(self.s, action), self.np_random.random()
        k = min(int(np.searchsorted(np.cumsum([p for p, *_ in outcomes]), u)), len(outcomes) - 1)
        _, self.s, reward, end = outcomes[k]
        self.t += 1
        return self.s, reward, end, not end and self.t == self.limit, {}

    def optimal(self):
        """Q* by value iteration, to 1e-12."""
        q = np.zeros((self.observation_space.n, self.action_space.n))
        while True:
            before, q = q, np.zeros_like(q)
            for s, a in np.ndindex(q.shape):
                q[s, a] = sum(p * (r + GAMMA * (not end) * before[t].max()) for p, t, r, end in self.after(s, a))
            if np.abs(before - q).max() < 1e-12:
                return q


def gridworld():
    """3 x 3, to the corner 8; with probability 0.2 a step slips to either side, walls hold."""
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]

    def after(state, action):
        if state == 8:
            return []
        found = []
        for p, a in ((0.8, action), (0.1, (action + 1) % 4), (0.1, (action - 1) % 4)):
            row, column = (min(max(x + d, 0), 2) for x, d in zip(divmod(state, 3), moves[a]))
            place = 3 * row + column
            found.append((p, place, 1.0 if place == 8 else 0.0, place == 8))
        return found

    return Table(9, 4, after)


def delayed():
    """The first of four actions decides the reward after the last one; the others change nothing."""

    def after(state, action):
        if state == 0:
            return [(1.0, 1 if action == 0 else 4, 0.0, False)]
        end = state in (3, 6)
        return [(1.0, 7 if end else state + 1, {3: 1.0, 6: 0.25}.get(state, 0.0), end)] if state < 7 else []

    return Table(8, 2, after)


def learned(cls, make, v, n_step=1, rows=2_400, updates=1_000):
    """An agent with a table for a network, after random actions, and then updates alone."""
    env = SerialEnv(make, n_envs=16, seed=0)
    settings = dict(
        learning_rate=Schedule(0.05), buffer_size=2 * rows, learning_starts=rows, batch_size=64, gamma=GAMMA,
        n_step=n_step, target_update_interval=20, epsilon=Schedule(1.0), hidden=(), v_min=0.0, v_max=v, n_atoms=21,
        n_quantiles=8, max_grad_norm=1e3,
    )  # fmt: skip
    names = {field.name for field in fields(cls.Config)}
    config = cls.Config(**{name: value for name, value in settings.items() if name in names})
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(0))
    train(agent, env, rows)
    agent.begin()
    for k in range(updates):
        agent.optimizer.learning_rate = 0.05 * (1 - k / updates)
        agent.learn(agent.replay.sample(64))
    return agent


@pytest.mark.parametrize("cls", AGENTS)
def test_a_time_limit_is_no_end(cls):
    """One state, reward 1: 10; where a cut is taken for an end, 3.57."""
    agent = learned(cls, lambda: Forever(5), 12.0, rows=800, updates=1_500)
    np.testing.assert_allclose(agent.q(np.ones((1, 1), np.float32)).array, 10, atol=0.5)


@pytest.mark.parametrize("cls", AGENTS)
def test_a_chain(cls):
    agent = learned(cls, lambda: Chain(4, limit=12), 1.0)
    right = GAMMA ** np.arange(3, -1, -1.0)
    left = GAMMA * np.array([right[0], right[0], right[1], right[2]])
    q = agent.q(np.eye(5, dtype=np.float32)[:4]).array
    np.testing.assert_allclose(q, np.stack((left, right), axis=1), atol=0.05)


@pytest.mark.parametrize("cls", AGENTS)
def test_a_gridworld_that_slips(cls):
    world = gridworld()
    q = learned(cls, gridworld, 1.0, rows=6_400).q(np.arange(8)).array
    exact = world.optimal()[:8]
    assert np.abs(q - exact).max() <= 0.05 * (exact.max() - 0)


@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize("cls", AGENTS)
def test_a_reward_that_comes_late(cls, n_step):
    world = delayed()
    q = learned(cls, delayed, 1.0, n_step).q(np.arange(7)).array
    exact = world.optimal()[:7]
    np.testing.assert_allclose(exact[0], [GAMMA**3, 0.25 * GAMMA**3])
    assert np.abs(q - exact).max() <= 0.05
