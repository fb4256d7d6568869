"""A sum tree for draws in proportion to weights, wide instead of deep: NumPy pays by the call, not by the number."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

SHIFT = 5
FAN = 1 << SHIFT  # children of a node: 1 million leaves take 2 levels of these (2: 10 levels, twice the time)
TOP = 1024  # most nodes of the top level, which each draw adds up anew
BELOW = np.array(1 - 2.0**-53)  # times x, the next number below x or the one below that


class SumTree:
    """Weights, float64 and not negative, of `size` leaves, and their sums in groups, groups of groups, ...

    A sum is computed from its terms whenever one of them changes, never moved by a difference: rounding errors do not
    gather, and the sums are a function of the weights alone.
    """

    def __init__(self, size: int):
        self._levels: list[Array] = []  # (groups, FAN): leaves, sums of leaves, ...
        groups = size
        while groups > TOP or not self._levels:
            groups = -(-groups // FAN)
            self._levels.append(np.zeros((groups, FAN)))
        self._sums = [level.reshape(-1) for level in self._levels[1:]] + [np.zeros(groups)]
        self._top = np.zeros(groups + 1)  # sums of the first 0, 1, ... groups of the top level
        self.leaves = self._levels[0].reshape(-1)[:size]
        self._lanes, self._within = np.zeros(0, np.int64), np.zeros((0, FAN + 1))

    def set(self, at: Array, weights: Array) -> None:
        """Put weights (n,) at leaves (n,), of equal ones the last."""
        self.leaves[at] = weights
        for level, sums in zip(self._levels, self._sums):
            if len(at) < len(level):
                at = at >> SHIFT
                sums[at] = np.add.reduce(level.take(at, 0), 1)
            else:
                at = np.arange(len(level))
                sums[: len(level)] = np.add.reduce(level, 1)
        np.add.accumulate(self._sums[-1], 0, None, self._top[1:])

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._top[-1])

    def find(self, fractions: Array) -> Array:
        """The leaves (n,) at which the sum of the weights up to there exceeds fractions (n,) in [0, 1] of the total.

        A leaf of weight 0 is never found; the total must be above 0.
        """
        n = len(fractions)
        if n != len(self._lanes):
            self._lanes, self._within = np.arange(n) * (FAN + 1), np.zeros((n, FAN + 1))
        upto = self._within[:, 1:]  # sums of the first 1, 2, ... children of each node
        rest = fractions * (self._top[-1] * BELOW)
        at = self._top[1:].searchsorted(rest, "right")
        before: Array = self._top
        i = at
        for level in reversed(self._levels):
            rest -= before.take(i)
            np.add.accumulate(level.take(at, 0), 1, None, upto)
            np.minimum(rest, upto[:, -1] * BELOW, out=rest)  # where rounding has carried it out of the node
            child = (upto > rest[:, None]).argmax(1)
            at <<= SHIFT
            at += child
            before, i = self._within, self._lanes + child
        return at
