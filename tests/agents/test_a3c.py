"""A3C: forward-view returns by hand, an update against algorithm S3 in plain loops, and what it takes from A2C."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import A2C, A3C, ALGORITHMS, A3CConfig
from rlcore.agents.a2c import A2CConfig
from rlcore.fields import Schedule
from rlcore.harness.config import from_dict, to_dict
from rlcore.harness.tuned import FOLDER
from rlcore.rng import generator
from rlcore.stream import Step
from tests.agents.test_ppo import THREE, VECTOR, feed, gradient_by_differences, layers

ATARI = json.loads((FOLDER / "a3c.json").read_text())["ALE/*"]["agent"]


def agent(config, seed=0, observation_space=VECTOR, action_space=THREE):
    return A3C.from_spaces(observation_space, action_space, config, generator(seed))


def forward_view(value, seen, gamma):
    """(obs, action, R) from the last step back: R = 0 after a terminal state, else the value of what followed (S3)."""
    rows, after = [], None
    for obs, step, extra in reversed(seen):
        if step.terminated[0]:
            after = 0.0
        elif step.truncated[0] or after is None:
            after = layers(value, step.final_obs[0].tolist())[0]
        after = float(step.reward[0]) + gamma * after
        rows.append((obs[0].tolist(), extra["action"][0].tolist(), after))
    return rows


def summed_loss(weights, kind, rows, ent_coef, vf_coef):
    """-log pi (R - V) - beta H + c (R - V)^2, summed; V is no variable of the first term."""
    policy, value, log_std = weights
    total = 0.0
    for obs, action, ret, advantage in rows:
        out = layers(policy, obs)
        if kind == "discrete":
            z = math.log(sum(math.exp(o) for o in out))
            log_prob, entropy = out[action] - z, -sum(math.exp(o - z) * (o - z) for o in out)
        else:
            (s,) = log_std
            log_prob = sum(
                -0.5 * ((x - mu) / math.exp(d)) ** 2 - d - 0.5 * math.log(2 * math.pi)
                for x, mu, d in zip(action, out, s)
            )
            entropy = sum(d + 0.5 + 0.5 * math.log(2 * math.pi) for d in s)
        total += -log_prob * advantage - ent_coef * entropy + vf_coef * (ret - layers(value, obs)[0]) ** 2
    return total


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("clip", [40.0, 2.0])
def test_updates_are_the_papers_with_sums_over_steps(kind, clip):
    """Those of ChainerRL's Atari experiments: the shipped settings, which are of means, say the same."""
    assert (ATARI["max_grad_norm"], ATARI["rms_prop_eps"]) == (40 / 5, 0.1 / 5**2)
    config = from_dict(A3CConfig, {**to_dict(A3CConfig()), **ATARI, "hidden": [4], "ortho_init": False})
    config = replace(config, max_grad_norm=clip / 5, learning_rate=Schedule(0.01))
    learner = agent(config, action_space=THREE if kind == "discrete" else spaces.Box(-1, 1, (2,), np.float32))
    parts = ["/policy", "/value"] + (["/head/log_std"] if kind == "continuous" else [])
    params = [[p for path, p in learner.model.namedparams() if path.startswith(part)] for part in parts]
    weights = [[p.array.astype(np.float64) for p in group] for group in params] + [[]] * (3 - len(parts))
    squares = [[np.zeros_like(a) for a in group] for group in weights]
    for k in range(2):
        before = [[p.array.copy() for p in group] for group in params]
        start = [[a.copy() for a in group] for group in weights]
        seen, stats = feed(learner, 5, 10 + k, n=1, ends=0.5, invalid=0)
        assert stats[-1]["n_updates"] == k + 1
        rows = forward_view(weights[1], seen, 0.99)
        rows = [(obs, action, ret, ret - layers(weights[1], obs)[0]) for obs, action, ret in rows]
        g = gradient_by_differences(lambda rows=rows: summed_loss(weights, kind, rows, 0.01, 0.25), weights)
        norm = math.sqrt(sum((x**2).sum() for part in g for x in part))
        assert (norm > clip) == (clip == 2.0)
        for group, gs, means in zip(weights, g, squares):
            for array, x, mean in zip(group, gs, means):
                x = x * min(1, clip / norm)
                mean[...] = 0.99 * mean + 0.01 * x**2  # eq. S2
                array -= 0.01 * x / np.sqrt(mean + 0.1)  # eq. S3
        for group, a, b, c in zip(params, before, weights, start):
            for p, old, now, then in zip(group, a, b, c):
                np.testing.assert_allclose(p.array - old, now - then, rtol=5e-3, atol=3e-6)
                assert np.abs(p.array - old).max() > 1e-4


def test_returns_by_hand():
    """gamma 0.5, values 10 everywhere: R = 1 + 5 in the last row; 2 + 0 where it ended; 3 + 5 where it was cut."""
    learner = agent(A3CConfig(n_steps=5, gamma=0.5, hidden=()))
    for p in learner.model.params():
        p.array = np.zeros_like(p.array)
    next(p for path, p in learner.model.namedparams() if path.startswith("/value") and path.endswith("b")).array += 10
    zero, obs = np.zeros(1, bool), np.zeros((1, 3), np.float32)
    for reward, ended, cut in ((4, 0, 0), (2, 1, 0), (8, 0, 0), (3, 0, 1), (1, 0, 0)):
        action, extra = learner.act(obs)
        step = Step(obs, np.float32([reward]), zero | bool(ended), zero | bool(cut), obs, ~zero, {})
        learner.observe(obs, action, step, extra)
        stats = learner.update()
    returns = np.array([4 + 0.5 * 2, 2, 8 + 0.5 * (3 + 5), 3 + 5, 1 + 5])
    assert stats["value_loss"] == pytest.approx(((returns - 10) ** 2).mean())
    assert stats["policy_loss"] == pytest.approx((math.log(3) * (returns - 10)).mean(), rel=1e-5)
    assert stats["entropy_loss"] == pytest.approx(-math.log(3))


def test_it_is_a2c_but_for_two_settings_and_its_workers():
    assert ALGORITHMS["a3c"] is A3C
    assert A3C.asynchronous
    assert not A2C.asynchronous
    ours, theirs = to_dict(A3CConfig()), to_dict(A2CConfig())
    assert {k for k in ours if ours[k] != theirs[k]} == {"ent_coef", "eps_inside_sqrt"}
    assert agent(A3CConfig()).optimizer.eps_inside_sqrt


@pytest.mark.parametrize("n", [1, 3])
def test_the_rate_goes_by_rows_and_streams_share_an_update(n):
    learner = agent(A3CConfig(n_steps=5, hidden=(4,), learning_rate=Schedule(1e-2, 0.0, 100)))
    _, stats = feed(learner, 10, 0, n=n)
    assert [bool(s) for s in stats] == [False] * 4 + [True] + [False] * 4 + [True]
    assert stats[-1]["learning_rate"] == pytest.approx(1e-2 * (1 - 10 * n / 100))


def test_what_it_cannot_do_is_said():
    with pytest.raises(ValueError, match="expected actions of Discrete"):
        agent(A3CConfig(), action_space=spaces.Text(3))
    with pytest.raises(ValueError, match="n_steps must be at least 1"):
        A3CConfig(n_steps=0)
