"""Chainer's configuration, per thread: `train`, `dtype` and what users add; no op on a hot path reads it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rlcore.autograd.function import recording, set_recording

_NAMES = ("train", "dtype", "enable_backprop", "in_recomputing", "debug")


class _Config(threading.local):
    """This thread's values; those it has not set itself are global_config's."""

    train = True  # what dropout and batch normalisation do
    dtype: Any = np.dtype(np.float32)  # of new parameters
    in_recomputing = False  # True while F.forget runs a function again: statistics are not updated twice

    @property
    def enable_backprop(self) -> bool:
        """Whether this thread records the graph."""
        return recording()

    @enable_backprop.setter
    def enable_backprop(self, on: bool) -> None:
        set_recording(bool(on))

    @property
    def debug(self) -> bool:
        """Whether this thread is in a `debug_mode()`."""
        from rlcore.autograd.debug import is_debug

        return is_debug()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "debug":
            raise ValueError("config: debug is not set but entered: with debug_mode(): ...")
        super().__setattr__(_known("config", name), np.dtype(value) if name == "dtype" else value)

    def show(self, file: Any = None) -> None:
        """Print every name and its value."""
        names = sorted({*_NAMES, *vars(type(self)), *vars(self)})
        names = [name for name in names if name in _NAMES or name.startswith("user_")]
        width = max(map(len, names))
        for name in names:
            print(f"{name:<{width}} {getattr(self, name)}", file=file or sys.stdout)


class _GlobalConfig:
    """The values of every thread that has not set its own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_Config, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("enable_backprop", "debug"):
            raise ValueError(f"global_config: {name} belongs to a thread; use using_config")
        setattr(_Config, _known("global_config", name), np.dtype(value) if name == "dtype" else value)


def _known(where: str, name: str) -> str:
    if name not in _NAMES and not name.startswith("user_"):
        known = ", ".join(map(repr, _NAMES))
        raise ValueError(f"{where}: unknown name {name!r}; known are {known}, and names of your own as user_...")
    return name


config = _Config()
global_config = _GlobalConfig()


@contextmanager
def using_config(name: str, value: Any) -> Iterator[None]:
    """A `with` block in which this thread's value of a name is another: train, dtype, enable_backprop, user_..."""
    _known("using_config", name)
    if name == "debug":
        from rlcore.autograd.debug import debug_mode

        with debug_mode(bool(value)):
            yield
        return
    own = name in vars(config)
    before = getattr(config, name, None)
    setattr(config, name, value)
    try:
        yield
    finally:
        if own or name == "enable_backprop":
            setattr(config, name, before)
        else:
            delattr(config, name)
