"""Agents solve toy tasks, over ten seeds with at least nine passes.

With a true success rate of 0.99 that fails by chance once in 250 runs; a learner that solves it half of the time passes
once in 100 (binomial distribution).
"""

import pytest

from rlcore.agents import DQN, DoubleDQN, DQNConfig
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.explorers import Schedule
from rlcore.harness import evaluate, train
from rlcore.rng import generator

SEEDS, PASSES = 10, 9
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
    """Always right takes 5 steps to the reward; a random walk mostly meets the limit of 15 steps."""
    passes = 0
    for seed in range(SEEDS):
        env = SerialEnv(lambda: Chain(5, limit=15), n_envs, seed)
        agent = cls.from_spaces(env.observation_space, env.action_space, TOY, generator(seed))
        train(agent, env, 3_000)
        returns, lengths = evaluate(agent.policy(), SerialEnv(lambda: Chain(5, limit=15)), 3)
        passes += bool((returns == 1).all() and (lengths == 5).all())
    assert passes >= PASSES


@pytest.mark.slow
def test_shipped_settings_solve_cartpole():
    """At least 4 of 5 seeds reach 475 over 20 fresh episodes, after 50,000 steps with the settings as they are."""
    import rlcore

    means = [rlcore.DQN("CartPole-v1", seed=seed).learn(50_000).evaluate(20).mean() for seed in range(5)]
    assert sum(mean >= 475 for mean in means) >= 4, means
