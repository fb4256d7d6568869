"""debug_mode(): every op checked, and errors that name the op, the link and the line of the user's code."""

from __future__ import annotations

import linecache
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rlcore.autograd.function import inputs_of, name_of
from rlcore.autograd.function_calls import FunctionHook, at_work, going_back, working
from rlcore.autograd.link import Link
from rlcore.backend import is_array, to_cpu

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


@contextmanager
def debug_mode(on: bool = True, *, inf: bool = True) -> Iterator[None]:
    """A `with` block in which this thread's ops are checked; errors name op, link path and source line.

    FloatingPointError: an output or a gradient is not finite (inf=False: is nan; for models that mask with infinities);
    it says so if an input was that already. ValueError, TypeError: backward gives more or fewer gradients than there
    are inputs, or one whose shape or dtype is not its input's.
    RuntimeError: a saved array has changed between forward and backward, or an op object is applied twice. An error in
    backward names the line of the forward call. on=False: no checks, inside another debug_mode().
    """
    others = [hook for hook in at_work() if not isinstance(hook, _Checks)]
    with working([*others, _Checks(inf)] if on else others):
        yield


def is_debug() -> bool:
    """Whether this thread is in a `debug_mode()`."""
    return any(isinstance(hook, _Checks) for hook in at_work())


class _Place:
    """Where an op was applied: the user's line, and the link."""

    def __init__(self) -> None:
        self.file, self.line, links = "", 0, []
        frame: Any = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if not self.line and not code.co_filename.startswith((_HERE, "<apply of ")):
                self.file, self.line = code.co_filename, frame.f_lineno
            if code.co_argcount and isinstance(first := frame.f_locals.get(code.co_varnames[0]), Link):
                links.append(first)
            frame = frame.f_back
        self.link = _path(links)

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.line).strip()
        link = f", in link {self.link}" if self.link else ""
        return f"{self.file}:{self.line} `{text}`{link}" if text else f"{self.file}:{self.line}{link}"


def _path(links: list[Any]) -> str:
    """The path of the innermost link from the outermost from which it can be reached, and what they are."""
    for root in reversed(links):
        for path, link in root.namedlinks():
            if link is links[0]:
                kind = type(root).__name__
                return f"/ ({kind})" if link is root else f"{path} ({type(link).__name__}) of {kind}"
    return ""


class _Record:
    """What is known of an applied op: the place, its inputs' shapes and dtypes, and sums of what it has saved."""

    def __init__(self, place: _Place, inputs: tuple[Any, ...]):
        self.place = place
        self.inputs = [(tuple(x.shape), x.dtype) if is_array(x) else None for x in inputs]
        self.sums: list[Any] = []


class _Checks(FunctionHook):
    name = "debug_mode"
    quiet = True

    def __init__(self, inf: bool):
        self.inf = inf

    def before_forward(self, op: Any, inputs: tuple[Any, ...]) -> None:
        record = op.__dict__.get("_debug")
        if record is not None or hasattr(op, "saved"):
            first = f", first at {record.place}" if record is not None else ""
            raise RuntimeError(
                f"{name_of(op)}: this op object is applied twice{first}; make an object for each application. "
                f"Applied at {_Place()}"
            )

    def after_forward(self, op: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        place = _Place()
        if any(self._odd(y) for y in outputs):
            self._refuse(op, inputs, outputs, place)
        op.__dict__["_debug"] = record = _Record(place, inputs)
        if hasattr(op, "saved"):
            record.sums = [_sum(a) for a in op.saved]

    def _refuse(self, op: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...], place: _Place) -> None:
        names = _names(op, len(inputs))
        given = [
            f"input {n} of {name_of(op)} already has {odd}" for n, x in zip(names, inputs) if (odd := self._odd(x))
        ]
        made = [odd for y in outputs if (odd := self._odd(y))]
        what = given[0] if given else f"{name_of(op)}: the output has {made[0]}"
        outer = going_back()
        if outer is None:
            raise FloatingPointError(f"{what}, in forward at {place}")
        record = outer.__dict__.get("_debug")
        at = f"; forward was at {record.place}" if record else ""
        raise FloatingPointError(f"{what}, in backward of {name_of(outer)}{at}")

    def before_backward(self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...]) -> None:
        record = op.__dict__.get("_debug")
        if record is None:
            return
        for (name, array), before in zip(saved.items(), record.sums):
            if _sum(array) != before:
                raise RuntimeError(
                    f"{name_of(op)}: {name}, which it has saved, was changed between forward and backward; "
                    f"forward was at {record.place}"
                )

    def after_backward(
        self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...], in_grad: tuple[Any, ...]
    ) -> None:
        record = op.__dict__.get("_debug")
        at = f"; forward was at {record.place}" if record else ""
        if len(in_grad) != len(op.edges):
            got = f"{len(in_grad)} gradients for {len(op.edges)} inputs"
            raise ValueError(f"{name_of(op)}: backward gave {got}{at}")
        names = _names(op, len(in_grad))
        for name, edge, g in zip(names, op.edges, in_grad):
            if edge is not None and g is not None and (odd := self._odd(g)):
                given = [o for o in map(self._odd, out_grad) if o]
                what = f"the output gradient already has {given[0]}" if given else f"the gradient of {name} has {odd}"
                raise FloatingPointError(f"{name_of(op)}: {what}, in backward{at}")
        if record is None:
            return
        kinds = {x[1] for x in record.inputs if x is not None and x[1].kind == "f"}
        for name, edge, g, x in zip(names, op.edges, in_grad, record.inputs):
            if edge is None or g is None or x is None:
                continue
            if tuple(g.shape) != x[0]:
                raise ValueError(f"{name_of(op)}: the gradient of {name} has shape {g.shape}, expected {x[0]}{at}")
            if len(kinds) == 1 and g.dtype != x[1]:
                raise TypeError(f"{name_of(op)}: the gradient of {name} is {g.dtype}, expected {x[1]}{at}")

    def _odd(self, x: Any) -> str:
        """What is not finite in x, in words; empty if all is."""
        if not is_array(x) or x.dtype.kind != "f":
            return ""
        nan = int((x != x).sum())
        inf = int((abs(x) == np.inf).sum()) if self.inf else 0
        counts = " and ".join(f"{n} {what}" for n, what in ((nan, "nan"), (inf, "inf")) if n)
        return counts and f"{counts} in {x.size} elements"


def _names(op: Any, n: int) -> list[str]:
    names = inputs_of(type(op).forward)
    return names if len(names) >= n else [f"{names[0]}[{i}]" for i in range(n)]


def _sum(array: Any) -> Any:
    if isinstance(array, (list, tuple)):
        return [_sum(a) for a in array]
    if not is_array(array) or array.dtype.hasobject:
        return None
    return zlib.crc32(np.ascontiguousarray(to_cpu(array)).reshape(-1).view(np.uint8).data)
