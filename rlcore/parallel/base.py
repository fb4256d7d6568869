"""Ranks that work together: who they are, and what they tell each other; arrays only, nothing is pickled."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rlcore.parallel.devices import Devices
from rlcore.parallel.heartbeat import beat

ANY = -1  # any source, any tag
PIECE = 1 << 30  # numbers in one call: MPI 3 counts up to 2^31 - 1
LARGEST = (1 << 31) - 1  # bytes of a message, for the same reason
SHORT, LONG = 50e-6, 1e-3  # seconds that a waiting rank sleeps, at first and in the end
LARGE = 1 << 16  # bytes: from here on a second exchange is cheaper than a copy
T = TypeVar("T")


class RankLost(RuntimeError):
    """Ranks of a communicator have died; `ranks` are those known so far."""

    def __init__(self, ranks: Iterable[int], message: str = ""):
        ranks = tuple(sorted(ranks))
        super().__init__(message or (f"lost rank {', '.join(map(str, ranks))}" if ranks else "a rank is lost"))
        self.ranks = ranks

    def __reduce__(self) -> Any:
        return type(self), (self.ranks, str(self))


class Envelope(NamedTuple):
    """A message that waits to be received."""

    source: int
    tag: int
    nbytes: int


def wait_for(condition: Callable[[], T | None], timeout_s: float = math.inf, pause: float = SHORT) -> T:
    """Sleep until condition() is neither None nor False, and give it; TimeoutError after timeout_s.

    The sleeps grow from `pause`, 50 µs, to 1 ms, so that an idle rank leaves its core to others.
    """
    end = time.monotonic() + timeout_s
    while True:
        beat()
        found = condition()
        if found is None or found is False:
            found = condition()  # MPI takes a message in at the first look, and shows it at the second
        if found is not None and found is not False:
            return found
        if time.monotonic() >= end:
            raise TimeoutError(f"nothing came within {timeout_s:g} s")
        time.sleep(pause)
        pause = min(1.1 * pause, LONG)


def bytes_of(array: np.ndarray) -> np.ndarray:
    """The bytes (n,) of an array in one piece, whatever they mean."""
    return array if array.dtype == np.uint8 and array.ndim == 1 else array.reshape(-1).view(np.uint8)


def pieces(array: Any) -> list[Any]:
    """An array's numbers in pieces of which each goes into one call."""
    flat = array.reshape(-1)
    return [flat] if len(flat) <= PIECE else [flat[i : i + PIECE] for i in range(0, len(flat), PIECE)]


