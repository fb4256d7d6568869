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


class _Called(Initializer):
    """A user's function that fills an array in place."""

    def __init__(self, fill: Any):
        super().__init__(getattr(fill, "dtype", None))
        self.fill = fill

    def __call__(self, array: Any) -> None:
        self.fill(array)


def as_initializer(value: Any) -> Initializer:
    """An Initializer from itself, a number, an array, a function that fills an array, or None for LeCunNormal."""
    if isinstance(value, Initializer):
        return value
    if value is None:
        return LeCunNormal()
    if isinstance(value, (int, float, np.generic)) or is_array(value):
        return Constant(value, dtype=value.dtype if is_array(value) else None)
    if callable(value):
        return _Called(value)
    raise TypeError(f"initializer: expected an Initializer, a number, an array or None, got {type(value).__name__}")


def generate_array(initializer: Any, shape: Any, xp: Any = np, dtype: Any = None) -> Any:
    """A new array of the module xp with an initializer's values; dtype: the initializer's own if None."""
    initializer = as_initializer(initializer)
    if dtype is not None and np.dtype(dtype) != initializer.dtype:
        raise ValueError(f"generate_array: dtype is {np.dtype(dtype)}, the initializer's is {initializer.dtype}")
    array = xp.empty(shape, initializer.dtype)
    initializer(array)
    return array


def get_fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan in, fan out) of a weight (out, in, *receptive field)."""
    if len(shape) < 2:
        raise ValueError(
            f"this initializer needs a weight of at least two axes, got shape {shape}; a number such as 0 does not"
        )
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


def NaN(dtype: Any = None) -> Constant:
    """All NaN: for arrays that are to be filled before they are read."""
    return Constant(math.nan, dtype)


class Identity(Initializer):
    """scale times the identity matrix, for a square matrix."""

    def __init__(self, scale: float = 1.0, dtype: Any = None):
        super().__init__(dtype)
        self.scale = scale

    def values(self, shape: tuple[int, ...]) -> Any:
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"Identity: expected a square matrix, got shape {shape}")
        return self.scale * np.eye(shape[0])


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
        return self.scale * math.sqrt(1 / get_fans(shape)[0])


class GlorotNormal(LeCunNormal):
    """Standard deviation scale * sqrt(2 / (fan in + fan out)) (Glorot and Bengio 2010)."""

    def deviation(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(2 / sum(get_fans(shape)))


class HeNormal(LeCunNormal):
    """Standard deviation scale * sqrt(2 / fan), fan_option "fan_in" or "fan_out" (He et al. 2015)."""

    def __init__(
        self,
        scale: float = 1.0,
        dtype: Any = None,
        fan_option: str = "fan_in",
        *,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(scale, dtype, rng=rng)
        if fan_option not in ("fan_in", "fan_out"):
            raise ValueError(f"HeNormal: fan_option must be 'fan_in' or 'fan_out', got {fan_option!r}")
        self.fan_option = fan_option

    def deviation(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(2 / get_fans(shape)[self.fan_option == "fan_out"])


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
        return self.scale * math.sqrt(3 / get_fans(shape)[0])


class GlorotUniform(LeCunUniform):
    """Bound scale * sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010)."""

    def bound(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(6 / sum(get_fans(shape)))


class HeUniform(LeCunUniform):
    """Bound scale * sqrt(6 / fan in) (He et al. 2015)."""

    def bound(self, shape: tuple[int, ...]) -> float:
        return self.scale * math.sqrt(6 / get_fans(shape)[0])


class Orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times scale (Saxe et al. 2013).

    mode: "embedding" refuses fewer rows than columns (rows count outputs), "projection" the reverse, "basis" both.
    """

    def __init__(
        self, scale: float = 1.1, dtype: Any = None, mode: str = "auto", *, rng: np.random.Generator | None = None
    ):
        super().__init__(dtype, rng)
        if mode not in ("auto", "projection", "embedding", "basis"):
            raise ValueError(f"Orthogonal: mode must be auto, projection, embedding or basis, got {mode!r}")
        self.scale, self.mode = scale, mode

    def values(self, shape: tuple[int, ...]) -> Any:
        rows, columns = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
        if rows == 0 or columns == 0:
            raise ValueError(f"Orthogonal: an array of shape {shape} has no elements")
        refused = {"embedding": rows < columns, "projection": rows > columns, "basis": rows != columns}
        if refused.get(self.mode):
            raise ValueError(f"Orthogonal: no {self.mode} has shape {shape}: {columns} inputs, {rows} outputs")
        q, r = np.linalg.qr(self.generator.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
        return ((q if rows >= columns else q.T) * self.scale).reshape(shape)


class _SamplingFilter(Initializer):
    """A tent for each channel: weights of linear interpolation (Long et al. 2015, section 3.3)."""

    def __init__(self, interpolation: str = "linear", dtype: Any = None):
        super().__init__(dtype)
        if interpolation != "linear":
            raise ValueError(f"{type(self).__name__}: interpolation must be 'linear', got {interpolation!r}")

    def tent(self, size: int, n_axes: int) -> Any:
        factor = (size + 1) // 2
        center = factor - 1 if size % 2 else factor - 0.5
        line = 1 - abs(np.arange(size) - center) / factor
        return math.prod(np.ix_(*[line] * n_axes))

    def values(self, shape: tuple[int, ...]) -> Any:
        channels, sizes = shape[:2], shape[2:]
        if len(shape) < 3 or channels[1] not in (channels[0], 1) or len(set(sizes)) > 1:
            raise ValueError(f"{type(self).__name__}: expected shape (C, C or 1, k, ...) with equal k, got {shape}")
        out = np.zeros(shape)
        each = np.arange(channels[0])
        out[each, each if channels[1] > 1 else 0] = self.tent(sizes[0], len(sizes))
        return out


class UpsamplingDeconvFilter(_SamplingFilter):
    """Linear interpolation by a deconvolution of stride (k + 1) // 2: weight (C, C or 1, k, ...)."""


class DownsamplingConvFilter(_SamplingFilter):
    """Linear interpolation by a convolution of stride (k + 1) // 2; each kernel of its weight sums to 1."""

    def tent(self, size: int, n_axes: int) -> Any:
        tent = super().tent(size, n_axes)
        return tent / tent.sum()
