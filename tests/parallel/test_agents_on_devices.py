"""Ranks whose networks lie on devices, here a stand-in for CuPy: weights and gradients come and go all the same."""

from types import SimpleNamespace

import numpy as np
import pytest

from rlcore.agents import DQN, IMPALA, PPO, R2D2, SAC, TRPO
from rlcore.backend import to_cpu
from rlcore.envs import SerialEnv
from rlcore.harness import train
from rlcore.parallel.actor import act, acting_config
from rlcore.parallel.data_parallel import join
from rlcore.parallel.learner import learn
from rlcore.parallel.local import run_threads
from rlcore.ranks import own_device
from rlcore.rng import generator
from tests.autograd import device

SMALL = dict(hidden=(8,), buffer_size=2_000, batch_size=8, learning_starts=50, update_every=8)
KINDS = {
    "dqn": (DQN, "CartPole-v1", SMALL),
    "acting priorities": (DQN, "CartPole-v1", dict(SMALL, prioritized=True, acting_priorities=True)),
    "r2d2": (R2D2, "CartPole-v1", dict(SMALL, sequence_length=4, burn_in=2)),
    "sac": (SAC, "Pendulum-v1", SMALL),
    "impala": (IMPALA, "CartPole-v1", dict(hidden=(8,), n_steps=5)),
    "impala, memory": (IMPALA, "CartPole-v1", dict(hidden=(8,), n_steps=5, lstm_hidden_size=4)),
}


@pytest.fixture(autouse=True)
def _cupy(monkeypatch):
    device.install(monkeypatch)


def agent_of(cls, env, config, rank, where):
    return cls.from_spaces(env.observation_space, env.action_space, config, generator(rank)).to_device(where)


@pytest.mark.parametrize("learner", ["cpu", "gpu"])
@pytest.mark.parametrize("kind", KINDS)
def test_actors_act_by_the_learners_weights(kind, learner):
    cls, name, settings = KINDS[kind]

    def work(comm):
        env = SerialEnv(name, 2, seed=comm.rank)
        if comm.rank == 0:
            agent = agent_of(cls, env, cls.Config(**settings), 0, learner)
            learn(agent, comm, 400)
        else:
            agent = agent_of(
                cls, env, acting_config(cls.Config(**settings)), comm.rank, "gpu" if comm.rank == 1 else "cpu"
            )
            act(agent, env, comm, steps=None if cls is IMPALA else 10)
        return agent

    learned, *acting = run_threads(3, work)
    assert learned.n_updates > 10
    for agent, away in zip((learned, *acting), (learner == "gpu", True, False)):
        assert isinstance(agent.actor.flat_state, device.Array) == away
    newest = to_cpu(learned.actor.flat_state)
    fresh = agent_of(cls, SerialEnv(name, 1), acting_config(cls.Config(**settings)), 1, "cpu").actor.flat_state
    for agent in acting:
        state = to_cpu(agent.actor.flat_state)
        assert abs(state - newest).max() < abs(state - fresh).max()  # the last weights may have come too late to act by


@pytest.mark.parametrize("cls", [DQN, PPO, TRPO])
def test_ranks_learn_as_one(cls):
    settings = {
        DQN: SMALL,
        PPO: dict(hidden=(8,), n_steps=16, batch_size=8, n_epochs=2, target_kl=0.01),
        TRPO: dict(hidden=(8,), n_steps=16, batch_size=8),
    }[cls]

    def work(comm, where):
        env = SerialEnv("CartPole-v1", 2, seed=comm.rank)
        agent = join(agent_of(cls, env, cls.Config(**settings), 0, where), comm)
        train(agent, env, 160)
        return to_cpu(agent.actor.flat_state)

    here, there = (run_threads(2, work, where) for where in ("cpu", "gpu"))
    assert np.array_equal(there[0], there[1])
    np.testing.assert_allclose(there[0], here[0], 1e-4, 1e-5)


def test_gpus_go_round_the_ranks(monkeypatch):
    import cupy

    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 2))
    ranks = [SimpleNamespace(size=3, local_rank=rank) for rank in range(3)]
    assert [own_device("gpu", comm) for comm in ranks] == ["@cupy:0", "@cupy:1", "@cupy:0"]
    assert [own_device(name, ranks[1]) for name in ("cpu", "gpu:0")] == ["cpu", "gpu:0"]
    assert own_device("gpu", SimpleNamespace(size=1, local_rank=0)) == "gpu"
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    assert own_device("gpu", ranks[1]) == "gpu"  # which says what is missing
