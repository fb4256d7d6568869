"""Actions on their way to the environment: rescaled, clipped, replaced by random ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore import rng as rngs
from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.envs.wrappers.observations import MASK, affine, choices
from rlcore.tree import Tree, map_

Draw = Callable[[np.random.Generator, int, Any], np.ndarray]  # of n actions, under a mask (n, A) or None


class RescaleAction(Wrapper):
    """Box actions in [low, high] instead of the environment's bounds; what lies outside goes to the bound."""

    def __init__(self, env: VectorEnv, low: float = -1.0, high: float = 1.0):
        super().__init__(env, low=float(low), high=float(high))
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"RescaleAction: low must be below high, got {low} and {high}")
        box = _float_box(env, "RescaleAction")
        scale, shift = affine(box, low, high, "RescaleAction")
        self._scale, self._shift = scale.astype(box.dtype), (-shift * scale).astype(box.dtype)
        self._low, self._high = box.low, box.high
        self.action_space = spaces.Box(float(low), float(high), box.shape, box.dtype.type)

    def act(self, action: Any) -> np.ndarray:
        action = action * self._scale
        action += self._shift
        return np.minimum(np.maximum(action, self._low), self._high)  # a rounding error past a bound included

    def exported(self) -> dict[str, Any]:
        bounds = {"to_low": self._low, "to_high": self._high}
        return {"kind": "rescale_action", "scale": self._scale, "shift": self._shift, **bounds}


class ClipAction(Wrapper):
    """Box actions of any size, clipped to the environment's bounds."""

    def __init__(self, env: VectorEnv):
        super().__init__(env)
        box = _float_box(env, "ClipAction")
        self._low, self._high = box.low, box.high
        self.action_space = spaces.Box(-np.inf, np.inf, box.shape, box.dtype.type)

    def act(self, action: Any) -> np.ndarray:
        return np.minimum(np.maximum(action, self._low), self._high)

    def exported(self) -> dict[str, Any]:
        return {"kind": "clip_action", "low": self._low, "high": self._high}


class RandomizeAction(Wrapper):
    """With probability `fraction`, a stream does something else: an action drawn uniformly from the action space.

    If observations have an "action_mask" for Discrete or MultiDiscrete actions, only what it allows is drawn.

    rng: a generator, or a seed for one; None: from the environment's seed. `reset` rewinds it, so that two resets play
    the same episodes. It belongs to the task, as sticky actions do: an environment to evaluate on has it as well, with
    a generator from its own seed.
    """

    def __init__(self, env: VectorEnv, fraction: float, rng: np.random.Generator | int | None = None):
        super().__init__(env, fraction=float(fraction))
        if not 0 <= fraction <= 1:
            raise ValueError(f"RandomizeAction: fraction must be within [0, 1], got {fraction}")
        self.fraction = float(fraction)
        observed = env.observation_space
        self._masked = isinstance(observed, spaces.Dict) and MASK in observed.spaces
        self._draws = _masked_draw(env.action_space, observed[MASK]) if self._masked else _draws(env.action_space)
        if rng is None:
            child = np.random.SeedSequence(self.seed % (1 << 64), spawn_key=(1 << 31,))  # which nobody else spawns
            rng = np.random.Generator(np.random.PCG64(child))
        self.rng = rng if isinstance(rng, np.random.Generator) else rngs.generator(rng)
        self._start = rngs.state_of(self.rng)

    def first(self, obs: Any) -> Any:
        rngs.restore(self.rng, self._start)
        return obs

    def act(self, action: Any) -> Any:
        chosen = self.rng.random(self.n_envs) < self.fraction
        if not chosen.any():
            return action
        return map_(lambda draw, part: self._replaced(draw, part, chosen), self._draws, action)

    def _replaced(self, draw: Draw, action: Any, chosen: np.ndarray) -> np.ndarray:
        action = np.array(action)
        if action.shape[:1] == chosen.shape:  # what is not, the environment refuses in its own words
            mask = self.env.obs[MASK][chosen] if self._masked else None
            action[chosen] = draw(self.rng, int(chosen.sum()), mask)
        return action

    def own_state(self) -> dict[str, Any]:
        return {"rng": rngs.state_of(self.rng), "start": self._start}

    def check_own(self, state: dict[str, Any]) -> None:
        rngs.check(self.rng, state["rng"])
        rngs.check(self.rng, state["start"])

    def load_own(self, state: dict[str, Any]) -> None:
        self._start = state["start"]
        rngs.restore(self.rng, state["rng"])


def _float_box(env: VectorEnv, who: str) -> spaces.Box:
    box = env.action_space
    if not isinstance(box, spaces.Box) or box.dtype.kind != "f":
        raise ValueError(f"{who} needs actions that are a Box of floats, got {box}")
    return box


def _draws(space: Any) -> Tree:
    """Nested as actions are: what draws n of them uniformly, (n, ...); ValueError for an unbounded Box."""
    if isinstance(space, spaces.Dict):
        return {name: _draws(part) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([_draws(part) for part in space.spaces])
    if isinstance(space, spaces.Discrete):
        return lambda rng, n, mask: rng.integers(space.start, space.start + space.n, n)
    if isinstance(space, spaces.MultiDiscrete):
        return lambda rng, n, mask: rng.integers(space.start, space.start + space.nvec, (n, *space.shape))
    if isinstance(space, spaces.MultiBinary):
        return lambda rng, n, mask: rng.integers(0, 2, (n, *space.shape))
    if isinstance(space, spaces.Box) and space.is_bounded():
        if space.dtype.kind == "f":
            low, high = space.low.astype(np.float64), space.high.astype(np.float64)
            return lambda rng, n, mask: rng.uniform(low, high, (n, *space.shape))
        return lambda rng, n, mask: rng.integers(space.low, space.high, (n, *space.shape), endpoint=True)
    raise ValueError(f"RandomizeAction: no random action can be drawn from {space}")


def _masked_draw(space: Any, mask_space: Any) -> Draw:
    """What draws allowed actions uniformly; ValueError unless a mask has a flag for each choice."""
    coded = choices(space)
    if coded is None:
        raise ValueError(f"RandomizeAction: an action mask tells nothing about {space}")
    sizes, start = coded
    if mask_space.shape != (sizes.sum(),):
        raise ValueError(f"RandomizeAction: {space} has {sizes.sum()} choices, its action mask is {mask_space}")
    edges = np.cumsum(sizes)[:-1]

    def draw(rng: np.random.Generator, n: int, mask: Any) -> np.ndarray:
        drawn = np.zeros((n, len(sizes)), np.int64)
        for k, allowed in enumerate(np.split(np.asarray(mask).reshape(n, -1) != 0, edges, axis=1)):
            nth = (rng.random(n) * allowed.sum(1)).astype(np.int64)  # of those that are allowed, from 0
            drawn[:, k] = (allowed.cumsum(1) > nth[:, None]).argmax(1)
        return (drawn + start).reshape(n, *space.shape)

    return draw
