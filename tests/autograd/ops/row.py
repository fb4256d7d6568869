"""The form of a row: a public function, operator, method or NumPy ufunc, and what it is checked against."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.rng import generator


@dataclass(frozen=True)
class Op:
    """name: the public name, then what sets this row apart; ref: the same in NumPy or SciPy, another way round.

    f and ref are called with float inputs of these shapes, then consts. Magnitudes lie in [0.3, 1], away from kinks and
    poles.
    """

    name: str
    f: Callable[..., Any]
    ref: Callable[..., Any]
    shapes: list[tuple[int, ...]]
    consts: tuple[Any, ...] = ()  # arrays (masks, indices, labels) and settings given after the float inputs
    positive: bool = False  # inputs in [0.3, 1] only
    empty: bool = True  # an axis of length 3 may have length 0
    scalar: bool = False  # takes 0-d inputs
    orders: int = 3  # derivatives that are checked
    ties: bool = False  # elements that are equal are a kink
    half: float = 1e-2  # tolerance in float16
    host: bool = False  # cannot run on a device (SciPy, or arrays of the row's own)
    mean: bool = False  # nan over no elements

    @property
    def covers(self) -> str:
        return self.name.split(" ")[0]

    def __call__(self, *xs: Any) -> Any:
        return self.f(*xs, *self.consts)

    def expected(self, *xs: Any) -> Any:
        return self.ref(*xs, *self.consts)

    def rng(self) -> np.random.Generator:
        return generator(zlib.crc32(self.name.encode()))

    def inputs(self, shapes: list[tuple[int, ...]] | None = None) -> list[np.ndarray]:
        """Read-only float64 arrays, the same at every call."""
        rng, out = self.rng(), []
        for shape in self.shapes if shapes is None else shapes:
            sign = 1.0 if self.positive else rng.choice([-1.0, 1.0], shape)
            out.append(np.asarray(rng.uniform(0.3, 1.0, shape) * sign))
            out[-1].flags.writeable = False
        return out


A34, B34, V4 = (3, 4), (3, 4), (4,)
