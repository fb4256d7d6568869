"""Observations of another kind: cast, rescaled, flattened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.stream import Step
from rlcore.tree import Tree, leaves, map_

MASK = "action_mask"  # in a Dict: which actions are allowed; no wrapper changes it


class ObservationWrapper(Wrapper):
    """Changes each observation by itself, in `seen`."""

    def seen(self, obs: Any) -> Any:
        """Observations (N, ...) as they are to be seen, in arrays of their own."""
        return obs

    def first(self, obs: Any) -> Any:
        return self.seen(obs)

    def after(self, step: Step) -> Step:
        obs, reward, terminated, truncated, final_obs, valid, info = step
        now = self.seen(obs)
        final = now if final_obs is obs else self.seen(final_obs)
        return Step(now, reward, terminated, truncated, final, valid, info)


class CastObservation(ObservationWrapper):
    """Box observations as another dtype: float32, the library's only float, or an integer type that holds them."""

    def __init__(self, env: VectorEnv, dtype: Any = np.float32):
        self.dtype = np.dtype(dtype)
        super().__init__(env, dtype=self.dtype.name)
        if self.dtype != np.float32 and self.dtype.kind not in "iu":
            raise ValueError(f"CastObservation: dtype must be float32 or an integer type, got {self.dtype}")
        self.observation_space = of_boxes(env.observation_space, self._cast_space)
        self._boxes = boxes(self.observation_space)
        self._plain = isinstance(self.observation_space, spaces.Box)

    def _cast_space(self, box: spaces.Box) -> spaces.Box:
        if self.dtype.kind in "iu":
            held = np.iinfo(self.dtype)
            if box.low.min() < held.min or box.high.max() > held.max:
                raise ValueError(f"CastObservation: {self.dtype} does not hold all of {box}")
        return spaces.Box(box.low.astype(self.dtype), box.high.astype(self.dtype), dtype=self.dtype.type)

    def seen(self, obs: Any) -> Any:
        if self._plain:
            return obs.astype(self.dtype)
        return map_(lambda box, leaf: leaf if box is None else leaf.astype(self.dtype), self._boxes, obs)

    def exported(self) -> dict[str, Any]:
        return {"kind": "cast", "dtype": map_(lambda box: box and self.dtype.name, self._boxes)}


class RescaleObservation(ObservationWrapper):
    """Box observations, float32, from the bounds of their space to [low, high]; frames of uint8 to [0, 1].

    ChainerRL's ScaledFloatFrame. ValueError if a bound is infinite.
    """

    def __init__(self, env: VectorEnv, low: float = 0.0, high: float = 1.0):
        super().__init__(env, low=float(low), high=float(high))
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"RescaleObservation: low must be below high, got {low} and {high}")
        self.low, self.high = float(low), float(high)
        self._affine = map_(self._map, boxes(env.observation_space))  # divisor and shift of each leaf, or None
        self.observation_space = of_boxes(
            env.observation_space, lambda box: spaces.Box(self.low, self.high, box.shape, np.float32)
        )

    def _map(self, box: spaces.Box | None) -> list[np.ndarray] | None:
        if box is None:
            return None
        return [_smallest(x.astype(np.float32)) for x in affine(box, self.low, self.high, "RescaleObservation")]

    def seen(self, obs: Any) -> Any:
        if type(obs) is np.ndarray:
            return _apply(self._affine, obs)
        return map_(_apply, self._affine, obs)

    def exported(self) -> dict[str, Any]:
        divisor, shift = (map_(lambda pair, i=i: pair and pair[i], self._affine) for i in range(2))
        return {"kind": "affine", "divisor": divisor, "shift": shift}


