"""Signals that end a run between two steps: SIGTERM and SIGUSR1 of a scheduler that wants the machine, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

from rlcore.stream import Step

ONE = 1.0  # seconds in which signals are one: a terminal, timeout(1) and a parent may each send it to the whole group
REQUEUE = 75  # exit code: not done, start the same command again (EX_TEMPFAIL of sysexits.h)


class Interrupted(SystemExit):
    """A scheduler has ended a run, which is saved; uncaught, it ends the process with exit code 75."""

    def __init__(self, name: str, finished: bool):
        super().__init__(REQUEUE)
        self.name, self.finished = name, finished

    def __str__(self) -> str:
        return f"ended by {self.name}"


class Signals:
    """A with-block in which the first signal is noted; its end raises KeyboardInterrupt after Ctrl-C, or Interrupted.

    scheduler: SIGTERM and SIGUSR1 count, too. A second signal, at least a second later, ends the block at once. As a
    hook it ends the run when there has been one. Outside the main thread it does nothing; a signal that is ignored, or
    that a library in C handles, is left alone.
    """

    def __init__(self, scheduler: bool = True):
        self.names = ["SIGINT", *(["SIGTERM", "SIGUSR1"] if scheduler else [])]
        self.received = ""  # the name of the signal
        self.finished = False  # said by the block: there is nothing left to go on with
        self._at = 0.0  # when it came
        self._before: dict[int, Any] = {}

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> bool:
        return self.pending()

    def pending(self) -> bool:
        """Whether there has been a signal."""
        return bool(self.received)

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in [getattr(signal, name) for name in self.names if hasattr(signal, name)]:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.received:
            self.received, self._at = signal.Signals(number).name, now
        elif now - self._at >= ONE:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def __exit__(self, kind: Any, *exception: Any) -> None:
        self._restore()
        if self.received and kind is None:
            raise KeyboardInterrupt if self.received == "SIGINT" else Interrupted(self.received, self.finished)
