"""Link: an object that owns parameters and other links, with flat storage, copies and views.

Parameters and child links are plain attributes, found in order of assignment, each once. `flatten()` lays all of them
into one array and their gradients into a second one, so that an optimizer step, clipping, a target copy or a message
between processes is one array operation.
"""

from __future__ import annotations

import copy as _copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

import rlcore.autograd.parameter as _parameter
from rlcore.autograd import serializers, storage
from rlcore.autograd.function import next_order
from rlcore.autograd.parameter import Parameter, changed
from rlcore.backend import xp_of

L = TypeVar("L", bound="Link")
CACHES = ("_leaf_cache", "_pair_cache")  # attributes that are found again, not copied


class Link:
    """A part of a model. Subclasses assign parameters and links in `__init__` and define `forward`."""

    def __init__(self) -> None:
        """Kept for Chainer's form: nothing needs to be set up."""

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        direct = cls.__call__ is Link.__call__ or cls.__call__ in {base.__dict__.get("forward") for base in cls.__mro__}
        if "forward" in cls.__dict__ and "__call__" not in cls.__dict__ and direct:
            cls.__call__ = cls.__dict__["forward"]  # type: ignore[method-assign]  # saves a frame for each call

    forward: Any

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.forward(*args, **named)

    @contextmanager
    def init_scope(self) -> Iterator[None]:
        """Accepted as in Chainer; does nothing."""
        yield

    def __setattr__(self, name: str, value: Any) -> None:
        persistent = self.__dict__.get("_persistent")
        if persistent is not None and name in persistent:
            self._set_persistent(name, value)
            return
        object.__setattr__(self, name, value)
        if isinstance(value, (Link, Parameter)):
            changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        changed()

    def __getattr__(self, name: str) -> Any:
        persistent = self.__dict__.get("_persistent")
        if persistent is not None and name in persistent:
            return persistent[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    # persistent values: saved, copied and sent with the parameters, and changed by no optimizer
    def add_persistent(self, name: str, value: Any) -> None:
        """Register an array or a number that belongs to the model's state, read as an attribute."""
        self.__dict__.pop(name, None)
        self.__dict__.setdefault("_persistent", {})[name] = value
        changed()

    def _set_persistent(self, name: str, value: Any) -> None:
        if "_viewed_link" in self.__dict__:
            return  # a view never updates statistics
        old = self._persistent[name]
        if hasattr(old, "shape") and hasattr(value, "shape"):
            old[...] = xp_of(old).asarray(value)
        else:
            self._persistent[name] = value

    # what it holds
    def _items(self) -> Iterator[tuple[str, Any]]:
        for name, value in list(self.__dict__.items()):
            if isinstance(value, (Link, Parameter)):
                yield name, value

    def children(self) -> Iterator[Link]:
        """The links that are attributes of this one."""
        return (value for _, value in self._items() if isinstance(value, Link))

    def namedlinks(self, skipself: bool = False, _seen: Any = None) -> Iterator[tuple[str, Link]]:
        """(path, link) for this link and all below it, depth first, each once."""
        seen = set() if _seen is None else _seen
        if id(self) in seen:
            return
        seen.add(id(self))
        if not skipself:
            yield "/", self
        for name, value in self._items():
            if isinstance(value, Link):
                for path, link in value.namedlinks(_seen=seen):
                    yield f"/{name}" if path == "/" else f"/{name}{path}", link

    def links(self, skipself: bool = False) -> Iterator[Link]:
        return (link for _, link in self.namedlinks(skipself))

    def namedparams(self, include_uninit: bool = True, _seen: Any = None) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), depth first in order of assignment, each parameter once, under its first path."""
        seen = set() if _seen is None else _seen
        for name, value in self._items():
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Link):
                for path, parameter in value.namedparams(include_uninit, seen):
                    yield f"/{name}{path}", parameter
            elif isinstance(value, Parameter) and (include_uninit or value.is_initialized):
                yield f"/{name}", value

    def params(self, include_uninit: bool = True) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.namedparams(include_uninit))

    def namedpersistents(self) -> Iterator[tuple[str, Link, str]]:
        """(path, link, name) of every persistent value."""
        for path, link in self.namedlinks():
            for name in link.__dict__.get("_persistent", ()):
                yield f"{path if path != '/' else ''}/{name}", link, name

    def count_params(self) -> int:
        """The number of elements of all parameters whose shape is known."""
        return sum(p.size for p in self.params(include_uninit=False))

    @property
    def xp(self) -> Any:
        """numpy or cupy, by the first parameter."""
        return next((p.xp for p in self.params(include_uninit=False)), np)

    # gradients
    def _leaves(self) -> list[Any]:
        """The vertices of all parameters, found again only when a structure has changed."""
        cached = self.__dict__.get("_leaf_cache")
        if cached is None or cached[0] != _parameter.version:
            cached = (_parameter.version, [p.node for p in self.params()])
            self.__dict__["_leaf_cache"] = cached
        return cached[1]

    def cleargrads(self) -> None:
        """Set every gradient to None."""
        for leaf in self._leaves():
            leaf.grad = leaf.grad_var = None

    # flat storage
    def flatten(self: L, flat: Any = None, grad: Any = None) -> L:
        """Lay parameters (then persistent arrays) into one array, `flat` if given, and gradients into another.

        What already lies in one slice is left alone, and so is a parameter that another model holds in its own array.
        """
        storage.flatten(self, flat, grad)
        return self

    @property
    def flat(self) -> Any:
        """All parameters as one vector, this link's slice of where they lie; do not keep it between calls."""
        return storage.vector(self.flatten(), "data")

    @property
    def flat_grad(self) -> Any:
        """All gradients as one vector, zeros where there is none."""
        self.flatten()
        for leaf in self._leaves():
            if leaf.grad is None and leaf.slot is not None:
                leaf.slot[...] = 0  # the memory only: the parameter still counts as unused
        return storage.vector(self, "grad")

    @property
    def flat_state(self) -> Any:
        """Parameters and persistent arrays as one vector: what targets, actors and ranks are sent."""
        return storage.vector(self.flatten(), "data", tail=True)

    def split(self, vector: Any) -> list[Any]:
        """A vector in flat order as arrays with the parameters' shapes."""
        return storage.split(list(self.params(include_uninit=False)), vector)

    def join(self, arrays: Any) -> Any:
        """Arrays with the parameters' shapes as one vector in flat order."""
        return storage.join(list(self.params(include_uninit=False)), arrays)

    # copies and views
    def view(self: L) -> L:
        """The same arrays, seen as constants: for acting, for targets, for a loss through another model.

        Stays right when sizes, layout or values change. Between forward and backward of a loss through a view, do not
        update the viewed model.
        """
        return self._viewed({})

    def _viewed(self: L, memo: dict[int, Any]) -> L:
        if id(self) in memo:
            return memo[id(self)]
        twin = memo[id(self)] = object.__new__(type(self))
        for name, value in self.__dict__.items():
            if isinstance(value, Link):
                value = value._viewed(memo)
            elif isinstance(value, Parameter):
                value = value.const
            if name not in CACHES:
                twin.__dict__[name] = value
        # a tuple is not searched; it keeps the parameters behind the twins alive
        twin.__dict__["_viewed_link"] = (self,)
        return twin

    def copy(self: L, mode: str = "copy") -> L:
        """An independent link with the same values ("copy") or freshly drawn ones ("init")."""
        if mode not in ("copy", "init"):
            raise ValueError(f"copy: mode must be 'copy' or 'init', got {mode!r}; to share arrays use view()")
        twin = _copy.deepcopy(self)
        if mode == "init":
            for p in twin.params(include_uninit=False):
                p.initializer(p.array)
        return twin

    def __deepcopy__(self: L, memo: dict[int, Any]) -> L:
        twin = memo[id(self)] = object.__new__(type(self))
        for name, value in self.__dict__.items():
            if name not in CACHES:
                twin.__dict__[name] = _copy.deepcopy(value, memo)
        return twin

    def copyparams(self, link: Link) -> None:
        """Take the values of another link of the same structure, persistent ones and sizes included."""
        storage.match(self, link, settle=True)
        self.soft_copyparams(link, 1)

    def soft_copyparams(self, link: Link, tau: float) -> None:
        """Move every parameter and persistent array by tau towards another link's: p += tau * (q - p)."""
        arrays, others = self._paired(link)
        for a, b in arrays:
            if tau == 1:
                a[...] = b
            else:
                a += tau * (b - a)
        for here, there, name in others:
            here._persistent[name] = there._persistent[name]
        self._touch()

    def _paired(self, link: Link) -> tuple[list[tuple[Any, Any]], list[tuple[Link, Link, str]]]:
        """Vectors or arrays that hold the same values here and there, and where other persistent values are."""
        cached = self.__dict__.get("_pair_cache")
        if cached is None or cached[0] != (_parameter.version, id(link)):
            storage.match(self, link)
            self.flatten()
            link.flatten()
            pairs = storage.pairs(self, link)
            cached = self.__dict__["_pair_cache"] = ((_parameter.version, id(link)), pairs)
        return cached[1]

    def _touch(self) -> None:
        now = next_order()
        for leaf in self._leaves():
            leaf.written = now

    # saving
    def state(self) -> dict[str, Any]:
        """Nested dicts of arrays, as the links nest; None for a parameter whose shape is not known yet."""
        return serializers.nested(serializers.entries(self))

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming the first wrong entry, unless `state` has this link's names, shapes and dtypes."""
        serializers.check(self, serializers.flattened(state))

    def load(self, state: dict[str, Any]) -> None:
        """Take values from `state()`, in place, after `check`; sizes still unknown are taken from the state."""
        given = serializers.flattened(state)
        serializers.check(self, given)
        for path, p in self.namedparams():
            if given[path] is not None:
                if p.array is None:
                    p.settle(given[path])
                else:
                    p.array = p.xp.asarray(given[path])
        for path, link, name in self.namedpersistents():
            link._set_persistent(name, given[path])
