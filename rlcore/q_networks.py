"""Networks of action values, built from spaces: plain, dueling or noisy; a number, probabilities or quantiles each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from rlcore.autograd import Function, Link, Sequential, config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.dual import scatter, traced
from rlcore.autograd.functions.indexing import arange_beside
from rlcore.autograd.initializers import Constant, Uniform
from rlcore.backend import xp_of
from rlcore.bodies import Rows, Unchanged, body_of, followed, one_image
from rlcore.networks import like_torch


def q_network(
    observation_space: Any,
    n_actions: int,
    hidden: Sequence[int],
    rng: np.random.Generator | None = None,
    *,
    outputs: int = 1,
    dueling: bool = False,
    sigma0: float | None = None,
) -> Link:
    """An MLP from observations to `outputs` numbers for each action, (N, n_actions * outputs); NatureCNN on one image.

    dueling: value and advantages have a last hidden layer each (Wang et al. 2016). sigma0: all linear layers are noisy,
    with this scale at the start (Fortunato et al. 2018). An image has 512 hidden units, whatever `hidden` says.
    """
    plain = not dueling and sigma0 is None
    body, size = body_of(observation_space, rng, 512 if plain else None)
    if one_image(body):
        hidden = () if plain else (512,)

    def dense(in_size: int, hidden: Sequence[int], *last: int) -> list[Link]:
        sizes = [in_size, *hidden, *last]
        return [linear(a, b, relu=i < len(hidden)) for i, (a, b) in enumerate(pairwise(sizes))]

    def linear(in_size: int, out_size: int, relu: bool) -> Link:
        if sigma0 is not None:
            return Noisy(in_size, out_size, sigma0, relu, rng)
        return like_torch(L.Linear, in_size, out_size, fan_in=in_size, rng=rng, relu=relu)

    if dueling:
        layers, own = dense(size, hidden[:-1]), hidden[-1:]
        size = hidden[-2] if len(hidden) > 1 else size
        value, advantage = (L.Stack(*dense(size, own, n * outputs)) for n in (1, n_actions))
        layers.append(Dueling(value, advantage, n_actions))
    else:
        layers = dense(size, hidden, n_actions * outputs)
    if isinstance(body, (Unchanged, Rows)) and observation_space.shape:  # a linear layer takes rows of any shape
        return L.Stack(*layers)
    return L.Stack(*body, *layers) if isinstance(body, Sequential) else followed(body, layers)


class Dueling(Link):
    """The value, and the advantages less their mean: (N, features) to (N, n_actions * outputs). Wang et al., eq. 9."""

    def __init__(self, value: Link, advantage: Link, n_actions: int):
        super().__init__()
        self.value, self.advantage, self.n_actions = value, advantage, n_actions

    def forward(self, x: Any) -> Any:
        n = len(x)
        value, advantage = F.reshape(self.value(x), (n, 1, -1)), F.reshape(self.advantage(x), (n, self.n_actions, -1))
        return F.reshape(advantage - F.average(advantage, axis=1, keepdims=True) + value, (n, -1))


class Noisy(L.NoisyLinear):
    """A linear layer whose weights have noise, drawn from `rng` at each call; while that is None there is none."""

    rng: np.random.Generator | None = None

    def __init__(self, in_size: int, out_size: int, sigma0: float, relu: bool, init: np.random.Generator | None):
        super().__init__(None, out_size, sigma0=sigma0)
        self.relu = relu
        bound = 1 / math.sqrt(in_size)
        weights: Any = (self.W, self.sigma_W, (out_size, in_size)), (self.b, self.sigma_b, (out_size,))
        for mean, sigma, shape in weights:
            mean.initializer, sigma.initializer = Uniform(bound, rng=init), Constant(sigma0 * bound)
            mean.initialize(shape)
            sigma.initialize(shape)

    def forward(self, x: Any) -> Any:  # type: ignore[override]  # noise is not given
        if x.ndim != 2:
            x = F.reshape(x, (len(x), -1))
        y = F.linear(x, self.W, self.b) if self.rng is None else super().forward(x, noise=self.draw(self.rng))
        return F.relu(y) if self.relu else y


def is_noisy(link: Link) -> bool:
    """Whether there is a noisy layer in it."""
    return any(isinstance(layer, Noisy) for layer in link.links())


def with_noise(link: Link, rng: np.random.Generator | None) -> Link:
    """The link, its noisy layers drawing from rng from now on; a view's layers do so apart from the link's."""
    for layer in link.links():
        if isinstance(layer, Noisy):
            layer.rng = rng
    return link


class Distributional(Link):
    """model(obs) as `n_outputs` numbers for each action."""

    def __init__(self, model: Link, n_actions: int):
        super().__init__()
        self.model, self.n_actions = model, n_actions

    def outputs(self, obs: Any) -> Any:
        """(N, n_actions, outputs)."""
        out = self.model(obs)
        return F.reshape(out, (len(out), self.n_actions, -1))


class CategoricalQ(Distributional):
    """Returns with probabilities on fixed atoms: a call gives their means (N, A), `outputs` the logits (N, A, K)."""

    def __init__(self, model: Link, n_actions: int, v_min: float, v_max: float, n_atoms: int):
        super().__init__(model, n_actions)
        self.add_persistent("atoms", np.linspace(v_min, v_max, n_atoms, dtype=config.dtype))

    def forward(self, obs: Any) -> Any:
        return F.sum(F.softmax(self.outputs(obs), axis=2) * self.atoms, axis=2)


class QuantileQ(Distributional):
    """Returns as quantiles of equal weight: a call gives their means (N, A), `outputs` the quantiles (N, A, K)."""

    def forward(self, obs: Any) -> Any:
        return F.average(self.outputs(obs), axis=2)


class ActionRows(Function):
    saves = "index"

    def forward(self, x: Any, action: Any) -> Any:
        self.shape, self.index = x.shape, (arange_beside(action, len(action)), action)
        return x[self.index]

    def backward(self, gy: Any, index: Any) -> Any:
        if traced(gy):
            return scatter(gy, index, self.shape), None
        gx = xp_of(gy).zeros(self.shape, gy.dtype)
        gx[index] = gy  # each row once: nothing to add up
        return gx, None


def of_actions(x: Any, action: Any) -> Any:
    """x[i, action[i]] for every row i: (N, A, ...) and (N,) to (N, ...)."""
    return ActionRows().apply(x, action)
