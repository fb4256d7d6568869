"""Agents whose networks lie on a device, here a stand-in for CuPy: they do what those on the host do."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import ALGORITHMS
from rlcore.backend import to_cpu
from rlcore.envs import SerialEnv
from rlcore.envs.make import evaluation_env
from rlcore.harness import evaluate, train
from rlcore.harness.export import export_policy
from rlcore.rng import generator
from rlcore.tree import Ring, named_leaves
from tests.agents.test_every import LEARNED, STEPS, agent_for, made
from tests.autograd import device

KINDS = [(algorithm, {}) for algorithm, cls in ALGORITHMS.items() if not cls.asynchronous]
KINDS += [
    ("dqn", {"dueling": True, "noisy": True, "prioritized": True, "acting_priorities": True, "n_step": 2}),
    ("qr-dqn", {"prioritized": True}),
    ("drqn", {"burn_in": 2, "dueling": True, "stored_state": False}),
    ("ddpg", {"noise_type": "ornstein-uhlenbeck", "prioritized": True}),
    ("sac", {"ent_coef": "0.1", "prioritized": True}),
]


@pytest.fixture(autouse=True)
def _cupy(monkeypatch):
    device.install(monkeypatch)


def told(kind):
    algorithm, settings = kind
    return " ".join([algorithm, *settings])


def run(where, algorithm, **settings):
    """An agent after a run, the statistics of its updates, and what its policies get."""
    agent, env, name = made(algorithm, **settings)
    assert agent.to_device(where) is agent
    stats = []

    def hook(t, step, given):
        stats.append({name: float(value) for name, value in given.items()})

    train(agent, env, STEPS, [hook])
    other = evaluation_env(env, name, 3, 77, LEARNED)
    policies = agent.policy(), agent.policy(deterministic=False, rng=generator(1))
    return agent, stats, [evaluate(policy, other, 2)[0] for policy in policies]


class Seen(gymnasium.Env):
    """Two actions, one of them forbidden at times, seen in one way or another."""

    KINDS = {
        "masked": spaces.Dict({"x": spaces.Box(-1, 1, (3,)), "action_mask": spaces.MultiBinary(2)}),
        "dict": spaces.Dict({"x": spaces.Box(-1, 1, (3,)), "n": spaces.Discrete(4)}),
        "nested": spaces.Tuple((spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2, 2)))),
        "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
        "stack": spaces.Box(0, 255, (4, 36, 36), np.uint8),
    }  # fmt: skip
    action_space = spaces.Discrete(2, start=1)

    def __init__(self, kind):
        self.observation_space = self.KINDS[kind]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.frames = 0, np.zeros((4, 36, 36), np.uint8)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.seen(), {}

    def seen(self):
        obs = self.observation_space.sample()
        if isinstance(obs, dict) and "action_mask" in obs:
            obs["action_mask"] = np.array([1, self.t % 2], np.int8)
        if getattr(obs, "shape", ()) == (4, 36, 36):
            obs = self.frames = np.concatenate((self.frames[1:], obs[:1]))
        return obs

    def step(self, action):
        self.t += 1
        return self.seen(), float(action == 1 + self.t % 2), self.t % 7 == 0, self.t % 11 == 0, {}


@pytest.mark.parametrize("kind", Seen.KINDS)
@pytest.mark.parametrize("algorithm", ["dqn", "qr-dqn", "r2d2", "ppo"])
def test_whatever_is_seen(algorithm, kind):
    runs = []
    for where in ("cpu", "gpu"):
        env = SerialEnv(lambda: Seen(kind), 2, seed=3)
        agent = agent_for(env, algorithm).to_device(where)
        train(agent, env, STEPS)
        evaluate(agent.policy(), SerialEnv(lambda: Seen(kind), 2, seed=4), 3)
        runs.append(arrays(agent))
    assert agent.n_updates > 5
    for path, array in runs[0].items():
        np.testing.assert_allclose(runs[1][path], array, 1e-3, 1e-4, err_msg=path)


def arrays(agent):
    """path -> array of its state, on the host."""
    found = {}
    for path, leaf in named_leaves(agent.state()):
        array = leaf.array if isinstance(leaf, Ring) else leaf
        if hasattr(array, "dtype"):
            found[path] = to_cpu(array)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=told)
def test_a_run_on_a_device_is_that_on_the_host(kind):
    algorithm, settings = kind
    (here, stats, returns), (there, their_stats, their_returns) = (
        run(where, algorithm, **settings) for where in ("cpu", "gpu")
    )
    assert isinstance(there.actor.flat_state, device.Array)
    assert there.n_updates == here.n_updates > 0
    assert len(their_stats) == len(stats)
    for a, b in zip(stats, their_stats):
        assert a.keys() == b.keys()
        for name, value in a.items():
            np.testing.assert_allclose(b[name], value, 1e-3, 1e-4, err_msg=name)
    np.testing.assert_allclose(their_returns, returns, 1e-4)
    ours, theirs = arrays(here), arrays(there)
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        np.testing.assert_allclose(theirs[path], array, 1e-3, 1e-4, err_msg=path)


@pytest.mark.parametrize("kind", KINDS, ids=told)
def test_a_state_goes_from_a_device_to_the_host_and_back(kind):
    algorithm, settings = kind
    there = run("gpu", algorithm, **settings)[0]
    state = arrays(there)
    for where in ("cpu", "gpu"):
        agent = made(algorithm, **settings)[0].to_device(where)
        agent.load(on_the_host(there.state()))
        assert isinstance(agent.actor.flat_state, device.Array) == (where == "gpu")
        found = arrays(agent)
        assert found.keys() == state.keys()
        for path, array in state.items():
            np.testing.assert_array_equal(found[path], array, err_msg=path)
        there = agent


@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "sac", "drqn"])
def test_a_policy_is_exported_from_the_host_alone(algorithm, tmp_path):
    agent, env, _ = made(algorithm)
    with pytest.raises(ValueError, match="exported from the CPU, and its networks are on another device"):
        export_policy(tmp_path / "policy", agent.to_device("gpu").policy(), env)
    assert not any(tmp_path.iterdir())


def on_the_host(state):
    """A state as it comes from disk."""
    if isinstance(state, dict):
        return {name: on_the_host(part) for name, part in state.items()}
    if isinstance(state, Ring):
        return Ring(to_cpu(state.array), state.written)
    if isinstance(state, (list, tuple)):
        return [on_the_host(part) for part in state]
    return to_cpu(state) if isinstance(state, device.Array) else state
