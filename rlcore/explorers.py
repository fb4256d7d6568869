"""Schedules, and explorers that turn action values into actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.rng import check, restore, state_of

Array = np.ndarray


@dataclass(frozen=True)
class Schedule:
    """A number that moves linearly from start to end over `steps` env rows and stays there; constant without end."""

    start: float
    end: float | None = None
    steps: int = 0  # env rows, counted from the beginning of the run

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) for x in (self.start, self.end or 0, self.steps)):
            raise ValueError(f"a schedule takes finite numbers, got {self!r}")
        if self.end is None and self.steps != 0:
            raise ValueError(f"a constant schedule has no steps, got {self!r}: give an end, or leave steps out")
        if self.end is not None and not (isinstance(self.steps, int) and self.steps > 0):
            raise ValueError(f"a linear schedule takes a whole number of steps above 0, got {self!r}")

    def __call__(self, t: int) -> float:
        """The value at env row t."""
        if self.end is None:
            return self.start
        if t >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * (t / self.steps)

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read "3e-4" or "linear:START:END:STEPS"; ValueError for anything else."""
        linear = text.startswith("linear:")
        try:
            values = [float(number) for number in text.removeprefix("linear:").split(":")]
        except ValueError:
            values = []
        if len(values) != (3 if linear else 1):
            raise ValueError(f"{text!r} is no schedule: write a number (3e-4) or linear:START:END:STEPS")
        if linear and values[2].is_integer():
            values[2] = int(values[2])
        return cls(*values)  # type: ignore[arg-type]  # which refuses a broken number of steps

    def __str__(self) -> str:
        """The text that `parse` reads back, each number in its shortest form."""
        if self.end is None:
            return _short(self.start)
        return f"linear:{_short(self.start)}:{_short(self.end)}:{self.steps}"


def _short(x: float) -> str:
    plain, scientific = np.format_float_positional(x, trim="-"), np.format_float_scientific(x, trim="-", exp_digits=1)
    return min(plain, scientific, key=len)  # 0.05, 3e-4


class Greedy:
    """Take the action of the highest value; of equals, the first."""

    def __call__(self, values: Array, t: int, mask: Array | None = None) -> Array:
        """Actions (N,) int64 for values (N, A); mask (N, A) is True where an action is allowed."""
        return _best(values, mask)

    def state(self) -> dict[str, Any]:
        return {}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        if state:
            raise ValueError(f"load: a greedy explorer has no state, got {', '.join(state)}")

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)


class EpsilonGreedy:
    """With probability epsilon(t) an allowed action drawn uniformly, else the best."""

    def __init__(self, epsilon: Schedule | float, rng: np.random.Generator):
        self.epsilon = _schedule(epsilon)
        if not all(0 <= e <= 1 for e in _ends(self.epsilon)):
            raise ValueError(f"epsilon is a probability, between 0 and 1, got {self.epsilon}")
        self._rng = rng

    def __call__(self, values: Array, t: int, mask: Array | None = None) -> Array:
        """Actions (N,) int64 for values (N, A) at env row t; mask (N, A) is True where an action is allowed."""
        action = values.argmax(1) if mask is None else _best(values, mask)
        u = self._rng.random(len(action))  # N numbers a call, whatever they decide
        epsilon = self.epsilon(t)
        exploring = u < epsilon
        if True in exploring.tolist():  # quicker than any()
            u = u[exploring] / epsilon  # uniform again, and below 1
            if mask is None:
                action[exploring] = u * values.shape[1]  # cut to whole numbers
            else:
                count = mask[exploring].cumsum(1)
                action[exploring] = (count > np.floor(u * count[:, -1])[:, None]).argmax(1)
        return action

    def state(self) -> dict[str, Any]:
        return {"rng": state_of(self._rng)}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        check(self._rng, state.get("rng", {}))

    def load(self, state: dict[str, Any]) -> None:
        restore(self._rng, state["rng"])


class Boltzmann:
    """Draw action a with probability proportional to exp(value[a] / temperature(t))."""

    def __init__(self, temperature: Schedule | float, rng: np.random.Generator):
        self.temperature = _schedule(temperature)
        if not all(x > 0 for x in _ends(self.temperature)):
            raise ValueError(f"a temperature is above 0, got {self.temperature}")
        self._rng = rng

    def __call__(self, values: Array, t: int, mask: Array | None = None) -> Array:
        """Actions (N,) int64 for values (N, A) at env row t; mask (N, A) is True where an action is allowed."""
        logits = _allowed(values, mask).astype(np.float64) / self.temperature(t)
        total = np.exp(logits - logits.max(1, keepdims=True)).cumsum(1)
        u = self._rng.random(len(total))  # N numbers a call: the inverse of the distribution function
        return (total > (u * total[:, -1])[:, None]).argmax(1)

    def state(self) -> dict[str, Any]:
        return {"rng": state_of(self._rng)}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        check(self._rng, state.get("rng", {}))

    def load(self, state: dict[str, Any]) -> None:
        restore(self._rng, state["rng"])


def _best(values: Array, mask: Array | None) -> Array:
    return _allowed(values, mask).argmax(1)


def _allowed(values: Array, mask: Array | None) -> Array:
    """The values with -inf where an action is not allowed."""
    if mask is None:
        return values
    if not mask.any(1).all():
        raise ValueError(f"the action mask of stream {mask.any(1).argmin()} forbids every action")
    return np.where(mask, values, -np.inf)


def _schedule(number: Schedule | float) -> Schedule:
    return number if isinstance(number, Schedule) else Schedule(float(number))


def _ends(schedule: Schedule) -> tuple[float, ...]:
    return (schedule.start,) if schedule.end is None else (schedule.start, schedule.end)
