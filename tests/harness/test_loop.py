"""The loop: rows are counted, every hook runs, the agent sees what it acted on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.harness.loop import due, train
from tests.harness.fakes import Scripted, Wanderer


@pytest.mark.parametrize(("n_envs", "steps", "end"), [(1, 5, 5), (3, 10, 12), (4, 8, 8), (2, 0, 0)])
def test_rows_are_counted(n_envs, steps, end):
    seen = []
    env = SerialEnv(Chain, n_envs)
    assert train(Wanderer(), env, steps, [lambda t, step, stats: seen.append(t)]) == end
    assert seen == list(range(n_envs, end + 1, n_envs))


def test_the_agent_sees_what_it_acted_on():
    agent, env = Wanderer(), SerialEnv(lambda: Chain(3), 2)
    train(agent, env, 60)
    assert agent.seen[0][0].tolist() == [[1, 0, 0, 0]] * 2
    for obs, action, terminated, _ in agent.seen:
        s = obs.argmax(1)
        after = np.where(action == 1, s + 1, np.maximum(s - 1, 0))
        assert (terminated == (after == 3)).all()


def test_what_follows_is_the_next_observation():
    agent, env = Wanderer(), SerialEnv(lambda: Chain(3), 2)
    got = []
    train(agent, env, 40, [lambda t, step, stats: got.append(step.obs.copy())])
    for (obs, *_), before in zip(agent.seen[1:], got, strict=False):
        assert (obs == before).all()


def test_hooks_get_the_step_and_the_statistics():
    agent, got = Wanderer(), []
    train(agent, Scripted([2, 3], [1.0, 2.0]), 12, [lambda t, step, stats: got.append((step, stats))])
    assert [step for step, _ in got] == [step for *_, step in agent.seen]
    assert all(stats.keys() == {"loss"} for _, stats in got)
    ended = [sorted(zip(*[x.tolist() for x in s.info["episode"]])) for s, _ in got if s.info]
    assert ended == [[(0, 1.0, 2)], [(1, 2.0, 3)], [(0, 1.0, 2)], [(0, 1.0, 2), (1, 2.0, 3)]]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_hook_ends_the_run_after_all_hooks_ran(which):
    seen = []

    def hook(i):
        return lambda t, step, stats: seen.append((i, t)) or (True if i == which and t == 6 else None)

    assert train(Wanderer(), SerialEnv(Chain, 2), 100, [hook(i) for i in range(3)]) == 6
    assert seen == [(i, t) for t in (2, 4, 6) for i in range(3)]


def test_it_goes_on_from_t():
    env, seen = Scripted([3], [0.0]), []
    assert train(Wanderer(), env, 4) == 4
    assert env.resets == 1
    assert train(Wanderer(), env, 9, [lambda t, step, stats: seen.append(t)], t=4) == 9
    assert seen == [5, 6, 7, 8, 9]
    assert env.resets == 1
    assert env.clock == [0]  # 9 steps without a break
    assert train(Wanderer(), env, 9, t=9) == 9


def test_one_run_equals_two_that_follow_each_other():
    whole, parts = Wanderer(), Wanderer()
    train(whole, SerialEnv(lambda: Chain(3)), 50)
    env = SerialEnv(lambda: Chain(3))
    train(parts, env, 50, t=train(parts, env, 20))
    assert whole.actions.tolist() == parts.actions.tolist()
    assert [o.tolist() for o, *_ in whole.seen] == [o.tolist() for o, *_ in parts.seen]


def test_negative_steps_are_refused():
    env = Scripted([1], [0.0])
    with pytest.raises(ValueError, match="steps must not be negative, got -1"):
        train(Wanderer(), env, -1)
    assert env.resets == 0


def test_an_environment_that_has_not_started_cannot_go_on():
    with pytest.raises(ValueError, match="cannot go on from row 5: the environment has not started"):
        train(Wanderer(), Scripted([1], [0.0]), 9, t=5)


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 60))
def test_due_is_once_for_every_multiple(turn, n_envs, every):
    t = turn * n_envs
    assert due(t, n_envs, every) == any(row % every == 0 for row in range(t - n_envs + 1, t + 1))
