"""Actors: what they send is what train() would have given their agent, acted by the newest weights."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import A2C, DDPG, DQN, DRQN, PPO, R2D2, REINFORCE, SAC, Rainbow
from rlcore.agents.drqn import DRQNConfig
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.envs.wrappers import NormalizeObservation
from rlcore.fields import Schedule
from rlcore.harness import train
from rlcore.parallel.actor import RemoteAgent, act, acting_config, chunk_steps, ladder, prepare
from rlcore.parallel.base import Alone
from rlcore.parallel.chunk import Chunk, Layout
from rlcore.parallel.feed import Feed
from rlcore.parallel.roles import Roles
from rlcore.parallel.schedule import Script
from rlcore.parallel.wire import CHUNK, HEADER, HELLO, LAYOUT, STOP, WEIGHTS, Header, note, opened, seal
from rlcore.rng import generator
from rlcore.tree import map_
from tests.parallel.test_chunk import Mixed, alike, copied

BOX = spaces.Box(-1, 1, (2,), np.float32)
AGENTS = {
    "dqn": (DQN, dict(hidden=(8,), epsilon=Schedule(0.5))),
    "noisy": (DQN, dict(hidden=(8,), noisy=True)),
    "drqn": (DRQN, dict(hidden=(8,), lstm_hidden_size=4, epsilon=Schedule(0.5))),
    "ddpg": (DDPG, dict(hidden=(8,), noise_type="ornstein-uhlenbeck", learning_starts=20)),
    "sac": (SAC, dict(hidden=(8,), learning_starts=20)),
    "a2c": (A2C, dict(hidden=(8,), n_steps=10)),
    "lstm": (A2C, dict(hidden=(8,), n_steps=10, lstm_hidden_size=4)),
    "sde": (PPO, dict(hidden=(8,), n_steps=10, batch_size=20, use_sde=True)),
}


class Moving(Chain):
    """A Chain of continuous actions, that may fail."""

    def __init__(self, rare=0.0):
        super().__init__(4, limit=9)
        self.rare = rare

    def step(self, action):
        if self.np_random.random() < self.rare:
            raise RuntimeError("no more")
        return super().step(int(np.sum(action) > 0))


def world(name, seed=0, rare=0.0):
    """An agent, and two environments of it that end, are cut, and fail."""
    cls, settings = AGENTS[name]

    def make():
        env = Moving(rare)
        if name in ("ddpg", "sac", "sde"):
            env.action_space = BOX
        return env

    env = SerialEnv(make, 2, seed, on_fault="restart")
    agent = cls.from_spaces(env.observation_space, env.action_space, cls.Config(**settings), generator(seed))
    return agent, env


class Witness:
    """Sees all rows that train() gives an agent, which does not learn."""

    def __init__(self, agent):
        self.agent, self.rows = agent, []

    def act(self, obs):
        return self.agent.act(obs)

    def observe(self, obs, action, step, extra):
        self.rows.append((*map_(np.copy, (obs, action)), copied(step), map_(np.copy, extra)))
        self.agent.observe(obs, action, step, extra)
        if hasattr(self.agent, "rollout") and self.agent.rollout.full:
            self.agent.clear()

    def update(self):
        return {}


def weights_of(agent, version, t):
    feed = Feed(agent, sys.maxsize, t=agent.t)
    feed.version, feed.version_t = version, t
    return feed.weights(0)


class Kept(Script):
    """A script that keeps copies: an actor fills its chunks anew."""

    def send(self, array, dest, tag=0):
        return super().send(array.copy(), dest, tag)


def remote_of(agent, steps=None, actors=1):
    script = Kept()
    remote = RemoteAgent(agent, script, Roles(1, 1 + actors), steps)
    return remote, script


def chunks_of(script):
    """Headers and rows of the chunks that were sent."""
    found, layout = [], None
    for message in script.sent:
        header = opened(message, 1, (HELLO, LAYOUT, CHUNK))
        if header.kind == LAYOUT:
            layout = Layout.read(bytes(message[HEADER:]))
        elif header.kind == CHUNK:
            chunk = Chunk(layout)
            chunk.buffer[: len(message)] = message
            chunk.admit(header, len(message), 1)
            found.append((header, list(chunk.rows())))
    return found


@pytest.mark.filterwarnings("ignore:restarted")
@pytest.mark.parametrize("name", AGENTS)
def test_what_is_sent_is_what_train_gives_an_agent(name):
    agent, env = world(name, rare=0.04)
    witness = Witness(agent)
    train(witness, env, 80)
    agent, env = world(name, rare=0.04)
    script = Kept()
    script.waiting.append(weights_of(agent, 0, 0))
    remote = RemoteAgent(agent, script, Roles(1, 2), 10)
    assert train(remote, env, 80) == 80
    kinds = [opened(message, 1, range(9)).kind for message in script.sent]
    assert kinds == [HELLO, LAYOUT, CHUNK, CHUNK, CHUNK, CHUNK]
    assert not all(step.valid.all() for _, _, step, _ in witness.rows)
    for k, (_, rows) in enumerate(chunks_of(script)):
        alike(rows, witness.rows[10 * k : 10 * k + 10])
    assert agent.t == 80


def test_the_newest_weights_act_from_the_next_chunk_on():
    agent, env = world("dqn")
    script = Kept()
    script.waiting.append(weights_of(agent, 0, 0))
    remote = RemoteAgent(agent, script, Roles(1, 4), 5)
    before, seen = agent.actor.flat_state.copy(), []

    def hook(t, step, stats):
        seen.append((remote.version, agent.t, float(agent.actor.flat_state[0])))
        if t == 14:  # in the second chunk
            for version, t_ in ((3, 50), (7, 90)):
                other, _ = world("dqn")
                other.actor.flat_state[:] = version
                script.waiting.append(weights_of(other, version, t_))

    train(remote, env, 30, [hook])
    value = float(before[0])
    assert [version for version, _, _ in seen] == [0] * 10 + [7] * 5
    assert [t for _, t, _ in seen] == [6 * k for k in range(1, 11)] + [90 + 6 * k for k in range(1, 6)]
    assert [first for *_, first in seen] == [value] * 10 + [7.0] * 5
    headers = [opened(message, 1, range(9)) for message in script.sent][2:]
    assert [(h.number, h.weights, h.actor) for h in headers] == [(0, 0, 1), (1, 0, 1), (2, 7, 1)]


@pytest.mark.fault(21)
def test_weights_that_are_damaged_are_dropped_and_counted():
    agent, env = world("dqn")
    script = Kept()
    good = weights_of(agent, 0, 0)
    script.waiting.append(good)
    remote = RemoteAgent(agent, script, Roles(1, 2), 2)
    train(remote, env, 4)
    before = agent.actor.flat_state.copy()
    damaged = weights_of(agent, 5, 9)
    damaged[30] ^= 1
    small = note(Header(HELLO, 0))
    script.waiting += [damaged, small, np.zeros(8, np.uint8), good[:-8].copy(), good.copy()]
    script.waiting[-1][:4] = 0
    with pytest.warns(RuntimeWarning, match="from rank 0 has a damaged header; it is dropped") as warned:
        train(remote, env, 12, t=4)
    assert len(warned) == 1
    assert remote.refused == 5
    assert not remote.stopped
    assert remote.version == 0
    np.testing.assert_array_equal(agent.actor.flat_state, before)


def test_a_stop_ends_it():
    agent, env = world("dqn")
    script = Kept()
    script.waiting += [weights_of(agent, 0, 0), note(Header(STOP, 0))]
    remote = RemoteAgent(agent, script, Roles(1, 2), 50)
    assert train(remote, env, 100, [remote.over]) == 2


def test_state_dependent_noise_holds_for_as_long_as_in_a_rollout():
    agent, env = world("sde")
    first = weights_of(agent, 0, 0)
    remote, script = remote_of(agent)
    script.waiting.append(first)
    seen = []
    train(remote, env, 60, [lambda t, step, stats: seen.append(agent.exploration.coefficients.copy()) and None])
    changes = [not np.array_equal(a, b) for a, b in pairwise(seen)]
    assert changes == [k % 10 == 9 for k in range(29)]


def test_epsilons_of_many_actors_are_a_ladder():
    assert [round(ladder(i, 4), 6) for i in range(4)] == [0.4, 0.047156, 0.005559, 0.000655]
    assert ladder(0, 1) == 0.4
    agent, env = world("dqn")
    prepare(agent, env, 3, 4)
    assert agent.explorer.epsilon(0) == agent.explorer.epsilon(10**6) == ladder(3, 4)
    agent, env = world("dqn")
    prepare(agent, env, 3, 4, epsilons=False)
    assert agent.explorer.epsilon(0) == 0.5
    agent, env = world("noisy")  # explores by its weights
    prepare(agent, env, 3, 4)
    assert agent.explorer.epsilon(0) == 0


def test_an_actor_has_no_replay_worth_the_name():
    assert acting_config(Rainbow.Config()).buffer_size == 1_032
    assert acting_config(DQN.Config(buffer_size=200)).buffer_size == 200
    assert acting_config(DRQNConfig(sequence_length=2_000, burn_in=500)).buffer_size == 3_532
    assert acting_config(R2D2.Config()).sequence_length == R2D2.Config().sequence_length
    config = PPO.Config()
    assert acting_config(config) is config


def test_ranks_have_roles():
    roles = [Roles(rank, 7, 2) for rank in range(7)]
    assert [r.learns for r in roles] == [True] * 2 + [False] * 5
    assert [(r.actor, r.learner, r.actors) for r in roles[2:]] == [
        (0, 0, 5),
        (1, 1, 5),
        (2, 0, 5),
        (3, 1, 5),
        (4, 0, 5),
    ]
    assert [roles[0].of_learner(i) for i in range(2)] == [(2, 4, 6), (3, 5)]
    for learners, words in ((0, "at least 1, got 0"), (1, "need 2 ranks, there are 1"), (2, "need 4 ranks")):
        with pytest.raises(ValueError, match=words):
            Roles.of(Alone(), learners)


def test_what_cannot_act_for_a_learner_is_refused():
    agent, env = world("dqn")
    with pytest.raises(ValueError, match="NormalizeObservation: what an actor learns of its environment"):
        prepare(agent, NormalizeObservation(env), 0, 2)
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        remote_of(agent, 0)
    agent, _ = world("a2c")
    assert chunk_steps(agent, None) == 10
    with pytest.raises(ValueError, match="A2C learns from n_steps 10 at a time, chunks have 11"):
        remote_of(agent, 11)
    reinforce = REINFORCE.from_spaces(env.observation_space, env.action_space, REINFORCE.Config(), generator(0))
    with pytest.raises(ValueError, match="REINFORCE learns from whole episodes"):
        remote_of(reinforce)
    with pytest.raises(ValueError, match="1 learners and at least as many actors need 2 ranks"):
        act(agent, env, Alone())


def test_dicts_and_tuples_are_sent_as_they_are():
    env = SerialEnv(Mixed, 2, 1)
    config = DQN.Config(hidden=(8,), epsilon=Schedule(0.5))
    agent = DQN.from_spaces(env.observation_space, env.action_space, config, generator(0))
    remote, script = remote_of(agent, 3)
    script.waiting.append(seal(weights_of(agent, 0, 0), Header(WEIGHTS, 0, weights=4)))
    train(remote, env, 6)
    ((header, rows),) = chunks_of(script)
    assert (header.weights, len(rows)) == (4, 3)
    assert set(rows[0][0]) == {"image", "more"}
