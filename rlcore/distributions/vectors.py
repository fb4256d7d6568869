"""Distributions over vectors, tuples and dicts: Independent, MultivariateNormal, SquashedGaussian, Product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore import tree
from rlcore.autograd import as_array, as_variable
from rlcore.autograd import functions as F
from rlcore.distributions.base import (
    Distribution,
    Reparameterised,
    array_like,
    floats,
    kl_divergence,
    normal_noise,
    register_kl,
    value_like,
)
from rlcore.distributions.continuous import HALF_LOG_2PI, Normal
from rlcore.distributions.discrete import total


class Independent(Distribution):
    """A distribution whose last batch axes (None: all but the first) count as one event: log_prob sums over them."""

    def __init__(self, distribution: Distribution, reinterpreted_batch_ndims: int | None = None):
        batch = distribution.batch_shape
        n = max(len(batch) - 1, 0) if reinterpreted_batch_ndims is None else reinterpreted_batch_ndims
        if not 0 <= n <= len(batch):
            raise ValueError(f"Independent: cannot take {n} axes of the batch shape {batch}")
        self.distribution, self.reinterpreted_batch_ndims = distribution, n
        self.batch_shape = batch[: len(batch) - n]
        self.event_shape = (*batch[len(batch) - n :], *distribution.event_shape)

    @property
    def params(self) -> dict[str, Any]:
        return self.distribution.params

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        return self.distribution.sample(sample_shape, rng=rng)

    def rsample(self, sample_shape: Any = (), *, rng: np.random.Generator | None = None) -> Any:
        """Draws as a function of the parameters and of noise, through which gradients flow."""
        return self.distribution.rsample(sample_shape, rng=rng)

    def _summed(self, x: Any) -> Any:
        n = self.reinterpreted_batch_ndims
        return F.sum(x, axis=tuple(range(-n, 0))) if n else x

    def log_prob(self, x: Any) -> Any:
        return self._summed(self.distribution.log_prob(x))

    @property
    def mean(self) -> Any:
        return self.distribution.mean

    @property
    def variance(self) -> Any:
        return self.distribution.variance

    @property
    def mode(self) -> Any:
        return self.distribution.mode

    @property
    def entropy(self) -> Any:
        return self._summed(self.distribution.entropy)


@register_kl(Independent, Independent)
def _kl_independent(a: Independent, b: Independent) -> Any:
    if a.reinterpreted_batch_ndims != b.reinterpreted_batch_ndims:
        raise ValueError("kl_divergence: the two Independents sum over different axes")
    return a._summed(kl_divergence(a.distribution, b.distribution))


class MultivariateNormal(Reparameterised):
    """Gaussian over vectors: loc (..., d), and scale_tril (..., d, d), the lower Cholesky factor of the covariance."""

    def __init__(self, loc: Any, scale_tril: Any):
        self.loc, self.scale_tril = floats("loc", loc), floats("scale_tril", scale_tril)
        if self.loc.ndim == 0 or self.scale_tril.shape[-2:] != 2 * self.loc.shape[-1:]:
            raise ValueError(
                f"MultivariateNormal: expected loc (..., d) and scale_tril (..., d, d), got {self.loc.shape} and "
                f"{self.scale_tril.shape}"
            )
        self.d = self.loc.shape[-1]
        self.batch_shape = np.broadcast_shapes(self.loc.shape[:-1], self.scale_tril.shape[:-2])
        self.event_shape = (self.d,)

    @property
    def params(self) -> dict[str, Any]:
        return {"loc": self.loc, "scale_tril": self.scale_tril}

    def _rdraw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        noise = normal_noise(self.loc.array, (*sample_shape, *self.batch_shape, self.d, 1), rng)
        return self.loc + F.matmul(self.scale_tril, noise)[..., 0]

    def _half_log_det(self) -> Any:
        return F.sum(F.log(abs(F.diagonal(self.scale_tril, axis1=-2, axis2=-1))), axis=-1)

    def _inverse(self) -> Any:
        """The inverse of scale_tril."""
        matrices = F.reshape(self.scale_tril, (-1, self.d, self.d))
        return F.reshape(F.batch_inv(matrices), self.scale_tril.shape)

    def log_prob(self, x: Any) -> Any:
        d = value_like(self.loc, x) - self.loc
        z = F.matmul(self._inverse(), F.expand_dims(d, -1))[..., 0]
        return -0.5 * F.sum(z * z, axis=-1) - self._half_log_det() - self.d * HALF_LOG_2PI

    @property
    def mean(self) -> Any:
        return F.broadcast_to(self.loc, (*self.batch_shape, self.d))

    mode = mean

    @property
    def covariance(self) -> Any:
        """Covariance matrices (..., d, d)."""
        return F.matmul(self.scale_tril, self.scale_tril, transb=True)

    @property
    def variance(self) -> Any:
        return F.broadcast_to(F.sum(F.square(self.scale_tril), axis=-1), (*self.batch_shape, self.d))

    @property
    def entropy(self) -> Any:
        return F.broadcast_to(self._half_log_det() + self.d * (0.5 + HALF_LOG_2PI), self.batch_shape)


@register_kl(MultivariateNormal, MultivariateNormal)
def _kl_multivariate_normal(a: MultivariateNormal, b: MultivariateNormal) -> Any:
    inverse = b._inverse()
    spread = F.sum(F.square(F.matmul(inverse, a.scale_tril)), axis=(-2, -1))
    shift = F.sum(F.square(F.matmul(inverse, F.expand_dims(b.loc - a.loc, -1))), axis=(-2, -1))
    return b._half_log_det() - a._half_log_det() + 0.5 * (spread + shift - a.d)


class SquashedGaussian(Reparameterised):
    """tanh of a diagonal Gaussian over vectors, stretched to [low, high]: loc and scale or log_scale (..., d).

    Its log_prob is that of Haarnoja et al. 2018 (appendix C) in a form that is finite for every action, the bounds
    included: log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)). Its mode is what SAC plays: the squashed loc.
    """

    def __init__(self, loc: Any, scale: Any = None, *, log_scale: Any = None, low: Any = -1.0, high: Any = 1.0):
        self.base = Normal(loc, scale, log_scale=log_scale)
        if not self.base.batch_shape:
            raise ValueError("SquashedGaussian: expected parameters (..., d), got scalars")
        self.batch_shape, self.event_shape = self.base.batch_shape[:-1], self.base.batch_shape[-1:]
        low, high = (as_array(v) if getattr(v, "shape", ()) else float(v) for v in (low, high))
        if all(isinstance(v, (float, np.ndarray)) for v in (low, high)) and not np.all(high > low):
            raise ValueError(f"SquashedGaussian: high must be above low, got low {low} and high {high}")
        self.center, self.half = _number(self.base.loc, (low + high) / 2), _number(self.base.loc, (high - low) / 2)

    @property
    def params(self) -> dict[str, Any]:
        return self.base.params

    def _squashed(self, u: Any) -> Any:
        return F.tanh(u) * self.half + self.center

    def _rdraw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        return self._squashed(self.base.rsample(sample_shape, rng=rng))

    def rsample_log_prob(self, *, rng: np.random.Generator | None = None) -> tuple[Any, Any]:
        """A reparameterised draw (..., d) and its log_prob (...), exact also where tanh has reached 1."""
        u = self.base.rsample(rng=rng)
        return self._squashed(u), self._log_prob(u)

    def _log_prob(self, u: Any) -> Any:
        """Of the action that u is squashed to."""
        fall = 2 * (math.log(2) - u - F.softplus(-2 * u))
        log_half = math.log(self.half) if isinstance(self.half, float) else np.log(self.half)
        return F.sum(self.base.log_prob(u) - fall - log_half, axis=-1)

    def log_prob(self, x: Any) -> Any:
        y = (as_variable(x) - self.center) / self.half
        if y.array.dtype != self.base.loc.dtype:
            raise TypeError(f"SquashedGaussian: x is {y.dtype}, the parameters are {self.base.loc.dtype}")
        edge = 1 - float(np.finfo(y.dtype).epsneg)  # the last number before 1: actions on the bounds count as this one
        return self._log_prob(F.arctanh(F.clip(y, -edge, edge)))

    @property
    def mode(self) -> Any:
        return self._squashed(self.base.mode)


def _number(like: Any, value: Any) -> Any:
    """A Python number, or an array beside like."""
    return value if isinstance(value, float) else array_like(like, value)


@register_kl(SquashedGaussian, SquashedGaussian)
def _kl_squashed(a: SquashedGaussian, b: SquashedGaussian) -> Any:
    return F.sum(kl_divergence(a.base, b.base), axis=-1)  # one and the same squashing changes no divergence


class Product(Distribution):
    """Independent distributions in a dict or tuple, nested at will; draws and actions nest alike, log_probs add up."""

    def __init__(self, parts: Any):
        self.parts = parts
        shapes = {part.batch_shape for part in self._leaves()}
        if len(shapes) != 1:
            raise ValueError(f"Product: the parts must have one batch shape, got {sorted(shapes)}")
        (self.batch_shape,) = shapes

    def _leaves(self) -> list[Distribution]:
        return list(tree.leaves(self.parts))

    @property
    def params(self) -> dict[str, Any]:
        return {
            f"{path}/{name}": value
            for path, part in tree.named_leaves(self.parts)
            for name, value in part.params.items()
        }

    def sample(self, sample_shape: Any = (), *, rng: np.random.Generator | None = None) -> Any:
        """Draws, nested like the parts, as constants."""
        return tree.map_(lambda part: part.sample(sample_shape, rng=rng), self.parts)

    def rsample(self, sample_shape: Any = (), *, rng: np.random.Generator | None = None) -> Any:
        """Draws, nested like the parts, through which gradients flow."""
        return tree.map_(lambda part: part.rsample(sample_shape, rng=rng), self.parts)

    def log_prob(self, x: Any) -> Any:
        return total(tree.leaves(tree.map_(lambda part, value: part.log_prob(value), self.parts, x)))

    @property
    def mode(self) -> Any:
        return tree.map_(lambda part: part.mode, self.parts)

    @property
    def entropy(self) -> Any:
        return total(part.entropy for part in self._leaves())


@register_kl(Product, Product)
def _kl_product(a: Product, b: Product) -> Any:
    return total(tree.leaves(tree.map_(kl_divergence, a.parts, b.parts)))
