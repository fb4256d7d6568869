"""Products of few rows with a large matrix, as many products small enough that OpenBLAS does not pack the matrix.

Packing reads and writes the matrix once more than the product itself: with 8 rows and 3136 x 512 weights the three
products of a linear layer take half of the time without, with 32 rows seven tenths.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from rlcore.autograd.functions.parts import in_parts, scratch
from rlcore.backend import xp_of

SMALL = 1_000_000  # multiplications up to which OpenBLAS does not pack
LARGE = 1 << 18  # elements of a matrix worth the trouble


@lru_cache(1024)
def part(n: int, most: int) -> int:
    """The largest divisor of n up to `most`."""
    return max([d for d in range(1, min(n, max(1, most)) + 1) if n % d == 0], default=1)


def skinny(rows: int, M: Any) -> bool:
    """Whether a product of `rows` rows with M (in, out) is worth doing in parts: M is large and on the host."""
    return 2 <= rows <= 32 and M.size >= LARGE and isinstance(M, np.ndarray) and M.flags.c_contiguous


def _products(A: Any, B: Any, out: Any) -> None:
    """out[i] = A[i] @ B[i], dealt to threads; one B may serve all."""

    def some(i: int, j: int, totals: Any) -> None:
        np.matmul(A[i:j], B[i:j] if len(B) > 1 else B, out=out[i:j])

    in_parts(len(A), 0, some, out)


def times(x: Any, M: Any) -> Any:
    """x @ M for x (n, in), M (in, out)."""
    n, (k, m) = len(x), M.shape
    if not skinny(n, M):
        return x.dot(M)
    b = part(m, 128)
    a = part(k, SMALL // (n * b))
    if a < 32 or b < 32:
        return x.dot(M)
    xs = x.reshape(n, k // a, 1, a).transpose(1, 2, 0, 3)
    T = scratch.take("products", (k // a, m // b, n, b), x)
    _products(xs, M.reshape(k // a, a, m // b, b).transpose(0, 2, 1, 3), T)
    return T.sum(axis=0).transpose(1, 0, 2).reshape(n, m)


def times_transposed(g: Any, M: Any) -> Any:
    """g @ M.T for g (n, out), M (in, out)."""
    n, (k, m) = len(g), M.shape
    if not skinny(n, M):
        return g.dot(M.T)
    a = part(k, SMALL // (n * m))
    if a < 16:
        return g.dot(M.T)
    T = scratch.take("products", (k, n), g)
    _products(M.reshape(k // a, a, m), np.ascontiguousarray(g.T)[None], T.reshape(k // a, a, n))
    return np.ascontiguousarray(T.T)


def outer_product(x: Any, g: Any, vertex: Any) -> Any:
    """(x.T @ g).T for x (n, in), g (n, out): the gradient of a weight (out, in), written where it will live."""
    n, k, m = len(x), x.shape[1], g.shape[1]
    out = vertex.out(g.dtype)
    if out is None or not out.T.flags.c_contiguous:
        out = xp_of(g).empty((k, m), g.dtype).T
    a = part(k, SMALL // max(1, n * m))
    if a >= 16 and skinny(n, out.T):
        T = scratch.take("products", (k, n), x)
        T[...] = x.T
        _products(T.reshape(k // a, a, n), g[None], out.T.reshape(k // a, a, m))
    else:
        xp_of(g).dot(x.T, g, out=out.T)
    return out
