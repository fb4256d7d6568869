"""Activations that own weights."""

from __future__ import annotations

from typing import Any

from rlcore.autograd.functions import activation
from rlcore.autograd.link import Link
from rlcore.autograd.links.connection import Linear
from rlcore.autograd.parameter import Parameter

__all__ = ["Maxout", "PReLU", "Swish"]


class Maxout(Link):
    """The largest of pool_size linear functions of x for each of out_size outputs (Goodfellow et al. 2013).

    initialW, initial_bias: as in Linear, or arrays of (out_size, pool_size, in_size) and (out_size, pool_size);
    initial_bias None: no bias. in_size None is settled by the first call.
    """

    def __init__(self, in_size: int | None, out_size: int, pool_size: int, initialW: Any = None, initial_bias: Any = 0):
        super().__init__()
        if out_size < 1 or pool_size < 1:
            raise ValueError(f"Maxout: sizes must be positive, got out_size {out_size}, pool_size {pool_size}")
        self.out_size, self.pool_size = out_size, pool_size
        n = out_size * pool_size
        if getattr(initialW, "ndim", 0) == 3:
            initialW = initialW.reshape(n, -1)
        if getattr(initial_bias, "ndim", 0) == 2:
            initial_bias = initial_bias.reshape(n)
        self.linear = Linear(in_size, n, nobias=initial_bias is None, initialW=initialW, initial_bias=initial_bias)

    def forward(self, x: Any) -> Any:
        return activation.maxout(self.linear(x), self.pool_size)


class PReLU(Link):
    """F.prelu with W of the given shape, () for one slope, starting at `init`."""

    def __init__(self, shape: int | tuple[int, ...] = (), init: Any = 0.25):
        super().__init__()
        self.W = Parameter(init, shape)

    def forward(self, x: Any) -> Any:
        return activation.prelu(x, self.W)


class Swish(Link):
    """F.swish with beta of the given shape, starting at `beta_init`; None: one for each element of an example."""

    def __init__(self, beta_shape: int | tuple[int, ...] | None, beta_init: Any = 1.0):
        super().__init__()
        self.beta = Parameter(beta_init, beta_shape)

    def forward(self, x: Any) -> Any:
        if self.beta.array is None:
            self.beta.initialize(x.shape[1:])
        return activation.swish(x, self.beta)
