"""What on-policy agents remember of the streams that they act for."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.agents.recurrent import Remembered
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
        super().load({"h": state["h"]})
        self.starts = [map_(np.array, self._nested(h)) for h in state["starts"]]


def resets(columns: dict[str, Tree]) -> Any:
    """Bool (T, N): before which rows of a rollout the state is zeroed, the first ones excepted."""
    cut = columns["terminated"] | columns["truncated"] | ~columns["valid"]
    return np.concatenate((np.zeros_like(cut[:1]), cut[:-1]))
