"""Checkpoints: the newest whole one wins, none is lost, nothing is half loaded."""

from __future__ import annotations

import os
import shutil
import warnings

import numpy as np
import pytest

from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain, HashChain
from rlcore.harness import Checkpoint, CheckpointError, newest_state, save_state, train
from rlcore.harness.checkpoint import checkpoints
from rlcore.rng import default, seed, state_of
from tests.harness.fakes import Wanderer, one_step


class Part:
    """Keeps a number, and says when it is loaded."""

    def __init__(self, value=0):
        self.value, self.loads = value, 0

    def state(self):
        return {"value": self.value}

    def load(self, state):
        self.value, self.loads = state["value"], self.loads + 1


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def saved(folder, *steps, keep=10):
    """Saves at these rows, whose part holds ten times the row."""
    part = Part()
    checkpoint = Checkpoint(folder, 1, keep, part=part)
    for t in steps:
        part.value = 10 * t
        checkpoint.save(t)
    return checkpoint, part


def damage(path, name="tensors.safetensors"):
    (path / name).write_bytes(b"rot")


@pytest.mark.parametrize("n_envs", [1, 4])
def test_every_so_many_rows(tmp_path, n_envs):
    checkpoint = Checkpoint(tmp_path, every=10, keep=9, part=Part())
    for t in range(n_envs, 41, n_envs):
        checkpoint(t, one_step(n_envs), {})
    expected = [10, 20, 30, 40] if n_envs == 1 else [12, 20, 32, 40]
    assert names(tmp_path) == [f"step-{t:012d}" for t in expected]


def test_the_newest_are_kept(tmp_path):
    saved(tmp_path, 5, 7, 100, 1000, 20000, keep=3)
    assert names(tmp_path) == [f"step-{t:012d}" for t in (100, 1000, 20000)]


@pytest.mark.parametrize(("every", "keep"), [(0, 3), (-1, 3), (5, 0)])
def test_odd_numbers_are_refused(tmp_path, every, keep):
    with pytest.raises(ValueError, match=f"every and keep must be at least 1, got {every} and {keep}"):
        Checkpoint(tmp_path / "new", every, keep)
    assert not (tmp_path / "new").exists()


def test_nothing_to_restore(tmp_path):
    part = Part(3)
    assert Checkpoint(tmp_path / "none", 1, part=part).restore() == 0
    (tmp_path / "empty").mkdir()
    assert Checkpoint(tmp_path / "empty", 1, part=part).restore() == 0
    assert (part.value, part.loads) == (3, 0)
    assert not (tmp_path / "none").exists()


def test_the_newest_is_restored(tmp_path):
    saved(tmp_path, 9, 10, 100)
    part = Part()
    assert Checkpoint(tmp_path, 1, part=part).restore() == 100
    assert (part.value, part.loads) == (1000, 1)


def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path):
    saved(tmp_path, 1, 2, 3, 4)
    damage(tmp_path / "step-000000000004")
    damage(tmp_path / "step-000000000003", "state.json")
    part = Part()
    checkpoint = Checkpoint(tmp_path, 1, part=part)
    with pytest.warns(UserWarning, match="is damaged.*; using the older step-000000000002") as caught:
        assert checkpoint.restore() == 2
    assert [w.message.args[0].split("/")[-2] for w in caught] == ["step-000000000004", "step-000000000003"]
    assert part.value == 20
    assert len(names(tmp_path)) == 4


def test_all_damaged_is_an_error_and_nothing_is_deleted(tmp_path):
    saved(tmp_path, 1, 2)
    for path in checkpoints(tmp_path):
        damage(path)
    before = sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    part = Part(5)
    with pytest.raises(
        CheckpointError, match=r"no checkpoint in .* is whole: .*000002.*;.*000001.*Nothing has been changed"
    ):
        Checkpoint(tmp_path, 1, part=part).restore()
    assert (part.value, part.loads) == (5, 0)
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_damaged_newer_one_costs_no_good_one(tmp_path, keep):
    """Going on from an older save, what is saved next stays, though by its name it is not the newest."""
    saved(tmp_path, 10, 20, 30)
    damage(tmp_path / "step-000000000030")
    part = Part()
    checkpoint = Checkpoint(tmp_path, 1, keep, part=part)
    with pytest.warns(UserWarning, match="using the older"):
        checkpoint.restore()
    part.value = 250
    assert checkpoint.save(25).exists()
    good = [10, 20, 25][-keep:]
    assert names(tmp_path) == [f"step-{t:012d}" for t in [*good, 30]]
    with pytest.warns(UserWarning, match="using the older step-000000000025"):
        assert Checkpoint(tmp_path, 1, part=part).restore() == 25
    assert part.value == 250
    part.value = 300
    checkpoint.save(30)  # the damaged one is replaced
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Checkpoint(tmp_path, 1, part=part).restore() == 30
    assert names(tmp_path) == [f"step-{t:012d}" for t in [10, 20, 25, 30][-keep:]]


