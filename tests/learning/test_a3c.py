"""A3C solves toy tasks, with and without a memory, alone and by two processes, and CartPole as shipped."""

from dataclasses import replace

import pytest

from rlcore.agents import A3C, A3CConfig
from rlcore.api import Run
from rlcore.fields import Schedule
from rlcore.harness import evaluate
from rlcore.harness.tuned import tuned
from rlcore.parallel.hogwild import hogwild
from rlcore.rng import generator
from tests.learning.tasks import PASSES, SEEDS, aims, remembers, solves_chain
from tests.parallel import players

TOY = A3CConfig(learning_rate=Schedule(1e-2), n_steps=4, gamma=0.9, hidden=(32,))


def test_the_chain_is_solved():
    assert sum(solves_chain(A3C, TOY, 4, 3_072, seed) for seed in range(SEEDS)) >= PASSES


def test_it_aims():
    config = replace(TOY, gamma=0.0, ent_coef=0.0, log_std_init=-1.0)
    assert sum(aims(A3C, config, 8, 4_096, seed) for seed in range(SEEDS)) >= PASSES


def test_a_network_with_a_memory_finds_its_way_through_t_mazes():
    config = replace(TOY, n_steps=16, gamma=0.95, ent_coef=0.02, hidden=(16,), lstm_hidden_size=16, share_layers=True)
    config = replace(config, rms_prop_eps=1e-8)  # the gradients through the memory are small
    assert sum(remembers(A3C, config, 8, 6_144, seed) for seed in range(SEEDS)) >= PASSES


def test_two_processes_solve_the_chain_together():
    agent = players.agent(players.chain(0), generator(0))
    hogwild(agent, players.agent, players.chain, 6_000, 2)
    returns, lengths = evaluate(agent.policy(), players.chain(7), 3)
    assert (returns == 1).all()
    assert (lengths == 5).all()


@pytest.mark.slow
def test_two_workers_solve_cartpole_with_the_shipped_settings():
    """At least 4 of 5 seeds reach 475 over 20 fresh episodes."""
    settings, means = tuned("a3c", "CartPole-v1"), []
    for seed in range(5):
        run = Run(A3C, None, "CartPole-v1", seed, settings["n_envs"], **settings["agent"], workers=2)
        means.append(run.learn(settings["steps"]).evaluate(20).mean())
    assert sum(mean >= 475 for mean in means) >= 4, means
