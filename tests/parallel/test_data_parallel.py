"""Data-parallel learning: N ranks against one on their rows together, what all do or none, the loop, refusals."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import DQN, PPO, SAC, TD3, TRPO, CategoricalDQN, DoubleDQN
from rlcore.autograd import using_config
from rlcore.fields import Schedule
from rlcore.parallel.data_parallel import join
from rlcore.parallel.local import run_threads
from rlcore.rng import generator

VECTOR, THREE, BOX = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)
STEPS = 20
RATE = Schedule(1e-2)
SIZES = {2: (5, 11), 3: (7, 2, 8), 4: (3, 9, 1, 6)}  # rows of each rank
CUTS = [(2, (8, 8)), *SIZES.items()]
PARTS = ("q", "model", "actor", "critic", "temperature", "target", "target_critic")


def bounds(sizes):
    ends = np.cumsum(sizes)
    return [slice(end - n, end) for end, n in zip(ends, sizes)]


def made(cls, space, seed=0, **settings):
    with using_config("dtype", np.float64):
        return cls.from_spaces(VECTOR, space, cls.Config(hidden=(8,), **settings), generator(seed))


def parameters(agent):
    return np.concatenate([link.flat for name, link in agent.parts().items() if name in PARTS])


def transitions(n, seed, continuous=False):
    """A batch of float64."""
    rng = generator(seed)
    return {
        "obs": rng.normal(size=(n, 4)),
        "next_obs": rng.normal(size=(n, 4)),
        "action": rng.uniform(-1, 1, (n, 2)) if continuous else rng.integers(0, 3, n),
        "reward": rng.normal(size=n),
        "discount": rng.choice([0.0, 0.99], n),
    }


def rows_of(n, seed, action_space):
    """What an on-policy agent learns from, of float64."""
    rng = generator(seed)
    action = rng.normal(size=(n, 2)) if action_space is BOX else rng.integers(0, 3, n)
    draw = dict(zip(("log_prob", "value", "advantage", "return"), rng.normal(size=(4, n))))
    expected = -np.log(2 * np.pi) - (action**2).sum(1) / 2 if action_space is BOX else -np.log(3)  # of a new policy
    return {"obs": rng.normal(size=(n, 4)), "action": action, **draw, "log_prob": draw["log_prob"] * 0.1 + expected}


def taken(batch, rows):
    return {name: column[rows] for name, column in batch.items()}


class Part:
    """A generator that draws for all ranks' rows, and gives those of one."""

    def __init__(self, seed, rows, n):
        self.rng, self.rows, self.n = generator(seed), rows, n

    def standard_normal(self, shape, dtype=np.float64):
        return self.rng.standard_normal((self.n, *shape[1:]), dtype)[self.rows]


def settled(agent, rows=slice(None), n=16):
    """With noise of the rows of all ranks."""
    if hasattr(agent, "rngs"):
        agent.rngs["learning"] = Part(7, rows, n)
    if "target_critic" in agent.parts():
        agent.begin()
    return agent


@pytest.mark.parametrize(("n", "sizes"), CUTS)
@pytest.mark.parametrize(
    ("cls", "space"), [(DQN, THREE), (DoubleDQN, THREE), (CategoricalDQN, THREE), (SAC, BOX), (TD3, BOX)]
)
def test_ranks_step_as_one_does_on_their_rows_together(cls, space, n, sizes):
    settings = {} if space is BOX else {"target_update_interval": 3}
    total, cuts = sum(sizes), bounds(sizes)

    def rank(comm):
        agent = join(settled(made(cls, space, comm.rank, **settings), cuts[comm.rank], total), comm)
        for k in range(STEPS):
            agent.learn(taken(transitions(total, k, space is BOX), cuts[comm.rank]))
        return parameters(agent)

    one = settled(made(cls, space, **settings), n=total)
    first = parameters(one)
    for k in range(STEPS):
        one.learn(transitions(total, k, space is BOX))
    assert abs(parameters(one) - first).max() > 1e-3
    for parts in run_threads(n, rank):
        np.testing.assert_allclose(parts, parameters(one), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "sizes"), [(2, (32, 32)), (2, (20, 37)), (3, (17, 8, 31)), (4, (9, 25, 16, 3))])
@pytest.mark.parametrize("space", [THREE, BOX], ids=["discrete", "box"])
@pytest.mark.parametrize("target_kl", [None, 0.008])
def test_a_joined_minibatch_of_ppo_is_the_union_of_the_ranks(n, sizes, space, target_kl):
    """Ranks with fewer minibatches than others go along with empty ones."""
    settings = {"batch_size": 8, "n_epochs": 2, "learning_rate": RATE, "ent_coef": 0.01, "target_kl": target_kl}
    settings |= {"n_steps": 8, "max_grad_norm": 0.5}
    updates = 5

    def rank(comm):
        agent = join(made(PPO, space, comm.rank, **settings), comm)
        orders, minibatches = [[] for _ in range(updates)], agent._minibatches
        for k in range(updates):
            agent._minibatches = lambda n, k=k: (orders[k].append(at) or at for at in minibatches(n))
            agent.learn_from(rows_of(sizes[comm.rank], 100 * k + comm.rank, space))
        return parameters(agent), orders, agent.n_updates

    found = run_threads(n, rank)
    one = made(PPO, space, **settings)
    first, starts, steps = parameters(one), np.cumsum((0, *sizes)), 0
    for k in range(updates):
        rows = [rows_of(size, 100 * k + r, space) for r, size in enumerate(sizes)]
        unions = [
            np.concatenate([at + start for at, start in zip(ats, starts)])
            for ats in zip(*[orders[k] for _, orders, _ in found], strict=True)
        ]
        one._minibatches = lambda n, unions=unions: unions
        one.learn_from({name: np.concatenate([part[name] for part in rows]) for name in rows[0]})
        steps += len(unions)
    assert abs(parameters(one) - first).max() > 1e-2
    most = updates * 2 * max(-(-size // 8) for size in sizes)
    assert 0 < steps < most if target_kl else steps == most > STEPS - 1
    for parts, _, n_updates in found:
        np.testing.assert_allclose(parts, parameters(one), rtol=0, atol=1e-12)
        assert n_updates == found[0][2]


@pytest.mark.parametrize(("n", "sizes"), [(2, (8, 8)), *SIZES.items()])
@pytest.mark.parametrize("space", [THREE, BOX], ids=["discrete", "box"])
def test_trpo_goes_the_natural_gradient_of_all_rows(n, sizes, space):
    settings = {"batch_size": 64, "n_steps": 8, "n_critic_updates": 2}
    total, cuts = sum(sizes), bounds(sizes)

    def rank(comm):
        agent = join(made(TRPO, space, comm.rank, **settings), comm)
        stats = [agent.learn_from(taken(rows_of(total, k, space), cuts[comm.rank])) for k in range(5)]
        return parameters(agent), [s["is_line_search_success"] for s in stats], agent.t

    one = made(TRPO, space, **settings)
    stats = [one.learn_from(rows_of(total, k, space)) for k in range(5)]
    for parts, success, _ in run_threads(n, rank):
        assert success == [s["is_line_search_success"] for s in stats]
        assert any(success)
        np.testing.assert_allclose(parts, parameters(one), rtol=0, atol=1e-9)