def check_size(what: str, array: Any) -> None:
    """ValueError for an array that is too large for one message."""
    if array.nbytes > LARGEST:
        raise ValueError(f"{what}: an array of {array.nbytes} bytes is too large for a message, at most {LARGEST}")


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

    Arrays may lie on GPUs: those of a collective call then do so on all ranks, see `Devices`.
    Any call may raise RankLost where ranks may die; a collective one does so sooner or later on all that are left,
    which then go on with `shrink()`. Messages between those left come through all the same.
    """

    rank: int
    size: int
    local_rank: int  # among the ranks of this machine, by which a rank takes its GPU
    local_size: int
    failed: set[int]  # ranks known to be dead
    concurrent = True  # whether communicators may be used by threads at the same time, each by one

    @abstractmethod
    def sum_(self, array: Any) -> Any:
        """The sum over the ranks, in the place of the array."""

    @abstractmethod
    def max_(self, array: Any) -> Any:
        """The largest over the ranks, element by element, in the place of the array."""

    @abstractmethod
    def bcast_(self, array: Any, root: int = 0) -> Any:
        """The root's array, in the place of everybody's."""

    @abstractmethod
    def allgather(self, array: Any) -> Any:
        """Everybody's array, of one shape: (size, ...)."""

    @abstractmethod
    def alltoall(self, array: Any) -> Any:
        """Everybody's part for this rank (size, ...), of an array whose r-th part (size, ...) is for rank r."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait for all."""

    @abstractmethod
    def split(self, color: int) -> Comm | None:
        """A communicator of the ranks that give the same color, in the same order; None for a negative one."""

    @abstractmethod
    def shrink(self) -> Comm:
        """A communicator of the ranks that are left, in the same order: a collective call of these."""

    @abstractmethod
    def send(self, array: Any, dest: int, tag: int = 0) -> Pending:
        """Begin to send an array's bytes; it is done only when somebody has begun to receive it (synchronous mode)."""

    @abstractmethod
    def probe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        """A message that could be received now, the first of its source and tag; None if there is none.

        With ANY source, each dead rank is told once by a RankLost; with a dead source, every time.
        """

    @abstractmethod
    def receive(self, out: Any, source: int, tag: int) -> Any:
        """The bytes of the first message of a source and a tag, waited for if need be, in the place of `out`.

        ValueError if the message is not of its size, which then stays.
        """

    def mean_(self, array: Any, weight: float = 1.0) -> float:
        """The mean over the ranks weighted by their weights, in the place of the array; gives the sum of the weights.

        A rank with weight 0 adds nothing, whatever its array holds; if all have 0, the array becomes 0. One exchange,
        with the weight behind the numbers; of an array larger than LARGE the weights go ahead, so that it need not be
        copied: at 1 MB this takes 30 µs more than a sum, and not 200.
        """
        if not isinstance(array, np.ndarray):
            return self.devices.mean_(array, weight)
        if array.nbytes > LARGE and array.flags.c_contiguous and array.dtype.char in "fd":
            total = float(self.sum_(np.array([weight], np.float64))[0])
            if weight and total:
                np.multiply(array, weight / total, out=array)
            else:
                array[...] = 0
            if total:
                self.sum_(array)
            return total
        buffer = self._room(array)
        numbers = buffer[:-1].reshape(array.shape)
        if weight:
            np.multiply(array, weight, out=numbers, dtype=buffer.dtype)
        else:
            numbers[...] = 0
        buffer[-1] = weight
        self.sum_(buffer)
        total = float(buffer[-1])
        np.multiply(numbers, 1 / total if total else 0.0, out=array, casting="same_kind")
        return total

    @property
    def devices(self) -> Devices:
        """What serves arrays of GPUs, from the first such array on."""
        if "_gpus" not in self.__dict__:  # cached_property locks in Python 3.11, and ranks in threads would wait
            self._gpus = Devices(self)
        return self._gpus

    def _check_parts(self, array: Any) -> None:
        if array.ndim == 0 or len(array) != self.size:
            raise ValueError(f"alltoall: expected one part for each of {self.size} ranks, got shape {array.shape}")

    def _check_rank(self, what: str, name: str, rank: int) -> None:
        if not 0 <= rank < self.size:
            raise ValueError(f"{what}: {name} is a rank of {self.size}, 0 to {self.size - 1}, got {rank}")

    def _room(self, array: Any) -> Any:
        """Kept memory for an array's numbers and one more, in float32 at least: float16 has no room for a sum."""
        kept = self.__dict__.setdefault("_rooms", {})
        key = array.size, array.dtype
        if key not in kept:
            if array.dtype.kind != "f":
                raise TypeError(f"mean_: expected an array of floating point numbers, got {array.dtype}")
            kept[key] = np.empty(array.size + 1, np.result_type(array.dtype, np.float32))
        return kept[key]

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

    def __init__(self) -> None:
        self.failed = set()

    def sum_(self, array: Any) -> Any:
        return array

    max_ = sum_

    def mean_(self, array: Any, weight: float = 1.0) -> float:
        if not weight:
            array[...] = 0
        return weight

    def bcast_(self, array: Any, root: int = 0) -> Any:
        self._check_rank("bcast_", "root", root)
        return array

    def allgather(self, array: Any) -> Any:
        return np.array(array)[None]

    def alltoall(self, array: Any) -> Any:
        self._check_parts(array)
        return array.copy()

    def barrier(self) -> None:
        pass

    def split(self, color: int) -> Comm | None:
        return self if color >= 0 else None

    def shrink(self) -> Comm:
        return self

    def send(self, array: Any, dest: int, tag: int = 0) -> Pending:
        raise ValueError("send: there is no other rank")

    def probe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        return None

    def receive(self, out: Any, source: int, tag: int) -> Any:
        raise ValueError("receive: there is no other rank")
