"""ProcessEnv: environments in worker processes, which share their arrays with this one."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from contextlib import suppress
from itertools import pairwise
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from time import monotonic
from typing import Any, Literal

import numpy as np

from rlcore.envs.base import EnvError, episode_seed
from rlcore.envs.layout import carve, layout, size
from rlcore.envs.preflight import GUARD, cores, refuse_large, refuse_many, refuse_place, refuse_unsendable
from rlcore.envs.single import Make, maker, new_envs, reseed_of
from rlcore.envs.streams import OnFault, Reseed
from rlcore.envs.vector import OwnEnv, refuse_settings
from rlcore.envs.worker_process import PLAIN, RESTARTED, GoneError, Job, Worker, at_work
from rlcore.tree import Tree, map_, put

START_S = 60  # for a worker to import what it needs, besides the time for a step
LEAVE_S = 5  # for a worker to close its environments
TIMED = ("begin", "restart", "render")  # commands that take about as long as a step; a replay may take minutes


class ProcessEnv(OwnEnv):
    """SerialEnv's streams, bit for bit, from `workers` processes with n_envs / workers environments each.

    `make` is a Gymnasium id or a callable that another process can import. A step that takes longer than timeout_s, a
    worker that dies and an environment that raises are an EnvError, or with on_fault "restart" rows that are no
    transitions, in which new environments begin. By default there are as many workers as CPU cores.
    """

    def __init__(
        self,
        make: str | Make,
        n_envs: int,
        seed: int = 0,
        workers: int | None = None,
        reseed: Reseed | None = None,
        timeout_s: float = 60.0,
        on_fault: OnFault = "raise",
        start: Literal["forkserver", "spawn"] = "forkserver",
    ):
        made = maker(make)
        reseed = reseed_of(made) if reseed is None else reseed
        refuse_settings("ProcessEnv", n_envs, reseed, on_fault)
        refuse_place()
        if start not in ("forkserver", "spawn"):
            raise ValueError(
                f"ProcessEnv: start must be 'forkserver' or 'spawn' (fork copies locks held), got {start!r}"
            )
        if not 0 < timeout_s <= 1e6:
            raise ValueError(f"ProcessEnv: timeout_s must be more than 0 and at most 1e6 seconds, got {timeout_s}")
        if workers is not None and not 1 <= workers <= n_envs:
            raise ValueError(f"ProcessEnv: workers must be 1 to n_envs, {n_envs}, got {workers}")
        refuse_unsendable(made)
        self.workers = min(n_envs, cores()) if workers is None else workers
        refuse_many(self.workers)
        (env,) = new_envs(made, 1)
        super().__init__(env, made, n_envs, seed, reseed, on_fault)
        with suppress(Exception):  # it was only to be looked at
            env.close()
        self.timeout_s, self._pid = timeout_s, os.getpid()
        self._context: Any = multiprocessing.get_context(start)
        self._plan = layout(self.observation_space, self.action_space, n_envs)
        needed = size(self._plan) + 16 * self.workers
        refuse_large(needed)
        self._buffer = self._context.RawArray("b", needed)  # unlinked at birth
        edges = [n_envs * w // self.workers for w in range(self.workers + 1)]
        self._arrays(carve(self._plan, self._buffer), [slice(a, b) for a, b in pairwise(edges)])
        self._at = at_work(self._plan, self._buffer, self.workers)
        self._births = 0
        self._running: list[Worker] = []
        self._finalizer = Finalize(self, _leave_all, (self._running, self._pid), exitpriority=10)
        try:
            for w in range(self.workers):
                self._running.append(self._born(w))
            for w in range(self.workers):
                self._ready(w)
        except BaseException:
            self._finalizer()
            raise

    # workers
    def _born(self, w: int) -> Worker:
        self._births += 1
        job = Job(
            self.make,
            self._parts[w],
            self.n_envs,
            self.reseed,
            self.on_fault,
            self._plan,
            w,
            self.workers,
            (self.seed % (1 << 64), w, self._births),
        )
        self._at[w] = -1, 0
        try:
            return Worker(self._context, self._buffer, bytes(ForkingPickler.dumps(job)), self.timeout_s)
        except (OSError, EOFError) as error:
            what = f"worker {w} could not be started ({type(error).__name__}: {error})"
            raise EnvError(f"{what}: RLIMIT_NPROC (ulimit -u) or the memory may be used up{GUARD}") from error

    def _ready(self, w: int) -> None:
        try:
            self._running[w].take(self.timeout_s + START_S)
        except GoneError as gone:
            self._running[w].kill()
            raise EnvError(f"worker {w} {gone} before it was ready{GUARD}") from None

    def _buried(self, w: int, gone: GoneError) -> EnvError:
        """What became of a worker, which is ended."""
        worker, part, (i, t) = self._running[w], self._parts[w], self._at[w].tolist()
        worker.kill()
        what = f"worker {w} (process {worker.process.pid}) {gone}"
        if i < 0:
            return EnvError(f"{what}, none of environments {part.start} to {part.stop - 1} at work")
        i += part.start
        number, step = int(self._memory["number"][i]), t - int(self._memory["begun"][i])
        seed = f"seed {episode_seed(self.seed, number)}" if self.reseed == "episode" else "not seeded anew"
        name = f"environment {i} ({self._made['env']})"
        return EnvError(f"{what}, {name} at work in step {step} of episode {number} ({seed})")

    def _revive(self, w: int, gone: GoneError) -> None:
        """Raise, or begin the next episodes in a new worker."""
        while True:
            error = self._buried(w, gone)
            if self.on_fault == "raise":
                raise error
            self._count([str(error)])
            self._running[w] = self._born(w)
            self._ready(w)
            self._memory["number"][self._parts[w]] += self.n_envs
            try:
                self._running[w].ask("begin", (self.seed,))
                _, (_, faults) = self._running[w].take(self.timeout_s)
                return self._count(faults)
            except GoneError as again:
                gone = again

    def _cut(self, w: int, turn: int, gone: GoneError) -> bool:
        """Rows that are no transitions, with the first observations of the episodes in a new worker."""
        self._revive(w, gone)
        part, memory = self._parts[w], self._memory
        obs, reward, terminated, truncated = self._sets[turn]
        put(obs, part, map_(lambda array: array[part], memory["last"]))
        reward[part] = terminated[part] = truncated[part] = memory["told"][part] = False
        memory["faulty"][part] = True
        return True

    # OwnEnv
    def _act(self, turn: int, action: Tree) -> bool:
        if os.getpid() != self._pid:
            raise ValueError(_FORKED)
        acting = self._memory["action"]
        if type(acting) is np.ndarray:
            acting[...] = action
        else:
            map_(np.copyto, acting, action)
        for worker in self._running:
            if worker.owing:  # since a command was interrupted
                self._settle()
        for worker in self._running:
            worker.step(turn)
        deadline = monotonic() + self.timeout_s
        some = False
        for w, worker in enumerate(self._running):
            try:
                reply, faults = worker.take(deadline - monotonic())
            except GoneError as gone:
                some = self._cut(w, turn, gone)
                continue
            if reply != PLAIN:
                some = True
                if reply == RESTARTED:
                    self._count(faults)
        return some

    def _ask(self, command: str, args: list[tuple[Any, ...] | None]) -> list[Any]:
        if os.getpid() != self._pid:
            raise ValueError(_FORKED)
        if not self._running:
            raise ValueError("ProcessEnv: it is closed; make a new one")
        self._settle()
        if command in ("begin", "load"):
            for w, worker in enumerate(self._running):
                if not worker.alive:
                    self._running[w] = self._born(w)
                    self._ready(w)
        asked = [w for w, given in enumerate(args) if given is not None]
        for w in asked:
            self._running[w].ask(command, args[w] or ())
        values, errors = [], list[Exception]()
        deadline = monotonic() + self.timeout_s
        for w in asked:
            try:
                value, faults = self._running[w].take(deadline - monotonic() if command in TIMED else None)[1]
                values.append(value)
                self._count(faults)
            except GoneError as gone:
                if command == "begin":
                    self._revive(w, gone)
                else:
                    errors.append(self._buried(w, gone))
            except (EnvError, ValueError) as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return values

    def _settle(self) -> None:
        """Hear what an interrupted command left unsaid."""
        deadline = monotonic() + self.timeout_s
        for w, worker in enumerate(self._running):
            if worker.owing:
                try:
                    worker.take(deadline - monotonic())
                except GoneError as gone:
                    self._buried(w, gone)
                except (EnvError, ValueError):  # of what is lost already
                    pass

    def close(self) -> None:
        if os.getpid() != self._pid:  # the workers are another process's
            return
        self._lost, errors = True, list[Exception]()
        for worker in self._running:
            with suppress(GoneError, EnvError, ValueError):  # of what nobody waits for any more
                if worker.owing:
                    worker.take(min(self.timeout_s, LEAVE_S))
            if worker.alive and not worker.owing:
                worker.ask("close", ())
        for worker in self._running:
            try:
                if worker.owing:
                    worker.take(min(self.timeout_s, LEAVE_S))
            except GoneError as gone:
                errors.append(EnvError(f"close(): process {worker.process.pid} {gone}"))
            except (EnvError, ValueError) as error:
                errors.append(error)
        _leave_all(self._running, self._pid)
        if errors and self.on_fault == "raise":
            raise errors[0]
        for failed in errors:
            warnings.warn(str(failed), RuntimeWarning, stacklevel=2)


_FORKED = "ProcessEnv: this process was forked from the one that made it, whose workers it must not use; make a new one"


def _leave_all(workers: list[Worker], pid: int) -> None:
    """End all workers, unless this process is a fork of the one they belong to."""
    if os.getpid() == pid:
        for worker in workers:
            worker.leave(LEAVE_S)
        workers.clear()
