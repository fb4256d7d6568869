"""Exploration that holds for some steps: when it is drawn anew, its state, and what of a rollout resets a memory."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents.acting import resets
from rlcore.rng import generator
from tests.agents.test_ppo import SMALL, THREE, VECTOR, agent, batch_of, feed, random_step, same, trained
from tests.envs.worlds import through_a_file

BOX = spaces.Box(-1, 1, (2,), np.float32)
SDE = replace(SMALL, use_sde=True, sde_sample_freq=3)


@pytest.mark.parametrize(("every", "drawn"), [(3, [0, 3, 6, 8, 11, 14]), (None, [0, 8]), (1, list(range(16)))])
def test_noise_is_drawn_anew_every_so_many_steps_of_a_rollout(every, drawn):
    learner = agent(replace(SDE, sde_sample_freq=every), action_space=BOX)
    obs, seen = batch_of(VECTOR, 3, generator(0)), []
    for t in range(16):
        _, extra = learner.act(obs)
        seen.append(learner.exploration.coefficients)
        assert t == 0 or (seen[t] is not seen[t - 1]) == (t in drawn)
        learner.observe(obs, extra["action"], random_step(VECTOR, 3, generator(t)), extra)
        learner.update()
    assert seen[0].shape == (3, 8, 2)
    assert not np.array_equal(seen[0][0], seen[0][1])  # each stream has its own


def test_the_first_minibatch_has_ratio_one():
    learner, seen = agent(replace(SDE, n_steps=64, batch_size=48, n_epochs=1), action_space=BOX), []
    learn = learner.learn
    learner.learn = lambda batch: seen.append(learn(batch)) or seen[-1]
    feed(learner, 64, 1)
    assert seen[0]["approx_kl"] == pytest.approx(0, abs=1e-6)
    assert seen[0]["clip_fraction"] == 0
    assert seen[1]["approx_kl"] > 1e-6


def test_an_update_moves_the_deviations_and_tells_their_mean():
    learner = agent(replace(SDE, log_std_init=-1.0), action_space=BOX)
    stats = feed(learner, 8, 0)[1][-1]
    log_std = learner.model.head.log_std.array
    assert stats["std"] == pytest.approx(np.exp(log_std).mean())
    assert 1e-4 < np.abs(log_std + 1).max() < 0.5


def test_policies_act_by_the_mean_or_by_the_density():
    learner = agent(SDE, action_space=spaces.Box(-9, 9, (2,), np.float32))
    obs = np.repeat(batch_of(VECTOR, 1, generator(0)), 5_000, axis=0)
    d = learner.acting_model.distribution(obs)
    np.testing.assert_array_equal(learner.policy()(obs), d.mode.array)
    drawn = learner.policy(False, generator(1))(obs)
    np.testing.assert_allclose((drawn - d.mode.array).std(axis=0), d.stddev.array[0], rtol=0.05)


def test_other_actions_are_refused():
    with pytest.raises(ValueError, match="use_sde needs the actions of one Box, got Discrete"):
        agent(SDE, action_space=THREE)


@pytest.mark.parametrize("stop", [0, 2, 8, 13])
def test_a_loaded_agent_goes_on_bit_for_bit(stop):
    whole = trained(21, agent(SDE, 5, action_space=BOX))
    state = through_a_file(trained(stop, agent(SDE, 5, action_space=BOX)).state())
    other = trained(5, agent(SDE, 9, action_space=BOX))
    other.load(state)
    same(trained(21, other).state(), whole.state())


@pytest.mark.parametrize(
    "spoil", [lambda s: s.update(coefficients=np.zeros((3, 7, 2), np.float32)), lambda s: s.update(x=1)]
)
def test_a_broken_state_changes_nothing(spoil):
    given = through_a_file(trained(10, agent(SDE, action_space=BOX)).state())
    other = trained(12, agent(SDE, 9, action_space=BOX))
    before = through_a_file(other.state())
    spoil(given["exploration"])
    with pytest.raises(ValueError, match=r"exploration has coefficients \('N', 8, 2\), got"):
        other.load(given)
    same(other.state(), before)


def test_a_memory_is_reset_before_the_rows_that_follow_an_end_or_no_transition():
    no, yes = [False] * 5, [True] * 5
    columns = {
        "terminated": np.array([no, [False, True, False, False, False], yes]),
        "truncated": np.array([[True, False, False, False, False], no, no]),
        "valid": np.array([yes, [True, True, False, True, True], yes]),
    }
    assert resets(columns).tolist() == [no, [True, False, False, False, False], [False, True, True, False, False]]
