"""Each domain, resumed in the midst of episodes and beyond their ends: bit for bit as if it had never stopped."""

from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.envs import SerialEnv
from rlcore.envs.atari import atari
from rlcore.rng import generator
from rlcore.tree import leaves
from tests.envs.worlds import through_a_file


def classic(name, limit=None):
    return lambda: partial(gymnasium.make, name, max_episode_steps=limit, disable_env_checker=True)


def box2d():
    pytest.importorskip("Box2D")
    return partial(gymnasium.make, "LunarLander-v3", max_episode_steps=40, disable_env_checker=True)


def mujoco(name):
    pytest.importorskip("mujoco")
    return partial(gymnasium.make, name, max_episode_steps=25, disable_env_checker=True)


def ale(protocol, **changes):
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    return atari("breakout", protocol, max_frames=100, **changes)


def minatar():
    pytest.importorskip("minatar")
    from minatar.gym import BaseEnv

    return lambda: gymnasium.wrappers.TimeLimit(BaseEnv("breakout"), 30)


DOMAINS = {  # how to make it, and how it resumes
    "CartPole": (classic("CartPole-v1"), "own"),
    "Pendulum": (classic("Pendulum-v1", 20), "own"),
    "Acrobot": (classic("Acrobot-v1", 20), "own"),
    "MountainCar": (classic("MountainCar-v0", 20), "own"),
    "LunarLander": (box2d, "replay"),
    "HalfCheetah": (lambda: mujoco("HalfCheetah-v5"), "own"),
    "Hopper": (lambda: mujoco("Hopper-v5"), "own"),
    "Breakout by DQN": (lambda: ale("dqn"), "own"),
    "Breakout by Machado": (lambda: ale("machado"), "own"),
    "MinAtar": (minatar, "replay"),
}


def played(env, rng, steps):
    """All arrays of the Steps under actions that rng draws."""
    space, seen = env.action_space, []
    for _ in range(steps):
        if isinstance(space, gymnasium.spaces.Discrete):
            action = rng.integers(space.n, size=env.n_envs)
        else:
            action = rng.uniform(space.low, space.high, (env.n_envs, *space.shape)).astype(np.float32)
        seen.append([leaf.copy() for leaf in leaves(tuple(env.step(action)[:6]))])
    return seen


@pytest.mark.parametrize("name", DOMAINS)
def test_a_resumed_domain_goes_on_bit_for_bit(name):
    make_env, how = DOMAINS[name]
    make = make_env()
    env, other = SerialEnv(make, 2, seed=3), SerialEnv(make, 2, seed=8)
    other.reset()
    played(other, generator(1), 7)  # whatever it has done before

    @settings(max_examples=4 if "Breakout" not in name else 2, deadline=None, derandomize=True)
    @given(before=st.integers(0, 60), seed=st.integers(0, 9))
    def check(before, seed):
        env.reset()
        played(env, generator(seed), before)
        state = through_a_file(env.state())
        assert state["resumable"] == env.resumable == how
        assert other.load(state).tobytes() == env.obs.tobytes()
        a, b = (played(e, generator(100 + seed), 50) for e in (env, other))
        for step, (there, here) in enumerate(zip(a, b)):
            assert all(x.tobytes() == y.tobytes() for x, y in zip(there, here)), step
        assert any(step[2].any() or step[3].any() for step in a)  # an episode ended

    check()
    env.close()
    other.close()
