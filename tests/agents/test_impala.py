"""IMPALA: updates on rollouts of an older policy against plain loops in float64, A2C in it, rollouts that are fed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import actor_critic
from rlcore.agents import A2C, APPO, IMPALA, PPO, A2CConfig, IMPALAConfig
from rlcore.agents.on_policy import rollout_columns
from rlcore.autograd.optimizers import RMSprop
from rlcore.buffers import Rollout
from rlcore.explorers import Schedule
from rlcore.harness.config import from_dict, to_dict
from rlcore.parallel.data_parallel import join
from rlcore.parallel.local import run_threads
from rlcore.rng import generator
from rlcore.stream import Step
from rlcore.tree import map_
from tests.agents.test_a2c import loss_by_loops
from tests.agents.test_ppo import (
    ACTIONS,
    OBSERVATIONS,
    THREE,
    VECTOR,
    batch_of,
    gradient_by_differences,
    layers,
    random_step,
    same,
    trained,
)
from tests.envs.worlds import through_a_file

SMALL = IMPALAConfig(n_steps=5, learning_rate=Schedule(1e-2), hidden=(8,))
BOX = spaces.Box(-1, 1, (2,), np.float32)


def agent(config=SMALL, seed=0, observation_space=VECTOR, action_space=THREE, cls=IMPALA):
    return cls.from_spaces(observation_space, action_space, config, generator(seed))


def older(learner, by=0.3, seed=7):
    """Another agent like it, whose weights are some way off."""
    kind, n = type(learner), learner.rollout.length
    other = kind(learner.model.copy(), learner.optimizer.__class__(), Rollout(n, {}), learner.config, generator(seed))
    rng = generator(seed)
    for p in other.model.params():
        p.array = p.array + by * rng.normal(size=p.shape).astype(np.float32)
    return other


def fed(learner, actor, steps, seed, n=3, space=VECTOR, **chances):
    """So many steps of random experience in which another agent acts."""
    rng = generator(seed)
    obs = batch_of(space, n, rng)
    seen, stats = [], []
    for t in range(steps):
        action, extra = actor.act(obs)
        step = random_step(space, n, rng, **chances)
        if actor.memory is not None and actor is not learner:
            actor.memory.forget(step.ended | ~step.valid)
            if t % learner.rollout.length:
                del extra["h"]  # of a rollout the state before its first row is all that comes
        learner.observe(obs, action, step, extra)
        seen.append((obs, step, extra))
        stats.append(learner.update())
        obs = step.obs
    return seen, stats


# The update, written from the paper by loops; nothing of rlcore takes part


def log_prob_by_loops(weights, kind, obs, action):
    out = layers(weights[0], obs)
    if kind == "discrete":
        return out[action] - math.log(sum(math.exp(o) for o in out))
    (s,) = weights[2]
    return sum(
        -0.5 * ((x - mu) / math.exp(d)) ** 2 - d - 0.5 * math.log(2 * math.pi) for x, mu, d in zip(action, out, s)
    )


def values_after(weights, seen):
    """Of each row's true successor."""
    return [[layers(weights[1], obs.tolist())[0] for obs in step.final_obs] for _, step, _ in seen]


def rows_by_loops(weights, kind, seen, config, after):
    """(obs, action, advantage, target, log_prob, value) of each transition.

    Eq. 1 as the sum of products that it is; `after` are the successors' values as they were when the rows came, which
    count where the stream is cut and behind the last row.
    """

    def v(t, i):
        return layers(weights[1], seen[t][0][i].tolist())[0]

    def log_prob(t, i):
        return log_prob_by_loops(weights, kind, seen[t][0][i].tolist(), seen[t][2]["action"][i].tolist())

    def ratio(t, i):
        return math.exp(log_prob(t, i) - float(seen[t][2]["log_prob"][i]))

    def following(t, i):  # V(x_(t + 1))
        step = seen[t][1]
        if step.terminated[i]:
            return 0.0
        return after[t][i] if step.truncated[i] or t + 1 == len(seen) else v(t + 1, i)

    def target(s, i):
        total, c, t = v(s, i), 1.0, s
        while t < len(seen) and seen[t][1].valid[i]:
            step = seen[t][1]
            delta = float(step.reward[i]) + config.gamma * following(t, i) - v(t, i)
            total += config.gamma ** (t - s) * c * min(config.clip_rho, ratio(t, i)) * delta
            if step.terminated[i] or step.truncated[i]:
                break
            c *= config.gae_lambda * min(config.clip_c, ratio(t, i))
            t += 1
        return total

    rows = []
    for t, (obs, step, extra) in enumerate(seen):
        for i in np.flatnonzero(step.valid):
            cut = step.terminated[i] or step.truncated[i] or t + 1 == len(seen)
            q = float(step.reward[i]) + config.gamma * (following(t, i) if cut else target(t + 1, i))
            advantage = min(config.clip_pg_rho, ratio(t, i)) * (q - v(t, i))
            row = obs[i].tolist(), extra["action"][i].tolist(), advantage, target(t, i)
            rows.append((*row, log_prob(t, i), v(t, i)))
    return rows


