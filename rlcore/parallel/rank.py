"""What `rlcore launch` starts as a rank: a script or a module, guarded and watched over."""

from __future__ import annotations

import faulthandler
import os
import runpy
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from threading import Thread

from rlcore.parallel.faults import ORDERLY, code_of, guard, rank_here, traceback_of
from rlcore.parallel.heartbeat import Slot, take

SLOTS, ALIVE, STACK = "ranks", "alive", "stack-{}"  # files in the folder of a job


def main() -> None:
    """Run `SCRIPT ARGUMENTS` or `-m MODULE ARGUMENTS` as Python does, as one rank of a job of the launcher."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)  # or lines of ranks would mix
    try:
        with guard():
            join(Path(os.environ["RLCORE_JOB"]), int(os.environ["RLCORE_RANKS"]))
            run(sys.argv[1:])
    except SystemExit as end:
        sys.exit(_last(end))
    except KeyboardInterrupt:
        sys.exit(0)  # as above
    except Exception as error:
        print(traceback_of(error, error.__traceback__), file=sys.stderr)
        sys.exit(1)


def _last(end: SystemExit) -> int | str | None:
    """What the process ends with: to mpiexec an orderly end is 0, for another would end the ranks that still save."""
    return 0 if code_of(end) in ORDERLY else end.code


def join(folder: Path, ranks: int) -> None:
    """Become a rank of the launcher's job; SystemExit if this process was not started as one of so many."""
    rank, size = rank_here() or (0, 1)
    if size != ranks:
        started = "by an mpiexec that is not of the MPI of mpi4py" if ranks > 1 else "as one of several ranks"
        sys.exit(f"rlcore: {ranks} ranks were asked for, and this process was started {started}: it sees {size}")
    if not folder.is_dir():
        sys.exit("rlcore: the launcher has ended, or is on another machine: there start the script by mpiexec or srun")
    slot = Slot.all_in(folder / SLOTS, ranks)[rank]
    slot.come()
    take(slot)
    stack = open(folder / STACK.format(rank), "w")  # noqa: SIM115  open to the end
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2, stack)
    Thread(target=die_with, args=(folder / ALIVE,), daemon=True).start()


def die_with(path: Path) -> None:
    """Kill this process when the launcher is gone, which keeps a pipe open as long as it lives."""
    with suppress(OSError):
        pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # or it would wait for a launcher that has gone before
        os.set_blocking(pipe, True)
        os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def run(words: list[str]) -> None:
    """Run a script or a module as `__main__`, with the path and arguments that it would have under Python."""
    if words[:1] == ["-m"]:
        sys.argv = words[1:]
        if words[1] != "rlcore":  # its command looks for modules in the working folder last
            sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")
