"""C51: one update against plain loops in float64, its settings and its policy."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import CategoricalDQN, CategoricalDQNConfig
from rlcore.autograd.optimizers import SGD
from rlcore.explorers import EpsilonGreedy
from rlcore.q_networks import CategoricalQ
from rlcore.rng import generator
from tests.agents.loops import Fixed, check_moved, copied, descended, mixed_batch, network, outputs, weighted

CONFIG = CategoricalDQNConfig(v_min=-2.0, v_max=3.0, n_atoms=6)
ATOMS = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]


def softmax(x):
    e = [math.exp(v - max(x)) for v in x]
    return [v / sum(e) for v in e]


def distributions(weights, obs):
    """For each of two actions the probabilities of six atoms, and their means."""
    out, _ = outputs(weights, obs)
    probs = [softmax(out[6 * a : 6 * a + 6]) for a in range(2)]
    return probs, [sum(p * z for p, z in zip(row, ATOMS)) for row in probs]


def projected(probs, reward, discount):
    """Bellemare et al. 2017, algorithm 1."""
    m = [0.0] * 6
    for p, z in zip(probs, ATOMS):
        at = (min(max(reward + discount * z, -2.0), 3.0) + 2.0) / 1.0
        low, high = math.floor(at), math.ceil(at)
        if low == high:
            m[low] += p
        else:
            m[low] += p * (high - at)
            m[high] += p * (at - low)
    return m


def slow_update(weights, target_weights, batch, double, lr):
    losses, rows = [], []
    for k in range(6):
        obs, after, a = batch["obs"][k], batch["next_obs"][k], batch["action"][k]
        probs, means = distributions(target_weights, after)
        best = int(np.argmax(distributions(weights, after)[1] if double else means))
        m = projected(probs[best], float(batch["reward"][k]), float(batch["discount"][k]))
        p = distributions(weights, obs)[0][a]
        losses.append(-sum(m[i] * math.log(p[i]) for i in range(6)))
        weight = float(batch["weight"][k]) if "weight" in batch else 1.0
        slopes = [0.0] * 12
        for i in range(6):
            slopes[6 * a + i] = weight * (p[i] - m[i]) / 6
        rows.append((obs, slopes))
    return losses, descended(weights, rows, lr)


def learner_of(batch, config, rng):
    q = CategoricalQ(network(5, 12), 2, -2.0, 3.0, 6)
    learner = CategoricalDQN(q, SGD(0.1), Fixed(batch), EpsilonGreedy(0.0, rng), config, rng)
    for p, other in zip(learner.target.params(), network(3, 12).params()):
        p.array = other.array
    return learner


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_an_update_is_the_papers(double, seed):
    batch = mixed_batch(seed)
    learner = learner_of(batch, replace(CONFIG, double=double), generator(seed))
    before, target = copied(learner.q), copied(learner.target)
    losses, expected = slow_update(before, target, batch, double, 0.1)
    assert learner.learn(batch)["loss"] == pytest.approx(sum(losses) / 6, rel=1e-5)
    check_moved(learner.q, before, expected)


@pytest.mark.parametrize("seed", range(3))
def test_weights_enter_the_loss_and_cross_entropies_go_back(seed):
    batch = weighted(mixed_batch(seed), seed)
    learner = learner_of(batch, CONFIG, generator(seed))
    before, target = copied(learner.q), copied(learner.target)
    losses, expected = slow_update(before, target, batch, False, 0.1)
    weight = batch["weight"].tolist()
    assert learner.learn(batch)["loss"] == pytest.approx(sum(w * x for w, x in zip(weight, losses)) / 6, rel=1e-5)
    check_moved(learner.q, before, expected)
    ((row, error),) = learner.replay.updates
    np.testing.assert_array_equal(row, batch["row"])
    np.testing.assert_allclose(error, losses, rtol=1e-4)


def test_double_and_plain_targets_differ():
    plain, double = (
        [learner_of(batch, replace(CONFIG, double=on), generator(0)).learn(batch)["loss"] for batch in batches]
        for on, batches in [(on, [mixed_batch(seed) for seed in range(5)]) for on in (False, True)]
    )
    assert plain != double


def test_a_target_by_hand():
    """Atoms -1, 0, 1; reward 0.25, discount 0.5: -0.25 and 0.25 and 0.75, each shared by its two neighbours."""
    q = CategoricalQ(network(1, 6), 2, -1.0, 1.0, 3)
    learner = CategoricalDQN(q, SGD(0.1), Fixed(None), EpsilonGreedy(0.0, generator(0)), CONFIG, generator(0))
    for p in learner.target.params():
        p.array = np.zeros_like(p.array)
    for p in learner.q.params():
        p.array = np.zeros_like(p.array)
    last = list(learner.target.params())[-1]  # the bias: of action 0 [.2 .3 .5], of action 1 [.5 .3 .2]
    last.array = np.log(np.float32([0.2, 0.3, 0.5, 0.5, 0.3, 0.2]))
    batch = {k: v[:1] for k, v in mixed_batch(0).items()}
    batch |= {"action": np.array([1]), "reward": np.float32([0.25]), "discount": np.float32([0.5])}
    learner.learn(batch)
    m = np.array([0.2 * 0.25, 0.2 * 0.75 + 0.3 * 0.75 + 0.5 * 0.25, 0.3 * 0.25 + 0.5 * 0.75])
    moved = list(learner.q.params())[-1].array
    np.testing.assert_allclose(moved, [0, 0, 0, *(-0.1 * (1 / 3 - m))], atol=1e-6)


def test_the_policy_goes_by_means():
    space = spaces.Box(-1, 1, (3,), np.float32)
    agent = CategoricalDQN.from_spaces(space, spaces.Discrete(2), replace(CONFIG, hidden=(8,)), generator(0))
    obs = generator(1).normal(size=(50, 3)).astype(np.float32)
    logits = agent.q.outputs(obs).array
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(agent.q(obs).array, p @ ATOMS, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(agent.policy()(obs), (p @ ATOMS).argmax(axis=1))
    assert logits.shape == (50, 2, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(v_min=3.0), "v_min must be below v_max, got 3.0 and 3.0"),
        (dict(v_min=float("nan")), "v_min"),
        (dict(n_atoms=1), "n_atoms must be within"),
        (dict(batch_size=0), "batch_size must be at least 1, got 0"),
    ],
)
def test_a_config_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)
