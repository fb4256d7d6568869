"""Losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import broadcast_to, raw, weak
from rlcore.autograd.function import Function
from rlcore.autograd.functions.activation import relu, softplus
from rlcore.autograd.functions.indexing import arange_beside
from rlcore.autograd.functions.linalg import matmul
from rlcore.autograd.functions.math import exp, identity, sqrt, square
from rlcore.autograd.functions.reduction import average, sum
from rlcore.backend import xp_of

__all__ = [
    "absolute_error",
    "bernoulli_nll",
    "contrastive",
    "cross_covariance",
    "gaussian_kl_divergence",
    "gaussian_nll",
    "hinge",
    "huber_loss",
    "mean_absolute_error",
    "mean_squared_error",
    "squared_difference",
    "squared_error",
    "triplet",
]


def _alike(x0, x1):
    if x0.shape != x1.shape:
        raise ValueError(f"the two arguments must have one shape, got {x0.shape} and {x1.shape}")
    if x0.dtype is not x1.dtype and x0.dtype != x1.dtype:
        raise TypeError(f"the two arguments must have one dtype, got {x0.dtype} and {x1.dtype}")


class SquaredError(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        _alike(x0, x1)
        d = x0 - x1
        return d * d

    def backward(self, gy, x0, x1):
        e0, e1 = self.edges
        g = gy * (2 * (x0 - x1))
        return e0 and g, e1 and -g


def squared_error(x0, x1):
    """(x0 - x1)^2, elementwise, for equal shapes."""
    return SquaredError().apply(x0, x1)


class SquaredDifference(SquaredError):
    saves = "x1 x2"

    def forward(self, x1, x2):  # type: ignore[override]
        return SquaredError.forward(self, x1, x2)


def squared_difference(x1, x2):
    """(x1 - x2)^2, elementwise, for equal shapes."""
    return SquaredDifference().apply(x1, x2)


class AbsoluteError(Function):
    saves = "sign"

    def forward(self, x0, x1):
        _alike(x0, x1)
        d = x0 - x1
        self.sign = np.sign(d)
        return abs(d)

    def backward(self, gy, sign):
        e0, e1 = self.edges
        g = gy * sign
        return e0 and g, e1 and -g


def absolute_error(x0, x1):
    """abs(x0 - x1), elementwise, for equal shapes; the gradient at 0 is 0."""
    return AbsoluteError().apply(x0, x1)


class MeanAbsoluteError(AbsoluteError):
    def forward(self, x0, x1):
        return super().forward(x0, x1).mean()

    def backward(self, gy, sign):
        return super().backward(broadcast_to(gy * (1 / (sign.size or 1)), sign.shape), sign)


def mean_absolute_error(x0, x1):
    """Mean of abs(x0 - x1) over all elements."""
    return MeanAbsoluteError().apply(x0, x1)


def _mean_product(a, b):
    """mean(a * b) of vectors in one pass; the sum of halves may be beyond what a half can hold."""
    if a.dtype.char == "e":
        return (a.astype(np.float32).dot(b.astype(np.float32)) / a.size).astype(a.dtype)
    return a.dot(b) / a.size


class MeanSquaredError(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        _alike(x0, x1)
        d = (x0 - x1).ravel()
        return _mean_product(d, d)

    def backward(self, gy, x0, x1):
        e0, e1 = self.edges
        d = x0 - x1
        g = d * broadcast_to(gy * (2 / (d.size or 1)), d.shape)
        return e0 and g, e1 and -g


def mean_squared_error(x0, x1):
    """Mean of (x0 - x1)^2 over all elements."""
    return MeanSquaredError().apply(x0, x1)


def _huber(x, t, delta):
    """d - slope / 2 and slope: their product is d^2 / 2 up to delta and delta * (d - delta / 2) beyond."""
    d = x - t
    slope = np.minimum(np.maximum(d, -delta), delta)
    return d - 0.5 * slope, slope


class HuberLoss(Function):
    saves = "x t slope"

    def __init__(self, delta: float):
        self.delta = delta

    def forward(self, x, t):
        _alike(x, t)
        rest, self.slope = _huber(x, t, self.delta)
        return self.slope * rest

    def composite(self, x, t):  # the slope depends on the inputs
        rest, slope = _huber(x, t, self.delta)
        return slope * rest

    def backward(self, gy, x, t, slope):
        ex, et = self.edges
        g = gy * slope
        return ex and g, et and -g


class MeanHuberLoss(HuberLoss):
    def forward(self, x, t):
        _alike(x, t)
        rest, self.slope = _huber(x, t, self.delta)
        return _mean_product(self.slope.ravel(), rest.ravel())

    def composite(self, x, t):
        return average(super().composite(x, t))

    def backward(self, gy, x, t, slope):
        return super().backward(gy * (1 / (x.size or 1)), x, t, slope)


def huber_loss(x, t, delta, reduce="sum_along_second_axis"):
    """Huber loss of x - t: quadratic up to delta, linear beyond (Huber 1964).

    reduce: "sum_along_second_axis" gives (N,), "no" keeps the shape, "mean" gives the mean over all elements.
    """
    if reduce == "mean":
        return MeanHuberLoss(weak(delta)).apply(x, t)
    if reduce not in ("no", "sum_along_second_axis"):
        raise ValueError(f"huber_loss: reduce must be 'sum_along_second_axis', 'mean' or 'no', got {reduce!r}")
    y = HuberLoss(weak(delta)).apply(x, t)
    return y if reduce == "no" else sum(y, axis=1)


def reduced(name: str, y: Any, reduce: str, known: tuple[str, ...] = ("sum", "mean", "no")) -> Any:
    """The sum or the mean of the losses y, or y itself; ValueError naming the function for another `reduce`."""
    check_reduce(name, reduce, known)
    return sum(y) if reduce == "sum" else average(y) if reduce == "mean" else y


def check_reduce(name: str, reduce: str, known: tuple[str, ...]) -> None:
    if reduce not in known:
        raise ValueError(f"{name}: reduce must be {' or '.join(map(repr, known))}, got {reduce!r}")


def check_dtypes(name: str, **arrays: Any) -> None:
    """TypeError naming the function unless the arrays have one dtype."""
    if len({x.dtype for x in arrays.values()}) > 1:
        raise TypeError(f"{name}: the arguments must have one dtype, got {_told(arrays)}")


def check_alike(name: str, **arrays: Any) -> None:
    """ValueError or TypeError naming the function unless the arrays have one shape and one dtype."""
    if len({tuple(x.shape) for x in arrays.values()}) > 1:
        raise ValueError(f"{name}: the arguments must have one shape, got {_told(arrays)}")
    check_dtypes(name, **arrays)


def _told(arrays: dict[str, Any]) -> str:
    return ", ".join(f"{n} {tuple(x.shape)} {x.dtype}" for n, x in arrays.items())


def bernoulli_nll(x, y, reduce="sum"):
    """-log p of x in [0, 1] under Bernoulli variables with the logits y; shapes broadcast.

    reduce: "sum", "mean" or "no".
    """
    check_dtypes("bernoulli_nll", x=x, y=y)
    return reduced("bernoulli_nll", softplus(y) - x * y, reduce)


def gaussian_nll(x, mean, ln_var, reduce="sum"):
    """-log p of x under independent Gaussians of this mean and log-variance; shapes broadcast.

    reduce: "sum", "mean" or "no".
    """
    check_dtypes("gaussian_nll", x=x, mean=mean, ln_var=ln_var)
    ln_var, d = identity(ln_var), x - mean
    return reduced("gaussian_nll", (ln_var + d * d * exp(-ln_var) + math.log(2 * math.pi)) * 0.5, reduce)


def gaussian_kl_divergence(mean, ln_var, reduce="sum"):
    """KL divergence of independent Gaussians from N(0, 1); shapes broadcast. Kingma and Welling 2013, appendix B.

    reduce: "sum", "mean" or "no".
    """
    check_dtypes("gaussian_kl_divergence", mean=mean, ln_var=ln_var)
    return reduced("gaussian_kl_divergence", (square(mean) + exp(ln_var) - ln_var - 1) * 0.5, reduce)


def contrastive(x0, x1, y, margin=1, reduce="mean"):
    """Half of d^2 for similar pairs (y = 1), of max(margin - d, 0)^2 for others (y = 0), where d = |x0 - x1|.

    x0, x1 (N, K), y (N,) integers; reduce: "mean" or "no". Hadsell et al. 2006; the gradient at d = 0 is 0.
    """
    check_alike("contrastive", x0=x0, x1=x1)
    y = raw(y)
    if x0.ndim != 2 or y.shape != x0.shape[:1] or y.dtype.kind not in "iu":
        raise ValueError(
            "contrastive: expected x0 and x1 (N, K) and y (N,) of integers, got x0 "
            f"{tuple(x0.shape)}, y {tuple(y.shape)} {y.dtype}"
        )
    if margin <= 0:
        raise ValueError(f"contrastive: margin must be > 0, got {margin!r}")
    y = y.astype(x0.dtype)
    d2 = sum(square(identity(x0) - x1), axis=1)
    apart = (raw(d2) != 0).astype(x0.dtype)
    d = sqrt(d2 + (1 - apart)) * apart  # the root has no slope at 0
    return reduced("contrastive", (d2 * y + square(relu(margin - d)) * (1 - y)) * 0.5, reduce, ("mean", "no"))


def triplet(anchor, positive, negative, margin=0.2, reduce="mean"):
    """max(|anchor - positive|^2 - |anchor - negative|^2 + margin, 0) with distances along axis 1 of (N, K, ...).

    reduce: "mean" divides the sum by N, "no" gives (N, ...). Schroff et al. 2015, eq. 3.
    """
    check_alike("triplet", anchor=anchor, positive=positive, negative=negative)
    if anchor.ndim < 2:
        raise ValueError(f"triplet: expected rows (N, K), got shape {tuple(anchor.shape)}")
    check_reduce("triplet", reduce, ("mean", "no"))
    if margin <= 0:
        raise ValueError(f"triplet: margin must be > 0, got {margin!r}")
    anchor = identity(anchor)
    d = sum(square(anchor - positive) - square(anchor - negative), axis=1)
    y = relu(d + margin)
    return y if reduce == "no" else sum(y * (1 / (len(anchor) or 1)))


def hinge(x, t, norm="L1", reduce="mean"):
    """One-against-all hinge loss: max(1 - x, 0) of the right class t, max(1 + x, 0) of the others.

    x (N, C), t (N,) integers; norm "L2" squares each term; reduce: "mean" gives the sum over classes, averaged over
    rows, "no" keeps (N, C).
    """
    t = raw(t)
    if x.ndim != 2 or t.shape != x.shape[:1] or t.dtype.kind not in "iu":
        raise ValueError(
            f"hinge: expected x (N, C) and t (N,) of integers, got x {tuple(x.shape)}, t {tuple(t.shape)} {t.dtype}"
        )
    if norm not in ("L1", "L2"):
        raise ValueError(f"hinge: norm must be 'L1' or 'L2', got {norm!r}")
    check_reduce("hinge", reduce, ("mean", "no"))
    sign = xp_of(t).ones(x.shape, x.dtype)
    try:
        sign[arange_beside(t, len(t)), t] = -1
    except IndexError as error:
        raise IndexError(f"hinge: {error} (got x {tuple(x.shape)})") from error
    y = relu(identity(x) * sign + 1)
    y = y if norm == "L1" else square(y)
    return y if reduce == "no" else sum(y * (1 / (len(x) or 1)))


class Centred(Function):
    """x less its mean over the first axis: a projection, its own transpose."""

    def forward(self, x):
        return x - x.mean(axis=0) if len(x) else x

    def backward(self, gy):
        return gy - gy.mean(axis=0) if len(gy) else gy


def cross_covariance(y, z, reduce="half_squared_sum"):
    """Covariance matrix (Ky, Kz) of the columns of y (N, Ky) and z (N, Kz), or half its squared sum: XCov.

    reduce: "half_squared_sum" or "no". Cheung et al. 2014, eq. 6.
    """
    if y.ndim != 2 or z.ndim != 2 or len(y) != len(z) or y.dtype != z.dtype:
        raise ValueError(
            "cross_covariance: expected y (N, Ky) and z (N, Kz) of one dtype, got y "
            f"{tuple(y.shape)} {y.dtype}, z {tuple(z.shape)} {z.dtype}"
        )
    check_reduce("cross_covariance", reduce, ("half_squared_sum", "no"))
    covariance = matmul(Centred().apply(y) * (1 / (len(y) or 1)), Centred().apply(z), transa=True)
    return covariance if reduce == "no" else sum(square(covariance)) * 0.5
