"""Ranks for a benchmark: a script runs itself under mpiexec, and rank 0 prints what it has measured as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from timing import Skipped

TIMEOUT = 300.0  # s
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # MPICH needs neither
FEW_CORES = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}


def mpiexec() -> str | None:
    """The mpiexec of this Python's environment, else the one of PATH."""
    return shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


def missing_mpi(what: str) -> Iterator[Skipped]:
    """A skipped line if no ranks can be started here, else nothing."""
    if find_spec("mpi4py") is None or mpiexec() is None:
        yield Skipped(what, 'skipped: it needs mpi4py and mpiexec, pip install ".[mpi]"')


def measured(n: int, script: str, *args: str) -> Any:
    """What rank 0 of n ranks of `python script *args` prints last."""
    command = [str(mpiexec()), "-n", str(n), sys.executable, script, *args]
    done = subprocess.run(
        command,
        env={**os.environ, **AS_ROOT, **FEW_CORES},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def a_call(f: Any, calls: int, blocks: int, wait: Any) -> float:
    """Seconds a call takes that all ranks make together: the median of blocks, before each of which all wait."""
    taken = []
    for _ in range(blocks + 1):  # the first one warms
        wait()
        start = perf_counter()
        for _ in range(calls):
            f()
        taken.append((perf_counter() - start) / calls)
    return median(taken[1:])
