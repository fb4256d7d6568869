"""Sequences of rows of one episode, for agents that remember (Hausknecht and Stone 2015, Kapturowski et al. 2019).

Any transition can be the first that is learned from. `length` rows follow along `succ`, which rests at the end of the
episode, and before them come up to `burn_in` rows, which bring a recurrent state up to date. With length 4, burn_in 2,
and an episode of rows 0 to 6 whose last observation is f, the sequences that begin at rows 4 and 1 are

    obs       o2 o3 o4 o5 o6 f  f         o0 o0 o1 o2 o3 o4 o5         (burn_in + length + 1, n, ...)
    reset     -  -  -  -  -  -  -         -  x  -  -  -  -  -          the same, where burn_in is not 0
    action          a4 a5 a6 a4                 a1 a2 a3 a4            (length, n, ...), as all other columns
    reward          r4 r5 r6 0                  r1 r2 r3 r4
    discount        g  g  0  1                  g  g  g  g             0 where the episode terminated, g is gamma
    mask            x  x  x  -                  x  x  x  x             True where there is a row
    h         h2                          h0                           (n, ...): the state before obs[0]
    row             4                           1                      (n,): for `update`, one priority a sequence

So action t was taken on obs[burn_in + t], which led to obs[burn_in + t + 1], and where mask is False the observation is
the one to bootstrap from. A sequence whose episode, or what is left of it, begins later than its burn-in starts with
zeros as recurrent state: `reset` says where.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rlcore.buffers.backward import Backward
from rlcore.buffers.columns import pairs, rows_like
from rlcore.buffers.prioritized import Prioritized
from rlcore.fields import Schedule
from rlcore.tree import Tree

Array = np.ndarray

BETA_R2D2 = Schedule(0.6)


class SequenceReplay(Backward):
    """Uniform replay of sequences, drawn by their first row that is learned from.

    The column "h", if there is one, is the recurrent state in which a row was acted: a sequence has that of its first
    row. Steps are counted in rows, discounts are of one step: a learner sums rewards along a sequence as it likes.
    """

    def __init__(
        self,
        capacity: int,
        columns: Mapping[str, Tree],
        rng: np.random.Generator,
        length: int,
        gamma: float = 0.99,
        burn_in: int = 0,
    ):
        if length < 1:
            raise ValueError(f"length counts the rows of a sequence, at least 1, got {length}")
        if burn_in < 0:
            raise ValueError(f"burn_in counts rows before a sequence, at least 0, got {burn_in}")
        super().__init__(capacity, columns, rng, 1, gamma)
        self.length, self.burn_in = length, burn_in
        self._first: list[tuple[Array, Array]] = []  # a column of h, and where in the batch its rows go
        self._sequences: list[tuple[Array, Array]] = []  # the same of observations

    def _make_batch(self, n: int) -> None:
        self._drawn = n
        _, others = self._split()
        first = {"h": others.pop("h")} if "h" in others else {}
        self._batch = rows_like(others, (self.length, n))
        self._here = pairs(others, self._batch)
        self._batch |= rows_like(first, (n,))
        self._first = pairs(first, self._batch)
        self._make_obs(n)

    def _make_obs(self, n: int) -> None:
        obs, _ = self._split()
        self._batch["obs"] = rows_like(obs, (self.burn_in + self.length + 1, n))
        self._sequences = pairs(obs, self._batch["obs"])

    def _from(self, at: Array) -> dict[str, Tree]:
        """The batch of the sequences whose learning begins in these slots."""
        n, b = len(at), self.burn_in
        if n != self._drawn:
            self._make_batch(n)
        walk = np.empty((b + self.length + 1, n), np.int64)
        walk[b] = at
        for t in range(b, b + self.length):
            walk[t + 1] = self._after(walk[t])
        batch = {**self._batch, "row": self._rows(at)}
        if b:
            batch["reset"] = self._walk_back(walk)
        kind = self._kind.take(walk[b:-1])
        batch["mask"] = mask = kind.astype(bool)
        batch["discount"] = self._discount.take(kind)
        rows = np.where(mask, walk[b:-1], at)  # what a gap has besides an observation is that of another row
        for column, out in self._here:
            column.take(rows, 0, out, "clip")
        for column, out in self._first:
            column.take(walk[0], 0, out, "clip")
        self._take_sequences(walk)
        batch["reward"] *= mask
        return batch

    def _walk_back(self, walk: Array) -> Array:
        """Fill in the rows before the first one; where a state must be reset, because there are no more (L, n)."""
        reset = np.zeros(walk.shape, bool)
        there = np.ones(walk.shape[1], bool)
        for t in range(self.burn_in, 0, -1):
            before, known = self._before(walk[t])
            known &= self._kind.take(before) > 0
            reset[t] = there & ~known
            walk[t - 1] = np.where(known, before, walk[t])
            there = known
        return reset

    def _take_sequences(self, walk: Array) -> None:
        """Put the observations in slots (burn_in + length + 1, n) into the batch."""
        for column, out in self._sequences:
            column.take(walk, 0, out, "clip")


class PrioritizedSequences(Prioritized, SequenceReplay):
    """Sequences drawn by the priorities of their first rows, of which `update` takes one a sequence.

    Exponents of Kapturowski et al. 2019, table 2.
    """

    def __init__(
        self,
        capacity: int,
        columns: Mapping[str, Tree],
        rng: np.random.Generator,
        length: int,
        gamma: float = 0.99,
        burn_in: int = 0,
        alpha: float = 0.9,
        beta: Schedule = BETA_R2D2,
        eps: float = 1e-6,
    ):
        super().__init__(capacity, columns, rng, length, gamma, alpha, beta, eps, burn_in=burn_in)
