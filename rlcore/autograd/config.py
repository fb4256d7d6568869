"""Chainer's configuration, per thread: `train` and `dtype`; no op on a hot path reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rlcore.autograd.function import record


class _Config(threading.local):
    train = True  # what dropout and batch normalisation do
    in_recomputing = False  # True while F.forget runs a function again: statistics are not updated twice
    dtype: Any = np.dtype(np.float32)  # of new parameters


config = _Config()


@contextmanager
def using_config(name: str, value: Any) -> Iterator[None]:
    """A `with` block in which this thread's `train`, `dtype` or `enable_backprop` has another value."""
    if name == "enable_backprop":
        with record(bool(value)):
            yield
        return
    if name not in ("train", "dtype"):
        raise ValueError(f"using_config: unknown name {name!r}; known are 'train', 'dtype' and 'enable_backprop'")
    before = getattr(config, name)
    setattr(config, name, np.dtype(value) if name == "dtype" else value)
    try:
        yield
    finally:
        setattr(config, name, before)
