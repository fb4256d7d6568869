"""TRPO solves toy tasks, and CartPole with the shipped settings."""

from dataclasses import replace

import pytest

from rlcore.agents import TRPO, TRPOConfig
from rlcore.api import Run
from rlcore.explorers import Schedule
from tests.learning.tasks import PASSES, SEEDS, aims, finds_best_arm, solves_chain

TOY = TRPOConfig(
    learning_rate=Schedule(5e-3),
    n_steps=32,
    batch_size=128,
    gamma=0.9,
    cg_damping=0.01,
    target_kl=0.05,
    hidden=(32,),
)


def test_the_chain_is_solved():
    assert sum(solves_chain(TRPO, TOY, 8, 4_096, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.parametrize(("masked", "steps"), [(False, 2_048), (True, 4_096)])
def test_the_best_allowed_arm_is_found(masked, steps):
    assert sum(finds_best_arm(TRPO, TOY, 16, steps, seed, masked) for seed in range(SEEDS)) >= PASSES


def test_it_aims():
    config = replace(TOY, gamma=0.0, log_std_init=-1.0)
    assert sum(aims(TRPO, config, 8, 4_096, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.slow
def test_trpo_solves_cartpole():
    """With the settings of the RL Zoo at least 2 of 3 seeds reach 475 over 20 fresh episodes, after 100,000 steps."""
    settings = dict(n_envs=2, n_steps=512, batch_size=512, cg_damping=1e-3, gae_lambda=0.98, n_critic_updates=20)
    runs = [Run(TRPO, None, "CartPole-v1", seed=seed, **settings) for seed in range(3)]
    means = [run.learn(100_000).evaluate(20).mean() for run in runs]
    assert sum(mean >= 475 for mean in means) >= 2, means
