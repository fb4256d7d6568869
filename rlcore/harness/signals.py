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

    def __init__(self, name: str):
        super().__init__(REQUEUE)
        self.name = name

    def __str__(self) -> str:
        return f"ended by {self.name}"


class Signals:
    """A with-block in which the first signal is noted, in `received`; a second one, a second later, ends at once.

    scheduler: SIGTERM and SIGUSR1 count, too. A hook: it ends the run once there has been a signal. The block does
    nothing outside the main thread, and leaves a signal alone that is ignored or that a library in C handles.
    """

    def __init__(self, scheduler: bool = True):
        self.names = ["SIGINT", *(["SIGTERM", "SIGUSR1"] if scheduler else [])]
        self.received = ""  # the name of the signal
        self._at = 0.0  # when it came
        self._before: dict[int, Any] = {}

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> bool:
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

    def __exit__(self, *exception: Any) -> None:
        self._restore()

    def end(self) -> None:
        """Raise what the signal asks for, if there was one: KeyboardInterrupt after Ctrl-C, else Interrupted."""
        if self.received == "SIGINT":
            raise KeyboardInterrupt
        if self.received:
            raise Interrupted(self.received)
