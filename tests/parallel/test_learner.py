"""Learners: fed by actors as by train(), in the same ratio of updates to rows, whoever of them dies or comes back."""

from __future__ import annotations

import itertools
import time
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import A2C, DQN, R2D2, SAC
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.fields import Schedule
from rlcore.harness import Checkpoint, Evaluation, Recorder
from rlcore.harness.signals import Signals
from rlcore.parallel import crew
from rlcore.parallel.actor import act, acting_config
from rlcore.parallel.feed import Feed
from rlcore.parallel.learner import learn
from rlcore.parallel.local import run_threads
from rlcore.parallel.wire import BYE, CHUNK, DOWN, HEADER, HELLO, LAYOUT, UP, Header, note, opened
from rlcore.rng import generator

SMALL = dict(hidden=(8,), buffer_size=4_000, batch_size=8, learning_starts=50)
RATIO = dict(SMALL, update_every=8, gradient_steps=3)


class Counter(gymnasium.Env):
    """Shows who it is, and how many steps it has made; an episode has 7, of which every other is cut short."""

    observation_space = spaces.Box(-1, 1e6, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, who):
        self.who, self.k = who, -1

    def obs(self):
        self.k += 1
        return np.array([self.who, self.k, self.k % 8], np.float32)

    def reset(self, *, seed=None, options=None):
        return self.obs(), {}

    def step(self, action):
        obs = self.obs()
        over = self.k % 8 == 7
        return obs, float(self.k), over and self.k % 16 == 7, over and self.k % 16 == 15, {}


def counters(rank, n=2):
    whos = iter(range(10 * rank, 10 * rank + n))
    return SerialEnv(lambda: Counter(next(whos)), n, rank, reseed="once")


def bytes_(rank):
    """Counters whose observations are bytes."""

    def make():
        env = Counter(rank)
        env.observation_space = spaces.Box(0, 255, (3,), np.uint8)
        env.obs = lambda: Counter.obs(env).astype(np.uint8)
        return env

    return SerialEnv(make, 2, rank)


def chain(rank, n=2):
    return SerialEnv(lambda: Chain(5, limit=15), n, rank)


def agent_of(cls, env, rank=0, **settings):
    config = cls.Config(**settings)
    config = acting_config(config) if rank else config
    return cls.from_spaces(env.observation_space, env.action_space, config, generator(rank))


def played(comm, env_of, cls, settings, steps, chunk, hooks=(), **options):
    """A rank: the agent that has learned, or the rows that were acted."""
    env = env_of(comm.rank)
    agent = agent_of(cls, env, comm.rank, **settings)
    if comm.rank < options.get("learners", 1):
        t = learn(agent, comm, steps, hooks, **options)
        assert t == agent.t
        return agent
    return act(agent, env, comm, options.get("learners", 1), chunk)


def run(ranks, *args, **options):
    return run_threads(ranks, lambda comm: played(comm, *args, **options))


