"""A scripted VectorEnv, in whose steps everything happens that a Step may tell of."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.envs.base import VectorEnv, refuse_others
from rlcore.rng import generator, restore, state_of
from rlcore.stream import Step
from rlcore.tree import leaves, map_

NESTED = spaces.Dict(
    {
        "where": spaces.Tuple((spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Discrete(100, start=3))),
        "frame": spaces.Box(0, 255, (2, 3), np.uint8),
        "action_mask": spaces.MultiBinary(4),
    }
)


def nested(base: np.ndarray) -> dict[str, Any]:
    """Observations of NESTED that tell episode and step, from those of a Tape."""
    number, t = base[:, 0].astype(int), base[:, 1].astype(int)
    frame = (number * 31 + t * 7)[:, None, None] + np.arange(6).reshape(2, 3)
    mask = np.stack([number % 2, t % 2, 1 - t % 2, number * 0], 1).astype(np.int8)
    return {"where": (base.copy(), 3 + t % 100), "frame": (frame % 256).astype(np.uint8), "action_mask": mask}


class Tape(VectorEnv):
    """Observations are (number of the episode, its steps), rewards the number of steps plus half the action.

    Episodes end by chance; with faults, so do streams: their rows are then no transitions. next_step: an ended episode
    is followed by such a row in which the next one begins. What it gives is read-only, and is scribbled over as soon as
    a Step need not hold any more.
    """

    resumable = "own"

    def __init__(
        self,
        n: int = 3,
        seed: int = 0,
        ends: float = 0.2,
        faults: float = 0.0,
        next_step: bool = False,
        obs: Any = None,
    ):
        self.n_envs, self.seed, self.rng = n, seed, generator(seed)
        self.ends, self.faults, self.next_step = ends, faults, next_step
        self.observation_space = NESTED if obs is nested else spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(4)
        self.make = obs or np.copy
        self.obs: Any = None
        self.given: list[Step] = []  # as it was, for a test to look into
        self.actions: list[Any] = []
        self._alive: list[Any] = []

    def _shown(self, base: np.ndarray) -> Any:
        obs = self.make(base)
        self._last = obs
        return map_(_read_only, obs)

    def reset(self) -> Any:
        self.rng = generator(self.seed)
        self.base = np.stack([np.arange(self.n_envs), np.zeros(self.n_envs)], 1).astype(np.float32)
        self.total, self.waiting = np.zeros(self.n_envs), np.zeros(self.n_envs, bool)
        self.obs = self._shown(self.base)
        return self.obs

    def _next_episode(self, which: np.ndarray) -> None:
        self.base[which, 0] += self.n_envs
        self.base[which, 1] = 0
        self.total[which] = 0

    def step(self, action: Any) -> Step:
        self.actions.append(np.array(action))
        u, fault = self.rng.random(self.n_envs), self.rng.random(self.n_envs) < self.faults
        valid = ~self.waiting & ~fault
        self.base[valid, 1] += 1
        reward = np.where(valid, self.base[:, 1] + np.reshape(action, (self.n_envs, -1))[:, 0] / 2, 0).astype(
            np.float32
        )
        self.total += reward
        ended = valid & (u < self.ends)
        terminated, truncated = ended & (u < self.ends / 2), ended & (u >= self.ends / 2)
        info = {}
        if ended.any():
            at = ended.nonzero()[0]
            info["episode"] = at, self.total[at], self.base[at, 1].astype(np.int64)
        self._next_episode(~valid)
        final = obs = self._shown(self.base)
        self.waiting = np.zeros(self.n_envs, bool)
        if self.next_step:
            self.waiting = ended
        elif ended.any():
            self._next_episode(ended)
            obs = self._shown(self.base)
        self.obs, self.plain = obs, obs is final
        step = Step(obs, *map(_read_only, (reward, terminated, truncated)), final, _read_only(valid), info)
        self.given.append(map_(np.copy, step._asdict()))
        self._alive.append((obs, final))
        for old in leaves(self._alive[-3] if len(self._alive) > 2 else ()):
            old.flags.writeable = True
            old[...] = 77
            old.flags.writeable = False
        return step

    def restart(self, which: np.ndarray) -> tuple[Any, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        at = which.nonzero()[0]
        episodes = at, self.total[at], self.base[at, 1].astype(np.int64)
        self._next_episode(which)
        for leaf, new in zip(leaves(self.obs), leaves(self.make(self.base))):
            leaf.flags.writeable = True
            leaf[which] = new[which]
            leaf.flags.writeable = False
        return self.obs, episodes

    def state(self) -> dict[str, Any]:
        made = {"tape": self.n_envs, "started": self.obs is not None}
        if self.obs is None:
            return made
        own = {"base": self.base, "total": self.total, "waiting": self.waiting, "obs": self.obs}
        return {**made, **map_(np.copy, own), "rng": state_of(self.rng)}

    def check(self, state: dict[str, Any]) -> None:
        refuse_others(state, {"tape": self.n_envs})

    def load(self, state: dict[str, Any]) -> Any:
        if not state["started"]:
            return self.reset()
        self.base, self.total, self.waiting = (np.array(state[name]) for name in ("base", "total", "waiting"))
        restore(self.rng, state["rng"])
        self.obs = self._shown(self.base)
        return self.obs


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def play(env: VectorEnv, steps: int, action: Any = None) -> list[Step]:
    """Steps under one action, each as it was when it was given: copies."""
    action = np.ones(env.n_envs, np.int64) if action is None else action
    return [snapshot(env.step(action)) for _ in range(steps)]


def snapshot(step: Step) -> Step:
    """A copy in which final_obs is obs if it was."""
    obs = map_(np.copy, step.obs)
    final = obs if step.final_obs is step.obs else map_(np.copy, step.final_obs)
    rest = {name: np.copy(getattr(step, name)) for name in ("reward", "terminated", "truncated", "valid")}
    return step._replace(obs=obs, final_obs=final, info=dict(step.info), **rest)


def same(a: Any, b: Any) -> bool:
    """Whether two trees of arrays and JSON scalars are the same, bit for bit."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)