def slow_update(weights, kind, seen, config, mean_square, lr):
    after = values_after(weights, seen)
    for _ in range(config.n_epochs):
        rows = [row[:4] for row in rows_by_loops(weights, kind, seen, config, after)]
        g = gradient_by_differences(lambda rows=rows: loss_by_loops(weights, kind, rows, config), weights)
        norm = math.sqrt(sum((x**2).sum() for part in g for x in part))
        scale = min(1.0, config.max_grad_norm / norm)
        for part, gs, squares in zip(weights, g, mean_square):
            for array, x, square in zip(part, gs, squares):
                square[...] = 0.99 * square + 0.01 * (scale * x) ** 2
                array -= lr * scale * x / np.sqrt(square + config.rms_prop_eps)


def groups_of(model):
    """Parameters of policy, value and deviation, and these in float64."""
    named = list(model.namedparams())
    params = [[p for path, p in named if path.startswith(part)] for part in ("/policy", "/value", "/head/log_std")]
    return params, [[p.array.astype(np.float64) for p in group] for group in params]


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize(
    "more", [{}, {"gae_lambda": 0.7, "clip_rho": 1.5, "clip_c": 1.2, "clip_pg_rho": 2.0, "n_epochs": 2}]
)
@pytest.mark.parametrize("seed", range(2))
def test_an_update_on_the_rows_of_an_older_policy_is_the_papers(kind, more, seed):
    config = replace(SMALL, n_steps=4, hidden=(4,), max_grad_norm=0.7, rms_prop_eps=1e-3, **more)
    config = replace(config, learning_rate=Schedule(1e-2), use_rms_prop=True)
    rng = generator(seed)
    model = actor_critic(VECTOR, THREE if kind == "discrete" else BOX, config.hidden, ortho_init=False, rng=rng)
    optimizer = RMSprop(alpha=0.99, eps=1e-3, eps_inside_sqrt=True)
    learner = IMPALA(model, optimizer, Rollout(config.n_steps, rollout_columns(VECTOR, model)), config, rng)
    params, weights = groups_of(model)
    squares = [[np.zeros_like(a) for a in group] for group in weights]
    actor = older(learner)
    for k in range(2):
        before = [[p.array.copy() for p in group] for group in params]
        start = [[a.copy() for a in group] for group in weights]
        seen, stats = fed(learner, actor, config.n_steps, 10 * seed + k, ends=0.5, invalid=0.25)
        assert sum(int(step.valid.sum()) for _, step, _ in seen) < 12
        slow_update(weights, kind, seen, config, squares, 1e-2)
        assert stats[-1]["n_updates"] == (k + 1) * config.n_epochs
        assert not any(stats[:-1])
        for group, a, b, c in zip(params, before, weights, start):
            for p, old, now, then in zip(group, a, b, c):
                np.testing.assert_allclose(p.array - old, now - then, rtol=5e-3, atol=1e-5)
                assert np.abs(p.array - old).max() > 1e-4


@pytest.mark.parametrize("lstm", [None, 4])
def test_on_its_own_rows_it_is_a2c(lstm):
    shared = {name: value for name, value in to_dict(SMALL).items() if name in to_dict(A2CConfig())}
    shared["lstm_hidden_size"] = lstm
    one = agent(replace(SMALL, lstm_hidden_size=lstm))
    two = agent(from_dict(A2CConfig, shared), cls=A2C)
    for learner in (one, two):
        fed(learner, learner, 5, 0, ends=0.4, invalid=0.2)
    np.testing.assert_allclose(one.model.flat, two.model.flat, rtol=1e-4, atol=1e-6)
    assert np.abs(one.model.flat - agent(replace(SMALL, lstm_hidden_size=lstm)).model.flat).max() > 1e-3


@pytest.mark.parametrize("cls", [A2C, IMPALA, PPO, APPO])
@pytest.mark.parametrize("lstm", [None, 4])
def test_rows_that_are_fed_are_learned_from_as_those_in_which_it_acted(cls, lstm):
    """Rollouts of 3 and of 5 streams; of what is remembered, the state before the first row comes with them."""
    sizes = {"batch_size": 4, "sequence_length": 2} if issubclass(cls, PPO) else {}
    config = cls.Config(n_steps=4, hidden=(8,), lstm_hidden_size=lstm, **sizes)
    whole, learner = agent(config, cls=cls), agent(config, cls=cls)
    for k, n in enumerate((3, 5)):
        actor = agent(config, cls=cls, seed=k)
        actor.model.copyparams(whole.model)
        if lstm is not None:
            whole.memory.h = None  # of new streams
        obs, rng, rows = batch_of(VECTOR, n, generator(k)), generator(k), []
        for _ in range(4):
            rows.append((obs, *whole.act(obs), random_step(VECTOR, n, rng, ends=0.4, invalid=0.2)))
            obs, action, extra, step = rows[-1]
            whole.observe(obs, action, step, extra)
            obs = step.obs
        for t, (obs, action, extra, step) in enumerate(rows):
            given = {name: extra[name] for name in ("action", "log_prob")}
            learner.observe(obs, action, step, given | ({"h": extra["h"]} if lstm is not None and t == 0 else {}))
        np.testing.assert_array_equal(learner.rollout.columns["final_value"], whole.rollout.columns["final_value"])
        assert learner.update().keys() == whole.update().keys()
        np.testing.assert_array_equal(learner.model.flat, whole.model.flat)
    assert learner.n_updates == whole.n_updates > 0
    assert learner.t == whole.t == 4 * 8


