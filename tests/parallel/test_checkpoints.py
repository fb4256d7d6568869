"""Checkpoints of all ranks: bit for bit on as many, what other numbers of them go on from, faults."""

import shutil
import warnings
from copy import deepcopy

import numpy as np
import pytest

from rlcore.agents import DQN, PPO, SAC
from rlcore.buffers import Prioritized, Replay
from rlcore.envs import SerialEnv
from rlcore.envs.make import make_env
from rlcore.envs.toy import Chain
from rlcore.envs.wrappers.normalize import NormalizeObservation
from rlcore.harness.checkpoint import Checkpoint, checkpoints
from rlcore.harness.storage import CheckpointError, load_state
from rlcore.parallel.base import Alone
from rlcore.parallel.checkpoints import JointCheckpoint
from rlcore.parallel.data_parallel import join, loop, rank_seed
from rlcore.parallel.local import run_threads
from rlcore.parallel.worlds import _dealt
from rlcore.rng import generator
from rlcore.stream import Step
from rlcore.tree import leaves

OFF = {"learning_starts": 10, "update_every": 2, "gradient_steps": 1, "batch_size": 8, "buffer_size": 64}
CASES = {
    "dqn": (DQN, "chain", OFF),
    "prioritized": (DQN, "chain", {**OFF, "prioritized": True}),
    "sac": (SAC, "Pendulum-v1", OFF),
    "ppo": (
        PPO,
        "chain",
        {"n_steps": 14, "batch_size": 14, "n_epochs": 2, "lstm_hidden_size": 4, "sequence_length": 7},
    ),
}


def parts_of(comm, case="dqn", seed=3):
    cls, name, settings = CASES[case]
    seed = rank_seed(seed, comm)
    env = SerialEnv(lambda: Chain(5, 12), 2, seed) if name == "chain" else make_env(name, 2, seed)
    env = NormalizeObservation(env)
    config = cls.Config(hidden=(8,), **settings)
    agent = cls.from_spaces(env.observation_space, env.action_space, config, generator(seed))
    return join(agent, comm), env


def everything(agent, env):
    """All numbers of a state, as bytes."""
    state = agent.state(), env.state()
    return [leaf.tobytes() if isinstance(leaf, np.ndarray) else repr(leaf) for leaf in leaves(_plain(state))]


def _plain(tree):
    """Rings as arrays, lists as tuples."""
    if isinstance(tree, dict):
        return {key: _plain(part) for key, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        return tuple(_plain(part) for part in tree)
    return tree


def run(comm, folder, goal, case="dqn", every=40, restore=True, keep=9):
    agent, env = parts_of(comm, case)
    checkpoint = JointCheckpoint(comm, folder, every, keep, env=env, agent=agent)
    start = checkpoint.restore() if restore else 0
    t = loop(comm)(agent, env, goal, [checkpoint], start)
    return start, t, everything(agent, env), agent, env


@pytest.mark.parametrize(("case", "every"), [*[(case, 40) for case in CASES], ("dqn", 32)])
def test_as_many_ranks_go_on_bit_for_bit(tmp_path, case, every):
    """In row 32 the ranks also join the moments of their observations."""
    whole = run_threads(2, run, tmp_path, 120, case, every)
    for t in (2 * every, 3 * every):
        for path in tmp_path.glob(f"step-{t:012d}*"):
            shutil.rmtree(path)
    resumed = run_threads(2, run, tmp_path, 120, case, every)
    for (start, t, state, *_), (_, _, want, *_) in zip(resumed, whole, strict=True):
        assert (start, t) == (every, 120)
        assert state == want


def test_the_part_of_the_first_rank_is_a_checkpoint_that_anything_reads(tmp_path):
    (*_, agent, _), _ = run_threads(2, run, tmp_path, 40)
    path = tmp_path / "step-000000000040"
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, f"{path.name}.rank-1"]
    alone, fresh = parts_of(Alone(), "dqn")
    assert Checkpoint(tmp_path, 10, env=fresh, agent=alone).restore() == 40
    np.testing.assert_array_equal(alone.q.flat, agent.q.flat)
    assert "q" not in load_state(f"{path}.rank-1")["parts"]["agent"]
    assert "q" in load_state(path)["parts"]["agent"]


