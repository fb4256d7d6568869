"""Functions that draw random numbers: from `rng`, else from the library's own generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.config import config
from rlcore.autograd.dual import floats, raw, shape_of, traced
from rlcore.autograd.function import Function
from rlcore.autograd.functions.activation import softmax
from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.connection import linear
from rlcore.autograd.functions.linalg import matmul
from rlcore.autograd.functions.math import exp, identity
from rlcore.backend import xp_of
from rlcore.rng import default

__all__ = [
    "dropout",
    "gaussian",
    "gumbel_softmax",
    "simplified_dropconnect",
    "zoneout",
]


def _kept(shape: Any, ratio: float, like: Any, rng: Any) -> Any:
    """An array of like's dtype: 0 with probability `ratio` (to 1 in 65,536), else 1."""
    draws = (rng or default()).integers(0, 65536, shape, np.uint16)  # half the time of as many float32
    kept = draws >= round(ratio * 65536)
    return (kept if isinstance(like, np.ndarray) else xp_of(like).asarray(kept)).astype(like.dtype)


class Dropout(Function):
    saves = "mask"

    def __init__(self, mask: Any):
        self.mask = mask

    def forward(self, x):
        y = x * self.mask
        if y.shape != x.shape:
            raise ValueError(f"a mask of shape {tuple(self.mask.shape)} does not broadcast to the shape of x")
        return y

    def backward(self, gy, mask):
        return gy * mask


def dropout(x, ratio=0.5, *, mask=None, return_mask=False, rng=None):
    """x with elements zeroed with probability `ratio`, the others divided by 1 - ratio; x itself outside training.

    mask: the factors, in place of drawn ones; broadcasts. With return_mask a pair with the mask, None outside training.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"dropout: ratio must lie in [0, 1), got {ratio!r}")
    if not config.train:
        y, mask = x if traced(x) else identity(x), None
    else:
        array = floats("dropout", x)
        if mask is None:
            mask = _kept(array.shape, ratio, array, rng)
            mask *= 1 / (1 - ratio)
        elif mask.dtype != array.dtype:
            mask = mask.astype(array.dtype)
        y = Dropout(mask).apply(x)
    return (y, mask) if return_mask else y


class Gaussian(Function):
    saves = "mean ln_var noise"

    def __init__(self, eps: Any):
        self.eps = eps

    def forward(self, mean, ln_var):
        if mean.shape != ln_var.shape or mean.dtype != ln_var.dtype:
            raise ValueError("mean and ln_var must have one shape and one dtype")
        self.noise = np.exp(ln_var * 0.5) * self.eps
        if self.noise.shape != mean.shape:
            raise ValueError(f"eps of shape {tuple(self.eps.shape)} does not broadcast to the shape of mean")
        return mean + self.noise

    def composite(self, mean, ln_var):  # the noise depends on ln_var
        return mean + exp(ln_var * 0.5) * self.eps

    def backward(self, gy, mean, ln_var, noise):
        e_mean, e_ln_var = self.edges
        return e_mean and gy, e_ln_var and gy * (noise * 0.5)


def gaussian(mean, ln_var, *, eps=None, return_eps=False, rng=None):
    """A reparametrised sample mean + exp(ln_var / 2) * eps, with eps from N(0, 1) where it is not given.

    Kingma and Welling 2013. With return_eps a pair with eps.
    """
    array = floats("gaussian", mean)
    if eps is None:
        kind = np.float64 if array.dtype == np.float64 else np.float32
        eps = xp_of(array).asarray((rng or default()).standard_normal(array.shape, kind))
    if eps.dtype != array.dtype:
        eps = eps.astype(array.dtype)
    y = Gaussian(eps).apply(mean, ln_var)
    return (y, eps) if return_eps else y


def gumbel_softmax(log_pi, tau=0.1, axis=1, *, rng=None):
    """A relaxed one-hot sample along axis: softmax((log_pi + Gumbel noise) / tau).

    log_pi: logarithms of probabilities, normalised or not. Jang et al. 2016, Maddison et al. 2016.
    """
    array = floats("gumbel_softmax", log_pi)
    noise = xp_of(array).asarray((rng or default()).gumbel(size=array.shape)).astype(array.dtype)
    return softmax((log_pi + noise) / tau, axis)


def zoneout(h, x, ratio=0.5, *, rng=None):
    """Each element of the old state h with probability `ratio`, else of the new state x; outside training x.

    Krueger et al. 2016, who take the mean of the two outside training; Chainer takes x.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"zoneout: ratio must lie in [0, 1], got {ratio!r}")
    array = raw(x)
    if raw(h).shape != array.shape or raw(h).dtype != array.dtype:
        raise ValueError(
            f"zoneout: h and x must have one shape and one dtype, got h {tuple(h.shape)} {h.dtype}, x "
            f"{tuple(array.shape)} {array.dtype}"
        )
    if not config.train:
        return identity(x)
    new = _kept(array.shape, ratio, array, rng)
    return identity(h) * (1 - new) + identity(x) * new


def simplified_dropconnect(x, W, b=None, ratio=0.5, train=True, mask=None, use_batchwise_mask=True, *, rng=None):
    """x W^T + b with elements of W zeroed with probability `ratio`, the others divided by 1 - ratio. Wan et al. 2013.

    x (N, ...), W (out, in), b (out,); each row of x has its own mask (N, out, in), or all share one (out, in). Without
    train it is `linear`.
    """
    if not train:
        return linear(x, W, b)
    if not 0 <= ratio < 1:
        raise ValueError(f"simplified_dropconnect: ratio must lie in [0, 1), got {ratio!r}")
    weights, array = raw(W), raw(x)
    if (
        weights.ndim != 2
        or array.size != len(array) * weights.shape[1]
        or array.dtype != weights.dtype
        or (b is not None and b.shape != weights.shape[:1])
    ):
        raise ValueError(
            "simplified_dropconnect: expected x (N, ...) of W's dtype, W (out, in) and b (out,), got x "
            f"{tuple(array.shape)} {array.dtype}, W {tuple(weights.shape)} {weights.dtype}, b {shape_of(b)}"
        )
    shape = (len(array), *weights.shape) if use_batchwise_mask else weights.shape
    if mask is None:
        mask = _kept(shape, ratio, weights, rng)
    elif mask.shape != shape:
        raise ValueError(f"simplified_dropconnect: mask must have shape {tuple(shape)}, got {tuple(mask.shape)}")
    W = identity(W) * (mask.astype(weights.dtype) * (1 / (1 - ratio)))
    if not use_batchwise_mask:
        return linear(x, W, b)
    y = reshape(matmul(W, reshape(x, (len(array), -1, 1))), shape[:2])
    return y if b is None else y + b
