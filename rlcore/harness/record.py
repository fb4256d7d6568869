"""Recorder: what a run tells TensorBoard, its scores.tsv, and all its scalars as JSON lines."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlcore.autograd import Link
from rlcore.backend import to_cpu, xp_of
from rlcore.harness import events
from rlcore.harness.logs import Log, cut_back, sizes
from rlcore.harness.loop import due
from rlcore.harness.tags import SCHEMES, cleanrl
from rlcore.memory import resident_bytes
from rlcore.stream import Step

COUNTS = {"n_updates"}  # statistics that count from the start of a run: the newest says it all
WINDOW = 100  # episodes in rollout/ep_rew_mean, as in Stable-Baselines3
SCORES = ("steps", "episodes", "elapsed", "mean", "median", "stdev", "max", "min")  # ChainerRL's columns
CHUNK = 1024  # values of statistics that are summed up at a time
KINDS: dict[str, Any] = {  # of what a state holds
    "sums": list, "returns": np.ndarray, "lengths": np.ndarray, "episodes": int, "flushed": int, "since_flush": float,
    "elapsed": float, "draw": bool, "faults": int, "files": (dict, type(None)),
}  # fmt: skip


class Recorder:
    """A hook that averages statistics and writes them every so many rows, with the tags of Stable-Baselines3.

    folder: made if need be; logs in it belong to this run alone. Statistics keep their name under `train/`; a name with
    a slash is a tag as it is. tags "cleanrl" writes all under CleanRL's names, and every episode's return at its own
    row instead of their mean. histograms_every: rows after which, at the next update, the parameters of `model` and
    their gradients are drawn; 0: never. hyperparameters: what TensorBoard's HPARAMS shows of the run. A disk that fails
    costs a warning, never the run; up to 1 MB waits until it works again.
    """

    def __init__(
        self,
        folder: str | Path,
        n_envs: int,
        every: int = 1000,
        tags: Literal["sb3", "cleanrl"] = "sb3",
        model: Link | None = None,
        histograms_every: int = 0,
        hyperparameters: dict[str, Any] | None = None,
    ):
        if every < 1:
            raise ValueError(f"Recorder: every must be at least 1 row, got {every}")
        if tags not in SCHEMES:
            raise ValueError(f"Recorder: tags must be {' or '.join(map(repr, SCHEMES))}, got {tags!r}")
        if histograms_every < 0 or (histograms_every and model is None):
            raise ValueError(
                f"Recorder: histograms_every takes a model and 0 or more rows, got {model} and {histograms_every}"
            )
        self.folder, self.n_envs, self.every, self.tags = Path(folder), n_envs, every, tags
        self.model, self.histograms_every, self.hyperparameters = model, histograms_every, hyperparameters
        self.faults = 0  # attempts to write that failed
        self._warned = False
        self._scores = Log(self.folder / "scores.tsv", ("\t".join(SCORES) + "\n").encode())
        self._lines = Log(self.folder / "scalars.jsonl")
        self._events: Log | None = None  # the event file of this process, once it has a name
        self._described = hyperparameters is None  # the hyperparameters are in an event file, or there are none
        self._points: list[tuple[int, float, dict[str, float]]] = []  # (row, wall time, scalars) on their way
        self._names: tuple[str, ...] = ()  # of the statistics whose values wait in `_values`, to be summed up
        self._values: list[Any] = []  # many at a time: 0.5 us a step less
        self._sums: dict[str, list[Any]] = {}  # [sum, a float64 on the statistic's device; of how many] by name
        self._draw = False  # histograms are due at the next update
        self._returns: deque[float] = deque(maxlen=WINDOW)
        self._lengths: deque[int] = deque(maxlen=WINDOW)
        self._episodes = 0
        self._flushed = 0  # row of the last flush
        self._elapsed = 0.0  # seconds before `_since`
        self._since = self._last = time.monotonic()  # `_last`: of the last flush
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._fault(error)

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        if stats:
            names = tuple(stats)
            if names != self._names or len(self._values) > CHUNK:
                self._sum_up()
                self._names = names
            self._values += [  # all of them or, after an error, none; a call for each would take longer than the rest
                v if type(v) is float else v.item() if type(v) is np.ndarray else _number(v) for v in stats.values()
            ]
        if step.info and "episode" in step.info:
            self._add_episodes(t, *step.info["episode"])
        if self.histograms_every:
            self._draw = self._draw or due(t, self.n_envs, self.histograms_every)
            if self._draw and stats:  # gradients are those of an update in this step: a checkpoint holds none
                self._draw = False
                self._draw_model(t)
        if t % self.every < self.n_envs:  # due
            self.flush(t)

    def _add_episodes(self, t: int, streams: np.ndarray, returns: np.ndarray, lengths: np.ndarray) -> None:
        self._returns.extend(returns.tolist())
        self._lengths.extend(lengths.tolist())
        self._episodes += len(returns)
        if self.tags == "cleanrl":
            for total, length in zip(returns.tolist(), lengths.tolist()):
                self._add(t, {"rollout/ep_rew_mean": total, "rollout/ep_len_mean": float(length)})

    def _draw_model(self, t: int) -> None:
        for path, parameter in self.model.namedparams(include_uninit=False):  # type: ignore[union-attr]
            self.histogram(f"parameters{path}", parameter.array, t)
            if parameter.grad is not None:
                self.histogram(f"gradients{path}", parameter.grad, t)

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
        row: dict[str, float] = {}
        if self._returns and self.tags == "sb3":
            row["rollout/ep_rew_mean"] = self.mean_return
            row["rollout/ep_len_mean"] = sum(self._lengths) / len(self._lengths)
        for name, total, count in self._totals():
            row[name if "/" in name else f"train/{name}"] = total / count
        now = time.monotonic()
        row["time/fps"] = (t - self._flushed) / max(now - self._last, 1e-9)
        row["time/episodes"] = float(self._episodes)
        row["time/time_elapsed"] = self.elapsed
        row["time/total_timesteps"] = float(t)
        if memory := resident_bytes():
            row["time/memory_mb"] = memory / 1e6
        if self.faults:
            row["faults/recorder"] = float(self.faults)
        self._add(t, row)
        self._sums, self._flushed, self._last = {}, t, now
        self.flush_files()

    def _sum_up(self) -> None:
        n, values, self._values = len(self._names), self._values, []
        for k, name in enumerate(self._names):
            if name in COUNTS and values:
                self._sums[name] = [0.0 + values[k - n], 1]
                continue
            entry = self._sums.setdefault(name, [0.0, 0])
            for value in values[k::n]:  # one by one: sum() rounds otherwise from Python 3.12 on, by where it begins
                entry[0] = entry[0] + value
            entry[1] += len(values) // n

    def _totals(self) -> list[list[Any]]:
        """[name, sum, of how many], those from a device in one transfer."""
        self._sum_up()
        away = {name: total.reshape(1) for name, (total, _) in self._sums.items() if not isinstance(total, float)}
        if away:
            parts = list(away.values())
            away = dict(zip(away, to_cpu(xp_of(parts[0]).concatenate(parts)).tolist()))
        return [[name, float(away.get(name, total)), count] for name, (total, count) in self._sums.items() if count]

    def scalar(self, tag: str, value: float, t: int) -> None:
        """Record one number; it is in the files after the next `flush_files()`."""
        self._add(t, {tag: float(value)})

    def _add(self, t: int, row: dict[str, float]) -> None:
        row = cleanrl(row) if self.tags == "cleanrl" else row
        if self._points and self._points[-1][0] == t and row.keys().isdisjoint(self._points[-1][2]):
            self._points[-1][2].update(row)
        else:
            self._points.append((t, time.time(), row))

    def histogram(self, tag: str, values: Any, t: int) -> None:
        """Record the distribution of an array; it is in TensorBoard's file after the next `flush_files()`."""
        self._add_event(lambda: events.histogram(tag, to_cpu(values), t))

    def score(self, t: int, returns: np.ndarray) -> None:
        """Add an evaluation to scores.tsv."""
        spread = returns.std(ddof=1) if len(returns) > 1 else 0.0
        numbers = returns.mean(), np.median(returns), spread, returns.max(), returns.min()
        row = t, self._episodes, f"{self.elapsed:.3f}", *(repr(float(x)) for x in numbers)
        self._scores.add(("\t".join(map(str, row)) + "\n").encode())
        self._write(self._scores)

    def flush_files(self) -> None:
        """Write all that waits, in this thread."""
        points, self._points = self._points, []
        for t, wall, row in points:
            plain = {tag: x if math.isfinite(x) else json.dumps(x) for tag, x in row.items()}  # text: JSON has no NaN
            self._lines.add((json.dumps({"t": t, **plain}) + "\n").encode())
            self._add_event(lambda t=t, wall=wall, row=row: events.scalars(row, t, wall))
        for log in (self._lines, self._scores, self._events):
            if log is not None:
                self._write(log)

    def _add_event(self, make: Any) -> None:
        try:
            if self._events is None:
                head = events.version()
                if not self._described:
                    head += events.hyperparameters(self.hyperparameters or {})
                self._events = Log(events.new_path(self.folder), head)
            self._events.add(make())
        except Exception as error:  # a protobuf that tensorboardX does not go with, say
            self._fault(error)

    def _write(self, log: Log) -> None:
        try:
            log.flush()
        except OSError as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        self.faults += 1
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"the logs in {self.folder} cannot be written: {error}; training goes on, up to 1 MB of them waits",
                stacklevel=4,
            )

    def clear_files(self) -> None:
        """Delete the logs of a run that has no checkpoint and starts over."""
        self._cut({})

    def _paths(self) -> list[Path]:
        return [self._scores.path, self._lines.path, *events.paths(self.folder)]

    def _cut(self, known: dict[str, int]) -> None:
        try:
            cut_back(self._paths(), known)
        except OSError as error:
            self._fault(error)

    def state(self) -> dict[str, Any]:
        self.flush_files()
        try:
            files: dict[str, int] | None = sizes(self._paths())
        except OSError as error:
            files = None
            self._fault(error)
        return {
            "sums": self._totals(),
            "returns": np.array(self._returns, np.float64),
            "lengths": np.array(self._lengths, np.int64),
            "episodes": self._episodes,
            "flushed": self._flushed,
            "since_flush": time.monotonic() - self._last,
            "elapsed": self.elapsed,
            "draw": self._draw,
            "faults": self.faults,
            "files": files,
        }

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        for name, kind in KINDS.items():
            if not isinstance(state.get(name), kind):
                raise ValueError(f"load: {name} of a recorder is {state.get(name)!r}; is the state one of a Recorder?")

    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back, and cut the log files to what they were then; more goes into a new event file."""
        self.check(state)
        sums = {name: [total, count] for name, total, count in state["sums"]}
        returns, lengths = deque(state["returns"].tolist(), WINDOW), deque(state["lengths"].tolist(), WINDOW)
        episodes, flushed, elapsed = state["episodes"], state["flushed"], state["elapsed"]
        draw, faults = state["draw"], state["faults"]
        now, files = time.monotonic(), state["files"]
        last = now - state["since_flush"]
        self._names, self._values, self._sums, self._returns, self._lengths = (), [], sums, returns, lengths
        self._episodes, self._flushed, self._elapsed, self._since, self._last = episodes, flushed, elapsed, now, last
        self._draw, self.faults = draw, faults
        self._points, self._events = [], None
        self._scores.clear()
        self._lines.clear()
        if files is not None:  # else the folder was out of reach
            self._cut(files)
            self._described = self._described or any(map(events.is_name, files))


def _number(value: Any) -> Any:
    """A statistic as a number of its own, or as an array of its own on its device: it may be written to again."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.item()
    return value if isinstance(value, (int, float)) else value.astype(np.float64)