def test_what_the_values_are_does_not_depend_on_who_acted():
    """An actor's values do not come into it: of two with the same policy, and other values, all is the same."""
    one, two = agent(), agent()
    actor = older(one)
    for p in actor.model.value.params():
        p.array = p.array + 5
    fed(one, older(one), 5, 0)
    fed(two, actor, 5, 0)
    np.testing.assert_array_equal(one.model.flat, two.model.flat)


def test_statistics_have_names_that_are_known():
    learner = agent(replace(SMALL, n_epochs=3), action_space=BOX)
    _, stats = fed(learner, older(learner), 5, 0)
    assert set(stats[-1]) == {
        "policy_loss", "value_loss", "entropy_loss", "explained_variance", "loss", "learning_rate", "std", "n_updates",
    }  # fmt: skip
    assert stats[-1]["n_updates"] == 3


@pytest.mark.parametrize(("rms_prop", "name"), [(False, "Adam"), (True, "RMSprop")])
def test_the_optimizer_is_chosen_by_the_config(rms_prop, name):
    assert type(agent(replace(SMALL, use_rms_prop=rms_prop)).optimizer).__name__ == name


@pytest.mark.parametrize("lstm", [None, 4])
@pytest.mark.parametrize(
    ("space", "action_space"), [*[(s, THREE) for s in OBSERVATIONS], *[(VECTOR, a) for a in ACTIONS]]
)
def test_spaces_of_each_kind_are_learned_from(space, action_space, lstm):
    learner = agent(replace(SMALL, lstm_hidden_size=lstm), observation_space=space, action_space=action_space)
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    _, stats = fed(learner, older(learner, by=0.01), 5, 0, space=space)
    assert np.isfinite(stats[-1]["loss"])
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path


@pytest.mark.parametrize("lstm", [None, 4])
@pytest.mark.parametrize("stop", [3, 13])
def test_a_loaded_agent_goes_on_bit_for_bit(stop, lstm):
    config = replace(SMALL, lstm_hidden_size=lstm)
    whole, state = trained(21, agent(config, 5)), through_a_file(trained(stop, agent(config, 5)).state())
    other = trained(5, agent(config, 9))
    other.load(state)
    same(trained(21, other).state(), whole.state())


@pytest.mark.parametrize("lstm", [None, 4])
def test_ranks_that_learn_together_take_the_steps_of_one(lstm):
    """On 2 and 3 streams of the same 5, of which one rank's have no transition in the second rollout."""
    config = replace(SMALL, lstm_hidden_size=lstm, n_epochs=2, max_grad_norm=0.5)
    one, rows = agent(config), []
    actor, rng, obs = older(one), generator(3), batch_of(VECTOR, 5, generator(3))
    for t in range(10):
        _, extra = actor.act(obs)
        step = random_step(VECTOR, 5, rng, ends=0.4, invalid=0.2)
        step.valid[:2] &= t < 5
        actor.forget(step.ended | ~step.valid)
        rows.append((obs, step, extra))
        obs = step.obs

    def learned(learner, streams):
        for obs, step, extra in rows:
            step = Step(*map_(lambda a: a[streams], tuple(step[:6])), {})
            learner.observe(obs[streams], None, step, map_(lambda a: a[streams], extra))
            learner.update()
        return learner.n_updates, learner.model.flat

    def rank(comm):
        return learned(join(agent(config, comm.rank), comm), [slice(2), slice(2, 5)][comm.rank])

    n_updates, expected = learned(one, slice(None))
    assert n_updates == 4
    for n, found in run_threads(2, rank):
        assert n == 4
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5)


def test_what_it_cannot_do_is_said():
    for more in ({"clip_rho": 0}, {"clip_c": -1}, {"clip_pg_rho": math.inf}, {"n_epochs": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(more))} must be"):
            IMPALAConfig(**more)
    with pytest.raises(ValueError, match="all its streams in one call, got stream=3"):
        agent().observe(None, None, random_step(VECTOR, 3, generator(0)), {}, stream=3)
