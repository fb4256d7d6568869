"""Episodes are told by a RecordEpisodeStatistics where there is one: raw rewards, whole games."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward
from gymnasium.wrappers import vector as around

from rlcore.envs import ForeignEnv
from rlcore.envs.toy import Chain

MODES = list(AutoresetMode)
DISABLED = AutoresetMode.DISABLED


class TwoLives(Chain):
    """Reaching the end costs one of two lives; with none left the game is over."""

    lives = 2

    def step(self, action):
        obs, reward, over, cut, _ = super().step(action)
        if over:
            self.lives -= 1
            self.s = 0 if self.lives else self.s
        return obs, reward, over and not self.lives, cut, {"lost": over}

    def reset(self, *, seed=None, options=None):
        self.lives = 2
        return super().reset(seed=seed)


class LifeEnds(gymnasium.Wrapper):
    """A lost life ends the episode; a reset after it goes on with the game."""

    on = False

    def step(self, action):
        obs, reward, over, cut, info = self.env.step(action)
        self.on = info["lost"] and not over
        return obs, reward, over or self.on, cut, info

    def reset(self, *, seed=None, options=None):
        if self.on:
            self.on = False
            return np.eye(3, dtype=np.float32)[0], {}
        return self.env.reset(seed=seed)


def game(key="episode"):
    return TransformReward(LifeEnds(RecordEpisodeStatistics(TwoLives(2), stats_key=key)), lambda r: 5 * r)


def told(env, steps=9):
    env.reset()
    out = []
    for k in range(steps):
        step = env.step(np.ones(2, int))
        if step.info:
            out.append((k + 1, *[x.tolist() for x in step.info["episode"]]))
    return out


@pytest.mark.parametrize("key", ["episode", "mine"])
@pytest.mark.parametrize("mode", MODES)
def test_whole_games_by_raw_rewards(mode, key):
    """Two steps a life, two lives a game: reward 2, though the learner gets 5 for each life."""
    env = ForeignEnv(SyncVectorEnv([lambda: game(key)] * 2, autoreset_mode=mode), reseed="once")
    assert told(env) == [(4, [0, 1], [2, 2], [4, 4]), (8, [0, 1], [2, 2], [4, 4])]


@pytest.mark.parametrize("mode", MODES)
def test_in_processes(mode):
    env = ForeignEnv(AsyncVectorEnv([game] * 2, autoreset_mode=mode, context="forkserver"), reseed="once")
    assert told(env) == [(4, [0, 1], [2, 2], [4, 4]), (8, [0, 1], [2, 2], [4, 4])]
    env.close()


def test_a_restart_tells_the_raw_sums():
    env = ForeignEnv(SyncVectorEnv([game] * 2))
    env.reset()
    for _ in range(3):
        env.step(np.ones(2, int))
    assert [x.tolist() for x in env.restart(np.array([False, True]))[1]] == [[1], [1.0], [3]]


@pytest.mark.parametrize("mode", MODES)
def test_one_around_the_vector_environment(mode):
    """Inside of what changes rewards. A reset of single streams makes it forget all: then the sums are our own."""
    base = SyncVectorEnv([lambda: Chain(3), lambda: Chain(3, limit=2)], autoreset_mode=mode)
    env = ForeignEnv(around.TransformReward(around.RecordEpisodeStatistics(base), lambda r: 5 * r))
    env.reset()
    seen = []
    for _ in range(12):
        step = env.step(np.ones(2, int))
        if step.info:
            stream, returns, lengths = step.info["episode"]
            seen += list(zip(stream.tolist(), returns.tolist(), lengths.tolist()))
    assert set(seen) == {(0, 5.0 if mode is DISABLED else 1.0, 3), (1, 0.0, 2)}
