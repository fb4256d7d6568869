"""How a parameter gets its first values. What draws takes `rng=`; without it, the library's own generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore import rng as _rng
from rlcore.autograd.config import config
from rlcore.backend import is_array, xp_of


class Initializer:
    """Fills an array in place; `dtype` is the parameter's, config.dtype if None."""

    def __init__(self, dtype: Any = None, rng: np.random.Generator | None = None):
        self.dtype = np.dtype(config.dtype if dtype is None else dtype)
        self.rng = rng

    def __call__(self, array: Any) -> None:
        array[...] = xp_of(array).asarray(self.values(array.shape))

    def values(self, shape: tuple[int, ...]) -> Any:
        raise NotImplementedError

    def __deepcopy__(self, memo: Any) -> Initializer:
        return self  # never changed after it is made; a copied generator would draw the same numbers twice

    @property
    def generator(self) -> np.random.Generator:
        return _rng.default() if self.rng is None else self.rng


def as_initializer(value: Any) -> Initializer:
    """An Initializer from itself, a number, an array, or None for LeCunNormal."""
    if isinstance(value, Initializer):
        return value
    if value is None:
        return LeCunNormal()
    if isinstance(value, (int, float, np.generic)) or is_array(value):
        return Constant(value, dtype=value.dtype if is_array(value) else None)
    raise TypeError(f"initializer: expected an Initializer, a number, an array or None, got {type(value).__name__}")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan in, fan out) of a weight (out, in, *receptive field)."""
    if len(shape) < 2:
        raise ValueError(f"this initializer needs a weight of at least two axes, got shape {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


class Constant(Initializer):
    """One value, or a given array."""

    def __init__(self, fill_value: Any, dtype: Any = None):
        super().__init__(dtype)
        self.fill_value = fill_value

    def values(self, shape: tuple[int, ...]) -> Any:
        return self.fill_value


def Zero(dtype: Any = None) -> Constant:
    """All zeros."""
    return Constant(0.0, dtype)


def One(dtype: Any = None) -> Constant:
    """All ones."""
    return Constant(1.0, dtype)


class Normal(Initializer):
    """Gaussian of mean 0 and standard deviation `scale`."""

    def __init__(self, scale: float = 0.05, dtype: Any = None, rng: np.random.Generator | None = None):
        super().__init__(dtype, rng)
        self.scale = scale

    def deviation(self, shape: tuple[int, ...]) -> float:
        return self.scale

    def values(self, shape: tuple[int, ...]) -> Any:
        return self.generator.standard_normal(shape) * self.deviation(shape)


class LeCunNormal(Normal):
    """Standard deviation scale * sqrt(1 / fan in) (LeCun et al. 1998)."""

    def __init__(self, scale: float = 1.0, dtype: Any = None, rng: np.random.Generator | None = None):
        super().__init__(scale, dtype, rng)

    def deviation(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(1 / fans(shape)[0])


class GlorotNormal(LeCunNormal):
    """Standard deviation scale * sqrt(2 / (fan in + fan out)) (Glorot and Bengio 2010)."""

    def deviation(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(2 / sum(fans(shape)))


class HeNormal(LeCunNormal):
    """Standard deviation scale * sqrt(2 / fan in) (He et al. 2015)."""

    def deviation(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(2 / fans(shape)[0])


class Uniform(Initializer):
    """Uniform in [-scale, scale]."""

    def __init__(self, scale: float = 0.05, dtype: Any = None, rng: np.random.Generator | None = None):
        super().__init__(dtype, rng)
        self.scale = scale

    def bound(self, shape: tuple[int, ...]) -> float:
        return self.scale

    def values(self, shape: tuple[int, ...]) -> Any:
        return self.generator.uniform(-1, 1, shape) * self.bound(shape)


class LeCunUniform(Uniform):
    """Bound scale * sqrt(3 / fan in) (LeCun et al. 1998)."""

    def __init__(self, scale: float = 1.0, dtype: Any = None, rng: np.random.Generator | None = None):
        super().__init__(scale, dtype, rng)

    def bound(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(3 / fans(shape)[0])


class GlorotUniform(LeCunUniform):
    """Bound scale * sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010)."""

    def bound(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(6 / sum(fans(shape)))


class HeUniform(LeCunUniform):
    """Bound scale * sqrt(6 / fan in) (He et al. 2015)."""

    def bound(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(6 / fans(shape)[0])


class Orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times scale (Saxe et al. 2013)."""

    def __init__(self, scale: float = 1.1, dtype: Any = None, rng: np.random.Generator | None = None):
        super().__init__(dtype, rng)
        self.scale = scale

    def values(self, shape: tuple[int, ...]) -> Any:
        rows, columns = shape[0], math.prod(shape[1:])
        q, r = np.linalg.qr(self.generator.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
        return ((q if rows >= columns else q.T) * self.scale).reshape(shape)
