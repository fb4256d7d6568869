"""Heads: links from `size` numbers of a network to the distribution over actions of a space.

`rows` is the (shape, dtype) of such actions, and `to_env` gives what the environment takes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd import ChainList, Link, Parameter, as_array
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.distributions import Bernoulli, Categorical, Independent, MultiCategorical, Normal, Product
from rlcore.distributions.base import array_like
from rlcore.networks import like_torch
from rlcore.tree import map_


class Choice(Link):
    """Discrete actions: logits (N, n) to a Categorical, of which forbidden actions are no part."""

    def __init__(self, space: Any):
        super().__init__()
        self.size, self.start, self.rows = int(space.n), int(space.start), ((), np.int64)

    def forward(self, out: Any, mask: Any = None) -> Categorical:
        return Categorical(logit=out, mask=mask)

    def to_env(self, action: Any) -> Any:
        return action + self.start if self.start else action

    def exported(self) -> dict[str, Any]:
        return {"kind": "argmax", "start": self.start}


class Choices(Link):
    """MultiDiscrete actions: logits (N, sum of nvec) to a MultiCategorical."""

    def __init__(self, space: Any):
        super().__init__()
        self.nvec, self.start, self.shape = [int(n) for n in np.ravel(space.nvec)], space.start, space.shape
        self.size, self.rows = sum(self.nvec), ((len(self.nvec),), np.int64)

    def forward(self, out: Any) -> MultiCategorical:
        return MultiCategorical(out, self.nvec)

    def to_env(self, action: Any) -> Any:
        return action.reshape(-1, *self.shape) + self.start

    def exported(self) -> dict[str, Any]:
        return {"kind": "choices", "nvec": self.nvec, "start": self.start.tolist(), "shape": list(self.shape)}


class Bits(Link):
    """MultiBinary actions: logits (N, n) to independent Bernoullis."""

    def __init__(self, space: Any):
        super().__init__()
        self.size, self.shape, self.dtype = math.prod(space.shape), space.shape, space.dtype
        self.rows = ((self.size,), np.int64)

    def forward(self, out: Any) -> Independent:
        return Independent(Bernoulli(logit=out))

    def to_env(self, action: Any) -> Any:
        return action.reshape(-1, *self.shape).astype(self.dtype)

    def exported(self) -> dict[str, Any]:
        return {"kind": "bits", "shape": list(self.shape), "dtype": self.dtype.name}


class Gaussian(Link):
    """Box actions: means (N, n) to a diagonal Gaussian with deviations of its own; environments get it clipped."""

    def __init__(self, space: Any, log_std: float):
        super().__init__()
        if space.dtype.kind != "f":
            raise ValueError(f"actions of a Box must be floats, got {space}")
        self.size, self.shape = math.prod(space.shape), space.shape
        self.rows = ((self.size,), np.float32)
        self.low, self.high = space.low.astype(np.float32), space.high.astype(np.float32)
        self.log_std = Parameter(log_std, self.size)

    def forward(self, out: Any) -> Independent:
        return Independent(Normal(out, log_scale=self.log_std))

    def to_env(self, action: Any) -> Any:
        return np.minimum(np.maximum(action.reshape(-1, *self.shape), self.low), self.high)

    def exported(self) -> dict[str, Any]:
        return {"kind": "box", "shape": list(self.shape), "low": self.low, "high": self.high}


class StateDependentNormal(Independent):
    """A diagonal Gaussian around mean (N, n), its noise a linear function of features (N, k), which are constants.

    log_std: of the function's coefficients, (k, n) or (k, 1). Raffin et al. 2021, eq. 8 to 10; its variance is raised
    by 1e-6, as by Stable-Baselines3.
    """

    def __init__(self, mean: Any, features: Any, log_std: Any):
        self.features = as_array(features)
        variance = F.matmul(self.features * self.features, F.exp(2 * log_std)) + 1e-6
        super().__init__(Normal(mean, F.sqrt(variance)))

    def explored(self, coefficients: Any) -> tuple[Any, Any]:
        """The actions (N, n) under noise with these coefficients (N, k, n), and their log_probs, as arrays."""
        action = as_array(self.mean) + (self.features[:, None] @ coefficients)[:, 0]
        return action, self.log_prob(action).array


class StateDependent(Gaussian):
    """Box actions: features (N, size) to means, by a linear layer, and to noise that depends on the state.

    full_std: a deviation for each feature and action, else one for each feature.
    """

    def __init__(self, space: Any, size: int, log_std: float, full_std: bool, rng: np.random.Generator | None):
        super().__init__(space, log_std)
        n, self.size = self.size, size
        self.log_std = Parameter(log_std, (size, n if full_std else 1))
        self.mean = like_torch(L.Linear, size, n, fan_in=size, rng=rng)

    def forward(self, out: Any) -> StateDependentNormal:
        return StateDependentNormal(self.mean(out), out, self.log_std)

    def coefficients(self, n: int, rng: np.random.Generator) -> Any:
        """A draw of the noise function for each of n streams, (n, size, actions)."""
        std = np.exp(self.log_std.array)
        shape = (n, self.size, self.mean.b.array.size)
        return array_like(std, rng.standard_normal(shape, dtype=np.float32)) * std


class Several(ChainList):
    """Dicts and tuples of actions: each part its share of the network's numbers."""

    def __init__(self, heads: Any):
        super().__init__(*(heads.values() if isinstance(heads, dict) else heads))
        self.numbers: Any = dict(zip(heads, range(len(self)))) if isinstance(heads, dict) else tuple(range(len(self)))
        self.rows = map_(lambda i: self[i].rows, self.numbers)
        ends = np.cumsum([head.size for head in self])
        self.size, self.ends = int(ends[-1]), ends[:-1].tolist()

    def forward(self, out: Any) -> Product:
        shares = F.split_axis(out, self.ends, axis=1)
        return Product(map_(lambda i: self[i](shares[i]), self.numbers))

    def to_env(self, action: Any) -> Any:
        if isinstance(action, dict):
            return {key: self[i].to_env(action[key]) for key, i in self.numbers.items()}
        return tuple([head.to_env(part) for head, part in zip(self, action)])

    def exported(self) -> dict[str, Any]:
        return {"kind": "several", "ends": self.ends, "parts": map_(lambda i: self[i].exported(), self.numbers)}


def head_of(space: Any, log_std: float = 0.0) -> Any:
    """A link from `size` numbers to the distribution over a space's actions."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return Several({key: head_of(part, log_std) for key, part in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return Several(tuple([head_of(part, log_std) for part in space.spaces]))
    if isinstance(space, spaces.Box):
        return Gaussian(space, log_std)
    for kind, head in ((spaces.Discrete, Choice), (spaces.MultiDiscrete, Choices), (spaces.MultiBinary, Bits)):
        if isinstance(space, kind):
            return head(space)
    raise ValueError(f"expected actions of Discrete, MultiDiscrete, MultiBinary, Box, Dict or Tuple, got {space}")
