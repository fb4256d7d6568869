"""The progress line: steps, steps per second, mean return, time left."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rlcore.harness.record import Recorder
from rlcore.stream import Step

REFRESH = 1.0  # seconds between drawings
PLAIN = 10.0  # seconds between lines where there is no terminal: in a file, a pipe, a notebook
SHARE = 0.01  # of the time that drawing may take: a call of rich takes 1 ms, a slow connection longer
ROOM = 14  # columns of a terminal that a short bar and the time left take


class Progress:
    """A hook that draws one line with rich; where no terminal can be drawn on, it prints a plain line now and then.

    An output that cannot be written to costs a warning, never the run.
    """

    def __init__(self, recorder: Recorder, steps: int, t: int = 0):
        self.recorder, self.steps, self.t = recorder, steps, t
        self._bar: Any = None
        self._start, self._first = time.monotonic(), t
        self._next = self._start
        self._guarded(self._open)
        self._every = REFRESH if self._bar else PLAIN
        self._next += self._every

    def _open(self) -> None:
        if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
        bar = Progress(*columns, console=Console(), auto_refresh=False)
        self._task = bar.add_task("", total=self.steps, completed=self.t)
        bar.start()
        self._bar = bar

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        self.t = t
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._guarded(self._draw)
            self._next = max(self._next, now + (time.monotonic() - now) / SHARE)

    def _draw(self) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self.t - self._first) / seconds
        mean, done = self.recorder.mean_return, min(self.t, self.steps)  # the last step may go past the goal
        score = "-" if math.isnan(mean) else f"{mean:.1f}"
        text = f"{done:,} of {self.steps:,} steps  {rate:,.0f} steps/s  return {score}"
        if self._bar:
            if len(text) + ROOM > self._bar.console.width:
                text = f"{done / max(self.steps, 1):.0%} {rate:,.0f}/s {score}"
            self._bar.update(self._task, completed=done, description=text, refresh=True)
        elif sys.stdout is not None:
            left = f"{(self.steps - done) / rate:,.0f}" if rate else "-"
            print(f"{text}  {left} s left", flush=True)

    def _guarded(self, show: Callable[[], None]) -> None:
        """Show something; after a failure nothing more is shown."""
        if self._next == math.inf:
            return
        try:
            show()
        except (OSError, ValueError) as error:  # a pipe that was closed at its other end, or at this one
            self._next = math.inf
            with suppress(OSError, ValueError):
                if self._bar:
                    self._bar.stop()  # which gives stdout and stderr back
            warnings.warn(f"no more progress is shown: {error}; training goes on", stacklevel=4)

    def close(self) -> None:
        """Draw the last state and leave the line."""
        self._guarded(self._draw)
        if self._bar:
            self._guarded(self._bar.stop)
