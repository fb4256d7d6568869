"""DQN and Double DQN solve toy tasks, and CartPole with the settings as they are."""

import pytest

import rlcore
from rlcore.agents import DQN, DoubleDQN, DQNConfig
from rlcore.explorers import Schedule
from tests.learning.tasks import PASSES, SEEDS, solves_chain

TOY = DQNConfig(
    learning_rate=Schedule(3e-3),
    buffer_size=2_000,
    learning_starts=100,
    batch_size=32,
    n_step=1,
    update_every=2,
    gradient_steps=1,
    target_update_interval=50,
    epsilon=Schedule(1.0, 0.1, 1_000),
    hidden=(32,),
)


@pytest.mark.parametrize("cls", [DQN, DoubleDQN])
@pytest.mark.parametrize("n_envs", [1, 4])
def test_the_chain_is_solved(cls, n_envs):
    assert sum(solves_chain(cls, TOY, n_envs, 3_000, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.slow
def test_shipped_settings_solve_cartpole():
    """At least 4 of 5 seeds reach 475 over 20 fresh episodes, after 50,000 steps with the settings as they are."""
    means = [rlcore.DQN("CartPole-v1", seed=seed).learn(50_000).evaluate(20).mean() for seed in range(5)]
    assert sum(mean >= 475 for mean in means) >= 4, means
