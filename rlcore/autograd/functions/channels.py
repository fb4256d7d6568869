"""Arrays seen as rows of channels, for normalisation: where channels lie in memory, and sums for each of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import ones_for
from rlcore.backend import xp_of

CHUNK = 1 << 16  # elements of a block: with its temporaries it stays in a core's second-level cache
SMALL = 1 << 14  # elements, below which calls cost more than passes over memory
FAR = 64  # mean^2 / var above which sums are taken about the mean, a pass more, lest too many digits cancel
WIDTH = 1024  # elements of a row, where several rows of a few channels may count as one


class Frame:
    """x as (rows, channels) or (images, channels, pixels), as it lies in memory and without a copy if that can be.

    Of the axes, `keys` are the channels. Channels that lie last are repeated `times` times in a row, which keeps the
    inner loops long; the sums over a row's repetitions are folded at the end.
    """

    far = True  # whether products are summed about the mean

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
        if 8 * self.channels <= WIDTH and x.size >= SMALL and isinstance(x, np.ndarray):
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

    def products(self, a: Any, b: Any) -> Any:
        """The sums of a * b, as `total` gives them."""
        if not isinstance(a, np.ndarray) or a.size < SMALL:
            return self.total(a * b)
        return np.einsum("ij,ij->j", a, b) if self.pixels == 1 else np.vecdot(a, b).sum(axis=0)

    def moments(self, x: Any) -> Any:
        """Mean and variance of each channel, in one pass: blocks' own, merged as by Chan et al. 1979."""
        if isinstance(x, np.ndarray) and x.size >= SMALL:
            self.far = False
            mean, var = self._moments(x)
            self.far = bool((mean * mean > FAR * var).any())
            if not self.far:
                return mean, var
        return self._moments(x)

    def _moments(self, x: Any) -> Any:
        counts, means, squares = [], [], []
        for (block,) in self.blocks(x):
            n = len(block) * self.pixels or 1
            mean = self.total(block) * (1 / n)
            if self.far:
                block = block - (mean if self.pixels == 1 else mean[:, None])
            square = self.products(block, block)
            counts.append(n)
            means.append(mean)
            squares.append(square if self.far else square - n * mean * mean)
        m = self.m or 1
        if len(counts) == 1 and self.times == 1:
            return mean.reshape(self.kept), (squares[0] * (1 / m)).reshape(self.kept)
        n = np.repeat(counts, self.times)[:, None]
        each = np.array(means, np.float64).reshape(-1, self.channels)
        mean = (n * each).sum(axis=0) / m
        d = each - mean
        var = (self.folded(squares).reshape(-1) + (n * d * d).sum(axis=0)) / m
        return mean.astype(x.dtype).reshape(self.kept), var.astype(x.dtype).reshape(self.kept)

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
        plain, products, about = [], [], self.vector(mean)
        for from_g, from_x in self.blocks(g, x):
            plain.append(self.total(from_g))
            products.append(self.products(from_g, from_x - about if self.far else from_x))
        g_sum, gx_sum = self.folded(plain), self.folded(products)
        return g_sum, gx_sum if self.far else gx_sum - mean * g_sum

    def combined(self, g: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
        """a * g + b * x + c, with values of a, b and c for each channel."""
        y, a, b, c = xp_of(x).empty(self.shape, x.dtype), self.vector(a), self.vector(b), self.vector(c)
        for from_g, from_x, to_y in self.blocks(g, x, y):
            np.multiply(from_g, a, out=to_y)
            to_y += from_x * b
            to_y += c
        return y
