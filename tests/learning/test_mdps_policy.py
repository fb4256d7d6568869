"""Small MDPs whose optimal values are known: the exact value of a learned policy comes within 2 % of the optimum."""

import numpy as np
import pytest

from rlcore.agents import A2C, APPO, IMPALA, PPO, REINFORCE, TRPO
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain, Forever
from rlcore.harness import evaluate, train
from rlcore.harness.config import from_dict
from rlcore.rng import generator
from tests.learning.test_mdps_value import GAMMA, gridworld

SHARED = {"gamma": GAMMA, "hidden": [32]}
SETTINGS = {
    A2C: {**SHARED, "learning_rate": 1e-2, "ent_coef": 0.01, "n_steps": 4},
    IMPALA: {**SHARED, "learning_rate": 1e-2, "n_steps": 4},
    APPO: {**SHARED, "learning_rate": 5e-3, "n_steps": 16, "batch_size": 64, "n_epochs": 2},
    PPO: {**SHARED, "learning_rate": 5e-3, "n_steps": 32, "batch_size": 128, "n_epochs": 4, "ent_coef": 0.01},
    TRPO: {**SHARED, "learning_rate": 5e-3, "n_steps": 32, "batch_size": 128, "cg_damping": 0.01, "target_kl": 0.05},
    REINFORCE: {**SHARED, "learning_rate": 1e-2, "ent_coef": 0.01, "n_episodes": 16, "normalize_advantage": True},
}


def learned(cls, env, steps):
    config = from_dict(cls.Config, SETTINGS[cls])
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(0))
    train(agent, env, steps)
    return agent


def exact_value(table, actions):
    """V of a deterministic policy, by the linear equations that it obeys."""
    n = table.observation_space.n
    P, r = np.zeros((n, n)), np.zeros(n)
    for s in range(n):
        for p, t, reward, end in table.after(s, int(actions[s])):
            r[s] += p * reward
            P[s, t] += p * GAMMA * (not end)
    return np.linalg.solve(np.eye(n) - P, r)


@pytest.mark.parametrize("cls", SETTINGS)
def test_the_policy_of_a_slippery_gridworld_is_worth_nearly_the_optimum(cls):
    table = gridworld()
    agent = learned(cls, SerialEnv(gridworld, 8, seed=0), 12_288)
    value = exact_value(table, agent.policy()(np.arange(9)))
    best = table.optimal().max(axis=1)
    assert value[:8].mean() >= 0.98 * best[:8].mean() > 0


@pytest.mark.parametrize("cls", SETTINGS)
def test_the_policy_of_a_chain_is_worth_nearly_the_optimum(cls):
    """Which is gamma^4 from the start: only five steps to the right get there in five."""
    agent = learned(cls, SerialEnv(lambda: Chain(5, limit=15), 8, seed=0), 4_096)
    returns, lengths = evaluate(agent.policy(), SerialEnv(lambda: Chain(5, limit=15)), 1)
    assert returns[0] * GAMMA ** (lengths[0] - 1) >= 0.98 * GAMMA**4


@pytest.mark.parametrize("cls", SETTINGS)
def test_what_a_time_limit_cuts_is_worth_as_much_as_what_goes_on(cls):
    """One state, reward 1, cut after 5 steps: the value is 1 / (1 - gamma) = 10, not that of 5 steps."""
    agent = learned(cls, SerialEnv(lambda: Forever(5), 8, seed=0), 16_384)
    assert agent.acting_model.values(np.ones((1, 1), np.float32)).array[0] == pytest.approx(10, rel=0.05)
