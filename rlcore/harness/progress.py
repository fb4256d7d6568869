"""The progress line: steps, steps per second, mean return, time left."""

from __future__ import annotations

import sys
import time
from typing import Any

from rlcore.harness.record import Recorder
from rlcore.stream import Step

REFRESH = 0.25  # seconds between drawings
PLAIN = 10.0  # seconds between lines where there is no terminal


class Progress:
    """A hook that draws one line with rich; where output is no terminal, it prints a plain line now and then."""

    def __init__(self, recorder: Recorder, steps: int, t: int = 0):
        self.recorder, self.steps, self.t = recorder, steps, t
        self._start, self._next = (time.monotonic(), t), time.monotonic() + REFRESH
        self._bar: Any = None
        if not sys.stdout.isatty():
            self._next += PLAIN
        else:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeRemainingColumn()
            self._bar = Progress(*columns, auto_refresh=False)
            self._task = self._bar.add_task("", total=steps, completed=t)
            self._bar.start()

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        self.t = t
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (REFRESH if self._bar else PLAIN)
            self._draw(now)

    def _draw(self, now: float) -> None:
        start, first = self._start
        fps = (self.t - first) / max(now - start, 1e-9)
        text = f"{fps:,.0f} steps/s  return {self.recorder.mean_return:.1f}"
        if self._bar:
            self._bar.update(self._task, completed=self.t, description=text, refresh=True)
        else:
            left = (self.steps - self.t) / max(fps, 1e-9)
            print(f"{self.t:,} of {self.steps:,} steps  {text}  {left:,.0f} s left", flush=True)

    def close(self) -> None:
        """Draw the last state and leave the line."""
        self._draw(time.monotonic())
        if self._bar:
            self._bar.stop()
