"""Distributions with a location and a scale: Normal, Laplace and Uniform."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd import as_array
from rlcore.autograd import functions as F
from rlcore.distributions.base import (
    Reparameterised,
    array_like,
    broadcast,
    floats,
    lazy,
    normal_noise,
    one_of,
    register_kl,
    value_like,
)

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Normal(Reparameterised):
    """Gaussian: loc (...) and scale, the standard deviation, or log_scale, its logarithm (...)."""

    def __init__(self, loc: Any, scale: Any = None, *, log_scale: Any = None):
        one_of("Normal", scale=scale, log_scale=log_scale)
        self.loc = floats("loc", loc)
        if log_scale is None:
            self.scale = floats("scale", scale)
        else:
            self.log_scale = floats("log_scale", log_scale)
        self.batch_shape = broadcast("Normal", loc=self.loc, scale=self.scale)

    @lazy
    def scale(self) -> Any:
        return F.exp(self.log_scale)

    @lazy
    def log_scale(self) -> Any:
        return F.log(self.scale)

    @property
    def params(self) -> dict[str, Any]:
        return {"loc": self.loc, "scale": self.scale}

    def _rdraw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        return self.loc + self.scale * normal_noise(self.loc.array, (*sample_shape, *self.batch_shape), rng)

    def log_prob(self, x: Any) -> Any:
        z = (x - self.loc) / self.scale
        return -0.5 * (z * z) - (self.log_scale + HALF_LOG_2PI)

    @property
    def mean(self) -> Any:
        return F.broadcast_to(self.loc, self.batch_shape)

    mode = mean

    @property
    def stddev(self) -> Any:
        return F.broadcast_to(self.scale, self.batch_shape)

    @property
    def variance(self) -> Any:
        return F.square(self.stddev)

    @property
    def entropy(self) -> Any:
        return F.broadcast_to(self.log_scale + (0.5 + HALF_LOG_2PI), self.batch_shape)

    def cdf(self, x: Any) -> Any:
        return F.ndtr((x - self.loc) / self.scale)

    def log_cdf(self, x: Any) -> Any:
        return F.log_ndtr((x - self.loc) / self.scale)

    def survival_function(self, x: Any) -> Any:
        return F.ndtr((self.loc - x) / self.scale)

    def log_survival_function(self, x: Any) -> Any:
        return F.log_ndtr((self.loc - x) / self.scale)

    def icdf(self, x: Any) -> Any:
        return self.loc + self.scale * F.ndtri(value_like(self.loc, x))


@register_kl(Normal, Normal)
def _kl_normal(a: Normal, b: Normal) -> Any:
    ratio = F.exp(a.log_scale - b.log_scale)
    shift = (a.loc - b.loc) / b.scale
    return b.log_scale - a.log_scale + 0.5 * (ratio * ratio + shift * shift - 1)


class Laplace(Reparameterised):
    """Laplace: loc (...) and scale (...)."""

    def __init__(self, loc: Any, scale: Any):
        self.loc, self.scale = floats("loc", loc), floats("scale", scale)
        self.batch_shape = broadcast("Laplace", loc=self.loc, scale=self.scale)

    @property
    def params(self) -> dict[str, Any]:
        return {"loc": self.loc, "scale": self.scale}

    def _rdraw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        noise = rng.laplace(size=(*sample_shape, *self.batch_shape))
        return self.loc + self.scale * array_like(self.loc, noise)

    def log_prob(self, x: Any) -> Any:
        return -abs(x - self.loc) / self.scale - F.log(2 * self.scale)

    @property
    def mean(self) -> Any:
        return F.broadcast_to(self.loc, self.batch_shape)

    mode = mean

    @property
    def variance(self) -> Any:
        return F.broadcast_to(2 * F.square(self.scale), self.batch_shape)

    @property
    def entropy(self) -> Any:
        return F.broadcast_to(1 + F.log(2 * self.scale), self.batch_shape)

    def cdf(self, x: Any) -> Any:
        z = (x - self.loc) / self.scale
        return 0.5 - 0.5 * array_like(z, np.sign(as_array(z))) * F.expm1(-abs(z))

    def icdf(self, x: Any) -> Any:
        d = value_like(self.loc, x) - 0.5
        return self.loc - self.scale * array_like(d, np.sign(as_array(d))) * F.log1p(-2 * abs(d))


@register_kl(Laplace, Laplace)
def _kl_laplace(a: Laplace, b: Laplace) -> Any:
    d = abs(a.loc - b.loc)
    return F.log(b.scale) - F.log(a.scale) + (a.scale * F.exp(-d / a.scale) + d) / b.scale - 1


class Uniform(Reparameterised):
    """Uniform in [low, high], or in [loc, loc + scale]: two of a kind."""

    def __init__(self, *, loc: Any = None, scale: Any = None, low: Any = None, high: Any = None):
        pairs = [loc is not None and scale is not None, low is not None and high is not None]
        if sum(pairs) != 1 or sum(v is not None for v in (loc, scale, low, high)) != 2:
            raise ValueError("Uniform: give low and high, or loc and scale")
        if pairs[0]:
            self.low = floats("loc", loc)
            self.scale = floats("scale", scale)
            self.high = self.low + self.scale
        else:
            self.low, self.high = floats("low", low), floats("high", high)
            self.scale = self.high - self.low
        self.batch_shape = broadcast("Uniform", low=self.low, high=self.high)

    @property
    def loc(self) -> Any:
        return self.low

    @property
    def params(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high}

    def _rdraw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        return self.low + self.scale * array_like(self.low, rng.random((*sample_shape, *self.batch_shape)))

    def log_prob(self, x: Any) -> Any:
        x = as_array(x)
        inside = (x >= self.low.array) & (x <= self.high.array)
        flat = F.broadcast_to(-F.log(self.scale), inside.shape)
        return F.where(inside, flat, array_like(flat, -np.inf))

    @property
    def mean(self) -> Any:
        return 0.5 * (self.low + self.high)

    mode = mean  # all values are as likely; the middle one serves

    @property
    def variance(self) -> Any:
        return F.square(self.scale) / 12

    @property
    def entropy(self) -> Any:
        return F.log(self.scale)

    def cdf(self, x: Any) -> Any:
        return F.clip((x - self.low) / self.scale, 0, 1)

    def icdf(self, x: Any) -> Any:
        return self.low + self.scale * x


@register_kl(Uniform, Uniform)
def _kl_uniform(a: Uniform, b: Uniform) -> Any:
    within = (a.low.array >= b.low.array) & (a.high.array <= b.high.array)
    kl = F.broadcast_to(F.log(b.scale) - F.log(a.scale), within.shape)
    return F.where(within, kl, array_like(kl, np.inf))
