"""REINFORCE solves toy tasks, with and without a memory."""

from dataclasses import replace

import pytest

from rlcore.agents import REINFORCE, REINFORCEConfig
from rlcore.explorers import Schedule
from tests.learning.tasks import PASSES, SEEDS, aims, finds_best_arm, remembers, solves_chain

TOY = REINFORCEConfig(
    learning_rate=Schedule(1e-2), n_episodes=16, gamma=0.9, ent_coef=0.01, normalize_advantage=True, hidden=(32,)
)


@pytest.mark.parametrize("baseline", [True, False])
def test_the_chain_is_solved(baseline):
    config = replace(TOY, baseline=baseline)
    assert sum(solves_chain(REINFORCE, config, 4, 4_096, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.parametrize(("masked", "steps"), [(False, 2_048), (True, 6_144)])
def test_the_best_allowed_arm_is_found(masked, steps):
    config = replace(TOY, n_episodes=64)
    assert sum(finds_best_arm(REINFORCE, config, 16, steps, seed, masked) for seed in range(SEEDS)) >= PASSES


def test_it_aims():
    config = replace(TOY, learning_rate=Schedule(2e-2, 0.0, 8_192), gamma=0.0, ent_coef=0.0, log_std_init=-1.0)
    config = replace(config, n_episodes=8)
    assert sum(aims(REINFORCE, config, 8, 8_192, seed) for seed in range(SEEDS)) >= PASSES


def test_a_network_with_a_memory_finds_its_way_through_t_mazes():
    config = replace(TOY, gamma=0.95, hidden=(16,), lstm_hidden_size=16, share_layers=True)
    assert sum(remembers(REINFORCE, config, 8, 4_096, seed) for seed in range(SEEDS)) >= PASSES
