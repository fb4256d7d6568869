"""Starts `rlcore launch` for tests, and looks at what is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Timer
from time import monotonic, sleep

import pytest

from rlcore.parallel.mpiexec import MPICH, OPEN_MPI, find_mpi

ROOT = Path(__file__).parents[2]
LIMIT_S = 120.0  # for a job of a test on a machine that is busy
COMMAND = "from rlcore.cli import main; main()"


@cache
def vendor() -> str | None:
    """Whose MPI there is, None without."""
    try:
        return find_mpi().vendor
    except (ImportError, ValueError):
        return None


def needs_mpi(elastic: bool = False) -> None:
    """Skip the test without MPI, or without one whose ranks outlive others."""
    if vendor() is None:
        pytest.skip("needs mpi4py and mpiexec")
    if elastic and vendor() == MPICH:
        pytest.skip(f"needs {OPEN_MPI}")


@contextmanager
def running(*words: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`rlcore launch` with these words, which prints into pipes; it ends with the block, or in two minutes."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RLCORE_")}
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "launch", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env | {"PYTHONPATH": str(ROOT), **environment},
    )
    timer = Timer(LIMIT_S, child.kill)
    timer.start()
    with child:
        try:
            yield child
        finally:
            timer.cancel()
            child.kill()


def ended(child: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """How a job ends, and what it has printed that was not read before."""
    out, err = child.communicate()
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def launched(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`rlcore launch` with these words, to its end."""
    with running(*words, **environment) as child:
        return ended(child)


def script(folder: Path, text: str) -> Path:
    """A script of this text."""
    path = folder / "job.py"
    path.write_text(textwrap.dedent(text))
    return path


def line(child: subprocess.Popen[str], word: str) -> list[str]:
    """The words behind this one, of the next line that has it."""
    seen = []
    while not seen or seen[-1]:
        seen.append(child.stdout.readline())  # type: ignore[union-attr]
        words = seen[-1].split()
        if word in words:
            return words[words.index(word) + 1 :]
    raise AssertionError(f"no line with {word}: {''.join(seen)}{child.communicate()[1]}")


def pids(child: subprocess.Popen[str], ranks: int) -> dict[int, int]:
    """Process ids of ranks, of which each prints one line: `pid RANK PID`."""
    found: dict[int, int] = {}
    while len(found) < ranks:
        rank, pid = line(child, "pid")
        found[int(rank)] = int(pid)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(found: list[int], seconds: float) -> bool:
    """Whether processes have ended in so many seconds."""
    end = monotonic() + seconds
    while any(map(alive, found)):
        if monotonic() > end:
            return False
        sleep(0.02)
    return True


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
