"""Flat storage: where parameters lie in memory, and which of them lie side by side."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from rlcore.autograd.parameter import Parameter, changed
from rlcore.autograd.variable import Variable, handle
from rlcore.backend import aligned, is_array, xp_of


class Buffer:
    """One vector of values and one of gradients, and the link whose parameters lie in their first `size` elements."""

    def __init__(self, data: Any, grad: Any, owner: Any, size: int):
        self.data, self.grad, self.owner, self.size = data, grad, weakref.ref(owner), size

    def beyond(self, ids: set[int]) -> bool:
        """Whether the owner has other parameters here than these."""
        owner = self.owner()
        return owner is not None and any(p.buffer is self and id(p) not in ids for p in owner.params())


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


def own(link: Any) -> Any:
    """The link itself; TypeError if it is a view, which has no parameters."""
    if "_viewed_link" in link.__dict__:
        raise TypeError(f"{type(link).__name__}: a view has no parameters of its own; use the model that it views")
    return link


def offsets(params: list[Parameter]) -> list[int]:
    """Where each parameter starts when they are laid one after the other."""
    out, at = [], 0
    for p in params:
        out.append(at)
        at += p.size
    return out


def flatten(link: Any, flat: Any = None, grad: Any = None) -> None:
    """Bring a link's parameters, and persistent arrays behind them, into one buffer.

    Left alone is what lies in one slice already, and a parameter that lies with those of another model.
    """
    own(link)
    named = list(link.namedparams(include_uninit=False))
    params, given = [p for _, p in named], flat is not None or grad is not None
    ids = set(map(id, params))
    move = [p for p in params if given or p.buffer is None or not p.buffer.beyond(ids)]
    tail = _tail(link, params) if len(move) == len(params) else []
    if not given:
        laid = all(p.buffer is not None for p in move)
        if laid and (len(move) < len(params) or (len(runs(params)) <= 1 and (not tail or _in_place(params, tail)))):
            return
    if not move and not tail:
        return
    like = move[0].array if move else tail[0][1]._persistent[tail[0][2]]
    for path, p in named:
        if p.dtype != like.dtype:
            raise TypeError(f"flatten: a model has one dtype; {path} is {p.dtype}, others are {like.dtype}")
    size = sum(p.size for p in move)
    total = size + sum(k._persistent[name].size for _, k, name in tail)
    data = aligned(total, like) if flat is None else _given("flat", flat, total, like.dtype)
    # behind the gradients there is room for a number of each parameter, so that they are reduced where they are
    slots = aligned(size + len(move), like) if grad is None else _given("grad", grad, size, like.dtype)
    buffer, at = Buffer(data, slots, link, size), 0
    for p in move:
        shape, place = p.memory_shape(p.shape), slice(at, at + p.size)
        array = p.laid(data[place].reshape(shape))
        array[...] = p.array
        p.bind(array, p.laid(slots[place].reshape(shape)), buffer, at)
        at += p.size
    for _, k, name in tail:
        old = k._persistent[name]
        k._persistent[name] = data[at : at + old.size].reshape(old.shape)
        k._persistent[name][...] = old
        at += old.size
    changed()


def _tail(link: Any, params: list[Parameter]) -> list[tuple[str, Any, str]]:
    """Persistent arrays of the model's dtype: (path, link, name)."""
    arrays = [
        (*item, getattr(item[1]._persistent[item[2]], "dtype", np.dtype(object))) for item in link.namedpersistents()
    ]
    dtype = params[0].dtype if params else next((kind for *_, kind in arrays if kind.kind == "f"), None)
    return [(path, k, name) for path, k, name, kind in arrays if kind == dtype]


