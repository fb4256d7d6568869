"""A2C: one update against plain loops in float64, passes of the network, recurrence, faults, and state."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import actor_critic
from rlcore.agents import A2C, A2CConfig
from rlcore.agents.on_policy import rollout_columns
from rlcore.autograd.optimizers import RMSprop
from rlcore.buffers import Rollout
from rlcore.explorers import Schedule
from rlcore.rng import generator
from rlcore.tree import named_leaves
from tests.agents.test_ppo import (
    ACTIONS,
    IMAGES,
    OBSERVATIONS,
    THREE,
    VECTOR,
    batch_of,
    feed,
    gradient_by_differences,
    layers,
    random_step,
    same,
    trained,
)
from tests.envs.worlds import through_a_file

SMALL = A2CConfig(n_steps=5, learning_rate=Schedule(1e-2), hidden=(8,), ent_coef=0.01)


def agent(config=SMALL, seed=0, observation_space=VECTOR, action_space=THREE):
    return A2C.from_spaces(observation_space, action_space, config, generator(seed))


# The update, written from the paper by loops; nothing of rlcore takes part


def rows_of_updates(value, seen, config):
    """(obs, action, advantage, return) of each transition: the TD errors ahead, up to where the stream is cut."""

    def v(obs):
        return layers(value, obs.tolist())[0]

    rows = []
    for t, (obs, step, extra) in enumerate(seen):
        for i in range(len(step.reward)):
            advantage, weight, k = 0.0, 1.0, t
            while k < len(seen) and seen[k][1].valid[i]:
                here, then = seen[k][0], seen[k][1]
                following = 0.0 if then.terminated[i] else config.gamma * v(then.final_obs[i])
                advantage += weight * (float(then.reward[i]) + following - v(here[i]))
                if then.terminated[i] or then.truncated[i]:
                    break
                weight *= config.gamma * config.gae_lambda
                k += 1
            if step.valid[i]:
                rows.append((obs[i].tolist(), extra["action"][i].tolist(), advantage, advantage + v(obs[i])))
    if config.normalize_advantage:
        mean = sum(row[2] for row in rows) / len(rows)
        deviation = math.sqrt(sum((row[2] - mean) ** 2 for row in rows) / (len(rows) - 1))
        rows = [(o, a, (advantage - mean) / (deviation + 1e-8), r) for o, a, advantage, r in rows]
    return rows


def loss_by_loops(weights, kind, rows, config):
    policy, value, log_std = weights
    total = 0.0
    for obs, action, advantage, ret in rows:
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
        error = layers(value, obs)[0] - ret
        total += -log_prob * advantage - config.ent_coef * entropy + config.vf_coef * error**2
    return total / len(rows)


def slow_update(weights, kind, seen, config, mean_square, lr):
    rows = rows_of_updates(weights[1], seen, config)
    g = gradient_by_differences(lambda: loss_by_loops(weights, kind, rows, config), weights)
    norm = math.sqrt(sum((x**2).sum() for part in g for x in part))
    scale = min(1.0, config.max_grad_norm / norm)
    for part, gs, squares in zip(weights, g, mean_square):
        for array, x, square in zip(part, gs, squares):
            square[...] = 0.99 * square + 0.01 * (scale * x) ** 2
            eps = config.rms_prop_eps
            root = np.sqrt(square + eps) if config.eps_inside_sqrt else np.sqrt(square) + eps
            array -= lr * scale * x / root


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("more", [{}, {"gae_lambda": 0.5, "normalize_advantage": True, "eps_inside_sqrt": True}])
@pytest.mark.parametrize("seed", range(2))
def test_an_update_is_the_papers(kind, more, seed):
    config = replace(SMALL, n_steps=4, hidden=(4,), max_grad_norm=0.7, rms_prop_eps=1e-3, **more)
    config = replace(config, learning_rate=Schedule(1e-3))
    action_space = THREE if kind == "discrete" else spaces.Box(-1, 1, (2,), np.float32)
    rng = generator(seed)
    model = actor_critic(VECTOR, action_space, config.hidden, ortho_init=False, rng=rng)
    optimizer = RMSprop(alpha=0.99, eps=config.rms_prop_eps, eps_inside_sqrt=config.eps_inside_sqrt)
    learner = A2C(model, optimizer, Rollout(config.n_steps, rollout_columns(VECTOR, model)), config, rng)
    parts = ["/policy", "/value"] + (["/head/log_std"] if kind == "continuous" else [])
    params = [[p for path, p in model.namedparams() if path.startswith(part)] for part in parts]
    weights = [[p.array.astype(np.float64) for p in group] for group in params] + [[]] * (3 - len(parts))
    squares = [[np.zeros_like(a) for a in group] for group in weights]
    for k in range(2):
        before = [[p.array.copy() for p in group] for group in params]
        start = [[a.copy() for a in group] for group in weights]
        seen, stats = feed(learner, config.n_steps, 10 * seed + k, ends=0.5, invalid=0.25)
        assert sum(int(step.valid.sum()) for _, step, _ in seen) < 12
        slow_update(weights, kind, seen, config, squares, 1e-3)
        assert stats[-1]["n_updates"] == k + 1
        assert not any(stats[:-1])
        for group, a, b, c in zip(params, before, weights, start):
            for p, old, now, then in zip(group, a, b, c):
                np.testing.assert_allclose(p.array - old, now - then, rtol=5e-3, atol=3e-6)
                assert np.abs(p.array - old).max() > 1e-4


def test_an_update_values_each_row_once():
    """In the pass that is learned from; the last successors were valued when they came."""
    learner, calls = agent(), []
    for view, name in ((learner.acting_model, "values"), (learner.model, "forward")):
        inner = getattr(view, name)
        object.__setattr__(view, name, lambda *a, inner=inner, name=name: calls.append((name, len(a[0]))) or inner(*a))
    type_call = type(learner.model).__call__
    try:
        type(learner.model).__call__ = lambda self, *a: self.forward(*a)
        feed(learner, 5, 0, n=4, ends=0, invalid=0)
    finally:
        type(learner.model).__call__ = type_call
    assert calls == [("values", 4), ("forward", 20)]


def test_statistics_are_named_as_users_of_stable_baselines3_know_them():
    _, stats = feed(agent(action_space=spaces.Box(-1, 1, (2,), np.float32)), 5, 0)
    assert set(stats[-1]) == {
        "policy_loss", "value_loss", "entropy_loss", "explained_variance", "loss", "learning_rate", "std", "n_updates",
    }  # fmt: skip
    assert stats[-1]["loss"] == pytest.approx(
        stats[-1]["policy_loss"] + 0.01 * stats[-1]["entropy_loss"] + 0.5 * stats[-1]["value_loss"], rel=1e-5
    )


def test_the_learning_rate_follows_its_schedule():
    learner = agent(replace(SMALL, learning_rate=Schedule(0.1, 0.0, 60)))
    _, stats = feed(learner, 10, 0)
    assert [s["learning_rate"] for s in stats if s] == [pytest.approx(0.075), pytest.approx(0.05)]


@pytest.mark.parametrize("rms_prop", [True, False])
def test_the_optimizer_is_chosen_by_the_config(rms_prop):
    optimizer = agent(replace(SMALL, use_rms_prop=rms_prop, rms_prop_eps=0.5)).optimizer
    assert type(optimizer).__name__ == ("RMSprop" if rms_prop else "Adam")
    assert optimizer.eps == (0.5 if rms_prop else 1e-5)


@pytest.mark.parametrize("lstm", [None, 4])
def test_rows_that_are_no_transitions_are_not_learned_from(lstm):
    """Whatever is in them: the reward of such rows changes no weight; an update of nothing else is none."""
    one, two = (agent(replace(SMALL, lstm_hidden_size=lstm)) for _ in range(2))
    for learner, reward in ((one, 0.0), (two, 1e3)):
        rng = generator(0)
        obs = batch_of(VECTOR, 3, rng)
        for t in range(5):
            action, extra = learner.act(obs)
            step = random_step(VECTOR, 3, rng, invalid=0)
            bad = np.array([True, False, True]) & (t in (1, 4))
            step = step._replace(reward=np.where(bad, np.float32(reward), step.reward), valid=~bad)
            learner.observe(obs, action, step, extra)
            learner.update()
            obs = step.obs
    np.testing.assert_array_equal(one.model.flat, two.model.flat)
    before = one.model.flat.copy()
    _, stats = feed(one, 5, 0, invalid=1.0)
    assert stats[-1] == {}
    np.testing.assert_array_equal(one.model.flat, before)


@pytest.mark.parametrize("space", [*OBSERVATIONS, IMAGES[0], IMAGES[3]])
def test_observations_of_each_kind_are_learned_from(space):
    learner = agent(replace(SMALL, n_steps=2), observation_space=space)
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    _, stats = feed(learner, 2, 0, n=2, space=space, invalid=0)
    assert np.isfinite(stats[-1]["loss"])
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path


@pytest.mark.parametrize("lstm", [None, 4])
@pytest.mark.parametrize("space", ACTIONS)
def test_actions_of_each_kind_are_learned_from(space, lstm):
    learner = agent(replace(SMALL, lstm_hidden_size=lstm), action_space=space)
    before = learner.model.flat.copy()
    _, stats = feed(learner, 5, 0)
    assert np.isfinite(stats[-1]["loss"])
    assert np.count_nonzero(learner.model.flat != before) > before.size / 2


def test_noise_that_depends_on_the_state_is_learned():
    learner = agent(replace(SMALL, use_sde=True, sde_sample_freq=2), action_space=spaces.Box(-1, 1, (2,), np.float32))
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    _, stats = feed(learner, 5, 0)
    assert np.isfinite(stats[-1]["loss"])
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path
    with pytest.raises(ValueError, match="use_sde needs the actions of one Box"):
        agent(replace(SMALL, use_sde=True))


def test_a_recurrent_update_starts_from_the_state_acted_from():
    """The log_probs of the update's pass are those of acting, also behind ends and rows that are no transitions."""
    learner = agent(replace(SMALL, lstm_hidden_size=4, learning_rate=Schedule(0.0)))
    passes = []
    forward = type(learner.model).forward
    learner.model.__dict__["forward"] = None  # so that only the class's is used
    call = type(learner.model).__call__
    try:
        type(learner.model).__call__ = lambda self, *a: passes.append(forward(self, *a)) or passes[-1]
        for k in range(3):
            seen, _ = feed(learner, 5, k, ends=0.4, invalid=0.2)
            (distribution, _), _ = passes[-1]
            action = np.concatenate([extra["action"] for _, _, extra in seen])
            acted = np.concatenate([extra["log_prob"] for _, _, extra in seen])
            np.testing.assert_allclose(distribution.log_prob(action).array, acted, rtol=1e-5)
    finally:
        type(learner.model).__call__ = call
    assert len(passes) == 3


