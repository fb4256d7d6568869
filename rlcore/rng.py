"""Random generators: made from seeds, saved as JSON, never global to NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np


def generator(seed: int) -> np.random.Generator:
    """A fresh PCG64 generator from a seed of any size."""
    return np.random.Generator(np.random.PCG64(seed))


def spawn(seed: int, n: int) -> list[np.random.Generator]:
    """n generators with independent streams, the same for the same seed (NumPy's SeedSequence.spawn)."""
    return [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(n)]


def state_of(rng: np.random.Generator) -> dict[str, Any]:
    """The generator's whole state as JSON scalars."""
    return dict(rng.bit_generator.state)


def check(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """ValueError unless the state is of this kind of generator."""
    kind = type(rng.bit_generator).__name__
    if not isinstance(state, dict) or state.get("bit_generator") != kind:
        got = state.get("bit_generator") if isinstance(state, dict) else state
        raise ValueError(f"random state is of {got!r}, this generator is a {kind}")


def restore(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Put a state from `state_of` back; ValueError if it belongs to another kind of generator."""
    check(rng, state)
    rng.bit_generator.state = state


_default = generator(0)
_instead: ContextVar[np.random.Generator | None] = ContextVar("rng", default=None)  # per thread


def default() -> np.random.Generator:
    """The library's own generator: used by whatever draws without being given `rng=`."""
    return _instead.get() or _default


@contextmanager
def using(rng: np.random.Generator) -> Iterator[None]:
    """A `with` block in which `default()` is another generator, in this thread."""
    token = _instead.set(rng)
    try:
        yield
    finally:
        _instead.reset(token)


def seed(n: int) -> None:
    """Seed the library's own generator."""
    restore(_default, state_of(generator(n)))
