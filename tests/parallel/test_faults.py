"""Tombstones, guards and heartbeats of a process without MPI."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext

import numpy as np
import pytest

from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.harness.evaluate import evaluate
from rlcore.parallel import faults, heartbeat
from rlcore.parallel.base import RankLost, wait_for
from rlcore.parallel.faults import bury, guard, lost, rank_here, tombstones, traceback_of
from rlcore.parallel.heartbeat import FAILED, LEFT, RUNS, Slot, beat, essential, take, waits


@pytest.fixture
def slot():
    made = Slot(np.zeros(Slot.WIDTH, np.int64))
    take(made)
    yield made
    take(None)


@pytest.fixture
def graves(tmp_path, monkeypatch):
    monkeypatch.setenv("RLCORE_TOMBSTONES", str(tmp_path / "graves"))
    for name in (*faults.RANKS, *faults.SIZES):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "graves"


def fail(error):
    raise error


def test_an_exception_leaves_a_tombstone_and_goes_on(slot, graves, monkeypatch):
    monkeypatch.setenv("PMI_RANK", "2")
    monkeypatch.setenv("PMI_SIZE", "3")
    with pytest.raises(KeyError), guard():
        fail(KeyError("the cat is out"))
    (stone,) = tombstones(graves)
    assert (stone.rank, stone.type, stone.message, stone.code) == (2, "KeyError", "'the cat is out'", 1)
    assert "in fail" in stone.traceback
    assert (slot.state, slot.code, slot.joined) == (FAILED, 1, False)


@pytest.mark.parametrize(
    ("error", "code"), [(SystemExit(3), 3), (SystemExit("why"), 1), (ValueError("x"), 1), (RankLost({1}), 1)]
)
def test_what_ends_a_job(slot, graves, error, code):
    with pytest.raises(type(error)), guard():
        fail(error)
    assert (slot.state, slot.code) == (FAILED, code)
    assert [stone.code for stone in tombstones(graves)] == [code]
    assert lost(tombstones(graves)[0]) == isinstance(error, RankLost)


@pytest.mark.parametrize(
    ("error", "code"), [(SystemExit(), 0), (SystemExit(75), 75), (KeyboardInterrupt(), 130), (None, 0)]
)
def test_what_leaves_in_order(slot, graves, error, code):
    with nullcontext() if error is None else pytest.raises(type(error)), guard():
        with guard():
            assert slot.state == 0
        assert slot.state == 0  # the inner one says nothing
        if error is not None:
            raise error
    assert (slot.state, slot.code) == (LEFT, code)
    assert not graves.exists()


class MPI:
    """What a guard asks of mpi4py.MPI."""

    class COMM_WORLD:
        size, codes = 2, []
        Abort = codes.append

    @staticmethod
    def Is_initialized():
        return True

    @staticmethod
    def Is_finalized():
        return False


def test_mpi_is_ended_after_the_traceback(slot, graves, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", MPI)
    monkeypatch.delenv(faults.ULFM, raising=False)
    with pytest.raises(KeyError), guard():
        fail(KeyError("the cat is out"))
    assert MPI.COMM_WORLD.codes == [1]
    assert "rank 0 has failed:\nTraceback" in capsys.readouterr().err
    assert slot.joined
    killed = []
    monkeypatch.setattr("os.kill", lambda pid, number: killed.append(number))
    monkeypatch.setenv(faults.ULFM, "1")
    with pytest.raises(KeyError), guard():
        fail(KeyError("the cat is out"))
    assert killed == [9]


def test_a_tombstone_that_is_none_is_left_out(tmp_path):
    whole = faults.Tombstone(1, 2, "here", "2026", 1, "KeyError", "x", "y")
    bury(tmp_path, whole)
    (tmp_path / "rank-2.json").write_text("{")
    (tmp_path / "rank-3.json").write_text(json.dumps({"rank": 3}))
    (tmp_path / "rank-4.json").write_text(json.dumps(whole._asdict() | {"code": "1"}))
    assert tombstones(tmp_path) == [whole]


def test_a_folder_that_cannot_be_written_hides_no_exception(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RLCORE_TOMBSTONES", str(tmp_path / "no" / "such"))
    with pytest.raises(KeyError), guard():
        fail(KeyError("x"))
    assert "no tombstone of rank 0" in capsys.readouterr().err


def test_ranks_of_the_environment(monkeypatch, graves):
    assert rank_here() is None
    monkeypatch.setenv("SLURM_PROCID", "5")
    assert rank_here() is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    assert rank_here() == (5, 8)
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert rank_here() == (1, 2)


def test_a_traceback_begins_with_the_script():
    assert traceback_of(SystemExit(3), None) == "sys.exit(3)"
    assert traceback_of(SystemExit("why"), None) == "why"
    with pytest.raises(ValueError, match="x") as caught:
        fail(ValueError("x"))
    assert traceback_of(caught.value, caught.tb).splitlines()[1].startswith(f'  File "{__file__}"')


def test_a_slot_is_shared_by_a_file(tmp_path):
    ours = Slot.all_in(tmp_path / "ranks", 2, new=True)
    theirs = Slot.all_in(tmp_path / "ranks", 2)
    take(theirs[1])
    try:
        theirs[1].come()
        assert ours[1].state == RUNS
        assert ours[1].beat == 0
        beat()
        first = ours[1].beat
        beat()
        assert ours[1].beat > first > 0
        essential()
        assert [slot.essential for slot in ours] == [False, True]
    finally:
        take(None)
    assert ours[0].state == 0
    with pytest.raises(ValueError, match="is not of 3 ranks"):
        Slot.all_in(tmp_path / "ranks", 3)


def test_a_rank_says_that_it_waits(slot):
    @waits
    def call(x):
        return slot.waits, slot.beat, x

    assert call(x=1) == (True, 0, 1)
    assert not slot.waits
    assert slot.beat > 0
    take(None)
    assert call(2)[0] is False


def test_without_a_launcher_a_beat_is_nothing():
    assert heartbeat.slot_here() is None
    beat(1, None, {})  # as a hook
    essential()


@pytest.mark.fault(37)
def test_loops_that_work_or_wait_beat(slot):
    def beats(f):
        slot.numbers[Slot.BEAT] = 0
        f()
        return slot.beat > 0

    env = SerialEnv(lambda: Chain(3), 1, 0)

    class Policy:
        def reset(self, ended=None):
            pass

        def __call__(self, obs):
            return np.ones(1, np.int64)

    assert beats(lambda: evaluate(Policy(), env, 1))
    assert beats(lambda: wait_for(lambda: True))
