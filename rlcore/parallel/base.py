"""Ranks that work together: who they are, and what they tell each other; arrays only, nothing is pickled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

ANY = -1  # any source, any tag


class RankLost(RuntimeError):
    """Ranks of a communicator have died; `ranks` are those known so far."""

    def __init__(self, ranks: tuple[int, ...], message: str = ""):
        super().__init__(message or f"lost rank {', '.join(map(str, ranks))}")
        self.ranks = ranks


class Envelope(NamedTuple):
    """A message that waits to be received."""

    source: int
    tag: int
    nbytes: int


class Pending(ABC):
    """A message on its way, whose array must stay as it is until it has been received."""

    @abstractmethod
    def done(self) -> bool:
        """Whether it has been received; RankLost if the rank it went to has died."""

    @abstractmethod
    def drop(self) -> None:
        """Let go of it, whether or not anybody is there to receive it."""


class Comm(ABC):
    """A group of ranks. Collective calls are made by all of them in the same order; arrays are changed in place.

    Any call may raise RankLost where ranks may die; a collective one does so sooner or later on all that are left.
    """

    rank: int
    size: int
    local_rank: int  # among the ranks of this machine, by which a rank takes its GPU
    local_size: int

    @abstractmethod
    def sum_(self, array: Any) -> Any:
        """The sum over the ranks, in the place of the array."""

    @abstractmethod
    def max_(self, array: Any) -> Any:
        """The largest over the ranks, element by element, in the place of the array."""

    @abstractmethod
    def mean_(self, array: Any, weight: float = 1.0) -> float:
        """The mean over the ranks weighted by their weights, in the place of the array; gives the sum of the weights.

        One exchange: the weight goes behind the numbers. A rank with weight 0 adds nothing, whatever its array holds;
        if all have 0, the array becomes 0.
        """

    @abstractmethod
    def bcast_(self, array: Any, root: int = 0) -> Any:
        """The root's array, in the place of everybody's."""

    @abstractmethod
    def allgather(self, array: Any) -> Any:
        """Everybody's array, of one shape: (size, ...)."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait for all."""

    @abstractmethod
    def split(self, color: int) -> Comm | None:
        """A communicator of the ranks that give the same color, in the same order; None for a negative one."""

    @abstractmethod
    def send(self, array: Any, dest: int, tag: int = 0) -> Pending:
        """Begin to send an array's bytes; it is done only when somebody has begun to receive it (synchronous mode)."""

    @abstractmethod
    def probe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        """A message that could be received now, the first of its source and tag; None if there is none."""

    @abstractmethod
    def receive(self, out: Any, source: int, tag: int) -> Any:
        """The bytes of the first message of a source and a tag, waited for if need be, in the place of `out`.

        ValueError if the message is not of its size.
        """

    def bcast(self, link: Any, root: int = 0) -> None:
        """The root's parameters and persistent arrays, in the place of everybody's."""
        self.bcast_(link.flat_state, root)

    def moments(self, x: Any) -> tuple[Any, Any, float]:
        """Mean and variance (by n) of everybody's rows x (n, ...) along the first axis, in float64, and their number.

        Two exchanges: the squares are of deviations from the mean of all (Chan et al. 1983).
        """
        n = float(len(x))
        total = np.concatenate((np.sum(x, 0, np.float64).ravel(), [n]))
        self.sum_(total)
        count = total[-1]
        mean = (total[:-1] / max(count, 1)).reshape(x.shape[1:])
        off = x - mean
        square = np.asarray((off * off).sum(0), np.float64).ravel().copy()
        self.sum_(square)
        return mean, (square / max(count, 1)).reshape(x.shape[1:]), count


class Alone(Comm):
    """The only rank."""

    rank, size, local_rank, local_size = 0, 1, 0, 1

    def sum_(self, array: Any) -> Any:
        return array

    max_ = sum_

    def mean_(self, array: Any, weight: float = 1.0) -> float:
        if not weight:
            array[...] = 0
        return weight

    def bcast_(self, array: Any, root: int = 0) -> Any:
        return array

    def allgather(self, array: Any) -> Any:
        return array[None].copy()

    def barrier(self) -> None:
        pass

    def split(self, color: int) -> Comm | None:
        return self if color >= 0 else None

    def send(self, array: Any, dest: int, tag: int = 0) -> Pending:
        raise ValueError("send: there is no other rank")

    def probe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        return None

    def receive(self, out: Any, source: int, tag: int) -> Any:
        raise ValueError("receive: there is no other rank")
