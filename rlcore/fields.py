"""Fields of configs: the range to which each number keeps, and Schedule, a number that moves with time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from numbers import Integral, Real
from operator import index
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

SANE = 1e12  # what whole numbers are up to


@dataclass(frozen=True)
class Range:
    """What a field's numbers are within; `open`: above low."""

    low: float
    high: float
    open: bool = False

    def __contains__(self, x: Any) -> bool:
        return (self.low < x if self.open else self.low <= x) and x <= self.high

    def told(self, x: Any) -> str:
        """The range in words for somebody who gave x: an upper limit that is merely sane is kept for those above it."""
        return f"at least {self.low:g}" if self.high == SANE and not x > self.high else str(self)

    def __str__(self) -> str:
        return f"above {self.low:g} and at most {self.high:g}" if self.open else f"within [{self.low:g}, {self.high:g}]"


FINITE = Range(-1e300, 1e300)


@dataclass(frozen=True)
class Schedule:
    """A number that moves linearly from start to end over `steps` env rows and stays there; constant without end."""

    start: float
    end: float | None = None
    steps: int = 0  # env rows, counted from the beginning of the run

    def __post_init__(self) -> None:
        numbers = (self.start, 0 if self.end is None else self.end, self.steps)
        if not all(isinstance(x, Real) and not isinstance(x, bool) and x in FINITE for x in numbers):
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


def whole(name: str, value: Any) -> int:
    """An argument as an int; TypeError names it unless it is a whole number."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{name} takes a whole number, got {value!r}") from None


Count = Annotated[int, Range(1, SANE)]
Natural = Annotated[int, Range(0, SANE)]
Updates = Annotated[int, Range(-1, SANE)]  # of a round; -1: as many as there were rows
Fraction = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0, 1e6)]
Positive = Annotated[float, Range(0, 1e9, open=True)]
Rate = Annotated[Schedule, Range(0, 10)]
Distance = Annotated[Schedule, Range(0, 1e6)]
Probability = Annotated[Schedule, Range(0, 1)]


def check_fields(config: Any) -> None:
    """TypeError or ValueError, naming field, range and value, unless a dataclass's fields are as they are annotated.

    To be called in `__post_init__`: NumPy's numbers become Python's, lists tuples, and what stands for a Schedule one.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value = _checked(field.name, hints[field.name], getattr(config, field.name))
        object.__setattr__(config, field.name, value)


def _checked(name: str, hint: Any, value: Any, within: Range = FINITE) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _checked(name, args[0], value, next((extra for extra in args[1:] if isinstance(extra, Range)), within))
    if origin in (Union, UnionType):
        if type(value) in args and type(value) in (type(None), str):
            return value
        return _checked(name, next(arg for arg in args if arg is not type(None)), value, within)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{name} must be {' or '.join(map(repr, args))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"{name} takes a tuple, got {value!r}")
        return tuple([_checked(f"{name}[{i}]", args[0], element, within) for i, element in enumerate(value)])
    if hint is Schedule:
        return _schedule(name, value, within)
    if hint in (int, float):
        return _number(name, hint, value, within)
    if not isinstance(value, origin or hint):
        raise TypeError(f"{name} takes {hint.__name__}, got {value!r}")
    return value


def _schedule(name: str, value: Any, within: Range) -> Schedule:
    if isinstance(value, str):
        try:
            value = Schedule.parse(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    elif not isinstance(value, Schedule):
        value = Schedule(_number(name, float, value, within))
    for end in (value.start, value.start if value.end is None else value.end):
        if end not in within:
            raise ValueError(f"{name} must be {within}, got {value}")
    return value


def _number(name: str, kind: type, value: Any, within: Range) -> Any:
    if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
        raise TypeError(f"{name} takes a {'whole ' if kind is int else ''}number {within}, got {value!r}")
    if value not in within:
        raise ValueError(f"{name} must be {within.told(value)}, got {value}")
    return kind(value)
