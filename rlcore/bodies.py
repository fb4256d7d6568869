"""Bodies: links from observations of any space to rows of features, and the mask of actions that may come with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.autograd import ChainList, Link, as_array, config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.networks import Floats, NatureCNN, OneHot, OneHotRows, Rows, image_network

MASK = "action_mask"  # the key of an observation that tells which actions are allowed


def split_mask(observation_space: Any, action_space: Any) -> tuple[bool, Any]:
    """Whether observations bring a mask of the actions, and the space of the rest; ValueError if it does not fit."""
    from gymnasium import spaces

    if not (isinstance(observation_space, spaces.Dict) and MASK in observation_space.spaces):
        return False, observation_space
    if not isinstance(action_space, spaces.Discrete):
        raise ValueError(f"an observation with {MASK!r} goes with Discrete actions, got {action_space}")
    mask = observation_space.spaces[MASK]
    if mask.shape != (int(action_space.n),):
        raise ValueError(f"{MASK!r} must have one element for each action, ({action_space.n},), got {mask}")
    rest = spaces.Dict({key: part for key, part in observation_space.spaces.items() if key != MASK})
    if not rest.spaces:
        raise ValueError(f"the observation holds nothing beside {MASK!r}")
    return True, rest


class Unchanged(Link):
    """(N, ...) as it is."""

    def forward(self, x: Any) -> Any:
        return x


class OneHots(Link):
    """Integers (N, ...), each as a row of an identity matrix, side by side: (N, sum of nvec) floats."""

    def __init__(self, space: Any):
        super().__init__()
        nvec = np.ravel(space.nvec)
        self.first, self.size = np.cumsum(nvec) - nvec - np.ravel(space.start), int(nvec.sum())
        self.dtype = config.dtype

    def forward(self, x: Any) -> Any:
        return OneHotRows(self.first, self.size, self.dtype).apply(as_array(x))


class Joined(ChainList):
    """Dicts or tuples of observations: each part through its link, rows side by side."""

    def __init__(self, parts: dict[Any, Link]):
        super().__init__(*parts.values())
        self.keys = list(parts)

    def forward(self, x: Any) -> Any:
        rows = [link(x[key]) for key, link in zip(self.keys, self)]
        return rows[0] if len(rows) == 1 else F.concat(rows, axis=1)


class OfParts(Link):
    """head(body(obs)), for observations that are dicts or tuples."""

    def __init__(self, body: Link, head: Link):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, obs: Any) -> Any:
        return self.head(self.body(obs))


def followed(body: Link, layers: Sequence[Any]) -> Link:
    """A body and layers behind it, in a Stack where that would not hand a tuple on as several arguments."""
    return OfParts(body, L.Stack(*layers)) if isinstance(body, Joined) else L.Stack(body, *layers)


def one_image(body: Link) -> bool:
    """Whether all that is seen is one image."""
    if isinstance(body, Joined):
        return len(body) == 1 and one_image(body[0])
    return any(isinstance(link, NatureCNN) for link in body.links())


def body_of(space: Any, rng: np.random.Generator | None, pixels: int | None = 512) -> tuple[Link, int]:
    """A link from observations of a space to rows of features, and their number.

    pixels: how many of one image; None for all that its convolutions give.
    """
    from gymnasium import spaces

    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = space.spaces if isinstance(space, spaces.Dict) else dict(enumerate(space.spaces))
        bodies = {key: body_of(branch, rng, pixels if len(parts) == 1 else 256) for key, branch in parts.items()}
        return Joined({key: body for key, (body, _) in bodies.items()}), sum(size for _, size in bodies.values())
    if isinstance(space, spaces.Discrete):
        return OneHot(int(space.n), int(space.start)), int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        one_hots = OneHots(space)
        return one_hots, one_hots.size
    if not isinstance(space, (spaces.Box, spaces.MultiBinary)):
        raise ValueError(
            f"expected observations of Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple, got {space}"
        )
    images = image_network(space, pixels, rng) if isinstance(space, spaces.Box) else None
    if images is not None:
        return images, images[-1].size
    plain = Unchanged() if len(space.shape) == 1 else Rows()
    return (plain if space.dtype.kind == "f" else Floats()), math.prod(space.shape)
