"""Ranks for a benchmark: a script runs itself under mpiexec, and rank 0 leaves what it has measured as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rlcore.parallel.mpiexec import find_mpi
from timing import Skipped

TIMEOUT = 300.0  # s
OUT = "BENCH_RANKS"  # environment variable: where rank 0 writes


def missing_mpi(what: str) -> Iterator[Skipped]:
    """A skipped line if no ranks can be started here, else nothing."""
    try:
        find_mpi()
    except (ImportError, ValueError) as error:
        yield Skipped(what, f"skipped: {error}")


def measured(n: int, script: str, *args: str) -> Any:
    """What `give` was given on rank 0 of n ranks of `python script *args`."""
    command = [*find_mpi().command(n), sys.executable, script, *args]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "measured"
        env = {**os.environ, OUT: str(out), "RLCORE_RANKS": str(n)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode or not out.exists():
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return json.loads(out.read_text())


def give(found: Any) -> None:
    """Leave what has been measured for the process that has started the ranks."""
    Path(os.environ[OUT]).write_text(json.dumps(found))


def by_turns(calls: int, blocks: int, wait: Callable[[], object], *fs: Callable[[], object]) -> list[tuple[float, ...]]:
    """Seconds a call of each takes, a tuple a turn of blocks of calls, before each of which all ranks wait."""
    turns = []
    for _ in range(blocks + 1):  # the first one warms
        turn = []
        for f in fs:
            wait()
            start = perf_counter()
            for _ in range(calls):
                f()
            turn.append((perf_counter() - start) / calls)
        turns.append(tuple(turn))
    return turns[1:]
