"""The progress line: steps, steps per second, mean return, time left."""

from __future__ import annotations

import math
import sys
import time
import warnings
from typing import Any

from rlcore.harness.record import Recorder
from rlcore.stream import Step

REFRESH = 0.25  # seconds between drawings
PLAIN = 10.0  # seconds between lines where there is no terminal


class Progress:
    """A hook that draws one line with rich; where output is no terminal, it prints a plain line now and then.

    An output that cannot be written to costs a warning, never the run.
    """

    def __init__(self, recorder: Recorder, steps: int, t: int = 0):
        self.recorder, self.steps, self.t = recorder, steps, t
        self._bar: Any = None
        if sys.stdout.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            done = TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps")
            self._bar = Progress(
                BarColumn(), done, TextColumn("{task.description}"), TimeRemainingColumn(), auto_refresh=False
            )
            self._task = self._bar.add_task("", total=steps, completed=t)
            self._bar.start()
        self._every = REFRESH if self._bar else PLAIN
        self._start, self._first = time.monotonic(), t
        self._next = self._start + self._every

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        self.t = t
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._draw(now)

    def _draw(self, now: float) -> None:
        fps = (self.t - self._first) / max(now - self._start, 1e-9)
        mean, done = self.recorder.mean_return, min(self.t, self.steps)  # the last step may go past the goal
        text = f"{fps:,.0f} steps/s  return {'-' if math.isnan(mean) else f'{mean:.1f}'}"
        try:
            if self._bar:
                self._bar.update(self._task, completed=done, description=text, refresh=True)
            else:
                left = f"{(self.steps - done) / fps:,.0f}" if fps else "-"
                print(f"{done:,} of {self.steps:,} steps  {text}  {left} s left", flush=True)
        except OSError as error:
            self._next = math.inf
            warnings.warn(f"no more progress is shown: {error}; training goes on", stacklevel=3)

    def close(self) -> None:
        """Draw the last state and leave the line."""
        if self._next < math.inf:
            self._draw(time.monotonic())
        if self._bar:
            self._bar.stop()
