"""What the worker processes of Gymnasium's AsyncVectorEnv said when they failed, in one error."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any

from gymnasium.vector import AsyncVectorEnv

from rlcore.envs.base import EnvError

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class Workers:
    """Asks a vector environment; where it has worker processes, an error in one comes with its traceback."""

    def __init__(self, env: Any):
        self.env, self._base = env, env.unwrapped
        self._heard: list[tuple[int, type[BaseException], Any, str]] = []  # worker, exception, its value, traceback
        self._over = ""  # why they cannot be asked again
        self.interrupted = False  # they ended by a signal to end, which terminals and schedulers send to all processes
        self._separate = isinstance(self._base, AsyncVectorEnv)
        if self._separate:
            self._base.error_queue = _Ear(self._base.error_queue, self._heard)

    def ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a call gives; EnvError if a worker process has failed, in it or before."""
        if not self._separate:
            return call(*arguments)
        if self._over:
            raise EnvError(f"{self.env} cannot go on: {self._over}; make the vector environment anew")
        try:
            return call(*arguments)
        except BaseException as error:
            told = self._failure(error)
            if self.interrupted:
                raise KeyboardInterrupt from error
            if told and isinstance(error, Exception):
                raise EnvError(f"{self.env}: {told}") from error
            raise

    def close(self) -> None:
        """Close the environment; where a worker has failed all are ended, as Gymnasium would wait for it in vain."""
        if not self._over:
            try:
                self.env.close()
                return
            except (EOFError, OSError):  # a worker has ended since it was last asked
                if not self._separate:
                    raise
        for process in self._base.processes:
            process.terminate()
        for process in self._base.processes:
            process.join()
        self._base.closed = True

    def _failure(self, error: BaseException) -> str:
        """In words, what happened in a worker when the environment raised an error; "" if nothing did."""
        if isinstance(error, (EOFError, OSError)):  # it has ended: what it said before is still to be heard
            with suppress(Empty):
                while True:
                    self._base.error_queue.get(timeout=0.2)
        if self._heard:
            worker, kind, value, trace = self._heard[0]
            self.interrupted = any(kind is KeyboardInterrupt for _, kind, _, _ in self._heard)
            self._over = f"environment {worker} raised {kind.__name__}: {value}"
            return f"{self._over}\n\nIn its process:\n{trace}"
        if isinstance(error, (EOFError, OSError)):
            codes = [(i, process.exitcode) for i, process in enumerate(self._base.processes)]
            self.interrupted = any(c is not None and -c in SIGNALS for _, c in codes)
            dead = [f"the process of environment {i} ended with exit code {c}" for i, c in codes if c is not None]
            self._over = "; ".join(dead) or "a process has closed its pipe"
        elif not isinstance(error, Exception):
            self._over = "a call was interrupted, and nobody heard the answers"
        return self._over


class _Ear:
    """Stands before a queue and writes down what comes out of it."""

    def __init__(self, queue: Any, heard: list[Any]):
        self._queue, self._heard = queue, heard

    def get(self, *args: Any, **settings: Any) -> Any:
        self._heard.append(self._queue.get(*args, **settings))
        return self._heard[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)