# what is fed
def test_a_learner_updates_in_the_ratio_of_its_config():
    seen = []

    def hook(t, step, stats):
        seen.append((t, len(step.reward), stats.get("n_updates")))

    agent, *acted = run(4, counters, DQN, RATIO, 1_000, 5, [hook])
    assert agent.t == 1_000
    assert agent.n_updates == (1_000 // 8 - 50 // 8) * 3
    assert [(t, n) for t, n, _ in seen] == [(2 * k, 2) for k in range(1, 501)]
    updated = [(t, n) for t, _, n in seen if n]
    assert updated == [(t, (t // 8 - 6) * 3) for t in range(56, 1_001, 8)]  # in the rows that made them due
    assert 1_000 <= sum(acted) <= 1_000 + 3 * 40  # two chunks on their way and one half full, of each


def transitions(replay):
    kind = replay._kind[: replay._written]
    at = kind.nonzero()[0]
    obs = replay._columns["obs"]
    return obs[at], obs[replay._succ[at]], replay._columns["reward"][at], kind[at]


def whole(replay):
    """That all transitions are such as some environment has made, and of which environments they are."""
    obs, after, reward, _ = transitions(replay)
    np.testing.assert_array_equal(obs[:, 0], after[:, 0])
    np.testing.assert_array_equal(obs[:, 1] + 1, after[:, 1])
    np.testing.assert_array_equal(reward, after[:, 1])
    assert not (obs[:, 2] == 7).any()  # what comes next is another episode
    return sorted(set(obs[:, 0].astype(int).tolist()))


def test_streams_of_several_actors_stay_apart():
    agent, *_ = run(4, counters, DQN, SMALL, 1_500, 5)
    assert whole(agent.replay) == [10, 11, 20, 21, 30, 31]
    assert len(agent.replay) > 1_300
    _, _, _, kinds = transitions(agent.replay)
    assert set(kinds.tolist()) == {1, 2, 3}


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (R2D2, dict(SMALL, lstm_hidden_size=4, sequence_length=5, burn_in=3, update_every=8)),
        (A2C, dict(hidden=(8,), n_steps=5)),
        (A2C, dict(hidden=(8,), n_steps=4, lstm_hidden_size=4)),
    ],
)
def test_agents_with_a_memory_and_without_a_replay_learn_from_actors(cls, settings):
    agent, *acted = run(3, chain, cls, settings, 400, None)
    assert agent.t == 400
    assert agent.n_updates > 15
    assert min(acted) > 0


def test_sac_acts_at_random_until_it_learns():
    def env_of(rank):
        def make():
            env = Counter(rank)
            env.action_space = spaces.Box(-1, 1, (1,), np.float32)
            return env

        return SerialEnv(make, 2, rank)

    agent, *_ = run(2, env_of, SAC, dict(hidden=(8,), learning_starts=60, batch_size=8), 120, 5)
    assert agent.n_updates == 60
    actions = agent.replay._columns["action"][:60, 0]
    assert abs(actions).max() > 0.8  # of a fresh network they are near 0


def test_chunks_are_side_by_side_in_the_order_of_the_actors():
    seen = []

    class Seeing(A2C):
        def observe(self, obs, action, step, extra, stream=0):
            seen.append((obs[:, 0].astype(int).tolist(), stream))
            super().observe(obs, action, step, extra, stream)

    settings = dict(hidden=(8,), n_steps=4)
    agent, *_ = run(4, counters, Seeing, settings, 240, None)
    assert seen == [([10, 11, 20, 21, 30, 31], 0)] * 40
    assert agent.n_updates == 10
    seen.clear()
    agent, *_ = run(4, counters, Seeing, settings, 240, None, batch=2)
    assert agent.n_updates == 15
    assert all(sorted(whos) == whos and len(set(whos)) == 4 for whos, _ in seen)


def test_weights_reach_the_actors():
    versions = []

    def slow(t, step, stats):  # so that the actor comes to see new weights
        time.sleep(0.001)

    def work(comm):
        env = counters(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **RATIO)
        if not comm.rank:
            learn(agent, comm, 800, [slow])
            return agent
        before = agent.actor.flat_state.copy()
        act(agent, env, comm, 1, 5, [lambda t, step, stats: versions.append(agent.actor.flat_state.copy()) and None])
        return before

    learner, before = run_threads(2, work)
    assert np.array_equal(
        versions[0], agent_of(DQN, counters(0), **RATIO).actor.flat_state
    )  # the learner's from the start
    assert not np.array_equal(versions[0], before)
    changes = sum(not np.array_equal(a, b) for a, b in itertools.pairwise(versions))
    assert changes > 20
    assert learner.n_updates > 200


def test_what_a_run_records(tmp_path):
    recorder = Recorder(tmp_path, 2, every=200)
    told = []

    def hook(t, step, stats):
        if "parallel/queue" in stats:
            told.append((t, stats))

    run(3, chain, DQN, RATIO, 1_000, 5, [recorder, hook])
    t, first = told[0]
    assert t == 2
    assert first["parallel/policy_lag"] == 0
    assert 0 <= first["parallel/queue"] <= 2
    assert "parallel/actor_fps/0" in first or "parallel/actor_fps/1" in first
    text = (tmp_path / "scalars.jsonl").read_text()
    for tag in ("parallel/policy_lag", "parallel/queue", "parallel/actor_fps/", "train/loss", "rollout/ep_rew_mean"):
        assert f'"{tag}' in text
    assert text.count('"time/fps"') == 5  # every 200 rows


# hooks
def test_the_hooks_of_train_work(tmp_path):
    def work(comm):
        env = chain(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **RATIO)
        if comm.rank:
            return act(agent, env, comm, 1, 5)
        recorder = Recorder(tmp_path / "logs", 2, every=200)
        evaluation = Evaluation(agent, chain(7, 1), 200, 2, recorder)
        checkpoint = Checkpoint(tmp_path / "saves", 200, agent=agent, recorder=recorder)
        learn(agent, comm, 600, [recorder, evaluation, checkpoint])
        again = agent_of(DQN, env, **RATIO)
        assert Checkpoint(tmp_path / "saves", 200, agent=again, recorder=recorder).restore() == 600
        return agent, again, evaluation

    (agent, again, evaluation), *_ = run_threads(3, work)
    assert evaluation.done == 3
    assert again.t == agent.t == 600
    np.testing.assert_array_equal(agent.actor.flat_state, again.actor.flat_state)


def test_a_hook_ends_the_run_for_all():
    agent, *acted = run(3, chain, DQN, SMALL, 10**9, 5, [lambda t, step, stats: t >= 300])
    assert agent.t == 300
    assert all(acted)


def test_a_signal_ends_a_run_that_waits():
    signals = Signals()

    def work(comm):
        env = chain(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **SMALL)
        if not comm.rank:
            return learn(agent, comm, 10**9, [signals])

        def hook(t, step, stats):
            if t == 100:
                signals.received = "SIGTERM"
                time.sleep(0.3)

        return act(agent, env, comm, 1, 5, [hook])

    t, acted = run_threads(2, work)
    assert 60 <= t <= 100
    assert acted == 102 or acted == 100


def test_a_run_goes_on_from_a_checkpoint_with_streams_that_begin_anew():
    env = counters(0)
    agent = agent_of(DQN, env, **SMALL)

    def work(comm, steps, t):
        if not comm.rank:
            return learn(agent, comm, steps, t=t)
        env = counters(comm.rank + (5 if t else 0))
        return act(agent_of(DQN, env, comm.rank, **SMALL), env, comm, 1, 5)

    run_threads(3, work, 333, 0)
    assert agent.t == 334  # in the midst of a chunk
    run_threads(3, work, 600, 334)
    assert agent.t == 600
    assert whole(agent.replay) == [10, 11, 20, 21, 60, 61, 70, 71]


def test_what_is_left_of_a_rollout_is_forgotten():
    env = counters(0)
    agent = agent_of(A2C, env, hidden=(8,), n_steps=4)

    def work(comm, steps, t):
        if not comm.rank:
            return learn(agent, comm, steps, t=t)
        env = counters(comm.rank)
        return act(agent_of(A2C, env, comm.rank, hidden=(8,), n_steps=4), env, comm)

    run_threads(3, work, 10, 0)
    assert (agent.t, len(agent.rollout)) == (12, 3)
    run_threads(3, work, 28, 12)
    assert (agent.t, agent.n_updates, len(agent.rollout)) == (28, 1, 0)


# actors that go
def dying(comm, after, die, steps=600, cls=DQN, settings=SMALL):
    env = counters(comm.rank)
    agent = agent_of(cls, env, comm.rank, **settings)
    if not comm.rank:
        learn(agent, comm, steps)
        return agent

    def hook(t, step, stats):
        if comm.rank in die and t >= after:
            raise KeyboardInterrupt("killed")

    return act(agent, env, comm, 1, None if cls is A2C else 5, [hook])


@pytest.mark.parametrize(("cls", "settings"), [(DQN, SMALL), (A2C, dict(hidden=(8,), n_steps=5))])
def test_a_dead_actor_is_told_of_once_and_the_others_go_on(cls, settings):
    with pytest.warns(RuntimeWarning, match="lost the actor of rank 2; 2 are left") as warned:
        agent, first, error, third = run_threads(4, dying, 60, (2,), 900, cls, settings, elastic=True)
    assert isinstance(error, KeyboardInterrupt)
    assert agent.t >= 900
    assert len([w for w in warned if "lost" in str(w.message)]) == 1
    assert min(first, third) > 200


def test_no_actor_left_is_an_error(monkeypatch):
    monkeypatch.setattr(crew, "BACK_S", 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error, *_ = run_threads(3, dying, 40, (1, 2), elastic=True)
    assert isinstance(error, RuntimeError)
    assert "no actor is left" in str(error)


def test_an_actor_comes_back():
    def work(comm):
        env = counters(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **SMALL)
        if not comm.rank:
            learn(agent, comm, 1_200)
            return agent
        if comm.rank == 2:
            act(agent, env, comm, 1, 5, [lambda t, step, stats: t >= 66])  # in the midst of a chunk
            env = counters(5)
        return act(agent, env, comm, 1, 5)

    agent, _, again = run_threads(3, work)
    assert again > 100
    assert whole(agent.replay) == [10, 11, 20, 21, 50, 51]


def test_the_only_actor_comes_back():
    def work(comm):
        env = counters(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **SMALL)
        if not comm.rank:
            return learn(agent, comm, 200)
        act(agent, env, comm, 1, 5, [lambda t, step, stats: t >= 66])
        time.sleep(0.05)
        return act(agent, counters(5), comm, 1, 5)

    assert run_threads(2, work)[0] == 200


def test_a_signal_that_comes_after_the_actors_have_gone_ends_the_run():
    signals = Signals()

    def work(comm):
        env = chain(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **SMALL)
        if not comm.rank:
            return learn(agent, comm, 10**9, [signals])
        acted = act(agent, env, comm, 1, 5, [lambda t, step, stats: t >= 60])
        time.sleep(0.05)
        signals.received = "SIGTERM"
        return acted

    assert run_threads(3, work) == [120, 60, 60]


def test_an_actor_without_a_learner_ends():
    def work(comm):
        env = chain(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **SMALL)
        if comm.rank:
            return act(agent, env, comm, 1, 5)

        def hook(t, step, stats):
            raise KeyError("the learner is gone")

        return learn(agent, comm, 100, [hook])

    with pytest.raises(KeyError, match="the learner is gone"):
        run_threads(3, work)


# messages
def by_hand(comm, messages):
    """An actor that sends what it likes, then learns that this is the end."""
    for message in messages:
        sent = comm.send(message, 0, UP)
        while not sent.done():
            time.sleep(1e-4)
    while True:
        envelope = comm.probe(0, DOWN)
        if envelope is None:
            time.sleep(1e-4)
            continue
        message = np.empty(envelope.nbytes, np.uint8)
        comm.receive(message, 0, DOWN)
        if opened(message, 0, range(9)).kind == 6:
            break
    comm.send(note(Header(BYE, comm.rank)), 0, UP)


@pytest.mark.fault(21)
def test_messages_that_are_none_are_dropped_and_counted_and_the_run_goes_on(monkeypatch):
    rng = np.random.default_rng(0)
    told = []

    def strange(comm):
        chunk = np.zeros(HEADER + 8, np.uint8)
        yield rng.integers(0, 256, 1_000).astype(np.uint8)
        yield np.zeros(3, np.uint8)
        yield note(Header(CHUNK, comm.rank, 5, 2))  # before it has said hello
        yield note(Header(LAYOUT, comm.rank), b"{}")
        yield note(Header(HELLO, 1, 5, 2))  # in the name of another
        yield note(Header(HELLO, comm.rank, 5, 0))
        yield note(Header(99, comm.rank))
        yield note(Header(HELLO, comm.rank, 5, 2))
        yield note(Header(LAYOUT, comm.rank), b"{}")
        yield chunk

    def work(comm):
        if comm.rank == 2:
            return by_hand(comm, strange(comm))
        env = counters(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **SMALL)
        if comm.rank:
            return act(agent, env, comm, 1, 5)

        def hook(t, step, stats):
            time.sleep(0.0002)
            if "faults/message" in stats:
                told.append(stats["faults/message"])
            return t > 100 and told[-1:] == [9]

        learn(agent, comm, 10**9, [hook])
        return agent

    monkeypatch.setattr(crew, "TELL_S", 0.01)
    with pytest.warns(RuntimeWarning, match="1000 bytes from rank 2 .*; it is dropped") as warned:
        agent, *_ = run_threads(3, work)
    assert len([w for w in warned if "dropped" in str(w.message)]) == 1
    assert told[-1] == 9
    assert whole(agent.replay) == [10, 11]


@pytest.mark.fault(21)
def test_behind_a_chunk_that_was_lost_a_stream_begins_anew():
    def work(comm):
        env = counters(comm.rank)
        agent = agent_of(DQN, env, comm.rank, **SMALL)
        if comm.rank:
            send, seen = comm.send, []

            def damaged(array, dest, tag=0):
                if opened(array, 1, range(9)).kind == CHUNK:
                    seen.append(1)
                    if len(seen) % 3 == 0:
                        array[30] ^= 1
                return send(array, dest, tag)

            comm.send = damaged
            return act(agent, env, comm, 1, 5)
        learn(agent, comm, 300)
        return agent

    with pytest.warns(RuntimeWarning, match="dropped"):
        agent, _ = run_threads(2, work)
    assert whole(agent.replay) == [10, 11]
    assert 200 < len(agent.replay) < 300


@pytest.mark.parametrize(
    ("env_of", "words"),
    [
        (
            lambda rank: counters(rank, rank or 1),
            '"n": ., .*, others .* need the same agent and environment, and as many',
        ),
        (
            lambda rank: chain(rank) if rank == 2 else counters(rank),
            "this actor's network .* need the same agent",
        ),
        (
            lambda rank: bytes_(rank) if rank == 2 else counters(rank),
            "(sends chunks|refuses what was sent) .* need the same agent and environment",  # by whose come first
        ),
        (
            lambda rank: bytes_(rank) if rank else counters(rank),
            r"refuses what was sent of stream \d and on: .* expected float32 .* need the same agent and environment",
        ),
    ],
)
def test_actors_that_differ_are_an_error(env_of, words):
    with pytest.raises(ValueError, match=words):
        run(3, env_of, DQN, SMALL, 10**6, 5)


# several learners
@pytest.mark.parametrize(("cls", "settings"), [(DQN, dict(RATIO)), (A2C, dict(hidden=(8,), n_steps=5))])
def test_two_learners_are_one(cls, settings):
    rows = dict(DQN=400, A2C=300)[cls.__name__]
    stop = [lambda t, step, stats: t >= rows]
    one, other, *acted = run(6, counters, cls, settings, 10**9, None if cls is A2C else 5, stop, learners=2)
    assert one.t == other.t >= rows
    assert one.n_updates == other.n_updates > 10
    np.testing.assert_array_equal(one.actor.flat_state, other.actor.flat_state)
    assert min(acted) > 0
    if cls is DQN:
        assert whole(one.replay) == [20, 21, 40, 41]
        assert whole(other.replay) == [30, 31, 50, 51]


# errors
def test_what_cannot_be_learned_is_refused():
    env = counters(0)
    agent = agent_of(DQN, env, **SMALL)
    agent.t = 7
    with pytest.raises(ValueError, match="the agent has seen 7 rows; go on with t=7"):
        Feed(agent, 10)
    with pytest.raises(ValueError, match="steps must not be negative"):
        Feed(agent, -1, t=7)

    def work(comm, options):
        if not comm.rank:
            learn(agent_of(DQN, env, **SMALL), comm, 10, **options)

    for options, words in (({"batch": 2}, "batch counts .* got 2 for DQN"), ({"learners": 2}, "2 learners and")):
        with pytest.raises(ValueError, match=words):
            run_threads(3, work, options)
    with pytest.raises(ValueError, match="rank 1 acts"):
        run_threads(2, lambda comm: comm.rank and learn(agent, comm, 1))
    with pytest.raises(ValueError, match="rank 0 learns"):
        run_threads(2, lambda comm: comm.rank or act(agent, env, comm))


# learning
def test_dqn_with_actors_learns_a_chain():
    def env_of(rank):
        return SerialEnv(lambda: Chain(6, limit=30), 2, rank)

    settings = dict(SMALL, hidden=(16,), batch_size=32, gamma=0.9, learning_rate=Schedule(3e-3), prioritized=True)
    settings |= dict(update_every=8, gradient_steps=4, target_update_interval=30, n_step=3)
    agent, *_ = run(3, env_of, DQN, settings, 3_000, 10)
    states = np.eye(7, dtype=np.float32)[:6]
    assert agent.policy()(states).tolist() == [1] * 6
    np.testing.assert_allclose(agent.q(states).array.max(1), 0.9 ** np.arange(5, -1, -1), atol=0.15)
