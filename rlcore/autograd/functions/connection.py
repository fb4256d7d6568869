"""Functions that own weights."""

from __future__ import annotations

import math

import numpy as np

from rlcore.autograd.dual import column_sum, product, raw, zero_like
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import reshape

__all__ = ["linear"]


class Linear(Function):
    saves = "x W"

    def forward(self, x, W, b=None):
        if x.dtype is not W.dtype and x.dtype != W.dtype:  # NumPy would promote in silence
            raise TypeError(f"x is {x.dtype} and W is {W.dtype}; cast x with x.astype({W.dtype.name!r})")
        y = x.dot(W.T)  # half a microsecond less than @ on small matrices
        if b is not None:
            y += b
        return y

    def backward(self, gy, x, W):
        ex, eW, eb = self.edges
        return ex and gy.dot(W), eW and product(x, gy, eW), eb and column_sum(gy, eb)


class LinearRelu(Linear):
    """Linear and ReLU in one vertex, which small layers notice."""

    saves = "x W y"

    def forward(self, x, W, b=None):
        y = Linear.forward(self, x, W, b)
        return np.maximum(y, zero_like(y), out=y)

    def backward(self, gy, x, W, y):  # type: ignore[override]
        return Linear.backward(self, gy * np.sign(raw(y)), x, W)


def linear(x, W, b=None, n_batch_axes=1):
    """x @ W.T + b: x (N, in), W (out, in), b (out,); gives (N, out).

    The first n_batch_axes axes of x are kept, the others count as one.
    """
    if b is not None and b.shape != W.shape[:1]:
        raise ValueError(f"linear: expected b {W.shape[:1]}, one for each row of W, got b {b.shape}")
    if b is not None and b.dtype != W.dtype:
        raise TypeError(f"linear: b is {b.dtype} and W is {W.dtype}; they must have one dtype")
    if x.ndim == 2 and n_batch_axes == 1:
        return Linear().apply(x, W, b)
    if not 1 <= n_batch_axes < x.ndim:
        raise ValueError(
            f"linear: n_batch_axes must be from 1 to {x.ndim - 1} for x {tuple(x.shape)}, got {n_batch_axes}"
        )
    batch, features = tuple(x.shape[:n_batch_axes]), math.prod(x.shape[n_batch_axes:])
    return reshape(Linear().apply(reshape(x, (math.prod(batch), features)), W, b), (*batch, W.shape[0]))
