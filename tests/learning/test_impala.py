"""IMPALA and APPO solve toy tasks, also by rollouts of an older policy, and CartPole with the shipped settings."""

from collections import deque
from dataclasses import replace

import pytest

from rlcore.agents import APPO, IMPALA, APPOConfig, IMPALAConfig
from rlcore.api import Run
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.explorers import Schedule
from rlcore.harness import evaluate
from rlcore.harness.tuned import tuned
from rlcore.rng import generator
from tests.learning.tasks import PASSES, SEEDS, aims, finds_best_arm, remembers, solves_chain

TOYS = {
    IMPALA: IMPALAConfig(learning_rate=Schedule(1e-2), n_steps=4, gamma=0.9, hidden=(32,)),
    APPO: APPOConfig(learning_rate=Schedule(1e-2), n_steps=16, batch_size=64, n_epochs=2, gamma=0.9, hidden=(32,)),
}


@pytest.mark.parametrize("cls", TOYS)
def test_the_chain_is_solved(cls):
    assert sum(solves_chain(cls, TOYS[cls], 8, 3_072, seed) for seed in range(SEEDS)) >= PASSES


def solves_chain_of_old(cls, config, lag, steps, seed):
    """Whether Chain(5) is walked in 5 steps after learning from the rows of a policy that is `lag` updates old."""
    env = SerialEnv(lambda: Chain(5, limit=15), 8, seed)
    learner, actor = (cls.from_spaces(env.observation_space, env.action_space, config, generator(seed)) for _ in "ab")
    versions = deque([learner.model.flat.copy()], lag + 1)
    obs = env.reset()
    for t in range(steps // 8):
        if t % config.n_steps == 0:
            actor.model.flat[...] = versions[0]
        action, extra = actor.act(obs)
        step = env.step(action)
        learner.observe(obs, action, step, extra)
        if learner.update():
            versions.append(learner.model.flat.copy())
        obs = step.obs
    returns, lengths = evaluate(learner.policy(), SerialEnv(lambda: Chain(5, limit=15)), 3)
    return bool((returns == 1).all() and (lengths == 5).all())


@pytest.mark.parametrize("cls", TOYS)
def test_the_chain_is_solved_by_the_rows_of_an_old_policy(cls):
    assert sum(solves_chain_of_old(cls, TOYS[cls], 8, 3_072, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.slow
@pytest.mark.parametrize("cls", TOYS)
def test_the_best_allowed_arm_is_found(cls):
    assert sum(finds_best_arm(cls, TOYS[cls], 16, 4_096, seed, masked=True) for seed in range(SEEDS)) >= PASSES


@pytest.mark.parametrize("cls", TOYS)
def test_it_aims(cls):
    config = replace(TOYS[cls], gamma=0.0, ent_coef=0.0, log_std_init=-1.0)
    assert sum(aims(cls, config, 8, 4_096, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.parametrize("cls", [IMPALA, pytest.param(APPO, marks=pytest.mark.slow)])
def test_a_network_with_a_memory_finds_its_way_through_t_mazes(cls):
    config = replace(TOYS[cls], n_steps=16, gamma=0.95, hidden=(16,), lstm_hidden_size=16, share_layers=True)
    if cls is APPO:
        config = replace(config, sequence_length=16)
    assert sum(remembers(cls, config, 8, 6_144, seed) for seed in range(SEEDS)) >= PASSES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["impala", "appo"])
def test_shipped_settings_solve_cartpole(name):
    """At least 4 of 5 seeds reach 475 over 20 fresh episodes, after the steps that the settings name."""
    settings = tuned(name, "CartPole-v1")
    cls = {"impala": IMPALA, "appo": APPO}[name]
    runs = [
        Run(cls, None, "CartPole-v1", seed=seed, n_envs=settings["n_envs"], **settings["agent"]) for seed in range(5)
    ]
    means = [run.learn(settings["steps"]).evaluate(20).mean() for run in runs]
    assert sum(mean >= 475 for mean in means) >= 4, means
