"""Schedules: functions of the number of updates so far, to be given as a learning rate: `Adam(StepShift(...))`.

All but SlowStart are named after Chainer's trainer extensions, with their arguments but for `attr` and `optimizer`.
They have no state: an optimizer that is resumed goes on where it was. For another attribute call them:
`optimizer.momentum = schedule(t)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ExponentialShift", "InverseShift", "LinearShift", "MultistepShift", "PolynomialShift", "SlowStart", "StepShift",
    "WarmupShift",
]  # fmt: skip


def _towards(value: float, target: float | None, growing: bool) -> float:
    """The value, or target once it is past that."""
    if target is None:
        return value
    past = abs(value) > abs(target) if growing else abs(value) < abs(target)
    return target if past else value


@dataclass(frozen=True)
class ExponentialShift:
    """init * rate^t, up to target."""

    rate: float
    init: float
    target: float | None = None

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"ExponentialShift: rate must not be negative, got {self.rate}")

    def __call__(self, t: int) -> float:
        return _towards(self.init * self.rate**t, self.target, self.rate > 1)


@dataclass(frozen=True)
class InverseShift:
    """init * (1 + gamma * t)^-power, up to target."""

    gamma: float
    power: float
    init: float
    target: float | None = None

    def __call__(self, t: int) -> float:
        return _towards(self.init * (1 + self.gamma * t) ** -self.power, self.target, self.power < 0)


@dataclass(frozen=True)
class LinearShift:
    """The first of value_range up to the first of time_range, the second from the second on, a line in between."""

    value_range: tuple[float, float]
    time_range: tuple[int, int]

    def __call__(self, t: int) -> float:
        (first, last), (start, stop) = self.value_range, self.time_range
        if t <= start:
            return first
        return last if t >= stop else first + (t - start) / (stop - start) * (last - first)


@dataclass(frozen=True)
class MultistepShift:
    """init times gamma for each of step_value that t has reached."""

    gamma: float
    step_value: Sequence[int]
    init: float

    def __call__(self, t: int) -> float:
        return self.init * self.gamma ** sum(t >= step for step in self.step_value)


@dataclass(frozen=True)
class PolynomialShift:
    """init * (1 - t / max_count)^rate, up to target, and the value at max_count from then on."""

    rate: float
    max_count: int
    init: float
    target: float | None = None

    def __call__(self, t: int) -> float:
        left = max(1 - t / self.max_count, 0)
        value = self.init * left**self.rate if left or self.rate >= 0 else math.inf
        return _towards(value, self.target, self.rate < 0)


@dataclass(frozen=True)
class SlowStart:
    """Half of init for 40 epochs, then 0.075 of it for 30, 0.01 for 15, and 0.001 (Akiba et al. 2017, section 3.2).

    updates: in an epoch. Theirs begin with RMSpropWarmup, and init is 0.1 for each 256 examples of a batch.
    """

    updates: float
    init: float

    def __call__(self, t: int) -> float:
        epoch = t / self.updates
        return self.init * next((share for end, share in ((40, 0.5), (70, 0.075), (85, 0.01)) if epoch < end), 0.001)


@dataclass(frozen=True)
class StepShift:
    """init * gamma^floor(t / step), up to target."""

    gamma: float
    step: int
    init: float
    target: float | None = None

    def __call__(self, t: int) -> float:
        return _towards(self.init * self.gamma ** (t // self.step), self.target, self.gamma > 1)


@dataclass(frozen=True)
class WarmupShift:
    """A line from warmup_start to init in warmup_iter updates, then init."""

    warmup_start: float
    warmup_iter: int
    init: float

    def __call__(self, t: int) -> float:
        if t >= self.warmup_iter:
            return self.init
        return (t * self.init + (self.warmup_iter - t) * self.warmup_start) / self.warmup_iter
