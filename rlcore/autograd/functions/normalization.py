"""Normalisation by statistics of a batch, of given ones, of a row, of a group of channels, and by length."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import column_sum, ones_for, raw
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import cast, reshape
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

CHUNK = 1 << 16  # elements of a block: with its temporaries it stays in a core's second-level cache
WIDTH = 1024  # elements of a row, where several rows of a few channels may count as one


class Frame:
    """x as (rows, channels) or (images, channels, pixels), as it lies in memory and without a copy if that can be.

    Of the axes, `keys` are the channels. Channels that lie last are repeated `times` times in a row, which keeps the
    inner loops long; the sums over a row's repetitions are folded at the end.
    """

    def __init__(self, x: Any, keys: tuple[int, ...]):
        rest = tuple([i for i in range(x.ndim) if i not in keys])
        self.kept = tuple([x.shape[i] for i in keys])
        self.channels = math.prod(self.kept)
        self.m = x.size // (self.channels or 1)  # elements of a channel
        self.perm: Any = None
        inner = math.prod(x.shape[keys[-1] + 1 :])
        if inner > 1 and x.flags.c_contiguous and keys[-1] - keys[0] == len(keys) - 1:
            self.times, self.pixels = 1, inner
            self.shape: tuple[int, ...] = (self.m // inner, self.channels, inner)
            return
        if keys[0] < len(rest):
            self.perm = (*rest, *keys)
        self.times = self.pixels = 1
        if 2 * self.channels <= WIDTH and x.size >= CHUNK // 2 and isinstance(x, np.ndarray):
            self.times = math.gcd(self.m, 1 << (WIDTH // self.channels).bit_length() - 1)
        self.shape = (self.m // self.times, self.times * self.channels)

    def of(self, x: Any) -> Any:
        """x, or a gradient of its shape, in this frame; float16 as float32."""
        if self.perm is not None:
            x = x.transpose(self.perm)
        if x.dtype == np.float16:
            x = x.astype(np.float32)
        return (x if x.flags.c_contiguous else x.copy()).reshape(self.shape)

    def back(self, y: Any, like: Any) -> Any:
        """The array in this frame with like's axes and dtype."""
        if self.perm is None:
            y = y.reshape(like.shape)
        else:
            y = y.reshape([like.shape[i] for i in self.perm]).transpose([self.perm.index(i) for i in range(like.ndim)])
        return y if y.dtype == like.dtype else y.astype(like.dtype)

    def vector(self, v: Any) -> Any:
        """A value for each channel, as it broadcasts over a block."""
        v = v.reshape(self.channels)
        if self.times > 1:
            return np.tile(v, self.times)
        return v if self.pixels == 1 else v[:, None]

    def blocks(self, *arrays: Any) -> Any:
        """Pieces of some arrays in this frame, small enough for the cache; on a device the whole arrays."""
        n = self.shape[0]
        step = max(1, CHUNK // (math.prod(self.shape[1:]) or 1)) if isinstance(arrays[0], np.ndarray) else n
        if n <= step:
            yield arrays
            return
        for i in range(0, n, step):
            yield [a[i : i + step] for a in arrays]

    def total(self, block: Any) -> Any:
        """A block's sums over all but its channels, the repetitions apart."""
        if self.pixels == 1:
            return ones_for(block).dot(block)
        pixels = block.reshape(-1, self.pixels)
        return pixels.dot(ones_for(pixels.T)).reshape(len(block), self.channels).sum(axis=0)

    def folded(self, sums: list[Any]) -> Any:
        """One sum for each channel out of those of the blocks."""
        if len(sums) == 1 and self.times == 1:
            return sums[0].reshape(self.kept)
        return np.array(sums).reshape(-1, self.channels).sum(axis=0).reshape(self.kept)

    def moments(self, x: Any) -> Any:
        """Mean and variance of each channel, in one pass: blocks' own, merged as by Chan et al. 1979."""
        counts, means, squares = [], [], []
        for (block,) in self.blocks(x):
            n = len(block) * self.pixels or 1
            mean = self.total(block) * (1 / n)
            d = block - (mean if self.pixels == 1 else mean[:, None])
            d *= d
            counts.append(n)
            means.append(mean)
            squares.append(self.total(d))
        m = self.m or 1
        if len(counts) == 1 and self.times == 1:
            return mean.reshape(self.kept), (squares[0] * (1 / m)).reshape(self.kept)
        n = np.repeat(counts, self.times)[:, None].astype(x.dtype)
        each = np.array(means).reshape(-1, self.channels)
        mean = (n * each).sum(axis=0) / m
        d = each - mean
        return mean.reshape(self.kept), (self.folded(squares) + (n * d * d).sum(axis=0).reshape(self.kept)) / m

    def scaled(self, x: Any, a: Any, b: Any = None) -> Any:
        """a * x + b, with values of a and b for each channel."""
        y, a, b = xp_of(x).empty(self.shape, x.dtype), self.vector(a), None if b is None else self.vector(b)
        for from_x, to_y in self.blocks(x, y):
            np.multiply(from_x, a, out=to_y)
            if b is not None:
                to_y += b
        return y

    def sums(self, g: Any, x: Any, mean: Any) -> Any:
        """For each channel the sums of g and of g * (x - mean)."""
        mean, plain, centred = self.vector(mean), [], []
        for from_g, from_x in self.blocks(g, x):
            d = from_x - mean
            d *= from_g
            plain.append(self.total(from_g))
            centred.append(self.total(d))
        return self.folded(plain), self.folded(centred)

    def combined(self, g: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
        """a * g + b * x + c, with values of a, b and c for each channel."""
        y, a, b, c = xp_of(x).empty(self.shape, x.dtype), self.vector(a), self.vector(b), self.vector(c)
        for from_g, from_x, to_y in self.blocks(g, x, y):
            np.multiply(from_g, a, out=to_y)
            to_y += from_x * b
            to_y += c
        return y


def _wide(v: Any) -> Any:
    return v.astype(np.float32) if v.dtype == np.float16 else v


def _narrow(g: Any, like: Any) -> Any:
    return g if g.dtype == like.dtype else g.astype(like.dtype)


class BatchNormalization(Function):
    saves = "x gamma beta mean inv"

    def __init__(self, keys: tuple[int, ...], eps: float, frame: Frame, mean: Any, var: Any):
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


class LayerNormalization(Function):
    saves = "x gamma beta normal inv"

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x, gamma, beta):
        wide = _wide(x)
        ones = ones_for(wide.T)
        d = wide - (wide.dot(ones) * (1 / len(ones)))[:, None]
        self.inv = 1 / np.sqrt((d * d).dot(ones) * (1 / len(ones)) + self.eps)[:, None]
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
            ones = ones_for(normal.T) * (1 / x.shape[1])
            gx = gy * _wide(gamma)
            gx -= gx.dot(ones)[:, None] + normal * (gx * normal).dot(ones)[:, None]
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
    squares = sum(x * x, axis, keepdims=True)
    zero = raw(squares) == 0  # where a square root has no derivative
    return x / (sqrt(squares + zero) - zero + eps)
