"""Products and decompositions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import sum_to
from rlcore.autograd.function import UFUNCS, Function
from rlcore.autograd.functions.array import transpose

__all__ = [
    "matmul",
]


class Matmul(Function):
    saves = "a b"

    def forward(self, a, b):
        return a @ b

    def backward(self, gy, a, b):
        ea, eb = self.edges
        if a.ndim == 1 or b.ndim == 1:  # as matrices of one row or column
            rows, columns = a.reshape(1, -1) if a.ndim == 1 else a, b.reshape(-1, 1) if b.ndim == 1 else b
            gy = gy.reshape(*gy.shape[: gy.ndim - (a.ndim > 1) - (b.ndim > 1)], rows.shape[-2], columns.shape[-1])
        else:
            rows, columns = a, b
        return (
            ea and sum_to(gy @ _swapped(columns), rows.shape).reshape(a.shape),
            eb and sum_to(_swapped(rows) @ gy, columns.shape).reshape(b.shape),
        )


def _swapped(x: Any) -> Any:
    return x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)


def matmul(a, b, transa=False, transb=False):
    """Matrix product by NumPy's rules for stacks; transa, transb swap an operand's last two axes first."""

    def swapped(x: Any) -> Any:
        return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)) if x.ndim > 1 else x

    return Matmul().apply(swapped(a) if transa else a, swapped(b) if transb else b)


UFUNCS[np.matmul] = Matmul
