"""Batches: the observations of N environments as arrays, made from a space and checked against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.tree import Tree, leaves, map_

INF = float("inf")
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Leaf:
    """What a space promises of one array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def structure(space: Any, what: str = "observations") -> Tree:
    """The Leafs of a space, nested as its elements are; ValueError if they are no arrays."""
    if isinstance(space, spaces.Dict):
        return {k: structure(s, what) for k, s in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([structure(s, what) for s in space.spaces])
    if getattr(space, "shape", None) is None or space.dtype is None or space.dtype.kind not in "biuf":
        raise ValueError(f"{what} of {space} are no arrays; wrap the environment so that they are")
    return Leaf(space.shape, np.dtype(space.dtype.str))  # by name: a dtype that was pickled is none of the singletons


def batched(space: Any, n: int) -> Tree:
    """The Leafs of n observations of a space; floats are float32."""
    return map_(
        lambda leaf: Leaf((n, *leaf.shape), np.dtype(np.float32) if leaf.dtype.kind == "f" else leaf.dtype),
        structure(space),
    )


def empty_batch(space: Any, n: int) -> Tree:
    """Zeros for n observations of a space; floats are float32."""
    return map_(lambda leaf: np.zeros(leaf.shape, leaf.dtype), batched(space, n))


def complaint(promised: Tree, obs: Any, path: str = "") -> str:
    """In words, how an observation breaks the promise of its space: keys, shapes, kinds of dtype; "" if it does not."""
    if isinstance(promised, Leaf):
        if type(obs) is np.ndarray and obs.dtype == promised.dtype and obs.shape == promised.shape:
            return ""
        try:
            array = np.asarray(obs)
        except ValueError as error:  # a ragged list
            return f"an observation{path} that is no array ({error})"
        if array.shape == promised.shape and np.can_cast(array.dtype, promised.dtype, "same_kind"):
            return ""
        wanted = f"{promised.shape} {promised.dtype}"
        return f"an observation{path} of shape {array.shape} {array.dtype}, its observation_space promises {wanted}"
    if words := _misnested(promised, obs, path):
        return words
    return next(filter(None, [complaint(promised[k], obs[k], f"{path}[{k!r}]") for k in _names(promised)]), "")


def _names(promised: Tree) -> list[Any]:
    return list(promised) if isinstance(promised, dict) else list(range(len(promised)))


def _misnested(promised: Tree, obs: Any, path: str) -> str:
    """In words, how an observation that should be a dict or a tuple is not the one promised; "" if it is."""
    names = _names(promised)
    nested = isinstance(obs, dict if isinstance(promised, dict) else (tuple, list))
    given = list(obs) if isinstance(obs, dict) else list(range(len(obs))) if nested else []
    if nested and set(given) == set(names):
        return ""
    got = f"a {type(obs).__name__} of {given}" if nested else f"a {type(obs).__name__}"
    return f"an observation{path} that is {got}, its observation_space promises a {type(promised).__name__} of {names}"


def beyond(space: Any, obs: Any, path: str = "") -> tuple[str, bool]:
    """In words, where an observation is out of the bounds of its space, and whether integers are: no index may be."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        inner = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        found = [beyond(s, obs[k], f"{path}[{k!r}]") for k, s in inner]
        return max(found, key=lambda words: (words[1], len(words[0])), default=("", False))
    low, high = bounds(space)
    if low is None:
        return "", False
    array = np.asarray(obs)
    whole = array.dtype.kind != "f"
    slack = 0 if whole else 1e-5 * (1 + np.minimum(np.abs(low), np.abs(high)))  # of float64 rounded to float32
    if not ((array < low - slack) | (array > high + slack)).any():
        return "", False
    return f"an observation{path} out of the bounds of {space}: {array}", whole


def bounds(space: Any) -> tuple[Any, Any]:
    """The least and the greatest element of a space of arrays; None, None if it says nothing of them."""
    if isinstance(space, spaces.Box):
        return space.low, space.high
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        n = space.n if isinstance(space, spaces.Discrete) else space.nvec
        return space.start, space.start + n - 1
    return (0, 1) if isinstance(space, spaces.MultiBinary) else (None, None)


def finite(batch: Tree) -> bool:
    """Whether no float of a batch is NaN or infinite."""
    if type(batch) is not np.ndarray:
        return all(map(finite, leaves(batch)))
    if batch.dtype.kind != "f":
        return True
    # the product takes a third of the time of isfinite and all, and vdot, unlike dot, never warns of an overflow
    return bool(np.vdot(batch, batch) < INF or np.isfinite(batch).all())


def row(batch: Tree, i: int) -> Tree:
    """Row i as a batch of one."""
    return map_(lambda array: array[i : i + 1], batch)


def infinite_row(batch: Tree, n: int) -> int:
    """The first of n rows that is not finite."""
    return next(i for i in range(n) if not finite(row(batch, i)))


def as_batch(obs: Any, space: Any) -> tuple[Any, bool]:
    """Observations with a leading axis, and whether it was put there; ValueError names a wrong shape, dtype or nest."""
    promised = structure(space)
    arrays = _arrays(promised, obs)
    single = {array.shape == leaf.shape for leaf, array in zip(leaves(promised), leaves(arrays))}
    if len(single) > 1 or (single == {False} and len({len(array) for array in leaves(arrays)}) > 1):
        shapes = ", ".join(str(array.shape) for array in leaves(arrays))
        raise ValueError(
            f"predict: parts of an observation, or of as many observations each; they have shapes {shapes}"
        )
    return (map_(lambda array: array[None], arrays), True) if single == {True} else (arrays, False)


def _arrays(promised: Tree, obs: Any, path: str = "") -> Tree:
    if not isinstance(promised, Leaf):
        if words := _misnested(promised, obs, path):
            raise ValueError(f"predict: {words}")
        parts = {k: _arrays(promised[k], obs[k], f"{path}[{k!r}]") for k in _names(promised)}
        return parts if isinstance(promised, dict) else tuple(parts.values())
    array, shape, dtype = np.asarray(obs), promised.shape, promised.dtype
    if array.dtype.kind not in "biuf" or (dtype.kind in "iu" and array.dtype.kind == "f"):
        raise ValueError(f"predict: an observation{path} of dtype {array.dtype}; expected {dtype}")
    if array.shape != shape and array.shape[1:] != shape:
        raise ValueError(f"predict: an observation{path} of shape {array.shape}; expected {shape} or (N, *{shape})")
    return array.astype(np.float32 if dtype.kind == "f" else dtype, copy=False)
