"""Processes of others, and what is swept behind them."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

from rlcore.parallel import processes
from rlcore.parallel.processes import Process, Workplace, mapped, sweep, sweep_old

needs_proc = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Temporary folders and shared memory of this test alone."""
    monkeypatch.setattr(processes, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def sleeper():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])


@needs_proc
def test_a_process_is_told_apart_by_more_than_its_number():
    with sleeper() as child:
        process = Process(child.pid)
        assert process.alive()
        process.send(signal.SIGSTOP)
        while not process.stopped():
            sleep(0.01)
        process.send(signal.SIGKILL)
        child.wait()
        assert not process.alive()
        assert not process.stopped()
        process.send(signal.SIGKILL)  # nobody is there
        process.close()
    assert not Process(child.pid).alive()


def test_a_process_without_descriptors(monkeypatch):
    monkeypatch.delattr("os.pidfd_open", raising=False)
    monkeypatch.setattr(processes.sys, "platform", "other")
    with sleeper() as child:
        process = Process(child.pid)
        assert process.alive()
        process.send(signal.SIGKILL)
        child.wait()
        assert not process.alive()


@pytest.mark.fault(41)
def test_a_workplace_goes_with_its_launcher_or_with_the_next(tmp_path):
    place = Workplace()
    assert place.new_folder() != place.new_folder()
    sweep_old()
    assert place.path.exists()  # it is held
    os.close(place._lock)  # as the end of the process does
    other = Workplace()
    assert not place.path.exists()
    other.close()
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_making_is_left_alone(tmp_path):
    young = tmp_path / f"rlcore-{os.getuid()}-young"
    young.mkdir()
    link = tmp_path / f"rlcore-{os.getuid()}-link"
    link.symlink_to(young)
    sweep_old()
    assert young.exists()
    os.utime(young, (0, 0))
    sweep_old()
    assert not young.exists()
    assert link.is_symlink()


@needs_proc
@pytest.mark.fault(41)
@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs shared memory")
def test_shared_memory_is_swept_when_nobody_uses_it(tmp_path):
    name = Path(f"/dev/shm/sm_segment.test.{os.getpid()}.0")
    name.write_bytes(b"x")
    other = name.with_suffix(".1")  # of a rank that died before it was noted
    other.touch()
    foreign = tmp_path / "foreign"
    foreign.touch()
    place = Workplace()
    try:
        with open(name, "r+b") as file, mmap.mmap(file.fileno(), 0):
            assert mapped(os.getpid()) >= {str(name)}
            session = tmp_path / "ompi.999999999"  # no process has this number
            session.mkdir()
            place.note(999999999, [os.getpid()])
            with open(place.path / "noted", "a") as noted:
                noted.write(f"{foreign}\n")
            place.sweep()
            assert name.exists()
            assert not session.exists()
        sweep(place.path)
        assert not name.exists()
        assert not other.exists()
        assert foreign.exists()
    finally:
        name.unlink(missing_ok=True)
        other.unlink(missing_ok=True)
        place.close()