def test_the_only_one_survives_an_interrupted_replacement(tmp_path, monkeypatch):
    checkpoint, part = saved(tmp_path, 10, keep=1)
    renames, really = [], os.rename

    def rename(path, target):
        renames.append(target)
        if len(renames) == 2:  # the old one is aside, the new one has no name yet
            raise KeyboardInterrupt
        really(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        part.value = 101
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(10)
    found = Part()
    again = Checkpoint(tmp_path, 1, keep=1, part=found)
    assert (again.restore(), found.value) == (10, 100)
    again.save(20)
    assert names(tmp_path) == ["step-000000000020"]


def test_what_is_no_checkpoint_does_not_count(tmp_path):
    saved(tmp_path, 5)
    source = tmp_path / "step-000000000005"
    for name in (
        ".step-000000000009.tmp.1.0123abcd", "step-000000000009.bak", "xstep-000000000009",
        "step-9", "step-0000000000090",
    ):  # fmt: skip
        shutil.copytree(source, tmp_path / name)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-000000000005"]
    assert Checkpoint(tmp_path, 1, part=Part()).restore() == 5


def test_a_state_of_something_else_is_passed_over(tmp_path):
    saved(tmp_path, 5)
    save_state(tmp_path / "step-000000000006", {"mean": 3.0})
    (tmp_path / "step-000000000007").write_text("a file")
    with pytest.warns(UserWarning, match="using the older"):
        assert Checkpoint(tmp_path, 1, part=Part()).restore() == 5
    shutil.rmtree(tmp_path / "step-000000000005")
    with pytest.raises(CheckpointError, match="is a saved state, but no checkpoint of a run"):
        newest_state(tmp_path)


def test_other_parts_are_refused_before_anything_changes(tmp_path):
    saved(tmp_path, 5)
    part, other = Part(1), Part(2)
    library = state_of(default())
    with pytest.raises(ValueError, match=r"step-000000000005 holds part; this run has part, other"):
        Checkpoint(tmp_path, 1, part=part, other=other).restore()
    with pytest.raises(ValueError, match="holds part; this run has other"):
        Checkpoint(tmp_path, 1, other=other).restore()
    assert (part.value, part.loads, other.value, other.loads) == (1, 0, 2, 0)
    assert state_of(default()) == library


def test_a_part_that_refuses_stops_the_rest(tmp_path):
    """Parts are loaded in their order: the first one knows best what fits."""
    saved(tmp_path, 5)

    class Picky(Part):
        def load(self, state):
            raise ValueError("another network")

    later = Part(3)
    Checkpoint(tmp_path, 1, part=Part(), later=later).save(6)
    with pytest.raises(ValueError, match="another network"):
        Checkpoint(tmp_path, 1, part=Picky(), later=later).restore()
    assert later.loads == 0


@pytest.mark.fault(13)
def test_all_parts_check_before_any_is_loaded(tmp_path):
    class Checked(Part):
        def check(self, state):
            if state["value"] != self.value:
                raise ValueError("another part")

    first, second = Part(), Checked(5)
    Checkpoint(tmp_path, 1, first=first, second=second).save(1)
    second.value = 6
    with pytest.raises(ValueError, match="another part"):
        Checkpoint(tmp_path, 1, first=first, second=second).restore()
    assert (first.loads, second.loads) == (0, 0)
    second.value = 5
    assert Checkpoint(tmp_path, 1, first=first, second=second).restore() == 1
    assert (first.loads, second.loads) == (1, 1)


def test_the_librarys_generator_goes_on(tmp_path):
    seed(7)
    try:
        default().random(3)
        saved(tmp_path, 5)
        expected = default().random(4).tolist()
        seed(8)
        Checkpoint(tmp_path, 1, part=Part()).restore()
        assert default().random(4).tolist() == expected
    finally:
        seed(0)


def test_chunks_are_linked_from_save_to_save(tmp_path):
    agent = Wanderer(size=20)
    checkpoint = Checkpoint(tmp_path, 1, agent=agent)
    agent.actions[:], agent.t = 1, 20
    first, second = checkpoint.save(1), checkpoint.save(2)
    again = Checkpoint(tmp_path, 1, agent=agent)
    again.restore()
    third = again.save(3)
    inode = {path / "ring-0-0.bin": (path / "ring-0-0.bin").stat().st_ino for path in (first, second, third)}
    assert len(set(inode.values())) == 1
    agent.actions[0], agent.t = 0, 21
    assert (again.save(4) / "ring-0-0.bin").stat().st_ino not in inode.values()


def test_the_folder_of_the_last_save_may_vanish(tmp_path):
    checkpoint, part = saved(tmp_path, 5)
    shutil.rmtree(tmp_path)
    part.value = 6
    checkpoint.save(6)
    assert Checkpoint(tmp_path, 1, part=part).restore() == 6


def test_a_save_that_fails_leaves_the_older_ones(tmp_path, monkeypatch):
    checkpoint, _ = saved(tmp_path, 5, 6, keep=2)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(7)
    monkeypatch.undo()
    assert names(tmp_path) == ["step-000000000005", "step-000000000006"]
    checkpoint.save(8)
    assert names(tmp_path) == ["step-000000000006", "step-000000000008"]


@pytest.mark.parametrize("env", [lambda: Chain(4, limit=11), HashChain])
def test_a_resumed_run_equals_an_undisturbed_one(tmp_path, env):
    def run(folder, goal):
        agent, vector = Wanderer(), SerialEnv(env, 3, seed=4)
        save = Checkpoint(folder, 30, agent=agent, env=vector)
        t = save.restore()
        seed(1) if t == 0 else None
        losses = []

        def hook(t, step, stats):
            losses.append((float(stats["loss"]), step.reward.tolist(), default().random()))

        return train(agent, vector, goal, [hook, save], t), agent, losses

    try:
        t, whole, losses = run(tmp_path / "whole", 300)
        for goal in (100, 101, 190, 300):
            at, broken, tail = run(tmp_path / "broken", goal)
        assert at == t == 300
        assert len(tail) < len(losses)
        assert tail == losses[-len(tail) :]
        assert broken.actions.tolist() == whole.actions.tolist()
        assert state_of(broken.rng) == state_of(whole.rng)
        assert np.array_equal(broken.actor.w, whole.actor.w)
    finally:
        seed(0)
