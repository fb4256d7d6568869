"""APPO: an update on a rollout of an older policy against plain loops in float64, IMPALA in it, parts, and state."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import actor_critic
from rlcore.agents import APPO, IMPALA, APPOConfig, IMPALAConfig
from rlcore.agents.on_policy import VALUED, rollout_columns
from rlcore.autograd.optimizers import SGD
from rlcore.buffers import Rollout
from rlcore.explorers import Schedule
from rlcore.rng import generator
from tests.agents.test_impala import BOX, agent, fed, groups_of, older, rows_by_loops, values_after
from tests.agents.test_ppo import (
    ACTIONS,
    OBSERVATIONS,
    THREE,
    VECTOR,
    gradient_by_differences,
    loss_by_loops,
    same,
    trained,
)
from tests.envs.worlds import through_a_file

SMALL = APPOConfig(n_steps=8, batch_size=8, n_epochs=3, learning_rate=Schedule(1e-2), hidden=(8,), sequence_length=4)


def appo(config=SMALL, seed=0, **spaces_):
    return agent(config, seed, cls=APPO, **spaces_)


def slow_update(weights, kind, seen, config, orders, lr):
    """V-trace by the policy before the update, then PPO's epochs of SGD away from that policy."""
    rows = rows_by_loops(weights, kind, seen, config, values_after(weights, seen))
    parts = [group for group in weights if group]
    log_std = weights[2][0] if weights[2] else None
    for order in orders:
        for start in range(0, len(rows), config.batch_size):
            mini = [rows[k] for k in order[start : start + config.batch_size]]
            obs, action, advantage, target, log_prob, value = map(list, zip(*mini))

            columns = list(zip(obs, action)), log_prob, value, advantage, target

            def f(columns=columns):
                return loss_by_loops((*weights[:2], log_std), kind, *columns, config, config.clip_range(0))

            g = gradient_by_differences(f, parts)
            norm = math.sqrt(sum((x**2).sum() for part in g for x in part))
            for part, gs in zip(parts, g):
                for array, x in zip(part, gs):
                    array -= lr * min(1.0, config.max_grad_norm / norm) * x


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize(
    "more", [{}, {"gae_lambda": 0.7, "clip_rho": 1.5, "clip_c": 1.2, "clip_pg_rho": 2.0, "normalize_advantage": True}]
)
@pytest.mark.parametrize("seed", range(2))
def test_an_update_on_the_rows_of_an_older_policy_is_ppos_on_vtrace(kind, more, seed):
    config = replace(SMALL, n_steps=4, batch_size=5, n_epochs=2, hidden=(4,), max_grad_norm=0.7, **more)
    config = replace(config, learning_rate=Schedule(0.5), clip_range=Schedule(0.2))
    rng = generator(seed)
    model = actor_critic(VECTOR, THREE if kind == "discrete" else BOX, config.hidden, ortho_init=False, rng=rng)
    learner = APPO(model, SGD(0.1), Rollout(config.n_steps, rollout_columns(VECTOR, model)), config, rng)
    params, weights = groups_of(model)
    before = [[a.copy() for a in group] for group in weights]
    shuffles = generator(0)
    shuffles.bit_generator.state = learner.rngs["learning"].bit_generator.state
    seen, stats = fed(learner, older(learner), config.n_steps, seed + 10, ends=0.5, invalid=0.25)
    assert stats[-1]["n_updates"] == 2
    n = sum(int(step.valid.sum()) for _, step, _ in seen)
    assert n < 12
    slow_update(weights, kind, seen, config, [shuffles.permutation(n) for _ in range(2)], 0.5)
    for group, expected, start in zip(params, weights, before):
        for p, a, b in zip(group, expected, start):
            np.testing.assert_allclose(p.array - b, a - b, rtol=3e-3, atol=3e-6)
            assert np.abs(p.array - b).max() > 1e-5


@pytest.mark.parametrize("lstm", [None, 4])
def test_its_first_step_on_a_whole_rollout_is_impalas(lstm):
    shared = dict(
        n_steps=8, hidden=(8,), lstm_hidden_size=lstm, learning_rate=Schedule(1e-2), clip_rho=1.5, vf_coef=0.3
    )
    one = appo(APPOConfig(batch_size=24, sequence_length=8, **shared))
    two = agent(IMPALAConfig(**shared), cls=IMPALA)
    for learner in (one, two):
        learner.optimizer.eps = 1e-3
        _, stats = fed(learner, older(learner), 8, 3, ends=0.3, invalid=0.1)
        if learner is one:
            assert stats[-1]["approx_kl"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(one.model.flat, two.model.flat, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("lstm", [None, 4])
def test_log_probs_are_those_of_the_policy_as_it_is(lstm):
    """Of its own rows those of acting, also where they come in parts; 0 where a row is no transition."""
    learner, n = appo(replace(SMALL, lstm_hidden_size=lstm)), VALUED // 4 - 1
    fed(learner, learner, 7, 0, n=n, ends=0.3, invalid=0.2)
    c = {k: v[:7] for k, v in learner.rollout.columns.items()}
    found = learner.log_probs(c)
    assert found.shape == (7, n)
    np.testing.assert_allclose(found, np.where(c["valid"], c["log_prob"], 0), rtol=1e-4, atol=1e-5)


def test_log_probs_where_nothing_is_a_transition():
    learner = appo()
    fed(learner, learner, 7, 0, invalid=1.0)
    c = {k: v[:7] for k, v in learner.rollout.columns.items()}
    assert not learner.log_probs(c).any()


@pytest.mark.parametrize("lstm", [None, 4])
@pytest.mark.parametrize(
    ("space", "action_space"), [*[(s, THREE) for s in OBSERVATIONS], *[(VECTOR, a) for a in ACTIONS]]
)
def test_spaces_of_each_kind_are_learned_from(space, action_space, lstm):
    learner = appo(replace(SMALL, lstm_hidden_size=lstm), observation_space=space, action_space=action_space)
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    _, stats = fed(learner, older(learner, by=0.01), 8, 0, space=space)
    assert np.isfinite(stats[-1]["loss"])
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path


def test_masked_actions_of_dummy_rows_may_all_be_forbidden():
    space = spaces.Dict({"action_mask": spaces.MultiBinary(3), "obs": VECTOR})
    learner = appo(observation_space=space)
    fed(learner, learner, 7, 0, space=space)
    learner.rollout.columns["obs"]["action_mask"][3, 1] = 0
    learner.rollout.columns["valid"][3, 1] = False
    assert np.isfinite(fed(learner, learner, 1, 1, space=space)[1][-1]["loss"])


@pytest.mark.parametrize("lstm", [None, 4])
def test_a_loaded_agent_goes_on_bit_for_bit(lstm):
    config = replace(SMALL, lstm_hidden_size=lstm)
    whole, state = trained(21, appo(config, 5)), through_a_file(trained(13, appo(config, 5)).state())
    other = trained(5, appo(config, 9))
    other.load(state)
    same(trained(21, other).state(), whole.state())


def test_what_it_cannot_do_is_said():
    for more in ({"clip_rho": 0}, {"clip_c": -1}, {"clip_pg_rho": math.inf}):
        with pytest.raises(ValueError, match=f"{next(iter(more))} must be"):
            APPOConfig(**more)
    with pytest.raises(ValueError, match="batch_size 64 is more than the 24 rows of an update"):
        fed(appo(replace(SMALL, batch_size=64)), older(appo()), 1, 0)
