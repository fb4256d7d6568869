"""Prioritized replay: transitions are drawn the more often, the larger their errors were when they were last learned.

A row's priority is p = |error| + eps, its probability p ** alpha over the sum of all. New transitions have the largest
p so far; or, where the columns of ESTIMATES are kept, the error of their n-step return by the values that acting knew
(Horgan et al. 2018). Errors are kept as they come and looked at when the next batch is drawn: an array of a device
makes nobody wait before. What belongs to a row that has been overwritten by then is dropped, and never given to its
heir.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlcore.backend import to_cpu
from rlcore.buffers.replay import Replay
from rlcore.buffers.sum_tree import SumTree
from rlcore.fields import Schedule
from rlcore.tree import Tree

Array = np.ndarray

ESTIMATES = "acting_q", "acting_value"  # columns, not in batches: the value of the action, and of the best one
BETA = Schedule(0.4, 1.0, 1_000_000)  # Schaul et al. 2016, table 3: from 0.4 to 1 at the end of the run


class Prioritized(Replay):
    """Proportional prioritized replay (Schaul et al. 2016, algorithm 1), from strata of equal probability.

    alpha: 0 draws uniformly, 1 in proportion to the errors. beta: over rows written, how much of the bias the weights
    take back. eps: added to every error, so that a transition of none comes again (1e-6 as in OpenAI Baselines).
    """

    FIXED = (*Replay.FIXED, "alpha", "eps")

    def __init__(
        self,
        capacity: int,
        columns: Mapping[str, Tree],
        rng: np.random.Generator,
        n_step: int = 1,
        gamma: float = 0.99,
        alpha: float = 0.6,
        beta: Schedule = BETA,
        eps: float = 1e-6,
        **others: Any,
    ):
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is an exponent between 0 and 1, got {alpha}")
        if not 1e-100 <= eps < np.inf:
            raise ValueError(f"eps is what an error counts at least, above 0 and finite, got {eps}")
        super().__init__(capacity, columns, rng, n_step, gamma, **others)
        self.alpha, self.beta, self.eps = alpha, beta, eps
        self._tree = SumTree(capacity)
        self._estimated = all(name in self._columns for name in ESTIMATES)
        self._largest = 1.0  # p so far
        self._changed: list[int] = []  # slots whose transitions have come or gone since the last draw
        self._pending: list[tuple[Array, Any]] = []  # rows and errors since the last draw

    def _link(self, row: int, succ: int, kind: int) -> None:
        super()._link(row, succ, kind)
        self._changed.append(row % self.capacity)

    def _retire(self, slot: int) -> None:
        super()._retire(slot)
        self._changed.append(slot)

    def update(self, row: Array, error: Any) -> None:
        """The errors (n,), signed or not, with which the rows of a batch were learned; of equal rows the last counts.

        Arrays of NumPy's or a device's. Errors that are not finite are refused when they are looked at, by `sample`.
        """
        if row.dtype.kind != "i" or row.shape != error.shape or row.ndim != 1:
            raise ValueError(
                f"update takes rows (n,) and their errors (n,), got {row.dtype} {row.shape}, {error.shape}"
            )
        if len(row) and row.max() >= self._written:
            raise ValueError(f"update: row {row.max()} has not been written, {self._written} have: give a batch's rows")
        self._pending.append((row, error.copy()))

    def _write_back(self) -> None:
        """Bring the tree up to date: new and gone transitions first, then errors in the order of their updates."""
        at = np.array(self._changed, np.int64)
        new = self._estimates(at) if self._estimated else None
        p = np.zeros(0)
        if self._pending:
            rows, p = self._errors()
            self._largest = float(np.maximum.reduce(p, initial=self._largest))
            here = rows >= self._written - self.capacity
            if not here.all():
                rows, p = rows[here], p[here]
            at = np.concatenate((at, rows % self._ring))
        if new is None:
            new = np.full(len(self._changed), self._largest)
        else:
            known = np.isfinite(new)
            self._largest = float(np.maximum.reduce(new, initial=self._largest, where=known))
            new[~known] = self._largest
        p = np.concatenate((new, p))
        p **= self.alpha
        p *= self._kind.take(at) > 0
        self._tree.set(at, p)
        self._changed = []

    def _estimates(self, at: Array) -> Array:
        """p (n,) of the transitions in these slots by what acting knew; NaN where that is not enough, or none is there.

        Not enough is known of a last observation, on which nobody has acted, where the episode was cut short.
        """
        c: Any = self._columns
        q, value = (c[name] for name in ESTIMATES)
        kind = self._kind.take(at)
        goal, discount, succ = c["reward"].take(at).astype(np.float64), self._discount.take(kind), self._after(at)
        p = np.full(len(at), np.nan)
        there = kind > 0
        for _ in range(self.n_step - 1):
            kind = self._kind.take(succ)
            goal += discount * c["reward"].take(succ) * (kind > 0)
            discount *= self._discount.take(kind)
            succ = self._after(succ)
        acted = (self._kind.take(succ) > 0) | np.isin(self._rows(succ), self._waiting)
        over = discount == 0
        known = there & (acted | over)
        goal += discount * np.where(known & ~over, value.take(succ), 0)
        p[known] = np.abs(goal - q.take(at))[known] + self.eps
        return p

    def _split(self) -> tuple[Tree, dict[str, Tree]]:
        obs, others = super()._split()
        return obs, {name: tree for name, tree in others.items() if name not in ESTIMATES}

    def _errors(self) -> tuple[Array, Array]:
        """Rows (n,) and p (n,) of all updates since the last draw, which are then done with."""
        pairs = [(row, np.abs(to_cpu(error), dtype=np.float64)) for row, error in self._pending]
        self._pending = []
        row, p = pairs[0] if len(pairs) == 1 else map(np.concatenate, zip(*pairs))
        if not np.isfinite(p).all():
            raise ValueError(
                f"update was given errors that are not finite, for rows {row[~np.isfinite(p)].tolist()}: leave it out "
                "where the loss is NaN or infinite"
            )
        p += self.eps
        return row, p

    def _draw(self, n: int) -> Array:
        if self._pending or self._changed:
            self._write_back()
        return self._tree.find((np.arange(n) + self._rng.random(n)) / n)

    def _from(self, at: Array) -> dict[str, Tree]:
        """The batch, and in it weight (n,): (N P) ** -beta of each transition over the largest in the batch."""
        w = self._tree.leaves.take(at)  # in proportion to P
        w = (np.minimum.reduce(w) / w) ** self.beta(self._written)
        return {**super()._from(at), "weight": w.astype(np.float32)}

    def state(self) -> dict[str, Any]:
        """The replay's, and the weights of all rows: any of these may have changed since the last save."""
        return {
            **super().state(),
            "weights": self._tree.leaves,
            "largest": self._largest,
            "changed": np.array(self._changed, np.int64),
            "pending": list(self._pending),
        }

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming the difference, if the state is of a replay made otherwise."""
        super().check(state)
        if not (np.isfinite(state["weights"]).all() and state["weights"].min() >= 0 and 0 < state["largest"] < np.inf):
            raise ValueError("the replay's state has priorities that are negative or not finite")
        if any(row.shape != error.shape or row.ndim != 1 for row, error in state["pending"]):
            raise ValueError("the replay's state has rows and errors that do not belong together")

    def _paired(self, state: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
        return super()._paired(state) | {"weights": (state["weights"], self._tree.leaves)}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self._tree.leaves[self._written :] = 0
        self._tree.set(np.arange(self.capacity), self._tree.leaves)
        self._largest = state["largest"]
        self._changed = state["changed"].tolist()
        self._pending = [(row, error) for row, error in state["pending"]]
