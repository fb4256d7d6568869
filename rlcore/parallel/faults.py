"""What a rank lets others know: that it works, how it has left, and why it has failed, before the job ends with it."""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
import traceback
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rlcore.parallel.base import Comm, RankLost
from rlcore.parallel.heartbeat import FAILED, LEFT, Slot, slot_here
from rlcore.parallel.launched import SIZES

ORDERLY = (0, 75, 130)  # exit codes of ranks that leave together: done, saved for a scheduler, saved after Ctrl-C
RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")  # how launchers tell a rank, beside launched.SIZES
ULFM = "OMPI_MCA_mpi_ft_enable"  # what `mpiexec --with-ft ulfm` sets
STARTERS = ("<frozen runpy>", runpy.__file__, str(Path(__file__).with_name("rank.py")))  # of scripts
_guarded = False  # by the guard that is outermost


class Tombstone(NamedTuple):
    """How a rank has failed."""

    rank: int
    pid: int
    host: str
    time: str
    code: int  # that the process means to end with
    type: str  # of the exception
    message: str
    traceback: str


def bury(folder: Path, stone: Tombstone) -> None:
    """Write a tombstone, whole or not at all."""
    folder.mkdir(exist_ok=True)
    new = folder / f".rank-{stone.rank}.{stone.pid}.tmp"
    new.write_text(json.dumps(stone._asdict(), indent=1))
    new.replace(folder / f"rank-{stone.rank}.json")


def tombstones(folder: Path) -> list[Tombstone]:
    """Those of a folder, the first to die first; a file that is none is left out."""
    found = []
    for path in folder.glob("rank-*.json"):
        try:
            fields = json.loads(path.read_text())
            stone = Tombstone(**fields)
        except (OSError, ValueError, TypeError):
            continue
        if all(isinstance(value, int if name in ("rank", "pid", "code") else str) for name, value in fields.items()):
            found.append(stone)
    return sorted(found, key=lambda stone: (stone.time, stone.rank))


def rank_here() -> tuple[int, int] | None:
    """Rank and number of ranks as an MPI launcher or Slurm has put them into the environment; None if nobody has."""
    for rank, size in zip(RANKS, SIZES):
        if os.environ.get(rank, "").isdecimal() and os.environ.get(size, "").isdecimal():
            return int(os.environ[rank]), int(os.environ[size])
    return None


def code_of(error: BaseException) -> int:
    """The exit code of a process that ends by an exception."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 1


class guard:
    """A with-block around what a rank does: an exception or sys.exit in it ends the job, which would hang otherwise.

    It leaves a tombstone in the folder RLCORE_TOMBSTONES and prints the traceback; then MPI's Abort, or, where the job
    outlives its ranks (Open MPI --with-ft ulfm), SIGKILL of this process. Exit codes 0, 75 and 130 are left alone: with
    them all ranks leave. Without MPI the exception goes on. `rlcore launch` guards what it starts.
    """

    def __init__(self, comm: Comm | None = None):
        self.comm = comm

    def __enter__(self) -> guard:
        global _guarded
        self.outermost, _guarded = not _guarded, True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _guarded
        code = 0 if error is None else code_of(error)
        if error is not None and code not in ORDERLY:
            fail(error, trace, code, self.comm)
        elif self.outermost and (slot := slot_here()) is not None:
            slot.go(LEFT, code)
        if self.outermost:
            _guarded = False


def fail(error: BaseException, trace: TracebackType | None, code: int, comm: Comm | None) -> None:
    """Leave a tombstone, and end the job if it is one of MPI."""
    here = rank_here()
    rank = comm.rank if comm is not None else here[0] if here is not None else 0
    text = traceback_of(error, trace)
    message = f"exit code {code}" if isinstance(error, SystemExit) and isinstance(error.code, int) else str(error)
    stone = Tombstone(
        rank,
        os.getpid(),
        socket.gethostname(),
        datetime.now().astimezone().isoformat(timespec="microseconds"),
        code,
        type(error).__name__,
        message[:2000],
        text[-20_000:],
    )
    if "RLCORE_TOMBSTONES" in os.environ:
        try:
            bury(Path(os.environ["RLCORE_TOMBSTONES"]), stone)
        except OSError as full:
            print(f"no tombstone of rank {rank}: {full}", file=sys.stderr)
    mpi: Any = sys.modules.get("mpi4py.MPI")
    joined = mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized() and mpi.COMM_WORLD.size > 1
    if joined:
        with suppress(OSError, ValueError):  # whoever reads it may have gone
            print(f"rank {rank} has failed:\n{text}", file=sys.stderr)
            sys.stderr.flush()
            sys.stdout.flush()
    if (slot := slot_here()) is not None:
        slot.numbers[Slot.JOINED] = joined
        slot.go(FAILED, code)
    if not joined:
        return
    if elastic():
        os.kill(os.getpid(), signal.SIGKILL)  # another end would not be noticed, and Abort would hang
    mpi.COMM_WORLD.Abort(code)


def elastic() -> bool:
    """Whether this process was started so that the others outlive it."""
    return os.environ.get(ULFM, "").lower() in ("1", "true")


def traceback_of(error: BaseException, trace: TracebackType | None) -> str:
    """What Python prints of an exception that nobody has caught, from the first line of the script on."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, str) else f"sys.exit({error.code!r})"
    start = trace
    while start is not None and start.tb_frame.f_code.co_filename in STARTERS:
        start = start.tb_next
    return "".join(traceback.format_exception(type(error), error, start or trace)).rstrip()


def lost(stone: Tombstone) -> bool:
    """Whether a rank has failed only because others had died."""
    return stone.type == RankLost.__name__