def _in_place(params: list[Parameter], tail: list[tuple[str, Any, str]]) -> bool:
    """Whether the tail lies behind params, in order."""
    if not params or params[0].buffer is None:
        return False
    data, at = params[0].buffer.data, params[-1].start + params[-1].size
    for _, k, name in tail:
        array = k._persistent[name]
        place = data[at : at + array.size]
        if place.size != array.size or not xp_of(place).shares_memory(place, array):
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
    ends = _tail(link, params) if tail else []
    if not params:
        arrays = [k._persistent[name].ravel() for _, k, name in ends] or [np.empty(0, np.float32)]
        return xp_of(arrays[0]).concatenate(arrays)
    parts = runs(params)
    if len(parts) > 1:
        raise ValueError(
            f"flat: {_shared(named, parts)} is shared with another link and lies with it; use the outer model's"
        )
    run = parts[0]
    if not ends:
        return getattr(run, which)
    if not _in_place(params, ends):
        raise ValueError(f"flat_state: {ends[0][0]} lies with the outer model; use the outer model's flat_state")
    return run.buffer.data[run.start : run.stop + sum(k._persistent[name].size for _, k, name in ends)]


def _shared(named: list[tuple[str, Parameter]], parts: list[Run]) -> str:
    """The parameters that lie with another link's; if all do, those that lie apart from the most."""
    ids = {id(p) for _, p in named}
    paths = [path for path, p in named if p.buffer is not None and p.buffer.beyond(ids)]
    if len(paths) == len(named):
        longest = max(parts, key=lambda r: r.last - r.first)
        paths = [path for i, path in enumerate(paths) if not longest.first <= i < longest.last]
    return ", ".join(paths)


def match(link: Any, other: Any, settle: bool = False) -> None:
    """ValueError unless the two links have the same parameters; settle: take over sizes that only the other knows."""
    mine, theirs = dict(own(link).namedparams()), dict(own(other).namedparams())
    if list(mine) != list(theirs):
        odd = sorted(mine.keys() ^ theirs.keys()) or ["the order of assignment"]
        raise ValueError(f"copyparams: the two links differ in {odd[0]}")
    for path, p in mine.items():
        here, there = (None if q.array is None else q.shape for q in (p, theirs[path]))
        if here != there and not (here is None and settle):
            raise ValueError(f"copyparams: {path} has shape {here} here and {there} there (None: not known yet)")
    for path, p in mine.items():
        if p.array is None and theirs[path].array is not None:
            p.settle(theirs[path].array)
    for (_, here, name), (_, there, _) in zip(link.namedpersistents(), other.namedpersistents()):
        if settle and here._persistent[name] is None:
            here._set_persistent(name, there._persistent[name])


def pairs(link: Any, other: Any) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any, str]]]:
    """Vectors (arrays, where the layouts differ) that hold the same values of two links, and the other persistents.

    These by the dicts that hold them, not by their links: a link that keeps the pairs would keep itself alive.
    """
    sides = [list(k.params(include_uninit=False)) for k in (link, other)]
    mine, theirs = map(runs, sides)
    alike = len(mine) == len(theirs) == 1 and all(p.memory_order == q.memory_order for p, q in zip(*sides))
    found = [(mine[0].data, theirs[0].data)] if alike else [(p.array, q.array) for p, q in zip(*sides, strict=True)]
    rest = []
    for (_, here, name), (_, there, _) in zip(link.namedpersistents(), other.namedpersistents(), strict=True):
        a, b = here._persistent[name], there._persistent[name]
        if getattr(getattr(a, "dtype", None), "kind", "") == "f":
            found.append((a, b))
        else:
            rest.append((here._persistent, there._persistent, name))
    return found, rest


def move(link: Any, to: Callable[[Any], Any]) -> None:
    """Bring parameters, gradients, persistent arrays and kept Variables to where `to` brings arrays."""
    params = list(own(link).params())
    flat = any(p.buffer is not None for p in params)
    for p in params:
        p.mover = to
        if p.array is not None:
            leaf, grad = p.node, p.grad
            leaf.grad = leaf.grad_var = None
            p.bind(p.laid(to(p.in_memory(p.array))), None, None, 0)
            leaf.grad = None if grad is None else to(grad)
    for _, k, name in link.namedpersistents():
        if is_array(k._persistent[name]):
            k._persistent[name] = to(k._persistent[name])
    for k in link.links():
        for name, value in list(k.__dict__.items()):
            if isinstance(value, Variable) and not isinstance(value, Parameter):
                k.__dict__[name] = handle(to(value.array), None)
    changed()
    if flat:
        flatten(link)


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
