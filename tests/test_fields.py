"""Every number of every config refuses what it cannot be: NaN, infinities, what is out of range, other types."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from rlcore.agents import ALGORITHMS, DQNConfig, PPOConfig, SACConfig
from rlcore.envs.atari import PROTOCOLS, Protocol
from rlcore.envs.make import EnvConfig
from rlcore.fields import Count, Fraction, Positive, Probability, Range, Schedule, check_fields
from rlcore.harness.header import Monitor

CONFIGS = [Monitor, EnvConfig, *dict.fromkeys(cls.Config for cls in ALGORITHMS.values())]
BIG = 10**400  # a float cannot hold it


def numeric(hint, within=None, optional=False):
    """(kind, range) of a field's numbers: int, float, Schedule or tuple; None if it has none."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return numeric(args[0], next((x for x in args[1:] if isinstance(x, Range)), within))
    if origin is tuple:
        inner = numeric(args[0], within)
        return inner and (tuple, inner[1])
    if type(None) in args:
        return numeric(next(a for a in args if a is not type(None)), within)
    return (hint, within) if hint in (int, float, Schedule) else None


FIELDS = [
    (cls, field.name, *numeric(hint))
    for cls in CONFIGS
    for field in dataclasses.fields(cls)
    if numeric(hint := get_type_hints(cls, include_extras=True)[field.name])
]


def wrong_values(kind, within):
    """What the field must refuse, and what of it must be told."""
    nan, inf = float("nan"), float("inf")
    beyond = [within.low - 1, within.high + max(1, within.high)] + [within.low] * within.open
    if kind is int:
        return [int(x) for x in beyond] + [nan, inf, 1.5, True, "1", None, BIG, -BIG, np.float64(2.0), [1]]
    if kind is float:
        return [*map(float, beyond), nan, inf, -inf, True, "1", BIG, [1.0], 1j, np.float32("nan")]
    if kind is tuple:
        return [5, "64", (within.low - 1,), (64, -1), (64, nan), (True,), (BIG,), (None,)]
    texts = [
        "linear:nan:0:5",
        "linear:1:inf:5",
        "linear:1:0:1e999",
        "1e999",
        "nan",
        "linear:1:0:0",
        "x",
        "linear:1:0:1.5",
    ]
    ends = [x for b in beyond for x in (float(b), f"linear:{b}:{within.low}:5", f"linear:{within.low}:{b}:5")]
    return [*ends, *texts, nan, inf, -inf, True, [1.0], BIG]


@pytest.mark.fault(47)
@pytest.mark.parametrize(("cls", "name", "kind", "within"), FIELDS)
def test_every_number_refuses_what_it_cannot_be(cls, name, kind, within):
    if within is None:
        pytest.fail(f"{cls.__name__}.{name} has no range")
    optional = getattr(cls(), name) is None
    for value in wrong_values(kind, within):
        if value is None and optional:
            continue
        with pytest.raises((ValueError, TypeError)) as error:
            cls(**{name: value})
        text = str(error.value)
        if isinstance(value, str):  # the schedule's text, or the field's range
            assert value in text or name in text
        else:
            assert name in text
        if isinstance(error.value, ValueError) and not isinstance(value, (str, tuple)) and kind is not Schedule:
            assert within.told(value) in text
            assert str(value)[:20] in text


@pytest.mark.fault(47)
def test_every_number_of_a_protocol_refuses_what_it_cannot_be():
    hints, seen = get_type_hints(Protocol, include_extras=True), 0
    for name in [name for name, hint in hints.items() if numeric(hint)]:
        for value in wrong_values(*numeric(hints[name])):
            with pytest.raises((ValueError, TypeError), match=name):
                dataclasses.replace(PROTOCOLS["dqn"], **{name: value})
            seen += 1
    assert seen > 60


@pytest.mark.parametrize(("cls", "name", "kind", "within"), FIELDS)
def test_the_ends_of_each_range_are_taken(cls, name, kind, within):
    low = within.low + (within.high - within.low) * 1e-3 * within.open
    for end in (low, within.high):
        value = {int: int(end), float: float(end), tuple: (int(end),), Schedule: Schedule(float(end))}[kind]
        complaint = ""
        try:
            got = getattr(cls(**{name: value}), name)
        except ValueError as error:
            got, complaint = value, str(error)
        assert got == value
        if complaint:  # about what the others are, which are named
            assert f"{name} must be {within}" not in complaint
            assert [field for field in dataclasses.fields(cls) if field.name != name and field.name in complaint]


def test_numbers_become_pythons_own():
    config = DQNConfig(
        learning_rate=np.float32(0.5), batch_size=np.int64(7), gamma=1, hidden=[np.int32(3)], epsilon="0.1"
    )
    assert config.learning_rate == Schedule(0.5)
    assert type(config.learning_rate.start) is float
    assert type(config.batch_size) is int
    assert type(config.gamma) is float
    assert config.hidden == (3,)
    assert type(config.hidden[0]) is int
    assert config.epsilon == Schedule(0.1)
    assert PPOConfig(clip_range=1, clip_range_vf=1, target_kl=None).clip_range == Schedule(1.0)


def test_whole_numbers_of_a_tuple_are_no_fractions():
    with pytest.raises(TypeError, match=r"hidden\[1\] takes a whole number within"):
        DQNConfig(hidden=(64, 1.5))


def test_a_number_or_a_word_is_either():
    assert SACConfig(ent_coef=np.float32(0.5)).ent_coef == 0.5
    assert SACConfig(ent_coef="auto_0.5").ent_coef == "auto_0.5"


@dataclass(frozen=True)
class Mixed:
    count: Count = 1
    share: Fraction | None = None
    chance: Probability = Schedule(0.5)
    step: Positive = 1.0
    mode: Literal["a", "b"] = "a"
    on: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"count": 0}, ValueError, "count must be at least 1, got 0"),
        ({"count": 10**13}, ValueError, "count must be within [1, 1e+12], got 10000000000000"),
        ({"count": 2.0}, TypeError, "count takes a whole number within [1, 1e+12], got 2.0"),
        ({"share": math.inf}, ValueError, "share must be within [0, 1], got inf"),
        ({"step": 0}, ValueError, "step must be above 0 and at most 1e+09, got 0"),
        ({"chance": Schedule(0.0, 2.0, 5)}, ValueError, "chance must be within [0, 1], got linear:0:2:5"),
        ({"mode": "c"}, ValueError, "mode must be 'a' or 'b', got 'c'"),
        ({"on": 1}, TypeError, "on takes bool, got 1"),
        ({"name": 3}, TypeError, "name takes str, got 3"),
    ],
)
def test_messages_name_field_range_and_value(given, error, message):
    with pytest.raises(error, match="^" + re.escape(message) + "$"):
        Mixed(**given)
