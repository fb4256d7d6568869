"""The state of ALE and MuJoCo: all of it, through a file, and what is damaged or of another one is refused."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from rlcore.envs import simulators
from rlcore.envs.atari import atari
from rlcore.envs.capture import capture, load_captured, probe
from rlcore.envs.single import maker
from tests.envs.worlds import through_a_file


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """MuJoCo writes its log into the working directory."""
    monkeypatch.chdir(tmp_path)


def mujoco(name):
    pytest.importorskip("mujoco")
    return lambda: gymnasium.make(name, disable_env_checker=True)


def ale(game="breakout", protocol="machado"):
    pytest.importorskip("ale_py")
    return atari(game, protocol)


def advanced(make, seed, steps=30):
    env = make()
    env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(steps):
        if any(env.step(env.action_space.sample())[2:4]):
            env.reset()
    return env


def steps(env, actions):
    result = []
    for action in actions:
        result.append(env.step(action)[:4])
        if any(result[-1][2:4]):
            break
    return result


# Ant's rewards need what lags behind the state
@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v5", "Ant-v5", "InvertedDoublePendulum-v5", "ale"])
def test_a_state_goes_on_bit_for_bit(name):
    make = ale() if name == "ale" else mujoco(name)
    env, other = advanced(make, 1), advanced(make, 2, 7)
    load_captured(other, through_a_file(capture(env)))
    actions = [env.action_space.sample() for _ in range(60)]
    for a, b in zip(steps(env, actions), steps(other, actions)):
        assert a[0].tobytes() == b[0].tobytes()
        assert a[1:] == b[1:]
    assert probe(make)


class Aside(gymnasium.Wrapper):
    """Holds a simulator where no capture finds it."""

    def __init__(self, env, name):
        super().__init__(env)
        self.holder = type("Holder", (), {})()
        self.holder.simulator = getattr(env.unwrapped, name)
        delattr(env.unwrapped, name)
        self.name = name

    def step(self, action):
        setattr(self.unwrapped, self.name, self.holder.simulator)
        result = self.env.step(action)
        delattr(self.unwrapped, self.name)
        return result

    def reset(self, **kwargs):
        setattr(self.unwrapped, self.name, self.holder.simulator)
        result = self.env.reset(**kwargs)
        delattr(self.unwrapped, self.name)
        return result


@pytest.mark.parametrize(("name", "held"), [("Hopper-v5", "data"), ("ale", "ale")])
def test_the_probe_sees_a_simulator_that_no_capture_finds(name, held):
    make = ale() if name == "ale" else mujoco(name)
    assert not probe(lambda: Aside(make(), held))


def test_sticky_actions_of_ale_are_in_no_state():
    pytest.importorskip("ale_py")
    make = maker("ALE/Breakout-v5")
    assert simulators.encoded(make().unwrapped.ale) is None
    assert not probe(make)
    assert probe(maker("ALE/Breakout-v5", repeat_action_probability=0.0))


class Magnetic(gymnasium.Wrapper):
    """Changes MuJoCo's model, which is in no state, where it does not show yet."""

    def step(self, action):
        self.unwrapped.model.opt.magnetic[0] += 1e-3
        return self.env.step(action)


def test_the_probe_sees_a_model_that_changes():
    make = mujoco("Hopper-v5")
    assert not probe(lambda: Magnetic(make()))


def test_a_state_that_is_damaged_or_of_another_one_is_refused():
    make = mujoco("Hopper-v5")
    env, other = advanced(make, 1), advanced(mujoco("HalfCheetah-v5"), 1)
    state = simulators.encoded(env.unwrapped.data)
    with pytest.raises(ValueError, match="damaged, or not of this MjData"):
        simulators.restore(state, other.unwrapped.data)
    with pytest.raises(ValueError, match="damaged, or not of this MjData"):
        simulators.restore({**state, "derived": {**state["derived"], "time_machine": np.zeros(1)}}, env.unwrapped.data)


def test_a_damaged_state_of_ale_is_refused(capfd):
    env = advanced(ale(), 1)
    state = simulators.encoded(env.unwrapped.ale)
    for spoilt in (state["value"][:100], np.zeros(20_000, np.uint8), "text"):
        with pytest.raises(ValueError, match="damaged, or not of this ALEInterface"):
            simulators.restore({"kind": "ale", "value": spoilt}, env.unwrapped.ale)
    capfd.readouterr()  # Stella's own words


def test_nothing_else_is_a_simulator():
    assert simulators.encoded(object()) is None
    assert simulators.seen_through(3) is None
