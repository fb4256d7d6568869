"""The arrays through which streams are acted on and seen, laid out in memory that processes may share."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.envs.batch import Leaf, batched, structure
from rlcore.tree import Tree, leaves, map_

ALIGN = 64  # bytes: a cache line


def layout(observation_space: Any, action_space: Any, n: int) -> dict[str, Any]:
    """The Leafs of the arrays of n streams."""

    def one(dtype: Any) -> Leaf:
        return Leaf((n,), np.dtype(dtype))

    obs = batched(observation_space, n)
    seen = (obs, one(np.float32), one(bool), one(bool))  # obs, reward, terminated, truncated
    return {
        "sets": (seen, seen),  # by turns, for a Step's arrays hold until step() has been called twice more
        "last": obs,  # true last observations of the episodes that ended; first ones after a reset
        "action": map_(lambda leaf: Leaf((n, *leaf.shape), leaf.dtype), structure(action_space, "actions")),
        "number": one(np.int64),  # of the running episodes
        "begun": one(np.int64),  # the step after which they began
        "faulty": one(bool),  # whose row is no transition, for the environment failed
        "told": one(bool),  # which episodes are to be reported, with their
        "return": one(np.float64),
        "length": one(np.int64),
    }


def carve(plan: Tree, buffer: Any = None) -> Any:
    """The arrays of a layout in a buffer of `size(plan)` bytes, or in one of their own."""
    at, buffer = 0, bytearray(size(plan)) if buffer is None else buffer

    def array(leaf: Leaf) -> np.ndarray:
        nonlocal at
        made = np.frombuffer(buffer, leaf.dtype, int(np.prod(leaf.shape)), at).reshape(leaf.shape)
        at += _aligned(leaf)
        return made

    return map_(array, plan)


def size(plan: Tree) -> int:
    """The bytes that a layout takes; never 0."""
    return sum(map(_aligned, leaves(plan)))


def _aligned(leaf: Leaf) -> int:
    return (int(np.prod(leaf.shape)) * leaf.dtype.itemsize // ALIGN + 1) * ALIGN
