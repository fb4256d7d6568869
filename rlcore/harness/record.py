"""Recorder: what a run tells TensorBoard, and its scores.tsv."""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.harness.loop import due
from rlcore.stream import Step

WINDOW = 100  # episodes in rollout/ep_rew_mean, as in Stable-Baselines3
SCORES = ("steps", "episodes", "elapsed", "mean", "median", "stdev", "max", "min")  # ChainerRL's columns


class Recorder:
    """A hook that averages statistics and writes them every so many rows, with the tags of Stable-Baselines3.

    Statistics keep their name under `train/`; a name with a slash is a tag as it is. A disk that is full or a folder that
    is gone costs a warning, never the run.
    """

    def __init__(self, folder: str | Path, n_envs: int, every: int = 1000):
        if every < 1:
            raise ValueError(f"Recorder: every must be at least 1 row, got {every}")
        self.folder, self.n_envs, self.every = Path(folder), n_envs, every
        self._writer: Any = None
        self._broken = False
        self._sums: dict[str, Any] = {}
        self._updates = 0  # summed up in _sums
        self._returns: deque[float] = deque(maxlen=WINDOW)
        self._lengths: deque[int] = deque(maxlen=WINDOW)
        self._episodes = 0
        self._flushed = 0  # row of the last flush
        self._elapsed = 0.0  # seconds before `_since`
        self._since = self._last = time.monotonic()

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        if stats:
            sums = self._sums
            for name, value in stats.items():
                sums[name] = sums[name] + value if name in sums else value  # 0-d arrays stay on their device
            self._updates += 1
        if step.info:
            _, returns, lengths = step.info["episode"]
            self._returns.extend(returns.tolist())
            self._lengths.extend(lengths.tolist())
            self._episodes += len(returns)
        if due(t, self.n_envs, self.every):
            self.flush(t)

    @property
    def mean_return(self) -> float:
        """Mean return of the last 100 episodes, nan before the first one has ended."""
        return sum(self._returns) / len(self._returns) if self._returns else float("nan")

    @property
    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._elapsed + time.monotonic() - self._since

    def flush(self, t: int) -> None:
        """Write what has been collected up to row t."""
        if self._returns:
            self.scalar("rollout/ep_rew_mean", self.mean_return, t)
            self.scalar("rollout/ep_len_mean", sum(self._lengths) / len(self._lengths), t)
        for name, total in self._sums.items():
            self.scalar(name if "/" in name else f"train/{name}", float(total) / self._updates, t)
        now = time.monotonic()
        self.scalar("time/fps", (t - self._flushed) / max(now - self._last, 1e-9), t)
        self.scalar("time/episodes", self._episodes, t)
        self.scalar("time/time_elapsed", self.elapsed, t)
        self.scalar("time/total_timesteps", t, t)
        self._sums, self._updates, self._flushed, self._last = {}, 0, t, now

    def scalar(self, tag: str, value: float, t: int) -> None:
        """Write one number to TensorBoard."""
        if self._broken:
            return
        try:
            if self._writer is None:
                from tensorboardX import SummaryWriter  # 1.3 s to import

                self._writer = SummaryWriter(str(self.folder))
            self._writer.add_scalar(tag, float(value), t)
        except OSError as error:
            self._give_up(error)

    def score(self, t: int, returns: np.ndarray) -> None:
        """Add an evaluation to scores.tsv."""
        if self._broken:
            return
        numbers = (returns.mean(), np.median(returns), returns.std(ddof=1) if len(returns) > 1 else 0.0, *_ends(returns))
        row = (t, self._episodes, f"{self.elapsed:.3f}", *(repr(float(x)) for x in numbers))
        try:
            path = self.folder / "scores.tsv"
            head = not path.exists()
            with path.open("a") as file:
                if head:
                    file.write("\t".join(SCORES) + "\n")
                file.write("\t".join(map(str, row)) + "\n")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._broken = True
        warnings.warn(f"no more is recorded in {self.folder}: {error}; training goes on", stacklevel=3)

    def close(self) -> None:
        """Write out what waits."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def flush_files(self) -> None:
        """Have the event file written out."""
        if self._writer is not None:
            self._writer.flush()

    def clear_files(self) -> None:
        """Delete the logs of a run that has no checkpoint and starts over."""
        for name in self._files():
            (self.folder / name).unlink()

    def _files(self) -> dict[str, int]:
        """The log files of the run, and how long they are."""
        self.flush_files()
        paths = [self.folder / "scores.tsv", *self.folder.glob("events.out.tfevents.*")]
        return {path.name: path.stat().st_size for path in paths if path.exists()}

    def state(self) -> dict[str, Any]:
        files = self._files()
        return {
            "stats": list(self._sums), "sums": np.array([float(x) for x in self._sums.values()]), "updates": self._updates,
            "returns": np.array(self._returns), "lengths": np.array(self._lengths, np.int64), "episodes": self._episodes,
            "flushed": self._flushed, "elapsed": self.elapsed, "files": list(files), "sizes": list(files.values()),
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back, and cut the log files to what they were then."""
        self._sums = dict(zip(state["stats"], state["sums"].tolist()))
        self._updates, self._episodes, self._flushed = state["updates"], state["episodes"], state["flushed"]
        self._returns = deque(state["returns"].tolist(), WINDOW)
        self._lengths = deque(state["lengths"].tolist(), WINDOW)
        self._elapsed, self._since = state["elapsed"], time.monotonic()
        self._last = self._since
        self.close()
        sizes = dict(zip(state["files"], state["sizes"]))
        try:
            for name, size in self._files().items():
                if name in sizes:
                    os.truncate(self.folder / name, min(size, sizes[name]))
                else:
                    (self.folder / name).unlink()
        except OSError as error:
            self._give_up(error)


def _ends(returns: np.ndarray) -> tuple[float, float]:
    return returns.max(), returns.min()
