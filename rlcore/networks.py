"""Default networks, built from spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.autograd import Link, Sequential, as_array
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import LeCunUniform, Uniform
from rlcore.backend import xp_of


def mlp(
    in_size: int, hidden: Sequence[int], out_size: int, rng: np.random.Generator, activation: Any = F.relu
) -> Sequential:
    """A multi-layer perceptron: x (N, in_size) to (N, out_size), `activation` between the layers.

    Weights and biases are uniform within 1 / sqrt(fan in), PyTorch's default, so that published settings carry over.
    """
    layers: list[Any] = []
    for size, last in [*((n, False) for n in hidden), (out_size, True)]:
        weight = LeCunUniform(scale=1 / math.sqrt(3), rng=rng)
        bias = Uniform(scale=1 / math.sqrt(in_size), rng=rng)
        fused = activation is F.relu and not last
        layers.append(L.Linear(in_size, size, initialW=weight, initial_bias=bias, relu=fused))
        if not (fused or last):
            layers.append(activation)
        in_size = size
    return Sequential(*layers)


class OneHot(Link):
    """Integers (N,) from start on as rows of the identity matrix, (N, n) float32."""

    def __init__(self, n: int, start: int = 0):
        super().__init__()
        self.n, self.start = n, start

    def forward(self, x: Any) -> Any:
        x = as_array(x)
        xp = xp_of(x)
        out = xp.zeros((len(x), self.n), np.float32)
        out[xp.arange(len(x)), x - self.start] = 1
        return out


class Floats(Link):
    """Integer observations as rows of float32."""

    def forward(self, x: Any) -> Any:
        x = as_array(x)
        return x.reshape(len(x), -1).astype(np.float32)


def value_network(observation_space: Any, hidden: Sequence[int], out_size: int, rng: np.random.Generator) -> Sequential:
    """An MLP from observations, Box or Discrete, to out_size values."""
    from gymnasium import spaces

    if isinstance(observation_space, spaces.Discrete):
        n, start = int(observation_space.n), int(observation_space.start)
        return Sequential(OneHot(n, start), *mlp(n, hidden, out_size, rng))
    if not isinstance(observation_space, spaces.Box):
        raise ValueError(f"expected a Box or Discrete observation space, got {observation_space}")
    body = mlp(math.prod(observation_space.shape), hidden, out_size, rng)
    return body if observation_space.dtype.kind == "f" else Sequential(Floats(), *body)
