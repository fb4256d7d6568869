"""Networks of continuous control, built from spaces: actors, critics, and actions as numbers within [-1, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.autograd import ChainList, Function, Link, Sequential
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.backend import xp_of
from rlcore.bodies import body_of
from rlcore.distributions import SquashedGaussian
from rlcore.distributions.base import normal_noise
from rlcore.distributions.continuous import HALF_LOG_2PI
from rlcore.networks import like_torch, mlp

LOG_STD = -20.0, 2.0  # limits of the logarithm of a deviation (Haarnoja et al. 2018, their code)


class UnitBox:
    """The actions of a Box with finite bounds as rows of `size` numbers within [-1, 1]."""

    def __init__(self, space: Any, agent: str):
        from gymnasium import spaces

        if not (isinstance(space, spaces.Box) and space.dtype.kind == "f" and space.is_bounded("both")):
            raise ValueError(f"{agent} needs a Box of floats with finite bounds as action space, got {space}")
        self.shape, self.size = space.shape, math.prod(space.shape)
        self.low, self.high = space.low.astype(np.float32), space.high.astype(np.float32)
        self.half, self.center = self.high / 2 - self.low / 2, self.high / 2 + self.low / 2

    def to_env(self, unit: Any) -> Any:
        """Actions (N, *shape) for rows of numbers (N, size)."""
        action = unit.reshape(-1, *self.shape) * self.half + self.center
        return np.minimum(np.maximum(action, self.low), self.high)  # rounding may have led out of it

    def exported(self) -> dict[str, Any]:
        """The head, in the words of `rlcore/policy.py`, of a network whose numbers are yet to go through tanh."""
        return {"kind": "box", "squash": True, "shape": list(self.shape), "low": self.low, "high": self.high}


class Actor(Link):
    """Deterministic: observations (N, ...) to actions (N, n) within (-1, 1)."""

    def __init__(self, body: Link, layers: Sequential):
        super().__init__()
        self.body, self.layers = body, layers

    def forward(self, obs: Any) -> Any:
        return F.tanh(self.layers(self.body(obs)))

    def raw(self, obs: Any) -> Any:
        """The numbers (N, n) that tanh makes actions of."""
        return self.layers(self.body(obs))


class GaussianActor(Actor):
    """Observations (N, ...) to a squashed Gaussian over actions (N, n) within (-1, 1); layers give (N, 2 n) numbers."""

    def forward(self, obs: Any) -> SquashedGaussian:
        loc, log_scale = F.split_axis(self.layers(self.body(obs)), 2, axis=1)
        return SquashedGaussian(loc, log_scale=F.clip(log_scale, *LOG_STD))

    def raw(self, obs: Any) -> Any:
        return F.split_axis(self.layers(self.body(obs)), 2, axis=1)[0]

    def draw(self, obs: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        """Actions (N, n) of `forward`'s distribution and their log_prob (N,), with gradients, by one op."""
        out = self.layers(self.body(obs))
        return SquashedDraw().apply(out, normal_noise(out.array, (len(out), out.shape[1] // 2), rng))


class SquashedDraw(Function):
    saves = "y0 inside slope"
    many, composite = True, False

    def forward(self, out: Any, noise: Any) -> Any:
        n = noise.shape[1]
        log_std = out[:, n:].clip(*LOG_STD)
        self.inside = inside = log_std == out[:, n:]
        moved = np.exp(log_std) * noise
        self.slope = moved * inside  # of u by the logarithm of the deviation
        u = out[:, :n] + moved
        size = 2 * abs(u)  # log(1 - tanh(u)^2) = 2 log 2 - size - 2 log(1 + exp(-size))
        log_prob = size + 2 * np.log1p(np.exp(-size)) - log_std - 0.5 * noise * noise
        return np.tanh(u), log_prob.sum(axis=1) - n * (HALF_LOG_2PI + 2 * math.log(2))

    def backward(self, gys: Any, action: Any, inside: Any, slope: Any) -> Any:
        g_action, g_log_prob = gys[0], gys[1]
        g_u = 0 if g_action is None else g_action * (1 - action * action)
        if g_log_prob is not None:
            g_log_prob = g_log_prob[:, None]
            g_u = g_u + 2 * action * g_log_prob
        g_log_std = g_u * slope
        if g_log_prob is not None:
            g_log_std -= g_log_prob * inside
        return xp_of(action).concatenate((g_u, g_log_std), axis=1), None


class Critics(Link):
    """K critics in one: observations (N, ...) and actions (N, n) to values (K, N). They share a body."""

    def __init__(self, body: Link, layers: ChainList):
        super().__init__()
        self.body, self.layers = body, layers

    def forward(self, obs: Any, action: Any) -> Any:
        x = F.concat([self.body(obs), action], axis=1)
        for layer in self.layers:
            x = layer(x)
        return F.reshape(x, x.shape[:2])

    def first(self, obs: Any, action: Any) -> Any:
        """The values (N,) of the first critic alone."""
        x = F.concat([self.body(obs), action], axis=1)
        for layer in self.layers:
            x = F.ensemble_linear(x, layer.W[:1], layer.b[:1], relu=layer.relu)
        return F.reshape(x, (-1,))


def actor(observation_space: Any, hidden: Sequence[int], n: int, rng: np.random.Generator, kind: Any = Actor) -> Any:
    """An Actor (or GaussianActor) of n numbers: an MLP on the body of the observations."""
    body, size = body_of(observation_space, rng)
    return kind(body, mlp(size, hidden, 2 * n if kind is GaussianActor else n, rng))


def critics(observation_space: Any, hidden: Sequence[int], n: int, k: int, rng: np.random.Generator) -> Critics:
    """k critics of actions of n numbers: MLPs that share the body of the observations."""
    body, size = body_of(observation_space, rng)
    layers, size = ChainList(), size + n
    for out in (*hidden, 0):  # 0: the value
        layers.append(like_torch(L.EnsembleLinear, k, size, out or 1, fan_in=size, rng=rng, relu=out > 0))
        size = out
    return Critics(body, layers)
