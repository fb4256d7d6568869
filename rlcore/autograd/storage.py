"""Flat storage: where parameters lie in memory, and which of them lie side by side."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from rlcore.autograd.parameter import Parameter, changed
from rlcore.backend import aligned, xp_of


class Buffer:
    """One vector of values and one of gradients, and who lies in them."""

    def __init__(self, data: Any, grad: Any):
        self.data, self.grad = data, grad
        self.members: weakref.WeakSet[Any] = weakref.WeakSet()  # vertices of the parameters


class Run:
    """Parameters that lie side by side: a slice of a buffer; `first:last` counts them in the list they came from."""

    __slots__ = ("buffer", "first", "last", "start", "stop")

    def __init__(self, buffer: Any, start: int, stop: int, first: int, last: int):
        self.buffer, self.start, self.stop, self.first, self.last = buffer, start, stop, first, last

    @property
    def data(self) -> Any:
        return self.buffer.data[self.start : self.stop]

    @property
    def grad(self) -> Any:
        return self.buffer.grad[self.start : self.stop]


def runs(params: list[Parameter]) -> list[Run]:
    """The maximal slices that hold params in their order: one for a whole model."""
    out: list[Run] = []
    for i, p in enumerate(params):
        if out and p.buffer is out[-1].buffer and p.start == out[-1].stop:
            out[-1].stop, out[-1].last = p.start + p.size, i + 1
        else:
            out.append(Run(p.buffer, p.start, p.start + p.size, i, i + 1))
    return out


def offsets(params: list[Parameter]) -> list[int]:
    """Where each parameter starts when they are laid one after the other."""
    out, at = [], 0
    for p in params:
        out.append(at)
        at += p.size
    return out


def flatten(params: list[Parameter], persistents: list[Any], flat: Any = None, grad: Any = None) -> None:
    """Bring params into one buffer, unless they are in one, or another model's buffer holds them."""
    move = params
    if flat is None:
        if not params or (params[0].buffer is not None and len(runs(params)) == 1):
            return
        mine = {p.node for p in params}
        move = [p for p in params if p.buffer is None or set(p.buffer.members) <= mine]
        if len(move) < len(params) and all(p.buffer is not None for p in move):
            return
    kind = move[0].dtype
    for p in move:
        if p.dtype != kind:
            raise TypeError(f"flatten: a model has one dtype; found {kind} and {p.dtype}")
    tail = []
    if len(move) == len(params):
        tail = [(k, n, k._persistent[n]) for _, k, n in persistents if getattr(k._persistent[n], "dtype", None) == kind]
    size = sum(p.size for p in move)
    total = size + sum(a.size for _, _, a in tail)
    data = aligned(total, move[0].array) if flat is None else _given("flat", flat, total, kind)
    slots = aligned(size, move[0].array) if grad is None else _given("grad", grad, size, kind)
    buffer, at = Buffer(data, slots), 0
    for p in move:
        shape = p.memory_shape(p.shape)
        array = p.laid(data[at : at + p.size].reshape(shape))
        array[...] = p.array
        if p.buffer is not None:
            p.buffer.members.discard(p.node)
        p.bind(array, p.laid(slots[at : at + p.size].reshape(shape)), buffer, at)
        buffer.members.add(p.node)
        at += p.size
    for link, name, a in tail:
        place = data[at : at + a.size].reshape(a.shape)
        place[...] = a
        link._persistent[name] = place
        at += a.size
    changed()


def _given(name: str, array: Any, size: int, dtype: Any) -> Any:
    if array.shape != (size,) or array.dtype != dtype:
        raise ValueError(
            f"flatten: {name} must have shape {(size,)} and dtype {dtype}, got {array.shape} {array.dtype}"
        )
    return array


def vector(link: Any, which: str, tail: bool = False) -> Any:
    """A laid-out link's slice of the values or of the gradients, with its persistent arrays behind it if tail."""
    named = list(link.namedparams(include_uninit=False))
    if not named:
        return np.empty(0, np.float32)
    parts = runs([p for _, p in named])
    if len(parts) > 1:
        longest = max(parts, key=lambda r: r.stop - r.start)
        path = next(path for i, (path, _) in enumerate(named) if not longest.first <= i < longest.last)
        raise ValueError(
            f"flat: {path} is shared with another link and lies with it, so this link is no one slice; use the outer model's"
        )
    run = parts[0]
    if not tail:
        return getattr(run, which)
    stop = run.stop
    for path, owner, name in link.namedpersistents():
        a = owner._persistent[name]
        if getattr(a, "dtype", None) == run.buffer.data.dtype:
            if not np.shares_memory(a, run.buffer.data[stop : stop + a.size]):
                raise ValueError(f"flat_state: {path} lies with the outer model; use the outer model's flat_state")
            stop += a.size
    return run.buffer.data[run.start : stop]


def runs_of_two(link: Any, other: Any) -> list[tuple[Any, Any]]:
    """Pairs of vectors that hold the same parameters of two links of one structure."""
    link.flatten()
    other.flatten()
    params, others = list(link.params(include_uninit=False)), list(other.params(include_uninit=False))
    mine, theirs = runs(params), runs(others)
    if len(mine) == len(theirs) == 1 and [p.memory_order for p in params] == [p.memory_order for p in others]:
        return [(mine[0].data, theirs[0].data)]
    return [(p.array, q.array) for p, q in zip(params, others, strict=True)]


def split(params: list[Parameter], vector: Any) -> list[Any]:
    """A vector in flat order as arrays of the parameters' shapes (views)."""
    total = sum(p.size for p in params)
    if vector.shape != (total,):
        raise ValueError(f"split: expected a vector of {total} elements, got shape {vector.shape}")
    out, at = [], 0
    for p in params:
        out.append(p.laid(vector[at : at + p.size].reshape(p.memory_shape(p.shape))))
        at += p.size
    return out


def join(params: list[Parameter], arrays: Any) -> Any:
    """Arrays of the parameters' shapes as one vector in flat order."""
    arrays = list(arrays)
    if [tuple(a.shape) for a in arrays] != [p.shape for p in params]:
        raise ValueError(f"join: expected shapes {[p.shape for p in params]}, got {[tuple(a.shape) for a in arrays]}")
    xp = xp_of(arrays[0])
    return xp.concatenate(
        [a.transpose(p.memory_order).ravel() if p.memory_order else a.ravel() for p, a in zip(params, arrays)]
    )
