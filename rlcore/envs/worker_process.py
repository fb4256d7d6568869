"""A worker process of ProcessEnv: the end that commands it, and the end that steps its environments."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any, NamedTuple

import numpy as np

from rlcore import rng
from rlcore.envs.base import EnvError
from rlcore.envs.layout import carve, layout, size
from rlcore.envs.single import Make, new_envs
from rlcore.envs.streams import OnFault, Reseed, Streams, told
from rlcore.envs.vector import COMMANDS
from rlcore.tree import map_

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
TURNS = (b"0", b"1")  # the command to step, in the set of this turn
ASK = b"?"  # a command with arguments, which follow
PLAIN, MORE = b".", b","  # replies to a step: obs and reward are all, or not
ANSWER, RESTARTED, ERROR = b"=", b"~", b"!"  # replies with more behind: a value and faults, faults, an error in words


class Job(NamedTuple):
    """What a worker has to do."""

    make: Make
    part: slice  # its streams
    n_envs: int
    reseed: Reseed
    on_fault: OnFault
    plan: Any  # the layout of the shared arrays
    number: int  # of this worker
    workers: int
    entropy: tuple[int, ...]


class GoneError(Exception):
    """A worker died or does not answer; says so in words that go behind its name."""


class Worker:
    """This process's end: commands go out, and for each one reply comes back."""

    def __init__(self, context: Any, buffer: Any, job: bytes, timeout_s: float, target: Any = None):
        self._timeout_s = timeout_s  # to be told
        self._connection, theirs = context.Pipe()
        self.process = context.Process(target=target or work, args=(theirs, buffer, job))
        with _inheriting(spawn=context.get_start_method() == "spawn"):
            self.process.start()
        theirs.close()
        self.owing = True  # a reply, the first of which says that it is ready
        self.alive = True
        self._fd = self._connection.fileno()
        self._poll = select.poll()
        for fd in (self._fd, self.process.sentinel):
            self._poll.register(fd, select.POLLIN)

    def step(self, turn: int) -> None:
        """Send it to step."""
        self.owing = self.alive
        with suppress(OSError):  # take() will say what became of it
            os.write(self._fd, TURNS[turn])

    def ask(self, command: str, args: tuple[Any, ...]) -> None:
        """Send it a command of COMMANDS."""
        self.owing = self.alive
        with suppress(OSError):  # as above
            os.write(self._fd, ASK)
            self._connection.send((command, args))

    def take(self, seconds: float | None) -> tuple[bytes, Any]:
        """The reply and what comes with it; EnvError or ValueError if it is an error, GoneError if there is none."""
        if not self.alive:
            raise GoneError("is gone")
        ready = self._ready(None if seconds is None else max(0.0, seconds * 1000))
        if not ready:
            raise GoneError(f"has not answered in time (timeout_s {self._timeout_s:g})")
        if self._fd not in ready:  # it has ended and said nothing, but a child that it forked holds its end open
            raise GoneError(self._end())
        try:
            reply = os.read(self._fd, 1)
            more: Any = None if reply in (PLAIN, MORE, b"") else self._connection.recv()
        except (OSError, EOFError):
            reply = b""
        except BaseException:  # an interruption: nobody knows how much has been read
            self.kill()
            raise
        if not reply:
            raise GoneError(self._end())
        self.owing = False
        if reply == ERROR:
            raise (ValueError if more[0] else EnvError)(more[1])
        return reply, more

    def ready(self) -> bool:
        """Whether `take` would not have to wait."""
        return not self.alive or bool(self._ready(0))

    def _ready(self, milliseconds: float | None) -> set[int]:
        """The ends at which there is something: a reply, or the process's end; none if nothing came in time."""
        ready = {fd for fd, _ in self._poll.poll(milliseconds)}
        if ready and self._fd not in ready and self._lives():
            # the fork server has ended, by a signal to a whole group say, and with it all word of its children's ends
            self._poll.unregister(self.process.sentinel)
            ready = {fd for fd, _ in self._poll.poll(milliseconds)}
        return ready

    def _lives(self) -> bool:
        """Whether the process runs, whatever multiprocessing takes it for."""
        try:
            if sys.platform == "linux":
                state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
                return state not in "ZX"
            os.kill(self.process.pid, 0)
        except OSError:
            return False
        return True

    def _end(self) -> str:
        self.process.join(1)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def kill(self) -> None:
        """End it at once."""
        if self.alive:
            self.alive, self.owing, self._fd = False, False, -1  # a file opened next may get its number
            self.process.kill()
            if self._lives():  # or it is taken for ended since its fork server is
                with suppress(ProcessLookupError):
                    os.kill(self.process.pid, signal.SIGKILL)
            self._join(None)
            self._connection.close()

    def leave(self, seconds: float) -> None:
        """End it: an idle worker closes its environments and goes, another one is killed."""
        if self.alive and not self.owing:
            self._connection.close()
            self._join(seconds)
        self.kill()

    def _join(self, seconds: float | None) -> None:
        """Wait for its end."""
        self.process.join(seconds)
        end = monotonic() + (60 if seconds is None else seconds)
        while self._lives() and monotonic() < end:
            sleep(0.005)


