"""Each domain, resumed in the midst of episodes and beyond their ends: bit for bit as if it had never stopped."""

from __future__ import annotations

import sys
from functools import partial

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.envs import ProcessEnv, SerialEnv
from rlcore.envs.atari import atari
from rlcore.envs.single import maker, reseed_of
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


def ale_by_id():
    pytest.importorskip("ale_py")
    return partial(maker("ALE/Breakout-v5"), max_num_frames_per_episode=200)


def minatar():
    pytest.importorskip("minatar")
    from minatar.gym import BaseEnv

    class Game(BaseEnv):
        """Its sticky actions repeat even the last one of the episode before, which no seed knows."""

        def reset(self, seed=None, options=None):
            self.game.last_action = 0
            return super().reset(seed, options)

    return lambda: gymnasium.wrappers.TimeLimit(Game("breakout"), 30)


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
    "Breakout by its id": (ale_by_id, "replay"),  # ALE's own sticky actions are not in its state
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


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """MuJoCo writes its log into the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", DOMAINS)
def test_a_resumed_domain_goes_on_bit_for_bit(name):
    make_env, how = DOMAINS[name]
    make = make_env()
    env, other = SerialEnv(make, 2, seed=3), SerialEnv(make, 2, seed=8)
    other.reset()
    played(other, generator(1), 7)  # whatever it has done before

    @settings(max_examples=2 if "Breakout" in name else 4, deadline=None, derandomize=True)
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


def test_processes_play_the_same_games():
    game = ale("machado")
    envs = SerialEnv(game, 2, seed=4), ProcessEnv(game, 2, seed=4, workers=2)
    for env in envs:
        env.reset()
    a, b = (played(env, generator(0), 60) for env in envs)
    assert all(x.tobytes() == y.tobytes() for there, here in zip(a, b) for x, y in zip(there, here))
    state = through_a_file(envs[1].state())
    envs[0].load(state)
    a, b = (played(env, generator(1), 60) for env in envs)
    assert all(x.tobytes() == y.tobytes() for there, here in zip(a, b) for x, y in zip(there, here))
    for env in envs:
        env.close()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("name", "module", "shape", "reseed"),
    [
        ("HalfCheetah-v5", "mujoco", (17,), "episode"),
        ("LunarLander-v3", "Box2D", (8,), "episode"),
        ("ALE/Pong-v5", "ale_py", (210, 160, 3), "episode"),
    ],
)
def test_an_id_is_enough(name, module, shape, reseed):
    pytest.importorskip(module)
    env = SerialEnv(name)
    assert (env.observation_space.shape, env.reseed) == (shape, reseed)
    assert env.reset().shape == (1, *shape)
    env.close()


@pytest.mark.parametrize(("name", "extra"), [("Hopper-v5", "mujoco"), ("LunarLander-v3", "box2d")])
def test_a_missing_package_is_named(name, extra, monkeypatch):
    def missing(*args, **kwargs):
        raise gymnasium.error.DependencyNotInstalled("not there")

    monkeypatch.setattr(gymnasium, "make", missing)
    with pytest.raises(ImportError, match=rf'{name} needs the extra {extra}: pip install "rlcore\[{extra}\]"'):
        SerialEnv(name)
    with pytest.raises(gymnasium.error.DependencyNotInstalled):  # of something else
        SerialEnv("CartPole-v1")


def test_a_missing_ale_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(ImportError, match=r'pip install "rlcore\[atari\]"'):
        SerialEnv("ALE/Pong-v5")


def test_who_is_dear_to_seed_says_so():
    game = ale("dqn")
    assert reseed_of(maker(game)) == reseed_of(maker(game, render_mode="rgb_array")) == "once"
    assert reseed_of(maker("CartPole-v1", render_mode="rgb_array")) == "episode"
    assert SerialEnv(game, reseed="episode").reseed == "episode"
