"""A2C solves toy tasks, with and without a memory, and CartPole with the shipped settings."""

from dataclasses import replace

import pytest

from rlcore.agents import A2C, A2CConfig
from rlcore.api import Run
from rlcore.explorers import Schedule
from tests.learning.tasks import PASSES, SEEDS, aims, finds_best_arm, remembers, solves_chain

TOY = A2CConfig(learning_rate=Schedule(1e-2), n_steps=4, gamma=0.9, ent_coef=0.01, hidden=(32,))


def test_the_chain_is_solved():
    assert sum(solves_chain(A2C, TOY, 8, 3_072, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.parametrize(("masked", "steps"), [(False, 1_536), (True, 4_096)])
def test_the_best_allowed_arm_is_found(masked, steps):
    assert sum(finds_best_arm(A2C, TOY, 16, steps, seed, masked) for seed in range(SEEDS)) >= PASSES


def test_it_aims():
    config = replace(TOY, gamma=0.0, ent_coef=0.0, log_std_init=-1.0)
    assert sum(aims(A2C, config, 8, 4_096, seed) for seed in range(SEEDS)) >= PASSES


def test_a_network_with_a_memory_finds_its_way_through_t_mazes():
    config = replace(TOY, n_steps=16, gamma=0.95, ent_coef=0.02, hidden=(16,), lstm_hidden_size=16, share_layers=True)
    assert sum(remembers(A2C, config, 8, 6_144, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.slow
def test_shipped_settings_solve_cartpole():
    """At least 4 of 5 seeds reach 475 over 20 fresh episodes, after 200,000 steps."""
    settings = dict(n_envs=8, learning_rate="linear:0.002:0:200000")
    runs = [Run(A2C, None, "CartPole-v1", seed=seed, **settings) for seed in range(5)]
    means = [run.learn(200_000).evaluate(20).mean() for run in runs]
    assert sum(mean >= 475 for mean in means) >= 4, means
