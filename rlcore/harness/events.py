"""TensorBoard's events as bytes: built here, for a writer thread (tensorboardX's) fails unseen."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

PREFIX = "events.out.tfevents."
BUCKETS = 64  # of a histogram; TensorBoard draws 30
LARGEST = float(np.finfo(np.float32).max)


def is_name(name: str) -> bool:
    """Whether it is the name of an event file."""
    return name.startswith(PREFIX)


def paths(folder: Path) -> list[Path]:
    """The event files in a folder, in the order in which TensorBoard reads them."""
    return sorted(folder.glob(f"{PREFIX}*"))


def new_path(folder: Path) -> Path:
    """A path that TensorBoard reads after those of earlier processes, whatever the clock says."""
    stamps = [path.name[len(PREFIX) :].partition(".")[0] for path in paths(folder)]
    newest = max((int(stamp) for stamp in stamps if stamp.isdecimal()), default=-1)
    return folder / f"{PREFIX}{max(int(time.time()), newest + 1):010d}.{socket.gethostname()}"


def event(t: int = 0, wall: float | None = None, **fields: Any) -> bytes:
    """An event as its file holds it (TFRecord): length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event  # 1 s to import
    from tensorboardX.record_writer import masked_crc32c

    data = Event(wall_time=time.time() if wall is None else wall, step=t, **fields).SerializeToString()
    size = struct.pack("<Q", len(data))
    return size + struct.pack("<I", masked_crc32c(size)) + data + struct.pack("<I", masked_crc32c(data))


def version() -> bytes:
    """The event that a file begins with."""
    return event(file_version="brain.Event:2")


def scalars(values: dict[str, float], t: int, wall: float) -> bytes:
    """One event for several scalars, by their tags, of row t."""
    return event(t, wall, summary={"value": [{"tag": tag, "simple_value": x} for tag, x in values.items()]})


def histogram(tag: str, values: np.ndarray, t: int) -> bytes:
    """The distribution of the values, those apart that are not finite; nothing if there are no others."""
    x = np.ravel(values).astype(np.float64)
    x = x[np.isfinite(x)].clip(-LARGEST, LARGEST)
    if not x.size:
        return b""
    edges = np.linspace(x.min(), x.max(), BUCKETS + 1)
    counts = np.histogram(x, edges)[0]
    drawn = {"min": edges[0], "max": edges[-1], "num": x.size, "sum": x.sum(), "sum_squares": (x * x).sum()}
    drawn |= {"bucket_limit": edges[1:].tolist(), "bucket": counts.tolist()}
    return event(t, summary={"value": [{"tag": tag, "histo": drawn}]})


def hyperparameters(values: dict[str, Any]) -> bytes:
    """What the tab HPARAMS shows of a run: a column for each value of a group, agent.gamma; lists as their JSON.

    A text that is a number, of a constant schedule, is shown as one. TensorBoard finds columns and metrics by itself,
    over all runs, as long as no run comes with a list of its own.
    """
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionStartInfo

    start = SessionStartInfo(start_time_secs=time.time())
    for name, value in _flat(values):
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, (int, float)):
            start.hparams[name].number_value = value
        else:
            start.hparams[name].string_value = value if isinstance(value, str) else json.dumps(value, default=str)
    content = HParamsPluginData(version=0, session_start_info=start).SerializeToString()
    shown = {"plugin_data": {"plugin_name": "hparams", "content": content}}
    return event(summary={"value": [{"tag": "_hparams_/session_start_info", "metadata": shown}]})


def _flat(values: dict[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{group}{name}.")
            continue
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)
        yield group + name, value
