"""DDPG, TD3 and SAC solve toy tasks whose best policies are known in closed form."""

import math
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import DDPG, SAC, TD3
from rlcore.envs import SerialEnv
from rlcore.explorers import Schedule
from rlcore.harness import train
from rlcore.rng import generator
from tests.learning.tasks import PASSES, SEEDS, Aim

TOY = dict(
    learning_rate=Schedule(1e-2, 1e-3, 1_000),
    buffer_size=2_000,
    learning_starts=300,
    batch_size=128,
    tau=0.1,
    gamma=0.5,
    hidden=(32, 32),
)
ALL = {
    DDPG: DDPG.Config(**TOY, action_noise=(0.3,)),
    TD3: TD3.Config(**TOY, action_noise=(0.3,), target_policy_noise=0.05),
    SAC: SAC.Config(**TOY, ent_coef=0.01),
}
A, B, Q, R = 0.9, 0.5, 1.0, 0.2  # of the regulator


class Regulator(gymnasium.Env):
    """x becomes A x + B u, at the cost Q x^2 + R u^2; cut after 3 steps, which the best policy does not know of."""

    observation_space, action_space = spaces.Box(-9, 9, (1,), np.float32), spaces.Box(-3, 3, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.np_random.uniform(-2, 2, 1).astype(np.float32), 0
        return self.x, {}

    def step(self, action):
        cost = Q * self.x[0] ** 2 + R * action[0] ** 2
        self.x, self.t = (A * self.x + B * action).astype(np.float32), self.t + 1
        return self.x, -float(cost), False, self.t == 3, {}


def riccati(gamma):
    """The gain K of the best policy, u = -K x."""
    P = Q
    for _ in range(1_000):
        K = gamma * A * B * P / (R + gamma * B * B * P)
        P = Q + R * K * K + gamma * P * (A - B * K) ** 2
    return K


def trained(cls, config, env, steps, seed):
    env = SerialEnv(env, 4, seed)
    learner = cls.from_spaces(env.observation_space, env.action_space, config, generator(seed))
    train(learner, env, steps)
    return learner


@pytest.mark.parametrize("cls", ALL)
def test_a_regulator_is_riccatis(cls):
    x = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    errors = []
    for seed in range(SEEDS):
        learner = trained(cls, ALL[cls], Regulator, 1_000, seed)
        errors.append(abs(learner.policy()(x) + riccati(0.5) * x).mean())
    assert sum(error < 0.35 for error in errors) >= PASSES, errors


@pytest.mark.parametrize(("cls", "steps"), [(DDPG, 1_500), (TD3, 1_500), (SAC, 800)])
def test_half_of_a_place_that_is_shown_is_aimed_at(cls, steps):
    config = replace(ALL[cls], gamma=0.0, learning_rate=Schedule(1e-2, 3e-4, steps))
    places, errors = np.linspace(-1, 1, 9, dtype=np.float32)[:, None], []
    for seed in range(SEEDS):
        errors.append(abs(trained(cls, config, Aim, steps, seed).policy()(places) - 0.5 * places).max())
    assert sum(error < 0.15 for error in errors) >= PASSES, errors


class Match(gymnasium.Env):
    """One step; the reward is the log-density, times `alpha`, of a squashed Gaussian of this mean and deviation."""

    observation_space, action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Box(-1, 1, (1,), np.float32)
    alpha, mean, deviation = 0.5, 0.4, 0.6

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        a = float(np.clip(action[0], -0.999, 0.999))
        z = (math.atanh(a) - self.mean) / self.deviation
        log_p = -0.5 * z * z - math.log(self.deviation * math.sqrt(2 * math.pi)) - math.log(1 - a * a)
        return np.ones(1, np.float32), self.alpha * log_p, True, False, {}


def test_the_best_squashed_gaussian_is_found():
    """Where rewards are alpha log p, no policy has more of E[r] + alpha H than p itself."""
    config, found = replace(ALL[SAC], gamma=0.0, ent_coef=Match.alpha), []
    for seed in range(SEEDS):
        base = trained(SAC, config, Match, 800, seed).actor(np.ones((1, 1), np.float32)).base
        found.append((float(base.loc.array[0, 0]), float(base.scale.array[0, 0])))
    close = [abs(mean - Match.mean) < 0.12 and abs(deviation / Match.deviation - 1) < 0.15 for mean, deviation in found]
    assert sum(close) >= PASSES, found


def test_a_learned_temperature_leads_the_entropy_to_its_target_from_both_sides():
    config, entropies = replace(ALL[SAC], gamma=0.0, target_entropy=0.2, learning_rate=Schedule(1e-2)), []
    for seed in range(SEEDS):
        start = "auto_0.05" if seed % 2 else "auto_5"
        learner = trained(SAC, replace(config, ent_coef=start), Match, 1_000, seed)
        _, log_prob = learner.actor.draw(np.ones((4_000, 1), np.float32), generator(seed))
        entropies.append(-float(log_prob.array.mean()))
    assert sum(abs(entropy - 0.2) < 0.2 for entropy in entropies) >= PASSES, entropies
