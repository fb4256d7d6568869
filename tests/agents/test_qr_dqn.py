"""QR-DQN: one update against plain loops in float64, its settings and its policy."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import QRDQN, QRDQNConfig
from rlcore.autograd.optimizers import SGD
from rlcore.explorers import EpsilonGreedy
from rlcore.q_networks import QuantileQ
from rlcore.rng import generator
from tests.agents.loops import Fixed, check_moved, copied, descended, mixed_batch, network, outputs, weighted

N = 5  # quantiles
CONFIG = QRDQNConfig(n_quantiles=N)


def quantiles(weights, obs):
    out, _ = outputs(weights, obs)
    return [out[N * a : N * a + N] for a in range(2)]


def slow_update(weights, target_weights, batch, kappa, lr):
    """Dabney et al. 2018, algorithm 1 and eq. 10, divided by kappa as in the paper on IQN."""
    losses, rows = [], []
    for k in range(6):
        obs, a = batch["obs"][k], batch["action"][k]
        after = quantiles(target_weights, batch["next_obs"][k])
        best = int(np.argmax([sum(row) for row in after]))
        goal = [float(batch["reward"][k]) + float(batch["discount"][k]) * z for z in after[best]]
        mine = quantiles(weights, obs)[a]
        weight = float(batch["weight"][k]) if "weight" in batch else 1.0
        loss, slopes = 0.0, [0.0] * (2 * N)
        for i in range(N):
            tau = (2 * i + 1) / (2 * N)
            for j in range(N):
                u = goal[j] - mine[i]
                share = abs(tau - (1.0 if u < 0 else 0.0))
                huber = 0.5 * u * u if abs(u) <= kappa else kappa * (abs(u) - 0.5 * kappa)
                loss += share * (huber / kappa if kappa else abs(u)) / N
                slope = max(-kappa, min(kappa, u)) / kappa if kappa else np.sign(u)
                slopes[N * a + i] -= weight * share * slope / N / 6
        losses.append(loss)
        rows.append((obs, slopes))
    return losses, descended(weights, rows, lr)


def learner_of(batch, config, seed):
    rng = generator(seed)
    q = QuantileQ(network(7, 2 * N), 2)
    learner = QRDQN(q, SGD(0.1), Fixed(batch), EpsilonGreedy(0.0, rng), config, rng)
    for p, other in zip(learner.target.params(), network(6, 2 * N).params()):
        p.array = other.array
    return learner


@pytest.mark.parametrize("kappa", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("with_weights", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_an_update_is_the_papers(kappa, with_weights, seed):
    batch = mixed_batch(seed)
    if with_weights:
        batch = weighted(batch, seed)
    learner = learner_of(batch, replace(CONFIG, kappa=kappa), seed)
    before, target = copied(learner.q), copied(learner.target)
    losses, expected = slow_update(before, target, batch, kappa, 0.1)
    weight = batch["weight"].tolist() if with_weights else [1.0] * 6
    assert learner.learn(batch)["loss"] == pytest.approx(sum(w * x for w, x in zip(weight, losses)) / 6, rel=1e-5)
    check_moved(learner.q, before, expected)
    assert len(learner.replay.updates) == with_weights
    for row, error in learner.replay.updates:
        np.testing.assert_array_equal(row, batch["row"])
        np.testing.assert_allclose(error, losses, rtol=1e-4)


def test_the_policy_goes_by_means():
    space = spaces.Box(-1, 1, (3,), np.float32)
    agent = QRDQN.from_spaces(space, spaces.Discrete(4), replace(CONFIG, hidden=(8,)), generator(0))
    obs = generator(1).normal(size=(50, 3)).astype(np.float32)
    z = agent.q.outputs(obs).array
    assert z.shape == (50, 4, N)
    np.testing.assert_allclose(agent.q(obs).array, z.mean(axis=2), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(agent.policy()(obs), z.mean(axis=2).argmax(axis=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [(dict(n_quantiles=0), "n_quantiles must be at least 1"), (dict(kappa=-1.0), "kappa must be within")],
)
def test_a_config_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)