class FlattenObservation(ObservationWrapper):
    """One flat float32 vector of a nested observation, Discrete and MultiDiscrete as one-hot, as Gymnasium's flatten.

    An action mask, the key "action_mask" of a Dict, stays apart: observations are then {"obs", "action_mask"}.
    """

    def __init__(self, env: VectorEnv):
        super().__init__(env)
        space = env.observation_space
        self._masked = isinstance(space, spaces.Dict) and MASK in space.spaces
        if self._masked:
            space = spaces.Dict({name: part for name, part in space.spaces.items() if name != MASK})
        # of each leaf its keys, its columns (one-hot: the first one of each element), and its choices
        self._parts: list[tuple[list[Any], Any, tuple[np.ndarray, np.ndarray] | None]] = []
        self._width = 0
        self._lay_out(space, [])
        flat = spaces.flatten_space(space)
        low, high = flat.low.astype(np.float32), flat.high.astype(np.float32)  # type: ignore[union-attr]
        box = spaces.Box(low, high, dtype=np.float32)
        self.observation_space = spaces.Dict({"obs": box, MASK: env.observation_space[MASK]}) if self._masked else box
        self._rows = np.arange(self.n_envs)[:, None]

    def _lay_out(self, space: Any, keys: list[Any]) -> None:
        """Where in the vector each leaf goes."""
        if isinstance(space, (spaces.Dict, spaces.Tuple)):
            parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
            for key, part in parts:
                self._lay_out(part, [*keys, key])
            return
        if not isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)):
            raise ValueError(f"FlattenObservation: no vector is known for {space}")
        coded, first, shape = choices(space), self._width, space.shape or ()
        self._width += int(np.prod(shape) if coded is None else coded[0].sum())
        columns = slice(first, self._width) if coded is None else first + np.cumsum(coded[0]) - coded[0]
        self._parts.append((keys, columns, coded))

    def seen(self, obs: Any) -> Any:
        out = np.zeros((self.n_envs, self._width), np.float32)
        for keys, columns, coded in self._parts:
            leaf = obs
            for key in keys:
                leaf = leaf[key]
            leaf = leaf.reshape(self.n_envs, -1)
            if coded is None:
                out[:, columns] = leaf
                continue
            sizes, start = coded
            leaf = leaf - start
            if ((leaf < 0) | (leaf >= sizes)).any():
                raise ValueError(f"FlattenObservation: an observation outside {self.env.observation_space}: {obs}")
            out[self._rows, columns + leaf] = 1
        return {"obs": out, MASK: obs[MASK]} if self._masked else out

    def exported(self) -> dict[str, Any]:
        """In "leaves", for each piece of the vector: the keys to its leaf, of a one-hot one sizes and first values."""
        pieces = [
            {"keys": keys, "categories": coded and coded[0].tolist(), "start": coded and coded[1].tolist()}
            for keys, _, coded in self._parts
        ]
        return {"kind": "flatten", "leaves": pieces, "masked": self._masked}


def choices(space: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """How many values each element of a Discrete or MultiDiscrete has, and the first of them, (m,); None for others."""
    if isinstance(space, spaces.Discrete):
        return np.array([space.n]), np.array([space.start])
    return (space.nvec.ravel(), space.start.ravel()) if isinstance(space, spaces.MultiDiscrete) else None


def boxes(space: Any) -> Tree:
    """The Box leaves of a space, nested as its elements are; None for other leaves and for an action mask."""
    if isinstance(space, spaces.Dict):
        return {name: None if name == MASK else boxes(part) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([boxes(part) for part in space.spaces])
    return space if isinstance(space, spaces.Box) else None


def of_boxes(space: Any, change: Callable[[spaces.Box], spaces.Box]) -> Any:
    """A space with each Box in it changed; ValueError if there is none."""
    if all(box is None for box in leaves(boxes(space))):
        raise ValueError(f"there is no Box in {space} to be changed")
    return _changed(space, change)


def _changed(space: Any, change: Callable[[spaces.Box], spaces.Box]) -> Any:
    if isinstance(space, spaces.Dict):
        parts = space.spaces.items()
        return spaces.Dict({name: part if name == MASK else _changed(part, change) for name, part in parts})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_changed(part, change) for part in space.spaces])
    return change(space) if isinstance(space, spaces.Box) else space


def affine(box: spaces.Box, low: float, high: float, who: str) -> tuple[np.ndarray, np.ndarray]:
    """divisor and shift, float64: x / divisor + shift takes the bounds to [low, high]; ValueError if there are none."""
    below, above = box.low.astype(np.float64), box.high.astype(np.float64)
    if not np.isfinite(above - below).all() or (above <= below).any():
        raise ValueError(f"{who} needs bounds that are finite and apart, which {box} lacks")
    divisor = (above - below) / (high - low)
    return divisor, low - below / divisor


def _smallest(array: np.ndarray) -> np.ndarray:
    """0-d if all elements are the same: a frame's bounds would be as large as the frame."""
    return array.reshape(-1)[0].copy() if array.size and (array == array.flat[0]).all() else array


def _apply(pair: list[np.ndarray] | None, leaf: np.ndarray) -> np.ndarray:
    if pair is None:
        return leaf
    divisor, shift = pair
    out = np.divide(leaf, divisor, dtype=np.float32)
    out += shift
    return out
