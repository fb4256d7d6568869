"""What a link holds: parameters, other links and persistent values, and how they are found and named."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from rlcore.autograd.config import config, using_config
from rlcore.autograd.devices import device_of
from rlcore.autograd.parameter import Parameter, changed
from rlcore.backend import is_array, xp_of


class Members:
    """Attributes that are parameters or links, in order of assignment, each once; persistent values beside them."""

    def __setattr__(self, name: str, value: Any) -> None:
        persistent = self.__dict__.get("_persistent")
        if persistent is not None and name in persistent:
            self._set_persistent(name, value)
            return
        before = self.__dict__.get(name)
        object.__setattr__(self, name, value)
        if isinstance(value, Parameter):
            value.name = name
        if isinstance(value, (Members, Parameter)) or isinstance(before, (Members, Parameter)):
            changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        changed()

    def __getattr__(self, name: str) -> Any:
        persistent = self.__dict__.get("_persistent")
        if persistent is not None and name in persistent:
            return persistent[name]
        return object.__getattribute__(self, name)  # raises; the error inside of a property, if that is why we are here

    def add_param(self, name: str, shape: Any = None, dtype: Any = None, initializer: Any = None) -> None:
        """Assign a new Parameter; its dtype is the initializer's, or config.dtype, if None."""
        self._new(name)
        with using_config("dtype", dtype or getattr(initializer, "dtype", None) or config.dtype):
            setattr(self, name, Parameter(initializer, shape))

    def _new(self, name: str) -> None:
        if name in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: there is an attribute {name!r} already")

    # persistent values: saved, copied and sent with the parameters, and changed by no optimizer
    def add_persistent(self, name: str, value: Any) -> None:
        """Register an array or a number that belongs to the model's state, read as an attribute."""
        self.__dict__.pop(name, None)
        self.__dict__.setdefault("_persistent", {})[name] = value
        changed()

    def register_persistent(self, name: str) -> None:
        """Make a persistent value of an attribute."""
        if name not in self.__dict__:
            raise AttributeError(f"register_persistent: {type(self).__name__} has no attribute {name!r}")
        self.add_persistent(name, self.__dict__[name])

    def _set_persistent(self, name: str, value: Any) -> None:
        if "_viewed_link" in self.__dict__:
            return  # a view never updates statistics
        old = self._persistent[name]
        if is_array(old) and hasattr(value, "shape"):
            if value.shape != old.shape:
                raise ValueError(f"{name}: expected shape {old.shape}, got {value.shape}")
            old[...] = xp_of(old).asarray(value)
        elif old is None and hasattr(value, "shape"):  # of a size not known before
            self.add_persistent(name, value.copy())
        else:
            self._persistent[name] = value

    # what it holds
    def _items(self) -> Iterator[tuple[str, Any]]:
        for name, value in list(self.__dict__.items()):
            if isinstance(value, (Members, Parameter)):
                yield name, value

    def children(self) -> Iterator[Any]:
        """The links that are attributes of this one, each once."""
        return iter({id(value): value for _, value in self._items() if isinstance(value, Members)}.values())

    def namedlinks(self, skipself: bool = False, _seen: Any = None) -> Iterator[tuple[str, Any]]:
        """(path, link) for this link and all below it, depth first, each once."""
        seen = set() if _seen is None else _seen
        if id(self) in seen:
            return
        seen.add(id(self))
        if not skipself:
            yield "/", self
        for name, value in self._items():
            if isinstance(value, Members):
                for path, link in value.namedlinks(_seen=seen):
                    yield f"/{name}" if path == "/" else f"/{name}{path}", link

    def links(self, skipself: bool = False) -> Iterator[Any]:
        return (link for _, link in self.namedlinks(skipself))

    def namedparams(self, include_uninit: bool = True, _seen: Any = None) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter), depth first in order of assignment, each parameter once, under its first path."""
        seen = set() if _seen is None else _seen
        for name, value in self._items():
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Members):
                for path, parameter in value.namedparams(include_uninit, seen):
                    yield f"/{name}{path}", parameter
            elif isinstance(value, Parameter) and (include_uninit or value.is_initialized):
                yield f"/{name}", value

    def params(self, include_uninit: bool = True) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.namedparams(include_uninit))

    def namedpersistents(self) -> Iterator[tuple[str, Any, str]]:
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

    @property
    def device(self) -> str:
        """Where the first parameter, or else the first persistent array, lies: "@numpy", or "@cupy:0"."""
        arrays = [p.array for p in self.params(include_uninit=False)]
        arrays += [a for _, link, name in self.namedpersistents() if is_array(a := link._persistent[name])]
        return device_of(arrays[0]) if arrays else "@numpy"

    # in words
    @property
    def printable_specs(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of what the link was made with, for `repr`: constructor arguments that it keeps."""
        for name in list(inspect.signature(type(self).__init__).parameters)[1:]:
            value = self.__dict__.get(name)
            if name in self.__dict__ and isinstance(value, (int, float, str, tuple, type(None), np.dtype)):
                yield name, value

    def _parts(self) -> list[tuple[str, str]]:
        """Name and description of what the link is made of."""
        return [(name, repr(link)) for name, link in self._items() if isinstance(link, Members)]

    def __repr__(self) -> str:
        specs = [f"{name}={value!r}" for name, value in self.printable_specs]
        params = [(name, p.array) for name, p in self._items() if isinstance(p, Parameter)]
        specs += [f"{name} {'?' if array is None else array.shape}" for name, array in params]
        line = f"{type(self).__name__}({', '.join(specs)})"
        parts = "".join(f"  ({name}): {text},\n".replace("\n", "\n  ")[:-2] for name, text in self._parts())
        return f"{line[:-1]}{',' if specs else ''}\n{parts})" if parts else line
