"""A part of a run whose contents say themselves whether they are whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.tree import Ring

SLOTS = 40


class Part:
    """A ring in which row r holds r three times, and an array full of the number of rows."""

    def __init__(self) -> None:
        self.array, self.t = np.zeros((SLOTS, 3)), 0

    def write(self, n: int) -> None:
        for _ in range(n):
            self.array[self.t % SLOTS] = self.t
            self.t += 1

    def state(self) -> dict[str, Any]:
        return {"t": self.t, "ring": Ring(self.array, self.t), "w": np.full(1000, self.t)}

    def load(self, state: dict[str, Any]) -> None:
        self.array[...], self.t = state["ring"].array, state["t"]
        assert (state["w"] == self.t).all()
        for row in range(max(0, self.t - SLOTS), self.t):
            assert (self.array[row % SLOTS] == row).all()