def generators(agent):
    return agent.replay._rng, agent.explorer._rng


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 3), (2, 1), (1, 2), (4, 3)])
def test_another_number_of_ranks_goes_on_from_networks_optimizers_counts_and_moments(tmp_path, before, after):
    saved = run_threads(before, run, tmp_path, 80)
    first, rows = saved[0][3], [len(agent.replay) for *_, agent, _ in saved]

    def rank(comm):
        agent, env = parts_of(comm)
        t = JointCheckpoint(comm, tmp_path, 10, env=env, agent=agent).restore()
        kept = agent.q.flat.copy(), deepcopy(agent.optimizer.state()), agent.n_updates, agent.t, len(agent.replay)
        moments = deepcopy(env.moments.state())
        draws = [rng.random() for rng in generators(agent)]
        loop(comm)(agent, env, 120, (), t)
        return t, kept, moments, draws, agent.q.flat.copy()

    found = run_threads(after, rank)
    for t, (q, optimizer, n_updates, rows_seen, _), moments, _, final in found:
        assert (t, n_updates, rows_seen) == (80, first.n_updates, 80)
        np.testing.assert_array_equal(q, first.q.flat)
        assert optimizer["t"] == first.optimizer.t
        np.testing.assert_array_equal(optimizer["m"], first.optimizer.state()["m"])
        assert moments["count"] > 80 * before / 2
        np.testing.assert_array_equal(final, found[0][-1])
        assert (final != q).any()
    dealt = [kept[-1] for _, kept, *_ in found]
    assert all(n > 0 for n in dealt)
    assert sum(dealt) <= sum(rows)
    assert sum(dealt) >= min(sum(rows), after * 64) * 0.6
    fresh = run_threads(after, lambda comm: [r.random() for r in generators(parts_of(comm)[0])])
    assert len({draw for *_, draws, _ in found for draw in draws} | set().union(*fresh)) == 4 * after


def test_a_save_that_lacks_a_part_or_has_another_one_is_passed_over(tmp_path):
    run_threads(2, run, tmp_path, 120)
    newest, second = (f"step-{t:012d}.rank-1" for t in (120, 80))
    shutil.rmtree(tmp_path / newest)

    assert restored(tmp_path, 2) == [80, 80]
    shutil.copytree(tmp_path / second, tmp_path / newest)  # whole, but of another row
    assert restored(tmp_path, 2) == [80, 80]
    (tmp_path / "step-000000000080" / "tensors.safetensors").write_bytes(b"no")
    assert restored(tmp_path, 2) == [40, 40]
    shutil.rmtree(tmp_path / "step-000000000040.rank-1")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole"):
        restored(tmp_path, 2)


def restored(folder, size):
    def rank(comm):
        agent, env = parts_of(comm)
        return JointCheckpoint(comm, folder, 10, env=env, agent=agent).restore()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_threads(size, rank)


def test_without_a_save_there_is_nothing_to_go_on_from(tmp_path):
    assert restored(tmp_path, 2) == [0, 0]


