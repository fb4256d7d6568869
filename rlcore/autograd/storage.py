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
        self.members: weakref.WeakValueDictionary[int, Parameter] = weakref.WeakValueDictionary()  # by id

    def beyond(self, ids: set[int]) -> bool:
        """Whether parameters other than these lie here."""
        return not ids.issuperset(self.members.keys())


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
    """Bring params, and persistent arrays behind them, into one buffer.

    Left alone is what lies in one slice already, and a parameter that lies with those of another model.
    """
    ids = {id(p) for p in params}
    move, whole = params, True
    if flat is None and grad is None:
        move = [p for p in params if p.buffer is None or not p.buffer.beyond(ids)]
        whole = len(move) == len(params)
        if not whole and all(p.buffer is not None for p in move):
            return
    tail = _tail(persistents, params[0].dtype if params else None) if whole else []
    if flat is None and grad is None and whole and len(runs(params)) == 1 and (not params or params[0].buffer is not None):
        if not tail or _in_place(params, tail):
            return
    if not move and not tail:
        return
    like = move[0].array if move else getattr(tail[0][0], "_persistent")[tail[0][1]]
    for p in move:
        if p.dtype != like.dtype:
            raise TypeError(f"flatten: a model has one dtype; found {like.dtype} {like.shape} and {p.dtype} {p.shape}")
    size = sum(p.size for p in move)
    total = size + sum(link._persistent[name].size for link, name in tail)
    data = aligned(total, like) if flat is None else _given("flat", flat, total, like.dtype)
    slots = aligned(size, like) if grad is None else _given("grad", grad, size, like.dtype)
    buffer, at = Buffer(data, slots), 0
    for p in move:
        shape, place = p.memory_shape(p.shape), slice(at, at + p.size)
        array = p.laid(data[place].reshape(shape))
        array[...] = p.array
        if p.buffer is not None:
            p.buffer.members.pop(id(p), None)
        p.bind(array, p.laid(slots[place].reshape(shape)), buffer, at)
        buffer.members[id(p)] = p
        at += p.size
    for link, name in tail:
        old = link._persistent[name]
        link._persistent[name] = data[at : at + old.size].reshape(old.shape)
        link._persistent[name][...] = old
        at += old.size
    changed()


def _tail(persistents: list[Any], dtype: Any) -> list[tuple[Any, str]]:
    """Persistent arrays of the model's dtype: (link, name)."""
    arrays = [(link, name, getattr(link._persistent[name], "dtype", None)) for _, link, name in persistents]
    dtype = dtype or next((kind for _, _, kind in arrays if kind is not None and kind.kind == "f"), None)
    return [(link, name) for link, name, kind in arrays if kind is not None and kind == dtype]


def _in_place(params: list[Parameter], tail: list[tuple[Any, str]]) -> bool:
    """Whether the tail lies behind params, in order."""
    if not params:
        return False
    data, at = params[0].buffer.data, params[-1].start + params[-1].size
    for link, name in tail:
        array = link._persistent[name]
        place = data[at : at + array.size]
        if place.size != array.size or not np.shares_memory(place, array):
            return False
        at += array.size
    return True


def _given(name: str, array: Any, size: int, dtype: Any) -> Any:
    if array.shape != (size,) or array.dtype != dtype:
        raise ValueError(
            f"flatten: {name} must have shape {(size,)} and dtype {dtype}, got {array.shape} {array.dtype}"
        )
    return array


def vector(link: Any, which: str, tail: bool = False) -> Any:
    """A laid-out link's slice of the values or of the gradients, with its persistent arrays behind it if tail."""
    named = list(link.namedparams(include_uninit=False))
    params = [p for _, p in named]
    ends = _tail(list(link.namedpersistents()), params[0].dtype if params else None) if tail else []
    if not params:
        return np.concatenate([np.empty(0, np.float32), *[k._persistent[n].ravel() for k, n in ends]])
    parts = runs(params)
    if len(parts) > 1:
        ids = set(map(id, params))
        shared = ", ".join(path for path, p in named if p.buffer.beyond(ids))
        raise ValueError(f"flat: {shared} is shared with another link and lies with it, so this link is no one slice")
    run = parts[0]
    if not ends:
        return getattr(run, which)
    if not _in_place(params, ends):
        raise ValueError("flat_state: a persistent array lies with the outer model; use the outer model's flat_state")
    return run.buffer.data[run.start : run.stop + sum(k._persistent[n].size for k, n in ends)]


def pairs(params: list[Parameter], others: list[Parameter]) -> list[tuple[Any, Any]]:
    """Vectors (arrays, where the layouts differ) that hold the same parameters of two links of one structure."""
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
