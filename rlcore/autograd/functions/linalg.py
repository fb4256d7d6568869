"""Products, inverses and decompositions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, sum_to, traced
from rlcore.autograd.function import UFUNCS, Function
from rlcore.autograd.functions.array import reshape
from rlcore.backend import xp_of

__all__ = ["batch_det", "batch_inv", "batch_matmul", "cholesky", "det", "inv", "matmul"]


class Matmul(Function):
    saves = "a b"
    trans: Any = None  # whether a, and whether b, is transposed first: here, for a vertex less

    def forward(self, a, b):
        if self.trans:
            a, b = map(_swapped, (a, b), self.trans)
        return a @ b

    def backward(self, gy, a, b):
        if self.trans is None:
            return self.gradients(gy, a, b)
        gs = self.gradients(gy, *map(_swapped, (a, b), self.trans))
        return [g if g is None else _swapped(g, swap) for g, swap in zip(gs, self.trans)]

    def gradients(self, gy, a, b):
        ea, eb = self.edges
        if a.ndim == b.ndim == 2:
            return ea and gy @ b.T, eb and a.T @ gy
        rows, columns = a.reshape(1, -1) if a.ndim == 1 else a, b.reshape(-1, 1) if b.ndim == 1 else b
        gy = gy.reshape(*gy.shape[: gy.ndim - (a.ndim > 1) - (b.ndim > 1)], rows.shape[-2], columns.shape[-1])
        return (
            ea and sum_to(gy @ _swapped(columns), rows.shape).reshape(a.shape),
            eb and sum_to(_swapped(rows) @ gy, columns.shape).reshape(b.shape),
        )


def _swapped(x: Any, swap: bool = True) -> Any:
    """x with its last two axes exchanged, if it has two."""
    if x.ndim == 2 and swap:
        return x.T
    return x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2) if x.ndim > 2 and swap else x


def matmul(a, b, transa=False, transb=False):
    """Matrix product by NumPy's rules for stacks; transa, transb swap an operand's last two axes first."""
    op = Matmul()
    if transa or transb:
        op.trans = transa, transb
    return op.apply(a, b)


def batch_matmul(a, b, transa=False, transb=False):
    """Matrix product of a[i] and b[i]: (N, m, k) and (N, k, n) give (N, m, n); (N, k) stands for (N, k, 1)."""
    if not (a.ndim in (2, 3) and b.ndim in (2, 3)):
        raise ValueError(f"batch_matmul: expected a and b of two or three axes, got shapes {a.shape} and {b.shape}")
    a, b = (reshape(x, (*x.shape, 1)) if x.ndim == 2 else x for x in (a, b))
    return matmul(a, b, transa, transb)


def _solver(name: str, x: Any) -> Any:
    """numpy.linalg's or cupy.linalg's function, in single precision for halves."""
    y = getattr(xp_of(x).linalg, name)(x.astype(np.float32) if x.dtype == np.float16 else x)
    return y.astype(x.dtype) if x.dtype == np.float16 else y


class Inv(Function):
    saves = "y"

    def forward(self, a):
        return _solver("inv", a)

    def backward(self, gy, y):
        return -(_swapped(y) @ gy @ _swapped(y))


def _square(name: str, a: Any, ndim: int) -> Any:
    if a.ndim != ndim or a.shape[-1] != a.shape[-2]:
        what = "a square matrix" if ndim == 2 else "a stack (N, n, n) of square matrices"
        raise ValueError(f"{name}: expected {what}, got shape {a.shape}")
    return a


def inv(a):
    """Inverse of a square matrix; ValueError if it is singular."""
    return Inv().apply(_square("inv", a, 2))


def batch_inv(a):
    """Inverse of each a[i]: a (N, n, n); ValueError if one is singular."""
    return Inv().apply(_square("batch_inv", a, 3))


class Det(Function):
    saves = "a y"

    def forward(self, a):
        return _solver("det", a)

    def backward(self, gy, a, y):
        try:
            inverse = Inv().apply(a) if traced(a) else _solver("inv", a)
        except ValueError:
            raise ValueError(f"det: the gradient needs inverses, and a matrix in a {a.shape} is singular") from None
        return (gy * y)[..., None, None] * _swapped(inverse)


def det(a):
    """Determinant of a square matrix; a singular one has no gradient here: backward() raises ValueError."""
    return Det().apply(_square("det", a, 2))


def batch_det(a):
    """Determinant of each a[i]: a (N, n, n) gives (N,); backward() raises ValueError if one is singular."""
    return Det().apply(_square("batch_det", a, 3))


class Cholesky(Function):
    saves = "y"

    def forward(self, a):
        return _solver("cholesky", a)

    def backward(self, gy, y):
        """Iain Murray, Differentiation of the Cholesky decomposition (2016), eq. 10."""
        xp, n = xp_of(raw(y)), y.shape[-1]
        lower = xp.tril(xp.ones((n, n), y.dtype)) * (1 - 0.5 * xp.eye(n, dtype=y.dtype))
        inverse = Inv().apply(y) if traced(y) else _solver("inv", y)
        g = _swapped(inverse) @ ((_swapped(y) @ gy) * lower) @ inverse
        return 0.5 * (g + _swapped(g))


def cholesky(a):
    """Lower triangular L with L L^T = a, for a positive definite (..., n, n), of which only the lower half is read.

    The gradient is symmetric. ValueError if a matrix is not positive definite.
    """
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ValueError(f"cholesky: expected square matrices, got shape {a.shape}")
    return Cholesky().apply(a)


UFUNCS[np.matmul] = Matmul