def test_the_newest_saves_are_kept_with_all_their_parts(tmp_path):
    (tmp_path / "step-000000000001.rank-7").mkdir()  # left by a save that never was whole
    run_threads(2, run, tmp_path, 160, "dqn", 40, True, 2)
    names = [f"step-{t:012d}{end}" for t in (120, 160) for end in ("", ".rank-1")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(checkpoints(tmp_path)) == 2


def test_what_one_rank_cannot_write_is_no_save_and_three_such_end_the_run(tmp_path, monkeypatch):
    from rlcore.parallel import checkpoints as module

    save = module.save_state

    def full(folder, *args):
        if "rank-1" in str(folder):
            raise OSError(28, "No space left on device", str(folder))
        save(folder, *args)

    monkeypatch.setattr(module, "save_state", full)

    def rank(comm):
        agent, env = parts_of(comm)
        checkpoint = JointCheckpoint(comm, tmp_path, 10, env=env, agent=agent)
        with pytest.raises(OSError, match="No space left" if comm.rank else "rank 1: .*No space left"):
            loop(comm)(agent, env, 100, [checkpoint])
        return agent.t, checkpoint.failures

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run_threads(2, rank) == [(30, 3), (30, 3)]
    assert checkpoints(tmp_path) == []


def test_parts_of_another_name_are_refused_on_all_ranks(tmp_path):
    run_threads(2, run, tmp_path, 40)

    def rank(comm):
        agent, env = parts_of(comm)
        with pytest.raises(ValueError, match="the checkpoint holds env, agent; this run has env, learner"):
            JointCheckpoint(comm, tmp_path, 10, env=env, learner=agent).restore()

    run_threads(2, rank)


# replays


def filled_replay(cls, seed, steps, capacity=32, **named):
    """Rows whose reward is the number of the row in its stream, times 100 for the second one."""
    replay = cls(capacity, {"obs": ((), np.float32), "action": ((), np.int64)}, generator(seed), **named)
    for k in range(steps):
        obs = np.float32([k, 100 + k]) + 1000 * seed
        end = np.array([k % 5 == 4, False])
        following = np.float32([0 if end[0] else k + 1, 101 + k]) + 1000 * seed
        final = np.float32([k + 1, 101 + k]) + 1000 * seed
        no = np.zeros(2, bool)
        replay.add(obs, np.array([k, k]), Step(following, obs, end, no, final, ~no, {}))
    return replay


def transitions(replay):
    """All that can be drawn: (obs, next_obs, reward, discount)."""
    batch = replay._from(np.flatnonzero(replay._kind))
    return set(zip(*[batch[name].tolist() for name in ("obs", "next_obs", "reward", "discount")]))


@pytest.mark.parametrize("steps", [6, 40])
def test_rows_of_two_replays_make_one(steps):
    """Its transitions are theirs, but for what there is no room for."""
    both = [filled_replay(Replay, seed, steps, 64 if steps == 40 else 32) for seed in (1, 2)]
    new = filled_replay(Replay, 3, 0, 32 if steps == 6 else 64)
    state = _dealt(new, [replay.state() for replay in both], 0, 1)
    new.check(state)
    new.load(state)
    had = transitions(both[0]) | transitions(both[1])
    assert transitions(new) <= had
    if steps == 6:
        assert transitions(new) == had
    else:
        assert len(transitions(new)) > 0.8 * 64 * 10 / 11
    one, no = np.ones(1, bool), np.zeros(1, bool)
    new.add(np.float32([7]), np.array([0]), Step(np.float32([8]), np.float32([1]), no, no, np.float32([8]), one, {}))
    assert new.sample(50)["row"].max() < 64


def test_shares_of_a_replay_are_its_rows_cut_where_they_meet():
    old = filled_replay(Replay, 1, 12, 64)
    parts = []
    for share in range(3):
        new = filled_replay(Replay, 5, 0, 64)
        new.load(_dealt(new, [old.state()], share, 3))
        parts.append(transitions(new))
    union = set().union(*parts)
    assert union <= transitions(old)
    assert len(union) == sum(map(len, parts)) >= len(transitions(old)) - 2 * 2  # two streams, two cuts


def test_priorities_go_along():
    old = filled_replay(Prioritized, 1, 10, 64, alpha=1.0)
    batch = old.sample(16)
    old.update(batch["row"], np.arange(1.0, 17))
    new = filled_replay(Prioritized, 2, 0, 64, alpha=1.0)
    state = _dealt(new, [old.state()], 0, 1)
    new.check(state)
    new.load(state)
    old.sample(1)
    new.sample(1)
    np.testing.assert_array_equal(new._tree.leaves, old._tree.leaves)
    assert new._largest == old._largest
