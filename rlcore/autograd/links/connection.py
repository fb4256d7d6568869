"""Links that own weights."""

from __future__ import annotations

import math
from typing import Any

from rlcore.autograd.functions import activation, connection
from rlcore.autograd.link import Link
from rlcore.autograd.parameter import Parameter

__all__ = ["Linear"]


class Linear(Link):
    """x @ W.T + b with W (out_size, in_size), b (out_size,); in_size None is settled by the first call.

    `Linear(n)` is `Linear(None, n)`. initialW: LeCunNormal if None; initial_bias: zeros if None. relu: the result goes
    through F.relu, in one vertex with the product.
    """

    def __init__(
        self,
        in_size: int | None,
        out_size: int | None = None,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
        *,
        relu: bool = False,
    ):
        super().__init__()
        if out_size is None:
            in_size, out_size = None, in_size
        if out_size is None or out_size < 1 or (in_size is not None and in_size < 1):
            raise ValueError(f"Linear: sizes must be positive integers, got in_size {in_size}, out_size {out_size}")
        self.out_size, self.relu = out_size, relu
        self._op = connection.LinearRelu if relu else connection.Linear
        self.W = Parameter(initialW, None if in_size is None else (out_size, in_size), order=(1, 0))
        self.b = None if nobias else Parameter(0 if initial_bias is None else initial_bias, out_size)

    def forward(self, x: Any, n_batch_axes: int = 1) -> Any:
        if x.ndim == 2 and self.W.array is not None and n_batch_axes == 1:
            return self._op().apply(x, self.W, self.b)  # past the checks of F.linear, which hold here
        if self.W.array is None:
            if x.ndim <= n_batch_axes:
                raise ValueError(f"linear: x of shape {tuple(x.shape)} has no axis beside the first {n_batch_axes}")
            self.W.initialize((self.out_size, math.prod(x.shape[n_batch_axes:])))
        y = connection.linear(x, self.W, self.b, n_batch_axes)
        return activation.relu(y) if self.relu else y