@contextmanager
def _inheriting(spawn: bool) -> Iterator[None]:
    """What a new process is to inherit: one thread for BLAS, which looks when NumPy loads, and no Ctrl-C till it asks.

    A fork server keeps the signals it is given for all its children, so nothing is held back there.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if spawn else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# the other end
def work(connection: Any, buffer: Any, job: bytes) -> None:
    """What a worker process does."""
    leave_signals()
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody is there to hear
        try:
            streams, action = _streams(buffer, ForkingPickler.loads(job))
        except Exception as error:
            answer(connection, ERROR, words(error))
            return
        answer(connection, ANSWER, (None, []))
        _serve(connection, streams, action)
    with suppress(Exception):
        streams.close()


def leave_signals() -> None:
    """Leave signals, of which the parent gets the same, to it, and end when it does."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):  # a terminal and Slurm send them to all: the parent ends its workers
        signal.signal(getattr(signal, name), lambda *_: None)  # unlike SIG_IGN, nothing that an environment inherits
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()


def seed_globals(entropy: tuple[int, ...]) -> None:
    """Seed the global generators, from which some environments draw, and the library's own."""
    words = np.random.SeedSequence(entropy).generate_state(4)
    np.random.seed(words)  # noqa: NPY002  forks of one server would all draw the same
    random.seed(words.tobytes())
    rng.seed(int.from_bytes(words.tobytes(), "little"))


def _streams(buffer: Any, job: Job) -> tuple[Streams, Any]:
    seed_globals(job.entropy)
    envs = new_envs(job.make, job.part.stop - job.part.start)
    plan = layout(envs[0].observation_space, envs[0].action_space, job.n_envs)
    if plan != job.plan:
        raise ValueError("make gave an environment of other spaces in a worker process than in this one")
    memory = shared(plan, buffer, job.part)
    streams = Streams(job.make, envs, memory, job.part.start, job.n_envs, job.reseed, job.on_fault)
    streams.at = at_work(plan, buffer, job.workers)[job.number]
    return streams, memory["action"]


def shared(plan: Any, buffer: Any, part: slice) -> dict[str, Any]:
    """The rows of some streams of the arrays in a buffer."""
    return map_(lambda array: array[part], carve(plan, buffer))


def at_work(plan: Any, buffer: Any, workers: int) -> np.ndarray:
    """(workers, 2), behind the arrays: which environment is at work (-1: none), and in which of its steps."""
    return np.frombuffer(buffer, np.int64, 2 * workers, size(plan)).reshape(workers, 2)


def _serve(connection: Any, streams: Streams, action: Any) -> None:
    """Step, answer, until the parent closes."""
    fd = connection.fileno()
    while command := os.read(fd, 1):
        try:
            if command != ASK:
                some = streams.step(TURNS.index(command), action)
                if streams.faults:
                    answer(connection, RESTARTED, streams.take_faults())
                else:
                    os.write(fd, MORE if some else PLAIN)
            else:
                name, args = connection.recv()
                value = COMMANDS[name](streams, *args)
                answer(connection, ANSWER, (value, streams.take_faults()))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            answer(connection, ERROR, words(error))


def answer(connection: Any, kind: bytes, value: Any) -> None:
    """Send a reply of a kind that has more behind it."""
    os.write(connection.fileno(), kind)
    connection.send(value)


def words(error: Exception) -> tuple[bool, str]:
    """Whether a ValueError, and the error in words: with a traceback unless this package raised it to be read."""
    if isinstance(error, EnvError):
        return False, told(error)
    if isinstance(error, (ValueError, TypeError)) and error.__cause__ is None:
        return True, str(error)
    return False, f"{type(error).__name__}: {error}\n\n{''.join(traceback.format_exception(error))}"


def _end_with_parent() -> None:
    """When the parent ends in any way, so does this process, whatever its environments are doing."""
    parent = parent_process()
    if parent is None:
        return
    if sys.platform == "linux":  # the kernel sends SIGIO, which ends a process, when the parent's end of a pipe closes
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([parent.sentinel], [], [], 0)[0]:  # it has ended before
            os._exit(1)
    else:
        Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    select.select([sentinel], [], [])
    os._exit(1)
