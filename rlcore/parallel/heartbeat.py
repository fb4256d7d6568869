"""What a rank and its launcher share: who it is, that its work goes on, and how it has left."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from time import monotonic_ns
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
RUNS, LEFT, FAILED = 1, 2, 3  # what has become of a rank; 0: it has not come yet


class Slot:
    """What a rank shares with the launcher: numbers in a file that both have mapped."""

    PID, STATE, CODE, BEAT, WAITS, ESSENTIAL, JOINED, WIDTH = (
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        8,
    )  # 64 bytes, a cache line

    def __init__(self, numbers: np.ndarray):
        self.numbers = numbers

    @classmethod
    def all_in(cls, path: Path, ranks: int, new: bool = False) -> list[Slot]:
        """The slots of a file, one a rank; ValueError if it is not of so many."""
        if not new and path.stat().st_size != ranks * cls.WIDTH * 8:
            raise ValueError(f"{path} is not of {ranks} ranks")
        table = np.asarray(np.memmap(path, np.int64, "w+" if new else "r+", shape=(ranks, cls.WIDTH)))
        return [cls(row) for row in table]

    @property
    def pid(self) -> int:
        return int(self.numbers[self.PID])

    @property
    def state(self) -> int:
        return int(self.numbers[self.STATE])

    @property
    def code(self) -> int:
        return int(self.numbers[self.CODE])

    @property
    def beat(self) -> int:
        """When it last beat, 0 if never: nanoseconds of the machine's monotonic clock."""
        return int(self.numbers[self.BEAT])

    @property
    def waits(self) -> bool:
        """Whether it is in a call that ends when others make it, too."""
        return bool(self.numbers[self.WAITS])

    @property
    def essential(self) -> bool:
        return bool(self.numbers[self.ESSENTIAL])

    @property
    def joined(self) -> bool:
        """Whether one that has failed was in MPI then; a job cannot outlive one that was not."""
        return bool(self.numbers[self.JOINED])

    def come(self) -> None:
        self.numbers[self.PID] = os.getpid()
        self.numbers[self.STATE] = RUNS

    def go(self, state: int, code: int) -> None:
        self.numbers[self.CODE] = code
        self.numbers[self.STATE] = state


_slot: Slot | None = None  # this process's, if a launcher watches over it


def take(slot: Slot | None) -> None:
    """Beat in a slot from now on, or nowhere."""
    global _slot
    _slot = slot


def slot_here() -> Slot | None:
    """This process's slot, None if no launcher watches over it."""
    return _slot


def beat(*step: Any) -> None:
    """Say that this rank's work goes on: call it once a step, also as a hook, and a turn of a loop that waits.

    A rank that has beaten, and then does not for `rlcore launch --heartbeat` seconds, is taken for hung and ended.
    """
    if _slot is not None:
        _slot.numbers[Slot.BEAT] = monotonic_ns()


def waits(call: F) -> F:
    """Make a function one in which a rank waits for others: in it nobody is taken for hung while others work."""

    @wraps(call)
    def waiting(*args: Any, **kwargs: Any) -> Any:
        if _slot is None:
            return call(*args, **kwargs)
        _slot.numbers[Slot.WAITS] = 1
        try:
            return call(*args, **kwargs)
        finally:
            beat()
            _slot.numbers[Slot.WAITS] = 0

    return waiting  # type: ignore[return-value]


def essential() -> None:
    """Say that nothing goes on without this rank, a learner say: an elastic job that loses it is started again."""
    if _slot is not None:
        _slot.numbers[Slot.ESSENTIAL] = 1
