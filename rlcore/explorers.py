"""Explorers: they turn action values into actions."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.fields import Schedule
from rlcore.rng import check, restore, state_of

__all__ = ["Boltzmann", "EpsilonGreedy", "Greedy", "Schedule"]

Array = np.ndarray


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
