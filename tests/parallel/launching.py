"""Starts `rlcore launch` for tests, and looks at what is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from tempfile import gettempdir
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


def started(*words: object, **environment: str) -> subprocess.Popen[str]:
    """`rlcore launch` with these words, which prints into pipes; in a session of its own, that Ctrl-C reaches alone."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    env = {name: value for name, value in env.items() if not name.startswith(("OMPI_", "PMI", "RLCORE_TOMB"))}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "launch", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        start_new_session=True,
    )


def launched(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`rlcore launch` with these words, to its end."""
    return ended(started(*words, **environment))


def ended(child: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """A started one's end, of which nothing is left."""
    try:
        out, err = child.communicate(timeout=LIMIT_S)
    finally:
        child.kill()
        child.wait()
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def script(folder: Path, text: str) -> Path:
    """A script of this text."""
    path = folder / "job.py"
    path.write_text(textwrap.dedent(text))
    return path


def pids(child: subprocess.Popen[str], ranks: int) -> dict[int, int]:
    """Process ids of ranks, of which each prints one line: `pid RANK PID`."""
    found: dict[int, int] = {}
    lines = []
    assert child.stdout is not None
    while len(found) < ranks:
        lines.append(child.stdout.readline())
        assert lines[-1], "".join(lines) + child.communicate()[1]
        words = lines[-1].split()
        if "pid" in words:
            rank, pid = words[words.index("pid") + 1 :]
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


def folders() -> set[Path]:
    """The folders that launchers have."""
    return set(Path(gettempdir()).glob(f"rlcore-{os.getuid()}-*"))


def interrupted(child: subprocess.Popen[str], name: str) -> None:
    """Send a signal."""
    child.send_signal(getattr(signal, name))
