"""Normalisation by statistics of a batch, of given ones, of a row, of a group of channels, and by length."""

from __future__ import annotations

import math

import numpy as np

from rlcore.autograd.dual import column_sum, floats, ones_for, raw
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import cast, reshape
from rlcore.autograd.functions.channels import Frame
from rlcore.autograd.functions.linalg import matmul
from rlcore.autograd.functions.math import sqrt
from rlcore.autograd.functions.reduction import average, sum
from rlcore.backend import xp_of

__all__ = [
    "batch_normalization",
    "batch_renormalization",
    "fixed_batch_normalization",
    "fixed_batch_renormalization",
    "group_normalization",
    "layer_normalization",
    "local_response_normalization",
    "normalize",
]


def _wide(v):
    return v.astype(np.float32) if v.dtype == np.float16 else v


def _narrow(g, like):
    return g if g.dtype == like.dtype else g.astype(like.dtype)


class BatchNormalization(Function):
    saves = "x gamma beta mean inv"

    def __init__(self, keys: tuple[int, ...], eps: float, frame: Frame, mean, var):
        self.keys, self.eps, self.frame, self.mean, self.inv = keys, eps, frame, mean, 1 / np.sqrt(var + eps)

    def forward(self, x, gamma, beta):
        frame, a = self.frame, _wide(gamma) * self.inv
        return frame.back(frame.scaled(frame.of(x), a, _wide(beta) - a * self.mean), x)

    def composite(self, x, gamma, beta):  # the moments depend on x
        wide = cast(x, np.float32) if x.dtype == np.float16 else x
        rest = tuple([i for i in range(x.ndim) if i not in self.keys])
        d = wide - average(wide, rest, keepdims=True)
        scale = 1 / sqrt(average(d * d, rest, keepdims=True) + self.eps)
        return _affine(d * scale, gamma, beta, self.keys, x.dtype)

    def backward(self, gy, x, gamma, beta, mean, inv):
        ex, egamma, ebeta = self.edges
        frame = self.frame
        g3, x3 = frame.of(gy), frame.of(x)
        g_sum, gx_sum = frame.sums(g3, x3, mean)
        ggamma, gx = gx_sum * inv, None
        if ex is not None:
            a, m = _wide(gamma) * inv, frame.m or 1
            b = a * inv * ggamma * (-1 / m)
            gx = frame.back(frame.combined(g3, x3, a, b, a * g_sum * (-1 / m) - b * mean), x)
        return gx, egamma and _narrow(ggamma, gamma), ebeta and _narrow(g_sum, beta)


def _affine(x, gamma, beta, keys, dtype):
    """gamma * x + beta with values for each index along the axes `keys`, by ops."""
    shape = [n if i in keys else 1 for i, n in enumerate(x.shape)]
    y = x * cast(reshape(gamma, shape), x.dtype) + cast(reshape(beta, shape), x.dtype)
    return y if y.dtype == dtype else cast(y, dtype)


def _keys(name, x, gamma, axis, **others):
    """The axes that keep their statistics apart, after a look at the shapes and dtypes of all arguments."""
    floats(name, x)
    if axis is None:
        keys = tuple(range(1, 1 + gamma.ndim))
    else:
        axes = [axis] if isinstance(axis, int) else list(axis)
        if not all(-x.ndim <= a < x.ndim for a in axes):
            raise ValueError(f"{name}: axis {axis} is out of range for x of shape {tuple(x.shape)}")
        keys = tuple([i for i in range(x.ndim) if i not in axes and i - x.ndim not in axes])
    kept = tuple([x.shape[i] for i in keys if i < x.ndim])
    for argument, v in {"gamma": gamma, **others}.items():
        if v is None:
            continue
        if tuple(v.shape) != kept or not keys:
            raise ValueError(
                f"{name}: {argument} must have the shape {kept} of the axes {keys} of x, which are not averaged over; "
                f"got {argument} {tuple(v.shape)} for x {tuple(x.shape)}"
            )
        if v.dtype != x.dtype and not (x.dtype == np.float16 and v.dtype == np.float32):
            raise TypeError(f"{name}: x is {x.dtype} and {argument} is {v.dtype}; they must have one dtype")
    return keys


def _moments(x, keys):
    array = raw(x)
    frame = Frame(array, keys)
    return frame, *frame.moments(frame.of(array))


