"""Backward: a replay whose rows also know the row before them, which was linked to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlcore.buffers.replay import NOBODY, Replay
from rlcore.tree import Tree

Array = np.ndarray


class Backward(Replay):
    """Replay with `prev`, the row whose `succ` a row is; without one it is a row that has been overwritten, or NOBODY.

    What a slot held before had an earlier predecessor than what was overwritten with it: nothing need be cleared.
    """

    def __init__(
        self,
        capacity: int,
        columns: Mapping[str, Tree],
        rng: np.random.Generator,
        n_step: int = 1,
        gamma: float = 0.99,
    ):
        super().__init__(capacity, columns, rng, n_step, gamma)
        self._prev = np.full(capacity, NOBODY, np.int64)

    def _link(self, row: int, succ: int, kind: int) -> None:
        super()._link(row, succ, kind)
        self._prev[succ % self.capacity] = row

    def _before(self, at: Array) -> tuple[Array, Array]:
        """The slots of the predecessors, and whether there is one: else the slot is its own."""
        row = self._prev.take(at)
        there = row >= max(self._written - self.capacity, 0)
        return np.where(there, row % self._ring, at), there

    def state(self) -> dict[str, Any]:
        """The replay's, and prev, saved whole as succ is."""
        return {**super().state(), "prev": self._prev}

    def _paired(self, state: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
        return super()._paired(state) | {"prev": (state["prev"], self._prev)}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self._prev[self._written :] = NOBODY
