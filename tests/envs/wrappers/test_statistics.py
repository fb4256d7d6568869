import time

import numpy as np
import pytest

from rlcore.envs.wrappers import EpisodeStatistics
from tests.envs.worlds import through_a_file
from tests.envs.wrappers.fakes import Tape, play


def test_the_newest_episodes(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    env = EpisodeStatistics(Tape(3, seed=1, faults=0.05), window=4)
    env.reset()
    began, told = [100.0] * 3, []
    for _ in range(60):
        clock[0] += 0.5
        step = play(env, 1)[0]
        for i, total, length in zip(*step.info.get("episode", ((), (), ()))):
            told.append((total, length, clock[0] - began[i]))
            began[i] = clock[0]
    assert len(told) == env.episode_count > 10
    assert list(zip(env.return_queue, env.length_queue, env.time_queue, strict=True)) == told[-4:]
    state = through_a_file(env.state())
    clock[0] = 7.0  # another machine's
    other = EpisodeStatistics(Tape(3), window=4)
    other.load(state)
    assert list(other.return_queue) == [total for total, *_ in told[-4:]]
    assert other.return_queue.maxlen == 4
    assert other.episode_count == env.episode_count
    clock[0] += 2
    running = 100.0 + 60 * 0.5 - began[0]
    while 0 not in (step := play(other, 1)[0]).info.get("episode", ([],))[0]:
        pass
    at = step.info["episode"][0].tolist().index(0)
    assert other.time_queue[at - len(step.info["episode"][0])] == pytest.approx(running + 2)


def test_a_reset_begins_the_clocks_anew(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    env = EpisodeStatistics(Tape(1, ends=1.0))
    env.reset()
    clock[0] = 5.0
    env.reset()
    clock[0] = 6.0
    play(env, 1)
    assert list(env.time_queue) == [1.0]


def test_what_is_refused():
    with pytest.raises(ValueError, match="window must be at least 1 episode"):
        EpisodeStatistics(Tape(), 0)
    env = EpisodeStatistics(Tape())
    env.reset()
    play(env, 20)
    for name, value in (("running", np.zeros(2)), ("lengths", np.zeros(1))):
        state = env.state()
        state["own"][name] = value
        with pytest.raises(ValueError, match="load: EpisodeStatistics"):
            env.load(state)