def _update(running_mean, running_var, decay, mean, var, m):
    """Move running moments towards a batch's, of m elements for each mean; the variance is corrected to be unbiased."""
    for running, new in ((running_mean, mean), (running_var, var * (m / max(m - 1, 1)))):
        if running is not None:
            running *= decay
            running += (1 - decay) * new.astype(running.dtype)


def batch_normalization(x, gamma, beta, eps=2e-5, running_mean=None, running_var=None, decay=0.9, axis=None):
    """gamma * (x - mean) / sqrt(var + eps) + beta, moments over the axes `axis` (Ioffe and Szegedy 2015).

    axis None: over all but those from 1 on that gamma has. running_mean and running_var, if given, are moved in place:
    decay times the old plus 1 - decay times the batch's, the variance corrected by m / (m - 1).
    """
    keys = _keys("batch_normalization", x, gamma, axis, beta=beta, running_mean=running_mean, running_var=running_var)
    frame, mean, var = _moments(x, keys)
    y = BatchNormalization(keys, eps, frame, mean, var).apply(x, gamma, beta)
    if running_mean is not None or running_var is not None:
        _update(running_mean, running_var, decay, mean, var, frame.m)
    return y


class FixedBatchNormalization(Function):
    saves = "x gamma beta mean var"

    def __init__(self, keys: tuple[int, ...], eps: float):
        self.keys, self.eps = keys, eps

    def forward(self, x, gamma, beta, mean, var):
        self.frame = frame = Frame(x, self.keys)
        a = _wide(gamma) / np.sqrt(_wide(var) + self.eps)
        return frame.back(frame.scaled(frame.of(x), a, _wide(beta) - a * _wide(mean)), x)

    def composite(self, x, gamma, beta, mean, var):
        shape = [n if i in self.keys else 1 for i, n in enumerate(x.shape)]
        wide = cast(x, np.float32) if x.dtype == np.float16 else x
        mean, var = (cast(reshape(v, shape), wide.dtype) for v in (mean, var))
        return _affine((wide - mean) / sqrt(var + self.eps), gamma, beta, self.keys, x.dtype)

    def backward(self, gy, x, gamma, beta, mean, var):
        ex, egamma, ebeta, emean, evar = self.edges
        frame = self.frame
        g3 = frame.of(gy)
        inv = 1 / np.sqrt(_wide(var) + self.eps)
        a = _wide(gamma) * inv
        gx = ex and frame.back(frame.scaled(g3, a), x)
        if egamma is None and ebeta is None and emean is None and evar is None:
            return gx, None, None, None, None
        g_sum, gx_sum = frame.sums(g3, frame.of(x), _wide(mean))
        return (
            gx,
            egamma and _narrow(gx_sum * inv, gamma),
            ebeta and _narrow(g_sum, beta),
            emean and _narrow(-a * g_sum, mean),
            evar and _narrow(-0.5 * a * inv * inv * gx_sum, var),
        )


def fixed_batch_normalization(x, gamma, beta, mean, var, eps=2e-5, axis=None):
    """gamma * (x - mean) / sqrt(var + eps) + beta for given moments; axis as in `batch_normalization`."""
    keys = _keys("fixed_batch_normalization", x, gamma, axis, beta=beta, mean=mean, var=var)
    return FixedBatchNormalization(keys, eps).apply(x, gamma, beta, mean, var)


def batch_renormalization(
    x, gamma, beta, rmax, dmax, eps=2e-5, running_mean=None, running_var=None, decay=0.9, update_statistics=False
):
    """Batch normalisation drawn towards the running moments, within rmax and dmax (Ioffe 2017, eq. 1).

    running_mean and running_var are required, and moved as by `batch_normalization` if update_statistics.
    """
    if running_mean is None or running_var is None:
        raise TypeError("batch_renormalization: running_mean and running_var are required")
    keys = _keys("batch_renormalization", x, gamma, None, beta=beta, running_mean=running_mean, running_var=running_var)
    frame, mean, var = _moments(x, keys)
    sigma = np.sqrt(running_var + eps)
    r = (np.sqrt(var + eps) / sigma).clip(1 / rmax, rmax).astype(gamma.dtype)
    d = ((mean - running_mean) / sigma).clip(-dmax, dmax).astype(gamma.dtype)
    y = BatchNormalization(keys, eps, frame, mean, var).apply(x, gamma * r, beta + gamma * d)
    if update_statistics:
        _update(running_mean, running_var, decay, mean, var, frame.m)
    return y


