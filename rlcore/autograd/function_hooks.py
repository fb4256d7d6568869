"""Hooks that measure and print: `with TimerHook() as hook: ...`, then `hook.print_report()`."""

from __future__ import annotations

import sys
import time
import tracemalloc
from typing import Any

import numpy as np

from rlcore.autograd.function_calls import FunctionHook
from rlcore.backend import xp_of

__all__ = ["FunctionHook", "MemoryHook", "PrintHook", "TimerHook"]


class Times:
    """A table of times and numbers of calls, for a title; parts: what a call's time may be counted to besides."""

    title = "FunctionName"
    parts: tuple[str, ...] = ("forward", "backward")
    _UNITS = {"sec": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}

    def __init__(self) -> None:
        self._table: dict[str, dict[str, Any]] = {}
        self._starts: list[float] = []

    def start(self, arrays: tuple[Any, ...]) -> None:
        _wait(arrays)
        self._starts.append(time.perf_counter())

    def stop(self, label: str, arrays: tuple[Any, ...], part: str = "") -> None:
        _wait(arrays)
        elapsed = time.perf_counter() - self._starts.pop()
        row = self._table.setdefault(label, {"elapsed_time": 0.0, "occurrence": 0, **dict.fromkeys(self.parts, 0.0)})
        row["elapsed_time"] += elapsed
        row["occurrence"] += 1
        if part:
            row[part] += elapsed

    def total_time(self) -> float:
        """Seconds in all of them."""
        return sum(row["elapsed_time"] for row in self._table.values())

    def summary(self) -> dict[str, dict[str, Any]]:
        """name -> elapsed_time (s), occurrence (number of calls), and the parts of the time."""
        return {label: dict(row) for label, row in self._table.items()}

    def print_report(self, unit: str = "auto", file: Any = None) -> None:
        """Print the summary, the longest first; unit: sec, ms, us, ns, or auto."""
        table = [[self.title, "ElapsedTime", *[part.capitalize() for part in self.parts], "Occurrence"]]
        for label, row in sorted(self._table.items(), key=lambda item: -item[1]["elapsed_time"]):
            times = [_scaled(row[c], unit, self._UNITS) for c in ("elapsed_time", *self.parts)]
            table.append([label, *times, str(row["occurrence"])])
        _print(table, file)


class TimerHook(Times, FunctionHook):
    """Time and number of calls of each op, forward and backward; on a device each op is waited for."""

    name = "TimerHook"

    def before_forward(self, op: Any, inputs: tuple[Any, ...]) -> None:
        self.start(inputs)

    def after_forward(self, op: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        self.stop(op.label, outputs, "forward")

    def before_backward(self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...]) -> None:
        self.start(out_grad)

    def after_backward(
        self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...], in_grad: tuple[Any, ...]
    ) -> None:
        self.stop(op.label, in_grad, "backward")


class MemoryHook(FunctionHook):
    """Bytes of memory that each op takes, forward and backward: what is still held after it, and its peak within.

    By tracemalloc, to which NumPy reports its arrays; it slows every allocation. Memory of a device is not seen.
    """

    name = "MemoryHook"
    _UNITS = {"GB": 2.0**-30, "MB": 2.0**-20, "KB": 2.0**-10, "B": 1.0}

    def __init__(self) -> None:
        self._table: dict[str, dict[str, int]] = {}
        self._starts: list[int] = []
        self._started = False

    def added(self, function: Any) -> None:
        self._started = not tracemalloc.is_tracing()
        if self._started:
            tracemalloc.start()

    def deleted(self, function: Any) -> None:
        if self._started:
            tracemalloc.stop()

    def before_forward(self, op: Any, inputs: tuple[Any, ...]) -> None:
        tracemalloc.reset_peak()
        self._starts.append(tracemalloc.get_traced_memory()[0])

    def after_forward(self, op: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        now, peak = tracemalloc.get_traced_memory()
        before = self._starts.pop()
        row = self._table.setdefault(op.label, {"used_bytes": 0, "peak_bytes": 0, "occurrence": 0})
        row["used_bytes"] += now - before
        row["peak_bytes"] = max(row["peak_bytes"], peak - before)
        row["occurrence"] += 1

    def before_backward(self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...]) -> None:
        self.before_forward(op, ())

    def after_backward(
        self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...], in_grad: tuple[Any, ...]
    ) -> None:
        self.after_forward(op, (), ())

    def total_used_bytes(self) -> int:
        """The sum over all ops of the bytes held after each call."""
        return sum(row["used_bytes"] for row in self._table.values())

    def summary(self) -> dict[str, dict[str, int]]:
        """op -> used_bytes (sum over its calls), peak_bytes (the most in one call), occurrence."""
        return {label: dict(row) for label, row in self._table.items()}

    def print_report(self, unit: str = "auto", file: Any = None) -> None:
        """Print the summary, the largest first; unit: GB, MB, KB, B, or auto."""
        table = [["FunctionName", "UsedBytes", "PeakBytes", "Occurrence"]]
        for label, row in sorted(self._table.items(), key=lambda item: -item[1]["used_bytes"]):
            sizes = [_scaled(row[c], unit, self._UNITS) for c in ("used_bytes", "peak_bytes")]
            table.append([label, *sizes, str(row["occurrence"])])
        _print(table, file)


class PrintHook(FunctionHook):
    """Prints each op as it is computed: its name, and shape, dtype, mean and deviation of its data and gradients."""

    name = "PrintHook"

    def __init__(self, sep: str | None = None, end: str = "\n", file: Any = None, flush: bool = True):
        self.sep, self.end, self.file, self.flush = sep, end, file, flush

    def _print(self, *texts: str) -> None:
        print(*texts, sep=self.sep, end=self.end, file=self.file or sys.stdout, flush=self.flush)

    def forward_preprocess(self, function: Any, in_data: Any) -> None:
        self._print("function", function.label)
        self._print("input data")
        for x in in_data:
            self._print(_described(x))

    def backward_preprocess(self, function: Any, in_data: Any, out_grad: Any) -> None:
        self.forward_preprocess(function, in_data)
        self._print("output gradient")
        for g in out_grad:
            self._print(_described(g))


def _described(x: Any) -> str:
    if not hasattr(x, "dtype"):
        return "- (not saved)" if x is None else f"- {x!r}"
    text = f"- shape {tuple(x.shape)}, dtype {x.dtype}"
    if x.size and x.dtype.kind == "f":
        mean = x.mean()
        text += f", mean {mean.item():.6g}, std {(((x - mean) ** 2).mean() ** 0.5).item():.6g}"
    return text


def _wait(arrays: tuple[Any, ...]) -> None:
    for a in arrays:
        if a is not None and not isinstance(a, np.ndarray) and xp_of(a) is not np:
            xp_of(a).cuda.Device().synchronize()
            return


def _scaled(value: float, unit: str, units: dict[str, float]) -> str:
    """The value in a unit; auto: the first of these in which it is at least 1."""
    if unit == "auto":
        unit = next((u for u, factor in units.items() if abs(value) * factor >= 1), list(units)[-1])
    if unit not in units:
        raise ValueError(f"print_report: unit must be auto or one of {', '.join(units)}, got {unit!r}")
    return f"{value * units[unit]:.2f}{unit}"


def _print(table: list[list[str]], file: Any) -> None:
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)), file=file or sys.stdout)
