"""The profile of a loop whose parts take known times."""

import numpy as np
import pytest

from rlcore.agents import DQN
from rlcore.envs.vector import SerialEnv
from rlcore.harness import profile as module
from rlcore.harness.loop import train
from rlcore.harness.profile import profile, ruler
from rlcore.rng import generator
from tests.harness.fakes import Scripted


class Clock:
    """Stands for the module time: each reading costs a tick, the rest goes by when it is told to."""

    def __init__(self, tick=0.0):
        self.now, self.tick = 0.0, tick

    def perf_counter(self):
        self.now += self.tick
        return self.now

    def takes(self, seconds, result=None):
        def call(*args):
            self.now += seconds
            return result(*args) if callable(result) else result

        return call


class Slow(Scripted):
    """Two streams, whose steps take 3 s."""

    def __init__(self, clock):
        super().__init__([5, 7], [1.0, 1.0])
        self.clock_ = clock

    def step(self, action):
        self.clock_.now += 3
        return super().step(action)


class Learner:
    """Acts in 1 s, observes in 2 s, and updates every `every` rows in 40 s."""

    def __init__(self, clock, every=8):
        self.t, self.every, self.clock = 0, every, clock
        self.act = clock.takes(1, lambda obs: (np.zeros(len(obs), int), {}))

    def observe(self, obs, action, step, extra, stream=0):
        self.clock.now += 2
        self.t += len(step.reward)

    def update(self):
        if self.t % self.every:
            return {}
        self.clock.now += 40
        return {"loss": np.zeros(())}


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_parts_by_hand(clock):
    """Per row, of which there are two in a step: 0.5, 1.5, 1, 40 / 8 and 0.25 s."""
    found = profile(Learner(clock), Slow(clock), rows=10, repeats=3, hooks=[clock.takes(0.5)])
    assert found.parts == pytest.approx(
        {"act": 0.5e6, "env": 1.5e6, "observe": 1e6, "update": 5e6, "hooks": 0.25e6, "rest": 0}
    )
    assert found.timed == found.untimed == pytest.approx(8.25e6)
    assert (found.rows, found.period) == (16, 8)  # whole periods


def test_what_the_clocks_cost_is_in_the_rest(clock):
    clock.tick = 0.01
    found = profile(Learner(clock), Slow(clock), rows=8, repeats=1)
    assert found.parts["act"] == pytest.approx(0.5e6 + 0.005e6)  # from reading to reading
    assert found.timed > found.untimed
    assert sum(found.parts.values()) == pytest.approx(found.timed)


def test_medians_are_taken_over_repeats(clock):
    """An interruption of 1,000 s in one stretch of three is not seen."""
    seen = []

    def hook(t, step, stats):
        seen.append(t)
        clock.now += 1000 * (len(seen) == 20)

    found = profile(Learner(clock), Slow(clock), rows=8, repeats=3, hooks=[hook])
    assert (found.parts["hooks"], found.parts["act"], found.untimed) == pytest.approx((0, 0.5e6, 8e6))


def test_the_agent_trains_as_it_would_without(clock):
    """The clocks change nothing: two agents, one of them profiled, end with the same weights."""
    made = []
    for _ in range(2):
        env = SerialEnv("CartPole-v1", 2, seed=1)
        config = DQN.Config(learning_starts=20, update_every=10, gradient_steps=1, hidden=(8,), batch_size=4)
        made.append((DQN.from_spaces(env.observation_space, env.action_space, config, generator(0)), env))
    (one, here), (two, there) = made
    found = profile(one, here, rows=30, repeats=2)
    assert found.period == 10
    train(two, there, one.t)
    assert one.t == 50 + 2 * 2 * 30
    np.testing.assert_array_equal(one.actor.flat_state, two.actor.flat_state)


def test_an_agent_that_never_updates_is_named(clock, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 40)
    with pytest.raises(ValueError, match=r"has made 2 updates in 40 rows; 3 are needed"):
        profile(Learner(clock, every=16), Slow(clock), rows=8)


@pytest.mark.parametrize("bad", [{"rows": 0}, {"rows": 8, "repeats": 0}])
def test_bad_input_is_refused(clock, bad):
    with pytest.raises(ValueError, match="rows and repeats must be at least 1, got"):
        profile(Learner(clock), Slow(clock), **bad)


def test_the_ruler_is_a_time_of_one_call(monkeypatch):
    clock = Clock(tick=0.002)
    monkeypatch.setattr(module, "time", clock)
    assert ruler() == pytest.approx(1.0)  # 0.002 s over 2,000 calls
