"""Timing in pairs: what is compared runs in turns, so that a clock that drifts meets both sides alike.

Import this first: it fixes the thread counts (one, or what BENCH_THREADS says), which NumPy and PyTorch read when they
load.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

COUNT = os.environ.get("BENCH_THREADS", "1")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
if "numpy" in sys.modules and any(os.environ.get(name) != COUNT for name in THREADS):
    raise RuntimeError("NumPy was loaded before the thread counts were set: import timing before it")
os.environ.update(dict.fromkeys(THREADS, COUNT))

import numpy as np  # noqa: E402

PAIRS = 21  # pairs behind every median
BLOCK = 0.02  # s, about what one side of a pair takes


class Row(NamedTuple):
    """A line of the table. The bar is a least ratio ("x") or a most time (any other unit)."""

    what: str
    ours: str
    other: str
    measured: float
    bar: float
    unit: str

    @property
    def verdict(self) -> str:
        met = self.measured >= self.bar if self.unit == "x" else self.measured <= self.bar
        return "met" if met else "MISSED"


class Skipped(NamedTuple):
    """A line for what could not be measured."""

    what: str
    why: str


class Pair(NamedTuple):
    """Median seconds a call of either side, and the median over pairs of other / ours."""

    ours: float
    other: float
    ratio: float


def per_call(f: Callable[[], object], calls: int) -> float:
    """Seconds a call takes, the collector off as in timeit.

    With several threads the other side's wait for more work in a loop, on cores that this side needs, so this side runs
    untimed for a moment until they sleep.
    """
    if COUNT != "1":
        end = perf_counter() + 0.1
        while perf_counter() < end:
            f()
    gc.disable()
    start = perf_counter()
    for _ in repeat(None, calls):
        f()
    taken = perf_counter() - start
    gc.enable()
    return taken / calls


def in_turns(*fs: Callable[[], object]) -> list[tuple[float, ...]]:
    """Seconds a call of each, measured in turns PAIRS times: a tuple a turn."""
    for f in fs:
        per_call(f, 100)  # warm
    calls = [max(1, round(BLOCK / per_call(f, 100))) for f in fs]
    return [tuple(per_call(f, n) for f, n in zip(fs, calls)) for _ in range(PAIRS)]


def compare(ours: Callable[[], object], other: Callable[[], object]) -> Pair:
    return paired(in_turns(ours, other))


def paired(turns: list[tuple[float, ...]]) -> Pair:
    """The medians of turns (ours, other), in seconds."""
    ours, other = zip(*turns)
    return Pair(median(ours), median(other), median(b / a for a, b in turns))


def ruler() -> float:
    """Seconds np.add takes on one element just now: the clock of this machine moves by 1.7."""
    x = np.ones(1, np.float32)
    return median(per_call(lambda: np.add(x, x), 10_000) for _ in range(5))


def missing(what: str, *packages: str) -> Iterator[Skipped]:
    """A skipped line if a package is not installed, else nothing."""
    from importlib.util import find_spec

    absent = [name for name in packages if find_spec(name) is None]
    if absent:
        yield Skipped(what, f"skipped: {' and '.join(absent)} missing, see README.md here")


def cells_of(row: Row | Skipped) -> tuple[str, ...]:
    """What stands in a line of the table."""
    if isinstance(row, Skipped):
        return row.what, "", "", "", "", row.why
    sign = "≥" if row.unit == "x" else "≤"
    measured, bar = f"{row.measured:.3g} {row.unit}", f"{sign} {row.bar:.3g} {row.unit}"
    return row.what, row.ours, row.other, measured, bar, row.verdict


def table(rows: Iterable[Row | Skipped]) -> str:
    """The rows as a Markdown table."""
    cells = [("What", "rlcore", "against", "measured", "bar", "verdict"), ("---",) * 6, *map(cells_of, rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in cells)
    return "\n".join(f"| {line} |" for line in lines)


def write(section: str, text: str) -> None:
    """Put a text where README.md of this folder has <!-- section -->, in the place of what stands there."""
    readme = Path(__file__).with_name("README.md")
    here = rf"(<!-- {section} -->\n).*?(<!-- end -->)"
    new, n = re.subn(here, lambda m: f"{m[1]}{text}\n{m[2]}", readme.read_text("utf-8"), flags=re.DOTALL)
    if n != 1:
        raise ValueError(f"{readme} has {n} places for {section!r}, expected <!-- {section} --> and <!-- end --> once")
    readme.write_text(new, "utf-8")


def µs(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs"
