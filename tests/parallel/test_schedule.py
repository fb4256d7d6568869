"""A run of several actors, run again in one process."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rlcore.agents import A2C, DQN, R2D2
from rlcore.fields import Schedule
from rlcore.parallel.actor import act
from rlcore.parallel.learner import learn
from rlcore.parallel.local import run_threads
from rlcore.parallel.schedule import Recording, replay
from tests.parallel.launching import launched, needs_mpi, script
from tests.parallel.test_learner import SMALL, agent_of, chain

AGENTS = {
    "dqn": (DQN, dict(SMALL, update_every=8, gradient_steps=3, learning_rate=Schedule(1e-2, 1e-3, 300)), {}),
    "r2d2": (R2D2, dict(SMALL, lstm_hidden_size=4, sequence_length=5, burn_in=3, update_every=8), {}),
    "a2c": (A2C, dict(hidden=(8,), n_steps=5, learning_rate=Schedule(1e-2)), {}),
    "a2c of two": (A2C, dict(hidden=(8,), n_steps=5, learning_rate=Schedule(1e-2)), {"batch": 2}),
}
STEPS = {DQN: 5, R2D2: 5, A2C: None}


def role(comm, path, name, hooks=(), leaves=()):
    """What a rank does in a run of three actors, of which some leave and come back; the agent of the learner."""
    cls, settings, options = AGENTS[name]
    env = chain(comm.rank)
    agent = agent_of(cls, env, comm.rank, **settings)
    if not comm.rank:
        learn(agent, comm, 600, hooks, recording=Recording(path), **options)
        return agent
    if comm.rank in leaves:
        act(agent, env, comm, 1, STEPS[cls], [lambda t, step, stats: t >= 66])
        env = chain(comm.rank)
        agent = agent_of(cls, env, comm.rank, **settings)
    act(agent, env, comm, 1, STEPS[cls])
    return None


def recorded(path, name, hooks=(), leaves=()):
    return run_threads(4, role, path, name, hooks, leaves)[0]


def again(path, name, **options):
    cls, settings, _ = AGENTS[name]

    def make_actor(i):
        env = chain(i + 1)
        return agent_of(cls, env, i + 1, **settings), env

    agent = agent_of(cls, chain(0), **settings)
    return replay(path, agent, make_actor, steps=STEPS[cls], **options), agent


def equal(one, other):
    assert (one.t, one.n_updates) == (other.t, other.n_updates)
    assert one.n_updates > 10
    np.testing.assert_array_equal(one.actor.flat_state, other.actor.flat_state)


@pytest.mark.parametrize("name", AGENTS)
def test_a_run_of_three_actors_is_the_same_again(tmp_path, name):
    path = tmp_path / "order.jsonl"
    seen, seen_again = [], []
    agent = recorded(path, name, [lambda t, step, stats: seen.append((t, stats.get("loss"))) and None])
    t, same = again(path, name, hooks=[lambda t, step, stats: seen_again.append((t, stats.get("loss"))) and None])
    assert t == agent.t
    equal(agent, same)
    assert seen == seen_again
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    versions = {version for line in lines for _, _, version in line.get("round", ())}
    assert len(versions) > 5  # the actors have had new weights


def test_a_run_that_a_hook_has_ended_in_the_midst_of_a_chunk_is_the_same_again(tmp_path):
    agent = recorded(tmp_path / "order", "dqn", [lambda t, step, stats: t >= 444])
    assert agent.t == 444
    equal(agent, again(tmp_path / "order", "dqn")[1])


def test_an_error_comes_again(tmp_path):
    def hook(t, step, stats):
        if t == 444:
            raise KeyError(t)

    with pytest.raises(KeyError, match="444"):
        recorded(tmp_path / "order", "dqn", [hook])
    with pytest.raises(KeyError, match="444"):
        again(tmp_path / "order", "dqn", hooks=[hook])


def test_actors_that_have_come_back_are_the_same_again(tmp_path):
    agent = recorded(tmp_path / "order", "dqn", leaves=(2,))
    lines = (tmp_path / "order").read_text()
    assert lines.count('{"hello": 1}') == 2
    equal(agent, again(tmp_path / "order", "dqn")[1])


def test_another_order_is_another_run(tmp_path):
    path = tmp_path / "order"
    agent = recorded(path, "dqn")
    lines = path.read_text().splitlines()
    rounds = [k for k, line in enumerate(lines) if "round" in line]
    i = next(i for i in rounds[20:] if json.loads(lines[i])["round"][0][0] != json.loads(lines[i + 1])["round"][0][0])
    lines[i], lines[i + 1] = lines[i + 1], lines[i]
    path.write_text("\n".join(lines))
    _, other = again(path, "dqn")
    assert not np.array_equal(agent.actor.flat_state, other.actor.flat_state)


def test_what_cannot_be_run_again_is_refused(tmp_path):
    path = tmp_path / "order"
    recorded(path, "dqn")
    whole = path.read_text().splitlines()
    for text, words in (
        ("", "is no recording of a run"),
        ("[]", "is no recording of a run"),
        ("{", "is no recording of a run"),
        ('{"format": 9}', "format 9, expected 1"),
        ("\n".join([whole[0].replace('"version": 0', '"version": 3'), *whole[1:]]), "at the start of the run 3"),
        ("\n".join([line for line in whole if "[[1, 2, " not in line]), "chunk 2 of actor 1 was lost"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            again(path, "dqn")


JOB = """
import sys
import numpy as np
from rlcore.parallel.comm import world
from tests.parallel.test_schedule import role
agent = role(world(), sys.argv[1], "dqn")
if agent is not None:
    np.savez(sys.argv[2], values=agent.actor.flat_state, counts=[agent.t, agent.n_updates])
"""


@pytest.mark.mpi
def test_a_run_under_mpi_is_the_same_again_in_one_process(tmp_path):
    needs_mpi()
    order, result = tmp_path / "order", tmp_path / "result.npz"
    done = launched("-n", 4, "--", script(tmp_path, JOB), order, result)
    assert done.returncode == 0, done.stderr
    _, agent = again(order, "dqn")
    with np.load(result) as saved:
        assert saved["counts"].tolist() == [agent.t, agent.n_updates]
        np.testing.assert_array_equal(saved["values"], agent.actor.flat_state)