def fixed_batch_renormalization(x, gamma, beta, mean, var, eps=2e-5):
    """`fixed_batch_normalization`, to which batch renormalisation comes down in test mode."""
    return fixed_batch_normalization(x, gamma, beta, mean, var, eps)


def group_normalization(x, groups, gamma, beta, eps=1e-5):
    """Normalisation of each example over groups of neighbouring channels, axis 1 (Wu and He 2018)."""
    if x.ndim < 2 or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"group_normalization: axis 1 of x {tuple(x.shape)} does not divide into {groups} groups")
    _keys("group_normalization", x, gamma, [i for i in range(x.ndim) if i != 1], beta=beta)
    n, xp = x.shape[0] * groups, xp_of(raw(x))
    flat = reshape(x, (1, n, x.size // (n or 1)))
    op = BatchNormalization((1,), eps, *_moments(flat, (1,)))
    y = op.apply(flat, xp.ones(n, x.dtype), xp.zeros(n, x.dtype))
    return _affine(reshape(y, x.shape), gamma, beta, (1,), x.dtype)


def _row_products(a, b):
    return np.vecdot(a, b) if isinstance(a, np.ndarray) else (a * b).sum(axis=1)


class LayerNormalization(Function):
    saves = "x gamma beta normal inv"

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x, gamma, beta):
        wide = _wide(x)
        share = 1 / (x.shape[1] or 1)
        d = wide - (wide.dot(ones_for(wide.T)) * share)[:, None]
        self.inv = 1 / np.sqrt(_row_products(d, d) * share + self.eps)[:, None]
        d *= self.inv
        self.normal = d
        y = d * _wide(gamma)
        y += _wide(beta)
        return _narrow(y, x)

    def composite(self, x, gamma, beta):  # the moments depend on x
        wide = cast(x, np.float32) if x.dtype == np.float16 else x
        d = wide - average(wide, 1, keepdims=True)
        return _affine(d / sqrt(average(d * d, 1, keepdims=True) + self.eps), gamma, beta, (1,), x.dtype)

    def backward(self, gy, x, gamma, beta, normal, inv):
        ex, egamma, ebeta = self.edges
        gy, gx = _wide(gy), None
        gn = gy * normal
        if ex is not None:
            share = 1 / (x.shape[1] or 1)
            gx = gy * _wide(gamma)
            mean = (gx.dot(ones_for(gx.T)) * share)[:, None]
            gx -= normal * (_row_products(gx, normal) * share)[:, None]
            gx -= mean
            gx *= inv
            gx = _narrow(gx, x)
        return (
            gx,
            egamma and _columns(gn, egamma, gamma),
            ebeta and _columns(gy, ebeta, beta),
        )


def _columns(g, edge, like):
    return column_sum(g, edge) if g.dtype == like.dtype else ones_for(g).dot(g).astype(like.dtype)


def layer_normalization(x, gamma, beta, eps=1e-5):
    """Normalisation of each row of x (..., D) to mean 0 and variance 1, then gamma * x + beta (Ba et al. 2016)."""
    _keys("layer_normalization", x, gamma, range(x.ndim - 1), beta=beta)
    if x.ndim == 2:
        return LayerNormalization(eps).apply(x, gamma, beta)
    rows = reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    return reshape(LayerNormalization(eps).apply(rows, gamma, beta), x.shape)


def local_response_normalization(x, n=5, k=2, alpha=1e-4, beta=0.75):
    """x / (k + alpha * sum of squares over n neighbouring channels)^beta (Krizhevsky et al. 2012, section 3.3)."""
    at = xp_of(raw(x)).arange(x.shape[1])
    near = (abs(at[:, None] - at) <= n // 2).astype(x.dtype)
    squares = matmul(near, reshape(x * x, (x.shape[0], x.shape[1], x.size // (x.shape[0] * x.shape[1] or 1))))
    return x * (k + alpha * reshape(squares, x.shape)) ** -beta


def normalize(x, eps=1e-5, axis=1):
    """x / (its length along axis + eps); the gradient at length 0 is 1 / eps."""
    if x.dtype.char == "e":  # squares of halves soon are inf or 0
        return cast(normalize(cast(x, np.float32), eps, axis), x.dtype)
    squares = sum(x * x, axis, keepdims=True)
    zero = raw(squares) == 0  # where a square root has no derivative
    return x / (sqrt(squares + zero) - zero + eps)
