"""The launcher: starts ranks, passes signals on to them, and starts them again from their checkpoint when they die."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from subprocess import TimeoutExpired
from time import monotonic
from types import FrameType

from rlcore.parallel.faults import RANKS
from rlcore.parallel.launched import SIZES
from rlcore.parallel.mpiexec import find_mpi
from rlcore.parallel.processes import Workplace
from rlcore.parallel.supervise import Job, Settings, say
from rlcore.parallel.verdict import REQUEUE, TIMEOUT, Ended

ONE = 1.0  # seconds in which signals are one: timeout(1) and a scheduler may send it to a process and to its group
TURN = 0.05  # seconds from one look at the ranks to the next
# a rank; unlike `python -m` it does not look for modules in the working folder first
RANK = "import sys; sys.path[:] = filter(None, sys.path); from rlcore.parallel.rank import main; main()"
THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def launch(words: Sequence[str], settings: Settings) -> Ended:
    """Run `SCRIPT ARGUMENTS` or `-m MODULE ARGUMENTS` on so many ranks to the end, with restarts.

    A restart is the same command with RLCORE_RESTART=1, 2 ... in its environment; `-m rlcore train` gets --resume.
    ImportError without MPI; ValueError without an mpiexec of the MPI that mpi4py uses, or if it cannot be elastic.
    """
    if not hasattr(os, "mkfifo"):
        raise ValueError("rlcore launch needs Linux or macOS; start the script by mpiexec itself")
    mpi = find_mpi() if settings.ranks > 1 else None
    start = mpi.command(settings.ranks, settings.elastic) if mpi is not None else []
    end_s = monotonic() + (settings.timeout_s or float("inf"))
    given = {name: value for name, value in os.environ.items() if name not in (*RANKS, *SIZES)}  # of a job around this
    terminal = {"TERM": "dumb"} if mpi is not None else {}  # Open MPI gives ranks one, of which lines are passed on
    place = Workplace()
    try:
        with _noting() as signals:
            for restart in count():
                command = [*start, sys.executable, "-c", RANK, *words, *_resumed(words, restart)]
                env = {**dict.fromkeys(THREADS, "1"), **given, **terminal, "RLCORE_RESTART": str(restart)}
                job = Job(command, env, place, settings, mpi.vendor if mpi is not None else None)
                try:
                    refilled = watch(job, signals, end_s)
                finally:
                    ended = job.close()
                if signals or not (ended.again or (refilled and ended.code == REQUEUE)):
                    break
                if restart == settings.max_restarts:
                    return ended._replace(words=f"{ended.words}; --max-restarts {restart} are used up")
                say(f"{ended.words}; start {restart + 2}, from the newest checkpoint")
    finally:
        place.close()
    return ended


def watch(job: Job, signals: list[str], end_s: float) -> bool:
    """Look after a job until it has ended; whether it was ended to be started with all ranks again."""
    refilled, seen, refill_s = False, 0, job.settings.refill_s
    while job.look():
        now = monotonic()
        if len(signals) > seen:
            if seen:
                say(f"{signals[-1]}: all are ended at once")
                job.kill(None)
            else:
                say(f"{signals[0]}: ranks are told to save and leave; once more ends them at once")
                job.tell(signals[0])
            seen = len(signals)
        elif now > end_s:
            job.kill(Ended(TIMEOUT, "--timeout is over"))
        elif refill_s and job.lost_at and now - job.lost_at > refill_s and not refilled and not job.told:
            say("ranks are told to save and leave, to be started again with those that have died")
            job.tell("SIGUSR1")
            refilled = True
        with suppress(TimeoutExpired):
            job.process.wait(TURN)
    return refilled


def _resumed(words: Sequence[str], restart: int) -> list[str]:
    """What a command needs besides to go on with its run."""
    return ["--resume"] if restart and list(words[:3]) == ["-m", "rlcore", "train"] and "--resume" not in words else []


@contextmanager
def _noting() -> Iterator[list[str]]:
    """The names of the signals that come, in the place of what they would do; those of one second are one."""
    names: list[str] = []
    last = -ONE

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if monotonic() - last >= ONE:
            names.append(signal.Signals(number).name)
            last = monotonic()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)  # the last when a terminal is closed
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, note)
    try:
        yield names
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
