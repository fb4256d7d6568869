"""PPO remembers, explores by the state, and learns nested actions from nested observations."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import PPO, PPOConfig
from rlcore.envs import SerialEnv
from rlcore.explorers import Schedule
from rlcore.harness import train
from rlcore.rng import generator
from tests.learning.tasks import PASSES, SEEDS, aims, remembers
from tests.learning.test_ppo import TOY

MEMORY = PPOConfig(
    learning_rate=Schedule(1e-2),
    n_steps=32,
    batch_size=128,
    n_epochs=4,
    gamma=0.95,
    ent_coef=0.01,
    hidden=(),
    lstm_hidden_size=8,
    sequence_length=16,
)


class Both(gymnasium.Env):
    """Each step a place and a side are shown: half the place is to be aimed at, and the side to be turned to."""

    observation_space = spaces.Dict(place=spaces.Box(-1, 1, (1,), np.float32), side=spaces.Discrete(2))
    action_space = spaces.Dict(aim=spaces.Box(-1, 1, (1,), np.float32), turn=spaces.Discrete(2))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._shown(), {}

    def _shown(self):
        place = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        self.shown = {"place": place, "side": int(self.np_random.integers(2))}
        return self.shown

    def step(self, action):
        off = float(action["aim"][0] - 0.5 * self.shown["place"][0])
        reward = float(action["turn"] == self.shown["side"]) - off * off
        self.t += 1
        return self._shown(), reward, False, self.t == 8, {}


def does_both(config, steps, seed):
    env = SerialEnv(Both, 8, seed)
    agent = PPO.from_spaces(env.observation_space, env.action_space, config, generator(seed))
    train(agent, env, steps)
    place, side = np.linspace(-1, 1, 10, dtype=np.float32)[:, None], np.arange(10) % 2
    action = agent.policy()({"place": place, "side": side})
    return (action["turn"] == side).all() and np.abs(action["aim"] - 0.5 * place).max() < 0.15


@pytest.mark.parametrize(("share", "steps"), [(True, 3_072), (False, 4_096)])
def test_it_remembers(share, steps):
    config = replace(MEMORY, share_layers=share)
    assert sum(remembers(PPO, config, 8, steps, seed) for seed in range(SEEDS)) >= PASSES


def test_without_a_memory_the_maze_is_not_solved():
    config = replace(MEMORY, lstm_hidden_size=None, hidden=(8,))
    assert not any(remembers(PPO, config, 8, 4_096, seed) for seed in range(2))


@pytest.mark.parametrize("full_std", [True, False])
def test_it_aims_with_noise_that_depends_on_the_state(full_std):
    config = replace(TOY, gamma=0.0, ent_coef=0.0, use_sde=True, sde_sample_freq=4, log_std_init=-2.0)
    config = replace(config, full_std=full_std, hidden=(16,), n_epochs=6)
    assert sum(aims(PPO, config, 8, 3_072, seed) for seed in range(SEEDS)) >= PASSES


def test_nested_actions_are_learned_from_nested_observations():
    config = replace(TOY, gamma=0.0, ent_coef=0.0, log_std_init=-1.0, n_epochs=6)
    assert sum(does_both(config, 3_072, seed) for seed in range(SEEDS)) >= PASSES
