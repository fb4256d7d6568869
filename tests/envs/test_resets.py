"""Which vector environments are known to reset single streams, and which are refused."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper

from rlcore.envs import ForeignEnv
from rlcore.envs.resets import Resets, SeededResets, resets_of
from rlcore.envs.toy import Chain, HashChain

NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED


class OwnReset(SyncVectorEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)


class OwnStep(SyncVectorEnv):
    def step(self, actions):
        return super().step(actions)


class Same(SyncVectorEnv):
    """Changes nothing that matters here."""

    def render(self):
        return ()


@pytest.mark.parametrize("mode", AutoresetMode)
def test_kinds(mode):
    for make, kind in (
        (SyncVectorEnv, SeededResets),
        (Same, SeededResets),
        (OwnReset, Resets),
        (OwnStep, Resets),
        (lambda *args, **how: VectorWrapper(SyncVectorEnv(*args, **how)), Resets),
    ):
        found = resets_of(make([Chain, Chain], autoreset_mode=mode), mode)
        assert type(found) is kind
        assert found.at_once == (kind is SeededResets or mode is DISABLED)
        assert found.exact == (kind is SeededResets)


class Factory:
    reseed = "once"

    def __call__(self):
        return HashChain()


def test_who_makes_environments_may_say_how_often_to_seed():
    assert ForeignEnv(SyncVectorEnv([Factory()] * 2)).reseed == "once"
    assert ForeignEnv(SyncVectorEnv([Factory()] * 2), reseed="episode").reseed == "episode"
    assert ForeignEnv(SyncVectorEnv([HashChain] * 2)).reseed == "episode"


def test_atari_is_seeded_once():
    pytest.importorskip("ale_py")
    env = gymnasium.make_vec("ALE/Pong-v5", 1, vectorization_mode="sync", vector_kwargs={"autoreset_mode": SAME})
    assert ForeignEnv(env).reseed == "once"
    assert ForeignEnv(env, reseed="episode").reseed == "episode"


def test_workers_of_somebody_else_are_known_for_nothing():
    env = unshared(SAME)
    assert type(resets_of(env, SAME)) is SeededResets
    env.worker = lambda *args: None
    assert type(resets_of(env, SAME)) is Resets
    env.close()


def unshared(mode=NEXT):
    return AsyncVectorEnv([HashChain] * 2, shared_memory=False, autoreset_mode=mode, context="forkserver")


class Sour(HashChain):
    def reset(self, *, seed=None, options=None):
        if seed != 3:  # an int for all streams would be tried after this
            raise TypeError("sour")
        return super().reset(seed=seed)


def test_an_error_of_an_environment_is_not_taken_for_one_about_seeds():
    env = ForeignEnv(SyncVectorEnv([Sour] * 2))
    seeds, reset = [], env.env.reset
    env.env.reset = lambda seed, options: seeds.append(seed) or reset(seed=seed, options=options)
    with pytest.raises(TypeError, match="sour"):
        env.reset()
    assert len(seeds) == 1


@pytest.mark.fault(31)
@pytest.mark.parametrize("around", [lambda env: env, VectorWrapper])
def test_async_without_shared_memory_is_refused_in_next_step(around):
    """Its workers keep in mind that an episode ended: after a reset they take the next action for another one."""
    env = unshared()
    vector = around(env)
    try:
        with pytest.raises(
            ValueError, match=r"without shared memory and in the mode NEXT_STEP.* use shared_memory=True"
        ):
            ForeignEnv(vector)
        ended = np.zeros(2, bool)
        obs, _ = env.reset(seed=[1, 2])
        while not ended.any():
            obs, _, terminated, truncated, _ = env.step(np.array([1, 1]))
            ended = terminated | truncated
        obs, _ = env.reset(seed=[5, 6], options={"reset_mask": ended})
        after, *_ = env.step(np.array([1, 1]))
        i = ended.argmax()
        assert after[i].tolist() != HashChain.after(obs, np.array([1, 1]))[i].tolist()  # else it need not be refused
    finally:
        env.close()
