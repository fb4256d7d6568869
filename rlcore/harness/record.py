"""Recorder: what a run tells TensorBoard, and its scores.tsv."""

from __future__ import annotations

import socket
import struct
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.harness.files import append, cut
from rlcore.harness.loop import due
from rlcore.stream import Step

WINDOW = 100  # episodes in rollout/ep_rew_mean, as in Stable-Baselines3
SCORES = ("steps", "episodes", "elapsed", "mean", "median", "stdev", "max", "min")  # ChainerRL's columns


class Recorder:
    """A hook that averages statistics and writes them every so many rows, with the tags of Stable-Baselines3.

    folder: made if need be; logs in it belong to this run alone. Statistics keep their name under `train/`; a name with
    a slash is a tag as it is. A disk that is full or a folder that is gone costs a warning, never the run.
    """

    def __init__(self, folder: str | Path, n_envs: int, every: int = 1000):
        if every < 1:
            raise ValueError(f"Recorder: every must be at least 1 row, got {every}")
        self.folder, self.n_envs, self.every = Path(folder), n_envs, every
        self._broken = False
        self._events: Path | None = None  # the event file of this process
        self._waiting = bytearray()  # events on their way into it
        self._sums: dict[str, Any] = {}
        self._counts: dict[str, int] = {}  # of what is summed up in _sums: not every update has every statistic
        self._returns: deque[float] = deque(maxlen=WINDOW)
        self._lengths: deque[int] = deque(maxlen=WINDOW)
        self._episodes = 0
        self._flushed = 0  # row of the last flush
        self._elapsed = 0.0  # seconds before `_since`
        self._since = self._last = time.monotonic()  # `_last`: of the last flush
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._give_up(error)

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        sums, counts = self._sums, self._counts
        for name, value in stats.items():
            if isinstance(value, (np.ndarray, np.generic)):  # what is on a device stays there
                value = value.item()  # 0.1 us, where adding a 0-d array takes 0.9; and the sum is one of float64
            sums[name] = sums.get(name, 0.0) + value
            counts[name] = counts.get(name, 0) + 1
        if "episode" in step.info:
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
            self.scalar(name if "/" in name else f"train/{name}", float(total) / self._counts[name], t)
        now = time.monotonic()
        self.scalar("time/fps", (t - self._flushed) / max(now - self._last, 1e-9), t)
        self.scalar("time/episodes", self._episodes, t)
        self.scalar("time/time_elapsed", self.elapsed, t)
        self.scalar("time/total_timesteps", t, t)
        self._sums, self._counts, self._flushed, self._last = {}, {}, t, now
        self.flush_files()

    def scalar(self, tag: str, value: float, t: int) -> None:
        """Give one number to TensorBoard; it is in the event file after the next `flush_files()`."""
        if not self._broken:
            self._waiting += _event(step=t, summary={"value": [{"tag": tag, "simple_value": float(value)}]})

    def score(self, t: int, returns: np.ndarray) -> None:
        """Add an evaluation to scores.tsv."""
        if self._broken:
            return
        spread = returns.std(ddof=1) if len(returns) > 1 else 0.0
        numbers = returns.mean(), np.median(returns), spread, returns.max(), returns.min()
        row = t, self._episodes, f"{self.elapsed:.3f}", *(repr(float(x)) for x in numbers)
        try:
            path = self.folder / "scores.tsv"
            head = "" if path.exists() and path.stat().st_size else "\t".join(SCORES) + "\n"
            append(path, (head + "\t".join(map(str, row)) + "\n").encode())
        except OSError as error:
            self._give_up(error)

    def flush_files(self) -> None:
        """Write the events that wait: in this thread, for a writer thread (tensorboardX's) fails unseen."""
        if not self._waiting:
            return
        try:
            if self._events is None:
                self._events = self.folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
                self._waiting[:0] = _event(file_version="brain.Event:2")
            append(self._events, self._waiting)
        except OSError as error:
            self._give_up(error)
        self._waiting.clear()

    def clear_files(self) -> None:
        """Delete the logs of a run that has no checkpoint and starts over."""
        self._cut({})

    def _give_up(self, error: OSError) -> None:
        if not self._broken:
            self._broken = True
            warnings.warn(f"no more is recorded in {self.folder}: {error}; training goes on", stacklevel=3)

    def _files(self) -> dict[str, int]:
        """The log files of the run, and how long they are."""
        paths = [self.folder / "scores.tsv", *self.folder.glob("events.out.tfevents.*")]
        return {path.name: path.lstat().st_size for path in paths if path.exists()}

    def _cut(self, sizes: dict[str, int]) -> None:
        """Cut the log files to these sizes, and delete the others."""
        try:
            for name in self._files():
                if name in sizes:
                    cut(self.folder / name, sizes[name])
                else:
                    (self.folder / name).unlink()
        except OSError as error:
            self._give_up(error)

    def state(self) -> dict[str, Any]:
        self.flush_files()
        try:
            files = self._files()
        except OSError as error:
            files = {}
            self._give_up(error)
        return {
            "sums": [[name, float(total), self._counts[name]] for name, total in self._sums.items()],
            "returns": np.array(self._returns, np.float64),
            "lengths": np.array(self._lengths, np.int64),
            "episodes": self._episodes,
            "flushed": self._flushed,
            "since_flush": time.monotonic() - self._last,
            "elapsed": self.elapsed,
            "files": files,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back, and cut the log files to what they were then; more goes into a new event file."""
        sums = {name: total for name, total, _ in state["sums"]}
        counts = {name: count for name, _, count in state["sums"]}
        returns, lengths = deque(state["returns"].tolist(), WINDOW), deque(state["lengths"].tolist(), WINDOW)
        episodes, flushed, elapsed = state["episodes"], state["flushed"], state["elapsed"]
        now, files = time.monotonic(), state["files"]
        last = now - state["since_flush"]
        self._sums, self._counts, self._returns, self._lengths = sums, counts, returns, lengths
        self._episodes, self._flushed, self._elapsed, self._since, self._last = episodes, flushed, elapsed, now, last
        self._events = None
        self._waiting.clear()
        self._cut(files)


def _event(**fields: Any) -> bytes:
    """An event as its file holds it (TFRecord): length, its checksum, the event, its checksum; takes 10 us."""
    from tensorboardX.proto.event_pb2 import Event  # 1 s to import
    from tensorboardX.record_writer import masked_crc32c

    data = Event(wall_time=time.time(), **fields).SerializeToString()
    size = struct.pack("<Q", len(data))
    return size + struct.pack("<I", masked_crc32c(size)) + data + struct.pack("<I", masked_crc32c(data))
