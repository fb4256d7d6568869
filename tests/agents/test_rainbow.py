"""Rainbow: it is what it is made of, with the paper's numbers, and all of it is at work."""

from dataclasses import replace

import numpy as np
from gymnasium import spaces

from rlcore.agents import Rainbow, RainbowConfig
from rlcore.buffers import Prioritized
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.explorers import Schedule
from rlcore.harness import train
from rlcore.q_networks import CategoricalQ, Dueling, Noisy
from rlcore.rng import generator

SMALL = replace(
    RainbowConfig(), hidden=(8, 8), buffer_size=500, learning_starts=20, target_update_interval=10, n_atoms=11,
    learning_rate=Schedule(1e-3),
)  # fmt: skip


def test_its_numbers_are_the_papers():
    """Hessel et al. 2018, table 1; there in frames, of which a step has 4."""
    c = RainbowConfig()
    assert (c.learning_starts * 4, c.target_update_interval * c.update_every * 4) == (80_000, 32_000)
    assert (c.learning_rate, c.adam_eps, c.batch_size, c.n_step) == (Schedule(6.25e-5), 1.5e-4, 32, 3)
    assert (c.noisy_sigma, c.exploration, c.update_every, c.gradient_steps) == (0.5, Schedule(0.0), 4, 1)
    assert (c.priority_alpha, c.priority_beta) == (0.5, Schedule(0.4, 1.0, 50_000_000))
    assert (c.n_atoms, c.v_min, c.v_max, c.gamma) == (51, -10, 10, 0.99)


def test_its_parts_are_there_and_at_work():
    env = SerialEnv(lambda: Chain(4, limit=20), n_envs=2, seed=0)
    agent = Rainbow.from_spaces(env.observation_space, env.action_space, SMALL, generator(0))
    kinds = [type(link) for link in agent.q.links()]
    assert isinstance(agent.q, CategoricalQ)
    assert kinds.count(Dueling) == 1
    assert kinds.count(Noisy) == 5  # the first layer, and two of each stream
    assert isinstance(agent.replay, Prioritized)
    assert agent.replay.n_step == 3
    assert agent.optimizer.eps == 1.5e-4
    train(agent, env, 100)
    assert agent.n_updates == 20
    assert agent.target.flat.tobytes() == agent.q.flat.tobytes()  # copied in the 20th
    drawn = agent.replay.sample(32)
    assert len(set(drawn["weight"].tolist())) > 1
    assert len({agent.act(np.eye(5, dtype=np.float32)[:1])[0].item() for _ in range(200)}) == 2  # by noise alone


def test_pixels_have_the_papers_network():
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    config = replace(RainbowConfig(), buffer_size=100)
    agent = Rainbow.from_spaces(space, spaces.Discrete(6), config, generator(0))
    shapes = {path: p.shape for path, p in agent.q.namedparams() if path.endswith("/W")}
    assert list(shapes.values()) == [
        (32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 3136), (51, 512), (512, 3136), (306, 512)
    ]  # fmt: skip
