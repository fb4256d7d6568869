"""The MPI that mpi4py uses, and how its mpiexec is told to start ranks on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ASK = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.Get_library_version())"
OPEN_MPI, MPICH = "Open MPI", "MPICH"
KIN = {
    OPEN_MPI: ("Open MPI", "OpenRTE"),
    MPICH: ("MPICH", "HYDRA", "Intel(R) MPI", "MVAPICH"),
}  # as they name themselves
NAMES = {OPEN_MPI: ("mpiexec", "mpirun"), MPICH: ("mpiexec.hydra", "mpiexec")}
INSTALL = 'for several ranks mpi4py and an MPI are needed: pip install "rlcore[mpi]"'
TAGS = {OPEN_MPI: re.compile(r"\[(\d+)\]<std(?:out|err)>: ?"), MPICH: re.compile(r"\[(\d+)\] ?")}  # before a line


class MPI(NamedTuple):
    """An MPI and its mpiexec."""

    vendor: str  # Open MPI or MPICH
    version: tuple[int, ...]
    mpiexec: Path

    def command(self, ranks: int, elastic: bool = False) -> list[str]:
        """The words that start so many ranks of what follows them; ValueError if they cannot be elastic."""
        if elastic and (self.vendor != OPEN_MPI or self.version < (5,)):
            version = ".".join(map(str, self.version))
            raise ValueError(
                f"--elastic needs Open MPI 5, and mpi4py uses {self.vendor} {version}, which ends a job with its first "
                'dead rank; leave --elastic out, or in a new environment: pip install "rlcore[mpi]"'
            )
        words = [str(self.mpiexec), "-n", str(ranks)]
        if self.vendor == MPICH:
            return [*words, "-prepend-rank"]
        # a rank may have workers of its own: it must not be bound to a core
        words += ["--oversubscribe", "--bind-to", "none"]
        words += ["--output", "rank"] if self.version >= (5,) else ["--tag-output"]
        words += ["--allow-run-as-root"] if os.geteuid() == 0 else []
        return [*words, "--with-ft", "ulfm"] if elastic else words


def vendor_of(text: str) -> str | None:
    """Open MPI or MPICH (and kin that are started like it), by what a library or an mpiexec says of its version."""
    names = [(text.find(name), vendor) for vendor, kin in KIN.items() for name in kin if name in text]
    return min(names)[1] if names else None


def version_of(text: str) -> tuple[int, ...]:
    """The first version number in a text."""
    found = re.search(r"\d+(\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def find_mpi(python: str = sys.executable) -> MPI:
    """The MPI of mpi4py; ImportError if there is none, ValueError without an mpiexec that is of the same."""
    done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ImportError(INSTALL if "No module named 'mpi4py'" in why else f"{INSTALL} (mpi4py: {why})")
    vendor = vendor_of(done.stdout)
    if vendor is None:
        raise ValueError(f"mpi4py uses {done.stdout.strip()!r}; start the script by the mpiexec of that MPI itself")
    others = []
    for path in candidates(vendor, python):
        says = _version(path)
        if vendor_of(says) == vendor:
            return MPI(vendor, version_of(done.stdout), path)
        others.append(f"{path} is of {vendor_of(says) or 'something else'}")
    found = "; ".join(others) or "there is none in the environment of this Python, nor in PATH"
    raise ValueError(
        f"mpi4py uses {vendor}, and no mpiexec of it was found ({found}); install one MPI only, that of "
        'pip install "rlcore[mpi]" say, or name its mpiexec in RLCORE_MPIEXEC'
    )


def candidates(vendor: str, python: str) -> list[Path]:
    """Where an mpiexec may be: RLCORE_MPIEXEC alone if it is set, else beside Python, else in PATH."""
    if "RLCORE_MPIEXEC" in os.environ:
        return [Path(os.environ["RLCORE_MPIEXEC"])]
    beside = [str(Path(python).parent), os.environ.get("PATH", "")]
    found = [shutil.which(name, path=folder) for folder in beside for name in NAMES[vendor]]
    return [Path(path) for path in dict.fromkeys(found) if path is not None]


def _version(mpiexec: Path) -> str:
    try:
        done = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout + done.stderr