def test_updates_that_are_not_finite_are_left_out():
    learner = agent()
    before = learner.model.flat.copy()
    rng = generator(0)
    obs = batch_of(VECTOR, 3, rng)
    for _ in range(5):
        action, extra = learner.act(obs)
        step = random_step(VECTOR, 3, rng, invalid=0)._replace(reward=np.full(3, np.nan, np.float32))
        learner.observe(obs, action, step, extra)
    with pytest.warns(RuntimeWarning, match="an update is left out"):
        stats = learner.update()
    assert stats["faults/nonfinite_update"] == 1
    assert (learner.n_updates, len(learner.rollout)) == (0, 0)
    np.testing.assert_array_equal(learner.model.flat, before)


@pytest.mark.parametrize("lstm", [None, 4])
@pytest.mark.parametrize("stop", [0, 3, 5, 13])
def test_a_loaded_agent_goes_on_bit_for_bit(stop, lstm):
    config = replace(SMALL, lstm_hidden_size=lstm)
    whole, state = trained(21, agent(config, 5)), through_a_file(trained(stop, agent(config, 5)).state())
    other = trained(5, agent(config, 9))
    other.load(state)
    same(trained(21, other).state(), whole.state())
    assert any(np.any(a) for _, a in named_leaves(whole.state()["optimizer"]["ms"]))
