"""What would go wrong in starting worker processes, said before any is started."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.reduction import ForkingPickler
from tempfile import gettempdir
from typing import Any

FDS = 4  # of this process for a worker: a connection, what tells of its end and of ours, one to spare

GUARD = (
    '; if the script that makes it has no `if __name__ == "__main__":` around what it does, a new process does all '
    "that again instead of working: put it there"
)


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_place(who: str = "ProcessEnv", instead: str = "use SerialEnv here") -> None:
    """ValueError where worker processes cannot be had."""
    if os.name != "posix":
        raise ValueError(f"{who} needs Linux or macOS; {instead}")
    if multiprocessing.current_process().daemon:
        raise ValueError(f"{who}: a daemonic process may start no others; start this one with daemon=False")


def refuse_unsendable(make: Any, who: str = "ProcessEnv", what: str = "make") -> None:
    """ValueError if `make` cannot be sent to another process."""
    try:
        ForkingPickler.dumps(make)
    except Exception as error:  # whatever its parts raise
        raise ValueError(
            f"{who}: {what}, {make!r}, cannot be sent to another process ({type(error).__name__}: {error}): it must "
            f"be an id or a callable from the top level of a module, or functools.partial of one; no lambda, no "
            f"function inside another one, no open file"
        ) from None


def refuse_many(workers: int, who: str = "ProcessEnv") -> None:
    """ValueError if this process may not open what so many workers need."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/dev/fd"))
    except OSError:
        used = 16
    needed = used + FDS * workers + 16  # and some to start with
    if limit != resource.RLIM_INFINITY and needed > limit:
        raise ValueError(
            f"{who}: {workers} workers need {needed} file descriptors with the {used} that are open, but "
            f"RLIMIT_NOFILE is {limit}; raise it (ulimit -n {needed}), or take fewer workers"
        )


def refuse_large(
    needed: int, what: str = "ProcessEnv: the environments' arrays take", fewer: str = "environments"
) -> None:
    """ValueError if so many bytes of shared memory are not free: writing into what is not there ends a process."""
    places = [place for place in ("/dev/shm", gettempdir()) if os.path.isdir(place)]
    free = {place: os.statvfs(place).f_bavail * os.statvfs(place).f_frsize for place in places}
    if needed > max(free.values()):
        has = " and ".join(f"{bytes_ >> 20} MiB in {place}" for place, bytes_ in free.items())
        raise ValueError(
            f"{what} {needed >> 20} MiB of shared memory, free are {has}; make "
            f"/dev/shm larger (docker run --shm-size), or take fewer {fewer}"
        )
