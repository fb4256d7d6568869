"""Functions that own weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import column_sum, ones_for, product, raw, rectified, summed, traced, where_positive
from rlcore.autograd.function import Function
from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.linalg import matmul
from rlcore.autograd.functions.skinny import LARGE, outer_product, times, times_transposed
from rlcore.backend import xp_of

__all__ = ["bilinear", "embed_id", "ensemble_linear", "linear"]


class Linear(Function):
    saves = "x W"

    def forward(self, x, W, b=None):
        if x.dtype is not W.dtype and x.dtype != W.dtype:  # NumPy would promote in silence
            raise TypeError(f"x is {x.dtype} and W is {W.dtype}; cast x with x.astype({W.dtype.name!r})")
        y = x.dot(W.T) if W.size < LARGE else times(x, W.T)  # half a microsecond less than @ on small matrices
        if b is not None:
            y += b
        return y

    def backward(self, gy, x, W):
        ex, eW, eb = self.edges
        if W.size >= LARGE and not traced(gy):
            return ex and times_transposed(gy, W.T), eW and outer_product(x, gy, eW), eb and column_sum(gy, eb)
        return ex and gy.dot(W), eW and product(x, gy, eW), eb and column_sum(gy, eb)


class LinearRelu(Linear):
    """Linear and ReLU in one vertex, which small layers notice."""

    saves = "x W y"

    def forward(self, x, W, b=None):
        y = Linear.forward(self, x, W, b)
        return rectified(y, out=y)

    def backward(self, gy, x, W, y):  # type: ignore[override]
        return Linear.backward(self, where_positive(gy, raw(y)), x, W)


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
    if x.ndim < 2:
        raise ValueError(f"linear: x {tuple(x.shape)} has no batch axis; x[None] is a batch of one")
    if not 1 <= n_batch_axes < x.ndim:
        raise ValueError(
            f"linear: n_batch_axes must be from 1 to {x.ndim - 1} for x {tuple(x.shape)}, got {n_batch_axes}"
        )
    batch, features = tuple(x.shape[:n_batch_axes]), math.prod(x.shape[n_batch_axes:])
    return reshape(Linear().apply(reshape(x, (math.prod(batch), features)), W, b), (*batch, W.shape[0]))


class EnsembleLinear(Function):
    """K products at once; each goes to BLAS whole if W's memory lies as (K, in, out)."""

    saves = "x W"

    def forward(self, x, W, b=None):
        if x.dtype is not W.dtype and x.dtype != W.dtype:
            raise TypeError(f"x is {x.dtype} and W is {W.dtype}; cast x with x.astype({W.dtype.name!r})")
        y = x @ W.transpose(0, 2, 1)
        if b is not None:
            y += b[:, None]
        return y

    def backward(self, gy, x, W):
        ex, eW, eb = self.edges
        if isinstance(gy, np.ndarray):
            return _by_member(gy, x, W, ex, eW, eb)
        gx = ex and gy @ W
        if ex and x.ndim == 2:
            gx = summed(gx, 0)
        xT = x.T if x.ndim == 2 else x.transpose(0, 2, 1)
        return gx, eW and (xT @ gy).transpose(0, 2, 1), eb and summed(gy, 1)


def _by_member(gy, x, W, ex, eW, eb):
    """EnsembleLinear's backward in NumPy: matmul takes four times as long where a member has one output."""
    K, N, size = gy.shape
    gx = gW = gb = None
    if ex:
        gx = np.empty((K, N, W.shape[2]), gy.dtype)
        for k in range(K):
            gy[k].dot(W[k], out=gx[k])
        if x.ndim == 2:
            gx = summed(gx, 0)
    if eW:
        gW = eW.out(gy.dtype)
        if gW is None or not gW.transpose(0, 2, 1).flags.c_contiguous:
            gW = np.empty((K, W.shape[2], size), gy.dtype).transpose(0, 2, 1)
        for k in range(K):
            (x if x.ndim == 2 else x[k]).T.dot(gy[k], out=gW[k].T)
    if eb:
        gb = eb.out(gy.dtype)
        gb = np.empty((K, size), gy.dtype) if gb is None or not gb.flags.c_contiguous else gb
        one = ones_for(gy[0])
        for k in range(K):
            one.dot(gy[k], out=gb[k])
    return gx, gW, gb


class EnsembleLinearRelu(EnsembleLinear):
    """EnsembleLinear and ReLU in one vertex."""

    saves = "x W y"

    def forward(self, x, W, b=None):
        y = EnsembleLinear.forward(self, x, W, b)
        return rectified(y, out=y)

    def backward(self, gy, x, W, y):  # type: ignore[override]
        return EnsembleLinear.backward(self, where_positive(gy, raw(y)), x, W)


def ensemble_linear(x, W, b=None, *, relu=False):
    """x @ W[k].T + b[k] for each member k: x (K, N, in), or (N, in) for all; W (K, out, in), b (K, out); (K, N, out).

    relu: the result goes through F.relu, in the same vertex.
    """
    given = f"x {tuple(x.shape)}, W {tuple(W.shape)}" + ("" if b is None else f", b {tuple(b.shape)}")
    if W.ndim != 3 or x.ndim not in (2, 3) or x.shape[-1] != W.shape[2] or (x.ndim == 3 and len(x) != len(W)):
        raise ValueError(f"ensemble_linear: expected x (K, N, in) or (N, in) and W (K, out, in), got {given}")
    if b is not None and b.shape != W.shape[:2]:
        raise ValueError(f"ensemble_linear: expected b (K, out), got {given}")
    if b is not None and b.dtype != W.dtype:
        raise TypeError(f"ensemble_linear: b is {b.dtype} and W is {W.dtype}; they must have one dtype")
    return (EnsembleLinearRelu if relu else EnsembleLinear)().apply(x, W, b)


