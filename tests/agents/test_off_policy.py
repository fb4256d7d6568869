"""What agents with a replay share: which updates are due, on which batches, and means of their statistics."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import DRQN, R2D2
from rlcore.agents.off_policy import OffPolicy, means_of
from rlcore.buffers import FrameReplay, Replay
from rlcore.envs import SerialEnv
from rlcore.harness import train
from rlcore.rng import generator
from rlcore.stream import Step
from tests.envs.worlds import through_a_file

COLUMNS = {"obs": ((1,), np.float32), "action": ((), np.int64)}


class Counting(OffPolicy):
    """Counts its updates, and remembers what they were given."""

    from_spaces = act = policy = None

    def __init__(self, capacity=1_000, **settings):
        given = dict(learning_starts=0, update_every=1, gradient_steps=1, batch_size=4) | settings
        super().__init__(Replay(capacity, COLUMNS, generator(0)), SimpleNamespace(**given))
        self.batches, self.begun, self.bad = [], 0, SimpleNamespace(skipped=0)

    def begin(self):
        self.begun += 1
        assert self.due
        return {"learning_rate": 0.5}

    def learn(self, batch):
        self.n_updates += 1
        self.batches.append({name: column.copy() for name, column in batch.items()})
        return {"loss": float(self.n_updates)}

    def descents(self):
        return (self.bad,)

    def parts(self):
        return {"replay": self.replay}


def see(agent, n, times=1, first=0, stream=0, valid=True, update=True):
    """So many steps of n streams; the statistics of each."""
    stats = []
    for t in range(first, first + times):
        obs = np.full((n, 1), t, np.float32)
        no = np.zeros(n, bool)
        step = Step(obs + 1, np.ones(n, np.float32), no, no, obs + 1, np.full(n, valid), {})
        agent.observe(obs, np.zeros(n, np.int64), step, {}, stream)
        if update:
            stats.append(agent.update())
    return stats


def by_rows(rows, starts, every, each):
    """Updates after so many rows, counted one row at a time."""
    return sum(every if each < 0 else each for t in range(1, rows + 1) if t > starts and t % every == 0)


@pytest.mark.parametrize("n", [1, 2, 8, 32])
@pytest.mark.parametrize(
    ("starts", "every", "each"),
    [(0, 1, 1), (64, 1, 3), (60, 4, 1), (61, 7, 2), (100, 100, 5), (100, 16, -1), (1_000, 1, 1), (130, 250, 1)],
)
def test_updates_are_counted_by_rows(n, starts, every, each):
    agent = Counting(learning_starts=starts, update_every=every, gradient_steps=each)
    for k in range(1, 320 // n + 1):
        see(agent, n, first=k)
        # the very first rows are no transitions yet: what they owe is made up for
        assert agent.n_updates + agent.due == by_rows(k * n, starts, every, each)
        assert agent.due == 0 or not len(agent.replay)
    assert agent.t == 320


def test_calls_for_some_of_the_streams_count_as_one_for_all():
    one, several = (Counting(learning_starts=10, update_every=3, gradient_steps=2) for _ in range(2))
    for t in range(20):
        see(one, 4, first=t)
        see(several, 2, first=t, stream=0, update=False)
        see(several, 2, first=t, stream=2)
        assert (several.t, several.due, several.n_updates) == (one.t, one.due, one.n_updates)
    for a, b in zip(one.batches, several.batches):
        np.testing.assert_array_equal(a["obs"], b["obs"])


def test_each_update_has_a_batch_of_its_own():
    agent = Counting(learning_starts=30, gradient_steps=3, batch_size=16)
    see(agent, 1, 31)
    assert agent.begun == 1
    assert [len(batch["obs"]) for batch in agent.batches] == [16] * 3
    assert not np.array_equal(agent.batches[0]["row"], agent.batches[1]["row"])


def test_without_a_transition_updates_wait():
    agent = Counting(gradient_steps=2)
    assert see(agent, 2, 5, valid=False) == [{}] * 5  # rows that are no transitions count all the same
    assert (agent.t, agent.due, agent.n_updates, agent.begun) == (10, 20, 0, 0)
    assert see(agent, 2, 1, update=True) == [{}]  # nobody knows their successors yet
    assert see(agent, 2, 1, first=1) != [{}]
    assert (agent.t, agent.due, agent.n_updates, agent.begun) == (14, 0, 28, 1)


def test_statistics_are_means_over_a_round():
    agent = Counting(learning_starts=3, update_every=4, gradient_steps=3)
    stats = see(agent, 1, 12)
    assert [bool(s) for s in stats] == [t % 4 == 0 for t in range(1, 13)]
    assert [s["loss"] for s in stats if s] == [2.0, 5.0, 8.0]
    assert stats[3] == {"loss": 2.0, "learning_rate": 0.5, "n_updates": 3}
    agent.bad.skipped = 2
    assert see(agent, 1, 4)[-1]["faults/nonfinite_update"] == 2


def test_means_are_over_the_updates_that_gave_a_number():
    assert means_of([{"a": 1.0, "b": 5.0}, {}, {"a": 3.0}]) == {"a": 2.0, "b": 5.0}
    assert means_of([]) == means_of([{}, {}]) == {}


def test_updates_that_are_owed_are_part_of_the_state():
    agent, other = Counting(gradient_steps=2), Counting(gradient_steps=2)
    see(agent, 3, 4, update=False)
    assert agent.due == 24
    other.load(through_a_file(agent.state()) | {"replay": agent.replay.state()})
    assert (other.t, other.due, other.n_updates) == (12, 24, 0)
    agent.update()
    other.update()
    assert agent.n_updates == other.n_updates == 24
    for a, b in zip(agent.batches, other.batches):
        np.testing.assert_array_equal(a["row"], b["row"])


class Frames(gymnasium.Env):
    """Stacks of two images, whose pixels are the number of the step."""

    observation_space, action_space = spaces.Box(0, 255, (2, 36, 36), np.uint8), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.stack = np.zeros((2, 36, 36), np.uint8)
        return self.stack, {}

    def step(self, action):
        self.stack = np.stack((self.stack[1], self.stack[1] + 1))
        return self.stack, 1.0, self.stack[1, 0, 0] == 5, False, {}


@pytest.mark.parametrize("share", [None, False])
@pytest.mark.parametrize("cls", [DRQN, R2D2])
def test_sequences_of_stacks_keep_each_frame_once(cls, share):
    settings = dict(learning_starts=20, batch_size=4, sequence_length=3, burn_in=1, lstm_hidden_size=4, buffer_size=90)
    env = SerialEnv(Frames, 2, seed=0)
    config = cls.Config(**settings, share_frames=share)
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(0))
    train(agent, env, 40)
    assert agent.n_updates == 5
    assert isinstance(agent.replay, FrameReplay) == (share is None)
    batch = agent.replay.sample(16)
    there = np.concatenate(
        (~batch["reset"][1:2], np.ones((1, 16), bool), batch["mask"])
    )  # else a row's place is filled
    older, newest = np.moveaxis(batch["obs"][there][..., 0, 0].astype(int), 1, 0)
    np.testing.assert_array_equal(older, np.maximum(newest - 1, 0))
