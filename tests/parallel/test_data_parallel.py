"""Data-parallel learning: N ranks against one on their rows together, what all do or none, the loop, refusals."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import A2C, A3C, DQN, DRQN, PPO, REINFORCE, SAC, TD3, TRPO, CategoricalDQN, DoubleDQN
from rlcore.agents.descent import NonFiniteError
from rlcore.autograd import using_config
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.fields import Schedule
from rlcore.parallel.base import Alone
from rlcore.parallel.data_parallel import join, loop, rank_seed, refuse, shared_text
from rlcore.parallel.local import run_threads
from rlcore.rng import generator
from rlcore.stream import Step

VECTOR, THREE, BOX = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)
STEPS = 20
RATE = Schedule(1e-2)
SIZES = {2: (5, 11), 3: (7, 2, 8), 4: (3, 9, 1, 6)}  # rows of each rank
CUTS = [(2, (8, 8)), *SIZES.items()]
PARTS = ("q", "model", "actor", "critic", "temperature", "target", "target_critic")


def bounds(sizes):
    ends = np.cumsum(sizes)
    return [slice(end - n, end) for end, n in zip(ends, sizes)]


def made(cls, space, seed=0, dtype=np.float64, **settings):
    with using_config("dtype", dtype):
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


@pytest.mark.parametrize(
    ("cls", "space", "n", "sizes"),
    [
        *[(cls, space, *cut) for cls, space in ((DQN, THREE), (SAC, BOX)) for cut in CUTS],
        *[(cls, space, 3, SIZES[3]) for cls, space in ((DoubleDQN, THREE), (CategoricalDQN, THREE), (TD3, BOX))],
    ],
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


@pytest.mark.parametrize(
    ("n", "sizes", "space", "target_kl"),
    [
        *[
            (n, sizes, THREE, None)
            for n, sizes in ((2, (16, 16)), (2, (20, 13)), (3, (17, 8, 11)), (4, (9, 17, 16, 3)))
        ],
        (2, (20, 13), BOX, None),
        (3, (17, 8, 11), BOX, 0.008),
        (3, (17, 8, 11), THREE, 0.008),
    ],
)
def test_a_joined_minibatch_of_ppo_is_the_union_of_the_ranks(n, sizes, space, target_kl):
    """Ranks with fewer minibatches than others go along with empty ones."""
    settings = {"batch_size": 8, "n_epochs": 2, "learning_rate": RATE, "ent_coef": 0.01, "target_kl": target_kl}
    settings |= {"n_steps": 8, "max_grad_norm": 0.5}
    updates = 5  # of 4 to 6 steps each

    def rank(comm):
        agent = join(made(PPO, space, comm.rank, **settings), comm)
        orders, epochs = [[] for _ in range(updates)], agent._epochs
        for k in range(updates):
            agent._epochs = lambda n, k=k: (orders[k].append(numbers) or numbers for numbers in epochs(n))
            agent.learn_from(rows_of(sizes[comm.rank], 100 * k + comm.rank, space))
        return parameters(agent), orders, agent.n_updates

    found = run_threads(n, rank)
    one = made(PPO, space, **settings)
    first, starts, steps, learn = parameters(one), np.cumsum((0, *sizes)), [], one.learn
    one.learn = lambda batch: steps.append(batch) or learn(batch)
    for k in range(updates):
        rows = [rows_of(size, 100 * k + r, space) for r, size in enumerate(sizes)]
        unions = [
            [np.concatenate([at + start for at, start in zip(ats, starts)]) for ats in zip(*epoch, strict=True)]
            for epoch in zip(*[orders[k] for _, orders, _ in found], strict=True)
        ]
        one._epochs = lambda n, unions=unions: unions
        one.learn_from({name: np.concatenate([part[name] for part in rows]) for name in rows[0]})
    assert abs(parameters(one) - first).max() > 1e-2
    most = updates * 2 * max(-(-size // 8) for size in sizes)
    assert 0 < len(steps) < most if target_kl else len(steps) == most > STEPS - 1
    for parts, _, n_updates in found:
        np.testing.assert_allclose(parts, parameters(one), rtol=0, atol=1e-12)
        assert n_updates == found[0][2]


@pytest.mark.parametrize(("n", "space"), [(2, BOX), (3, THREE)], ids=["box", "discrete"])
def test_trpo_goes_the_natural_gradient_of_all_rows(n, space):
    settings, sizes = {"batch_size": 64, "n_steps": 8, "n_critic_updates": 2}, SIZES[n]
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


def left_out(agent, batch):
    """What became of an update that may be left out."""
    try:
        return len(agent.learn(batch)), agent.n_updates, agent.descend.skipped
    except NonFiniteError:
        return "raised", agent.n_updates, agent.descend.skipped


@pytest.mark.filterwarnings("ignore:an update is left out:RuntimeWarning")
def test_a_loss_that_is_not_finite_on_one_rank_makes_all_leave_the_update_out():
    def rank(comm):
        agent = join(made(DQN, THREE), comm)
        did, same = [], []
        for k in range(5):
            batch, before = transitions(8, 10 * k + comm.rank), parameters(agent)
            if comm.rank == 1 and k != 1:
                batch["reward"][3] = np.nan
            did.append(left_out(agent, batch))
            same.append(bool((parameters(agent) == before).all()))
        return did, same

    first, second = run_threads(2, rank)
    assert first == second
    assert first[0] == [(0, 0, 1), (1, 1, 1), (0, 1, 2), (0, 1, 3), ("raised", 1, 4)]
    assert first[1] == [True, False, True, True, True]


def test_no_update_is_lost_and_ranks_begin_with_the_first_ones_parameters():
    def rank(comm):
        agent = made(PPO, THREE, seed=comm.rank, n_steps=8, batch_size=8)
        own = parameters(agent).copy()
        join(agent, comm)
        joined = parameters(agent).copy()
        agent.learn(rows_of(8, comm.rank, THREE))
        return own, joined, parameters(agent)

    (own, joined, after), (other, *others) = run_threads(2, rank)
    assert (own != other).any()
    for mine, theirs in zip((joined, after), others, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(joined, own)
    assert (after != joined).any()


def test_one_rank_alone_stays_as_it_is():
    agent = made(DQN, THREE)
    assert join(agent, Alone()) is agent
    assert agent.comm is None
    assert agent.optimizer.reduce is None
    assert rank_seed(7, Alone()) == 7


def test_each_rank_has_a_seed_of_its_own_and_always_the_same():
    seeds = run_threads(4, lambda comm: rank_seed(3, comm))
    assert len({*seeds, 3}) == 5
    assert seeds == run_threads(4, lambda comm: rank_seed(3, comm))
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("cls", [A3C, REINFORCE])
def test_agents_that_do_not_learn_in_step_are_refused_on_all_ranks(cls):
    def rank(comm):
        with pytest.raises(ValueError, match=f"{cls.__name__} cannot learn with other ranks as one: .*take A2C"):
            join(made(cls, THREE), comm)
        comm.barrier()

    run_threads(2, rank)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"gamma": 0.9}, "the same settings"), ({"hidden": (9,)}, "the same settings"), ({"batch_size": 7}, None)],
)
def test_ranks_whose_settings_differ_are_refused(settings, complaint):
    def rank(comm):
        agent = made(DQN, THREE) if comm.rank == 0 else DQN.from_spaces(
            VECTOR, THREE, DQN.Config(**{"hidden": (8,), **settings}), generator(0)
        )  # fmt: skip
        if complaint is None:
            return
        with pytest.raises(ValueError, match=complaint):
            join(agent, comm)

    run_threads(2, rank)


def test_an_agent_that_has_learned_cannot_join_others_that_have_not():
    def rank(comm):
        agent = made(DQN, THREE)
        if comm.rank:
            agent.learn(transitions(8, 0))
        with pytest.raises(ValueError, match="the same counts"):
            join(agent, comm)

    run_threads(2, rank)


# whole runs


def env_of(comm, n_envs=2, seed=5):
    return SerialEnv(lambda: Chain(5, 20), n_envs, rank_seed(seed, comm))


def trained(comm, cls, steps=120, hooks=(), n_envs=2, **settings):
    env = env_of(comm, n_envs)
    config = cls.Config(hidden=(8,), **settings)
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(rank_seed(5, comm)))
    t = loop(comm)(join(agent, comm), env, steps, [hook(comm) for hook in hooks])
    return parameters(agent), t, agent


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (DQN, {"learning_starts": 10, "update_every": 4, "gradient_steps": 2, "batch_size": 8}),
        (DQN, {"learning_starts": 10, "update_every": 4, "gradient_steps": 1, "batch_size": 8, "prioritized": True}),
        (DRQN, {"learning_starts": 20, "update_every": 8, "batch_size": 4}),
        (PPO, {"n_steps": 16, "batch_size": 8, "n_epochs": 2}),
        (PPO, {"n_steps": 16, "batch_size": 8, "n_epochs": 2, "lstm_hidden_size": 4, "sequence_length": 4}),
        (A2C, {"n_steps": 4, "normalize_advantage": True}),
        (TRPO, {"n_steps": 8, "batch_size": 8, "n_critic_updates": 2}),
    ],
    ids=["dqn", "prioritized", "drqn", "ppo", "recurrent ppo", "a2c", "trpo"],
)
def test_ranks_stay_the_same_bit_for_bit_through_a_run_that_repeats(cls, settings):
    first = run_threads(3, lambda comm: trained(comm, cls, **settings))
    second = run_threads(3, lambda comm: trained(comm, cls, **settings))
    counts = {name: getattr(first[0][2], name) for name in first[0][2].COUNTS}
    assert counts["n_updates"] > 3
    for parts, t, agent in [*first[1:], *second]:
        np.testing.assert_array_equal(parts, first[0][0])
        assert t == 120
        assert {name: getattr(agent, name) for name in agent.COUNTS} == counts


def test_a_hook_of_any_rank_ends_the_run_of_all_at_one_row():
    calls = []

    def hook(comm):
        def stop(t, step, stats):
            calls.append((comm.rank, t))
            return comm.rank == 1 and t >= 50

        return stop

    found = run_threads(3, lambda comm: trained(comm, A2C, hooks=[hook], n_steps=4)[1])
    assert found == [64, 64, 64]  # the first exchange after 50: every 16 steps of 2 environments
    assert sorted(calls)[:32] == [(0, 2 * k) for k in range(1, 33)]


def test_what_one_rank_raises_ends_all():
    def hook(comm):
        def fail(t, step, stats):
            if comm.rank == 1 and t >= 30:
                raise OSError("broken")

        return fail

    with pytest.raises(OSError, match="broken"):
        run_threads(3, lambda comm: trained(comm, A2C, hooks=[hook], n_steps=4))


def test_ranks_with_other_numbers_of_environments_are_refused():
    def rank(comm):
        with pytest.raises(ValueError, match="the same n_envs; those of rank"):
            trained(comm, A2C, n_envs=1 + comm.rank)

    run_threads(2, rank)


@pytest.mark.parametrize("cls", [A2C, PPO, TRPO])
def test_a_rank_without_a_transition_goes_along(cls):
    """All of its rows are no transitions: it takes the others' steps."""
    settings = {A2C: {}, PPO: {"batch_size": 4, "n_epochs": 1}, TRPO: {"batch_size": 4}}[cls]

    def rank(comm):
        agent = join(made(cls, THREE, 0, np.float32, n_steps=4, **settings), comm)
        rng, before = generator(comm.rank), parameters(agent).copy()
        for k in range(8):
            obs = rng.normal(size=(2, 4)).astype(np.float32)
            action, extra = agent.act(obs)
            no = np.zeros(2, bool)
            valid = no if comm.rank == 1 and k < 4 else ~no
            agent.observe(obs, action, Step(obs, rng.normal(size=2).astype(np.float32), no, no, obs, valid, {}), extra)
            agent.update()
        return before, parameters(agent), agent.n_updates

    (before, after, n), other = run_threads(2, rank)
    np.testing.assert_array_equal(after, other[1])
    assert n == other[2] == (1 if cls is TRPO else 2)  # TRPO leaves such an update out
    assert (after != before).any()


def test_what_one_rank_refuses_all_do_in_its_words():
    def rank(comm):
        refuse(comm, "")
        with pytest.raises(ValueError, match=r"^no: ä$"):
            refuse(comm, "no: ä" if comm.rank == 1 else "later" if comm.rank == 2 else "")
        return shared_text(comm, "x" * 5_000 if comm.rank else ""), shared_text(comm, "")

    assert run_threads(3, rank) == [("x" * 4_096, "")] * 3


def test_updates_begin_when_every_rank_has_a_transition():
    def rank(comm):
        settings = {"learning_starts": 0, "update_every": 1, "gradient_steps": 1, "batch_size": 4}
        agent = join(made(DQN, THREE, 0, np.float32, **settings), comm)
        counts = []
        for k in range(6):
            obs, no = np.full((1, 4), k, np.float32), np.zeros(1, bool)
            valid = no if comm.rank == 1 and k < 2 else ~no
            agent.observe(obs, np.array([0]), Step(obs, np.ones(1, np.float32), no, no, obs, valid, {}), {})
            agent.update()
            counts.append(agent.n_updates)
        return counts

    first, second = run_threads(2, rank)
    assert first == second == [0, 0, 0, 4, 5, 6]
