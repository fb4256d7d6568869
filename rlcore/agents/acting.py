"""What on-policy agents remember of the streams that they act for."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.agents.recurrent import Remembered
from rlcore.heads import StateDependent, StateDependentNormal
from rlcore.tree import Tree, leaves, map_


class Memory(Remembered):
    """The recurrent state of N streams, and `starts`, as it was when the sequences of a rollout began."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.starts: list[Tree] = []  # (N, ...) each

    def state(self) -> dict[str, Any]:
        return {**super().state(), "starts": [list(leaves(h)) for h in self.starts]}

    def check(self, state: dict[str, Any]) -> None:
        if state.keys() != {"h", "starts"}:
            raise ValueError(f"load: a memory has h and starts, this one {sorted(state)}")
        super().check({"h": state["h"]})
        for h in state["starts"]:
            super().check({"h": h})

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        h = self._nested(state["h"])
        self.h = None if h is None else map_(np.array, h)
        self.starts = [map_(np.array, self._nested(h)) for h in state["starts"]]


class Exploration:
    """State-dependent noise of N streams, whose coefficients hold for `every` steps of a rollout."""

    def __init__(self, head: StateDependent, every: int, rng: np.random.Generator):
        self.head, self.every, self.rng = head, every, rng
        self.coefficients: Any = None  # (N, features, actions); None: not drawn yet

    def __call__(self, distribution: StateDependentNormal, step: int) -> tuple[Any, Any]:
        """Actions and their log_probs in this step of the rollout."""
        if step % self.every == 0:
            self.coefficients = self.head.coefficients(len(distribution.features), self.rng)
        return distribution.explored(self.coefficients)

    def state(self) -> dict[str, Any]:
        return {} if self.coefficients is None else {"coefficients": self.coefficients}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        got, size = np.shape(state.get("coefficients", ())), (self.head.size, self.head.mean.b.array.size)
        if state and (state.keys() != {"coefficients"} or len(got) != 3 or got[1:] != size):
            raise ValueError(f"load: exploration has coefficients {('N', *size)}, got {sorted(state)} {got}")

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.coefficients = np.array(state["coefficients"]) if state else None


def resets(columns: dict[str, Tree]) -> Any:
    """Bool (T, N): before which rows of a rollout the state is zeroed, the first ones excepted."""
    cut = columns["terminated"] | columns["truncated"] | ~columns["valid"]
    return np.concatenate((np.zeros_like(cut[:1]), cut[:-1]))
