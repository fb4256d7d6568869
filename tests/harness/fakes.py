"""Small stand-ins for agents and environments, whose numbers can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.agents.base import Agent, Policy
from rlcore.envs.base import VectorEnv
from rlcore.harness.record import SCORES
from rlcore.rng import generator, restore, state_of
from rlcore.stream import Step
from rlcore.tree import Ring


class Weights:
    """Stands for the link that acts."""

    def __init__(self) -> None:
        self.w = np.zeros(3, np.float32)

    def state(self) -> dict[str, Any]:
        return {"w": self.w}


class Always(Policy):
    """The same action in every stream; remembers how it was reset."""

    def __init__(self, action: int = 1):
        self.action, self.resets = action, []

    def __call__(self, obs: Any) -> np.ndarray:
        return np.full(len(obs), self.action)

    def reset(self, mask: Any = None) -> None:
        self.resets.append(mask if mask is None else mask.tolist())


class Hashing(Policy):
    """An action that depends on the observation alone."""

    def __call__(self, obs: Any) -> np.ndarray:
        return obs[:, 1] % 4


class Wanderer(Agent):
    """Acts at random, keeps its actions in a Ring, and reports a loss that depends on them."""

    def __init__(self, n_actions: int = 2, seed: int = 0, size: int = 40):
        self.rng, self.n_actions, self.actor = generator(seed), n_actions, Weights()
        self.actions, self.t = np.zeros(size, np.int64), 0
        self.seen: list[tuple[Any, Any, Any, Step]] = []

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: Any, rng: np.random.Generator) -> Wanderer:
        return cls(action_space.n)

    def act(self, obs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return self.rng.integers(self.n_actions, size=len(obs)), {"note": len(self.seen)}

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        self.seen.append((np.copy(obs), np.copy(action), step.terminated.copy(), step))
        for a in action:
            self.actions[self.t % len(self.actions)] = a
            self.t += 1

    def update(self) -> dict[str, Any]:
        self.actor.w += np.float32(0.1)
        return {"loss": np.asarray(self.actions.sum(dtype=np.float32) / 7)}

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> Policy:
        return Always(self.t // 30 % 2)

    def state(self) -> dict[str, Any]:
        ring = Ring(self.actions, self.t)
        return {"t": self.t, "rng": state_of(self.rng), "w": self.actor.w, "actions": ring}

    def check(self, state: dict[str, Any]) -> None:
        if state["w"].shape != self.actor.w.shape:
            raise ValueError("another network")

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.actor.w[...], self.actions[...] = state["w"], state["actions"].array
        restore(self.rng, state["rng"])
        self.t = state["t"]


class Scripted(VectorEnv):
    """Stream i plays episodes of length lengths[i], each with the return returns[i]."""

    observation_space = action_space = None
    resumable = None

    def __init__(self, lengths: list[int], returns: list[float]):
        self.n_envs, self.lengths, self.returns = len(lengths), lengths, returns
        self.obs, self.resets, self.clock = None, 0, [0] * len(lengths)

    def reset(self) -> np.ndarray:
        self.resets += 1
        self.clock = [0] * self.n_envs
        self.obs = np.zeros((self.n_envs, 1), np.float32)
        return self.obs

    def step(self, action: Any) -> Step:
        self.clock = [c + 1 for c in self.clock]
        ended = np.array([c == n for c, n in zip(self.clock, self.lengths)])
        info = {}
        if ended.any():
            at = np.nonzero(ended)[0]
            info = {"episode": (at, np.array(self.returns)[at], np.array(self.lengths)[at])}
            self.clock = [0 if e else c for c, e in zip(self.clock, ended)]
        self.obs = np.array(self.clock, np.float32)[:, None]
        none = np.zeros(self.n_envs, bool)
        return Step(self.obs, np.zeros(self.n_envs, np.float32), ended, none, self.obs, ~none, info)

    def state(self) -> dict[str, Any]:
        return {}

    def check(self, state: dict[str, Any]) -> None:
        pass

    def load(self, state: dict[str, Any]) -> Any:
        return self.obs


def one_step(n: int = 1, episodes: tuple[list[int], list[float], list[int]] | None = None) -> Step:
    """A step of n streams; episodes: (streams, returns, lengths) that ended."""
    no, info = np.zeros(n, bool), {}
    if episodes is not None:
        info["episode"] = (np.array(episodes[0]), np.array(episodes[1], float), np.array(episodes[2]))
    return Step(np.zeros((n, 1), np.float32), np.zeros(n, np.float32), no, no, None, ~no, info)


def scores(folder: Path) -> list[dict[str, str]]:
    """The rows of scores.tsv without the clock."""
    head, *rows = [line.split("\t") for line in (folder / "scores.tsv").read_text().splitlines()]
    assert tuple(head) == SCORES
    return [{name: value for name, value in zip(head, row, strict=True) if name != "elapsed"} for row in rows]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard finds in a folder: tag -> [(step, value)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def lines(folder: Path) -> list[dict[str, Any]]:
    """The rows of scalars.jsonl, by a reader that knows no NaN."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in (folder / "scalars.jsonl").read_text().splitlines()]


class Clock:
    """Stands for the module time: seconds move when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic
