"""The Gamma and the Beta distribution, whose densities are made of the Gamma function."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd import as_variable
from rlcore.autograd import functions as F
from rlcore.backend import to_cpu
from rlcore.distributions.base import Distribution, array_like, broadcast, floats, register_kl, value_like


class Gamma(Distribution):
    """Gamma: shape k (...) and scale theta (...)."""

    def __init__(self, k: Any, theta: Any):
        self.k, self.theta = floats("k", k), floats("theta", theta)
        self.batch_shape = broadcast("Gamma", k=self.k, theta=self.theta)

    @property
    def params(self) -> dict[str, Any]:
        return {"k": self.k, "theta": self.theta}

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        drawn = rng.standard_gamma(to_cpu(self.k.array), (*sample_shape, *self.batch_shape))
        return as_variable(array_like(self.k, drawn) * self.theta.array)

    def log_prob(self, x: Any) -> Any:
        x = value_like(self.k, x)
        return (self.k - 1) * F.log(x) - x / self.theta - F.lgamma(self.k) - self.k * F.log(self.theta)

    @property
    def mean(self) -> Any:
        return self.k * self.theta

    @property
    def variance(self) -> Any:
        return self.k * F.square(self.theta)

    @property
    def mode(self) -> Any:
        return F.maximum(self.k - 1, 0.0) * self.theta

    @property
    def entropy(self) -> Any:
        return self.k + F.log(self.theta) + F.lgamma(self.k) + (1 - self.k) * F.digamma(self.k)


@register_kl(Gamma, Gamma)
def _kl_gamma(a: Gamma, b: Gamma) -> Any:
    return (
        (a.k - b.k) * F.digamma(a.k)
        - F.lgamma(a.k)
        + F.lgamma(b.k)
        + b.k * (F.log(b.theta) - F.log(a.theta))
        + a.k * (a.theta / b.theta - 1)
    )


class Beta(Distribution):
    """Beta on [0, 1]: a (...) and b (...)."""

    def __init__(self, a: Any, b: Any):
        self.a, self.b = floats("a", a), floats("b", b)
        self.batch_shape = broadcast("Beta", a=self.a, b=self.b)

    @property
    def params(self) -> dict[str, Any]:
        return {"a": self.a, "b": self.b}

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        drawn = rng.beta(to_cpu(self.a.array), to_cpu(self.b.array), (*sample_shape, *self.batch_shape))
        return as_variable(array_like(self.a, _inside(drawn, self.a.dtype)))

    def log_prob(self, x: Any) -> Any:
        x = value_like(self.a, x)
        return (self.a - 1) * F.log(x) + (self.b - 1) * F.log1p(-x) - log_beta(self.a, self.b)

    @property
    def mean(self) -> Any:
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> Any:
        total = self.a + self.b
        return self.a * self.b / (F.square(total) * (total + 1))

    @property
    def mode(self) -> Any:
        """(a - 1) / (a + b - 2) if both exceed 1, else the one end that is likeliest, or the mean if neither is."""
        a, b, one = self.a.array, self.b.array, array_like(self.a, 1)
        inner = (a > 1) & (b > 1)
        at_one, at_zero = (a >= 1) & (b < 1) | (a > 1) & (b <= 1), (b >= 1) & (a < 1) | (b > 1) & (a <= 1)
        formula = (self.a - 1) / F.where(inner, self.a + self.b - 2, one)
        return F.where(inner, formula, F.where(at_one, one, F.where(at_zero, 0 * one, self.mean)))

    @property
    def entropy(self) -> Any:
        a, b = self.a, self.b
        total = a + b
        return log_beta(a, b) - (a - 1) * F.digamma(a) - (b - 1) * F.digamma(b) + (total - 2) * F.digamma(total)


def log_beta(a: Any, b: Any) -> Any:
    """Logarithm of the Beta function."""
    return F.lgamma(a) + F.lgamma(b) - F.lgamma(a + b)


def _inside(x: np.ndarray, dtype: Any) -> np.ndarray:
    """x kept off 0 and 1, where a density may be infinite, in the dtype that it is going to have."""
    limits = np.finfo(dtype)
    return np.clip(x, limits.tiny, 1 - limits.epsneg)


@register_kl(Beta, Beta)
def _kl_beta(p: Beta, q: Beta) -> Any:
    da, db = q.a - p.a, q.b - p.b
    return (
        log_beta(q.a, q.b)
        - log_beta(p.a, p.b)
        - da * F.digamma(p.a)
        - db * F.digamma(p.b)
        + (da + db) * F.digamma(p.a + p.b)
    )
