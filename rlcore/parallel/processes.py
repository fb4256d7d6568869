"""Processes that others have started, and what MPI leaves on the disk when they are killed."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from time import monotonic

NOTE_S = 1.0  # from one look for shared memory to the next, once there is some
SOON_S = 10.0  # in which it is looked for every time, for a job may end as soon as it has begun
SHARED = re.compile(r"(/dev/shm/(?:sm_segment|vader_segment|mpich_)[\w.+-]*)$")  # of Open MPI and MPICH
SESSION = re.compile(r"ompi\.(\d+)")  # a folder of Open MPI, with the process id of its mpiexec
YOUNG_S = 60  # a folder without a lock may be in the making


class Process:
    """A process of another parent: on Linux by a descriptor, for its number may become that of a new process."""

    def __init__(self, pid: int):
        self.pid, self._fd, self._gone = pid, -1, False
        with suppress(OSError):  # a kernel or a sandbox without
            if sys.platform == "linux":
                self._fd = os.pidfd_open(pid)

    def alive(self) -> bool:
        if not self._gone:
            if self._fd >= 0:
                end = select.poll()
                end.register(self._fd, select.POLLIN)
                self._gone = bool(end.poll(0))
            else:
                self.send(0)
        return not self._gone

    def send(self, number: int) -> None:
        """Send it a signal, if it is there."""
        try:
            if self._fd >= 0 and sys.platform == "linux":
                signal.pidfd_send_signal(self._fd, number)
            elif not self._gone:
                os.kill(self.pid, number)
        except ProcessLookupError:
            self._gone = True

    def stopped(self) -> bool:
        """Whether a signal or a debugger holds it."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        except OSError:
            return False

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._gone = -1, True


class Workplace:
    """A launcher's folder, which goes with it, or with the next one, and with it what MPI has left in shared memory."""

    def __init__(self) -> None:
        sweep_old()
        self.path = Path(mkdtemp(prefix=f"rlcore-{os.getuid()}-"))
        self._lock = _lock(self.path)
        self._noted: set[str] = set()
        self._next, self._jobs, self._began = 0.0, 0, 0.0

    def new_folder(self) -> Path:
        """A folder in it, for one job."""
        self._jobs, self._next, self._began = self._jobs + 1, 0.0, monotonic()
        folder = self.path / str(self._jobs)
        folder.mkdir()
        return folder

    def note(self, mpiexec: int, ranks: Iterable[int]) -> None:
        """Write down what of shared memory ranks have mapped, from time to time."""
        now = monotonic()
        if now < self._next:
            return
        found = set().union(*map(mapped, ranks))
        self._next = now + NOTE_S if found or now - self._began > SOON_S else 0.0
        names = {f"{gettempdir()}/ompi.{mpiexec}", *found}
        new = sorted(names - self._noted)
        if new:
            self._noted |= names
            with open(self.path / "noted", "a") as file:
                file.writelines(f"{name}\n" for name in new)

    def sweep(self) -> None:
        """Remove what ranks that have ended have left."""
        sweep(self.path)

    def close(self) -> None:
        self.sweep()
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def mapped(pid: int | str) -> set[str]:
    """Files of MPI in shared memory that a process has mapped."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {found[1] for line in lines if (found := SHARED.search(line))}


def sweep(folder: Path) -> None:
    """Remove what is noted in a launcher's folder, if it is this user's and in nobody's use."""
    try:
        noted = [Path(line) for line in (folder / "noted").read_text().splitlines()]
    except OSError:
        return
    for path in [path for path in noted if path.name.startswith("sm_segment")]:  # each rank has one, noted or not
        noted += path.parent.glob(f"{path.stem}.*")
    left = [path for path in set(noted) if os.path.lexists(path) and path.lstat().st_uid == os.getuid()]
    used = set().union(*map(mapped, os.listdir("/proc"))) if left and os.path.isdir("/proc") else set()
    for path in left:
        session = SESSION.fullmatch(path.name)
        if session and path.parent == Path(gettempdir()) and not Process(int(session[1])).alive():
            shutil.rmtree(path, ignore_errors=True)
        elif SHARED.fullmatch(str(path)) and str(path) not in used:
            with suppress(OSError):
                path.unlink()


def sweep_old() -> None:
    """Remove what launchers of this user that were killed have left."""
    for folder in Path(gettempdir()).glob(f"rlcore-{os.getuid()}-*"):
        with suppress(OSError):
            status = folder.lstat()
            if folder.is_symlink() or not folder.is_dir() or status.st_uid != os.getuid():
                continue
            if not (folder / "lock").exists() and time.time() - status.st_mtime < YOUNG_S:
                continue
            lock = _lock(folder)
            if lock is not None:
                sweep(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """A lock on a folder, None if somebody has it."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