class EmbedID(Function):
    saves = "ids"

    def __init__(self, ids: Any, ignored: Any):
        self.ids, self.ignored = ids, ignored  # the ignored have the id that is one too large

    def forward(self, W):
        self.shape = W.shape
        if self.ignored is None:
            return W[self.ids]
        y = W[self.ids * ~self.ignored]
        y[self.ignored] = 0
        return y

    def backward(self, gy, ids):
        if traced(gy):
            return AddRows(ids, self.ignored, self.shape).apply(gy)
        return _add_rows(gy, ids, self.shape, self.ignored is not None, self.edges[0].out(gy.dtype))


class AddRows(Function):
    """The derivative of EmbedID: zeros of `shape` with the rows of g added at ids."""

    saves = "ids"

    def __init__(self, ids: Any, ignored: Any, shape: tuple[int, ...]):
        self.ids, self.ignored, self.shape = ids, ignored, shape

    def forward(self, g):
        return _add_rows(g, self.ids, self.shape, self.ignored is not None)

    def backward(self, gW, ids):
        op = EmbedID(ids, self.ignored)
        return op.apply(gW) if traced(gW) else op.forward(gW)


def _add_rows(g: Any, ids: Any, shape: Any, ignored: bool, out: Any = None) -> Any:
    """Element by element: with NumPy 2 a quarter of the time of add.at on rows, half that of sorting them first.

    bincount is as fast for few ids and 4 times slower for many; a product with one-hot rows wins below 100 ids.
    """
    xp, (size, width) = xp_of(g), shape
    half = g.dtype.char == "e"
    if out is None or not out.flags.c_contiguous:
        out = xp.empty(shape, g.dtype)
    rows = xp.empty((size + ignored, width), np.float32 if half else g.dtype) if ignored or half else out
    rows[...] = 0
    index = ids.reshape(-1)[:, None] * width + xp.arange(width)
    xp.add.at(rows.reshape(-1), index.ravel(), g.ravel())
    if rows is not out:
        out[...] = rows[:size]
    return out


def embed_id(x, W, ignore_label=None):
    """The rows W[x] of W (V, D) for integers x of any shape: (*x.shape, D); zeros where x is ignore_label."""
    x = raw(x)
    if W.ndim != 2:
        raise ValueError(f"embed_id: expected W (V, D), got W {tuple(W.shape)}")
    if x.dtype.kind not in "iu":
        raise TypeError(f"embed_id: x must hold integers, got {x.dtype}")
    size = W.shape[0]
    ids, ignored = x.astype(np.intp), None if ignore_label is None else x == ignore_label
    if isinstance(ids, np.ndarray):  # on a device the answer would have to be waited for
        wrong = (ids < 0) | (ids >= size)
        if ignored is not None:
            wrong &= ~ignored
        if wrong.any():
            first = ids[wrong].flat[0]
            raise IndexError(f"embed_id: id {first} is out of range for W with {size} rows: ids are 0 to {size - 1}")
    if ignored is not None:
        ids = ids * ~ignored + size * ignored
    return EmbedID(ids, ignored).apply(W)


def bilinear(e1, e2, W, V1=None, V2=None, b=None):
    """sum over i, j of e1[n, i] e2[n, j] W[i, j, k], plus e1 @ V1 + e2 @ V2 + b if these are given: (N, K).

    e1 (N, I), e2 (N, J), W (I, J, K), V1 (I, K), V2 (J, K), b (K,).
    """
    linear_part = (V1, V2, b)
    if any(v is None for v in linear_part) and any(v is not None for v in linear_part):
        raise ValueError("bilinear: V1, V2 and b must be given together or not at all")
    n1, n2 = (math.prod(e.shape[1:]) for e in (e1, e2))
    if W.ndim != 3 or W.shape[:2] != (n1, n2) or e1.shape[0] != e2.shape[0]:
        raise ValueError(
            f"bilinear: expected e1 (N, I), e2 (N, J) and W (I, J, K), got e1 {tuple(e1.shape)}, e2 {tuple(e2.shape)}, "
            f"W {tuple(W.shape)}"
        )
    for name, v in (("e1", e1), ("e2", e2), ("V1", V1), ("V2", V2), ("b", b)):
        if v is not None and v.dtype != W.dtype:  # NumPy would promote in silence
            raise TypeError(f"bilinear: {name} is {v.dtype} and W is {W.dtype}; they must have one dtype")
    N, K = e1.shape[0], W.shape[2]
    e1, e2 = reshape(e1, (N, n1)), reshape(e2, (N, n2))
    outer = reshape(e1, (N, n1, 1)) * reshape(e2, (N, 1, n2))
    y = matmul(reshape(outer, (N, n1 * n2)), reshape(W, (n1 * n2, K)))
    if b is None:
        return y
    if V1.shape != (n1, K) or V2.shape != (n2, K) or b.shape != (K,):
        raise ValueError(
            f"bilinear: expected V1 {(n1, K)}, V2 {(n2, K)} and b {(K,)}, got V1 {tuple(V1.shape)}, "
            f"V2 {tuple(V2.shape)} and b {tuple(b.shape)}"
        )
    return y + matmul(e1, V1) + matmul(e2, V2) + b
