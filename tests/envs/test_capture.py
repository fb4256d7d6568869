"""Captured attributes: each plain kind comes back from a file as it was, and the probe finds what is missing."""

from __future__ import annotations

import json
import random
from collections import OrderedDict, deque
from enum import IntEnum

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs.capture import capture, load_captured, probe
from rlcore.envs.toy import Chain, Forever, HashChain
from rlcore.rng import generator
from tests.envs.worlds import Hidden, Moody, Nested, Walk, through_a_file


class Holder(gymnasium.Env):
    """Holds a value."""

    def __init__(self, value=None):
        self.value = value


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple, deque)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


KINDS = [
    None,
    True,
    7,
    2**70,
    0.1 + 0.2,
    float("inf"),
    "text/with$signs",
    np.float32(1.5),
    np.float64(0.1),
    np.int64(-3),
    np.uint64(2**64 - 1),
    np.bool_(True),
    np.arange(6, dtype=np.int16).reshape(2, 3),
    np.array(2.5),
    np.zeros((0, 3)),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    [],
    [1, [2.0, None]],
    (),
    (1, "a", (np.ones(2),)),
    deque([1, 2], maxlen=3),
    deque([np.float32(1), (2,)]),
    {},
    {"a": {"b": (1, [np.ones(2)])}, "c": 2, "d/e": np.ones(1)},
]


@pytest.mark.parametrize("value", KINDS, ids=lambda value: f"{type(value).__name__} {value}"[:40])
def test_a_plain_kind_comes_back(value):
    state = through_a_file(capture(Holder(value)))
    other = Holder(object())
    load_captured(other, state)
    assert same(value, other.value)
    if isinstance(value, deque):
        assert other.value.maxlen == value.maxlen


class Mode(IntEnum):
    FAST = 1


STRANGERS = [
    object(),
    lambda: 0,
    {1, 2},
    {1: "int key"},
    {"$array": 1},
    [object()],
    {"deep": (1, [object()])},
    OrderedDict(a=1),
    Mode.FAST,
    1j,
    np.array([1j]),
    np.array(["text"]),
    np.array([None]),
    np.longdouble(1),
    np.str_("text"),
    np.datetime64("2020-01-01"),
    np.random.RandomState(0),
]


@pytest.mark.parametrize("value", STRANGERS, ids=lambda value: type(value).__name__)
def test_what_is_not_plain_is_left_alone_and_harms_no_file(value):
    state = through_a_file(capture(Holder(value)))
    assert "value" not in state["0"]
    own = object()
    other = Holder(own)
    load_captured(other, state)
    assert other.value is own


def test_a_generator_goes_on():
    rng = generator(3)
    rng.random(5)
    rng.integers(10, size=3, dtype=np.int32)
    state = through_a_file(capture(Holder(rng)))
    expected = rng.integers(10, size=3, dtype=np.int32).tolist()
    shared = generator(0)  # also reached by another way: stays the same object
    for here in (shared, None):
        other = Holder(here)
        load_captured(other, state)
        assert here is None or other.value is shared
        assert other.value.integers(10, size=3, dtype=np.int32).tolist() == expected
    other = Holder()
    load_captured(other, through_a_file(capture(Holder([generator(1)]))))
    assert other.value[0].random() == generator(1).random()


def test_what_was_loaded_is_a_copy():
    source = np.asfortranarray(np.ones((2, 2)))
    other = Holder()
    load_captured(other, capture(Holder(source)))
    source[0] = 9
    assert other.value.tolist() == [[1, 1], [1, 1]]
    assert other.value.flags.c_contiguous  # as it will be from a file: the probe must see what a resume does


def test_every_level_of_wrappers_is_captured():
    def wrapped():
        return gymnasium.wrappers.TimeLimit(gymnasium.wrappers.RecordEpisodeStatistics(Walk()), 30)

    env, other = wrapped(), wrapped()
    env.reset(seed=1)
    for _ in range(7):
        env.step(1)
    other.reset(seed=2)
    state = capture(env)
    assert list(state) == ["0", "1", "2"]
    assert state["0"]["_elapsed_steps"] == {"kind": "value", "value": 7}
    load_captured(other, state)
    assert [env.step(2)[:4][1:] for _ in range(9)] == [other.step(2)[:4][1:] for _ in range(9)]


def test_the_state_survives_json_without_its_arrays():
    env = Chain()
    env.reset(seed=1)
    scalars = {k: v for k, v in capture(env)["0"].items() if v["kind"] != "array"}
    assert json.loads(json.dumps(scalars)) == scalars


@pytest.mark.parametrize("make", [Chain, Forever, HashChain, Walk, Nested])
def test_probe_says_yes(make):
    assert probe(make)


class Furnished(Walk):
    """Has much that is not plain, and none of it ever changes."""

    def __init__(self):
        super().__init__()
        self.rewards = {(0, 1): 2.0, 3: [4]}
        self.letters = np.array([[b"S", b"G"]])
        self.f = lambda x, k=Walk: x
        self.g = np.sin
        self.h = self.noise
        self.holder = Holder()
        self.me = self


def test_what_never_changes_need_not_be_captured():
    assert probe(Furnished)
    assert probe(lambda: gymnasium.make("FrozenLake-v1"))  # its table of transitions has integers for keys


class Raises(Walk):
    """A reset with a seed raises."""

    def reset(self, *, seed=None, options=None):
        raise RuntimeError("no")


class Slotted(Walk):
    """Keeps its position in an object of another class."""

    def __init__(self):
        super().__init__()
        self.box = Holder()

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        self.box.value = float(obs[0])
        return obs, info

    def step(self, action):
        self.box.value += action + 0.5
        return np.array([self.box.value, 0]), 0.0, False, False, {}


class Dice(Walk):
    """Seldom asks a generator that has its state where no attribute shows it."""

    def __init__(self):
        super().__init__()
        self.dice = random.Random(0)

    def step(self, action):
        return super().step(action if self.dice.random() > 0.001 else 0)


class Closure(Walk):
    """Counts in a variable of a function, and shows it late."""

    def __init__(self):
        super().__init__()
        n = 0

        def count():
            nonlocal n
            n += 1
            return n

        self.count = count

    def step(self, action):
        return super().step(action if self.count() < 1000 else 0)


@pytest.mark.parametrize("make", [Hidden, Moody, lambda: Nested(hidden=True), Raises, Slotted, Dice, Closure])
def test_probe_says_no(make):
    assert not probe(make)


class Float(Walk):
    """Whether its sum is a NumPy scalar or a float shows in its observations."""

    def reset(self, *, seed=None, options=None):
        self.total = np.float64(0.1)
        return super().reset(seed=seed)

    def step(self, action):
        self.total = self.total * np.float64(1.1)
        obs = self.total * np.ones(2, np.float32)  # float64 only if total is
        return obs.astype(np.float64), 0.0, False, False, {}


def test_a_numpy_float_stays_one_for_its_promotion():
    env, other = Float(), Float()
    env.reset(seed=0)
    other.reset(seed=1)
    env.step(0)
    load_captured(other, through_a_file(capture(env)))
    assert env.step(0)[0].tobytes() == other.step(0)[0].tobytes()


def test_the_probe_leaves_a_shared_action_space_alone():
    space = spaces.Discrete(1000, seed=5)
    make = type(
        "Sharing", (Walk,), {"__init__": lambda self: Walk.__init__(self) or setattr(self, "action_space", space)}
    )
    expected = spaces.Discrete(1000, seed=5)
    probe(make)
    assert [space.sample() for _ in range(5)] == [expected.sample() for _ in range(5)]


def test_the_probe_leaves_an_environment_alone_that_make_gives_twice():
    env = Walk()
    env.reset(seed=1)
    before, closed = env.at.copy(), []
    env.close = lambda: closed.append(1)
    assert not probe(lambda: gymnasium.wrappers.TimeLimit(env, 5))
    assert env.at.tolist() == before.tolist()
    assert not closed


def test_the_probe_closes_what_it_made():
    closed = []
    make = type("Closing", (Walk,), {"close": lambda self: closed.append(self)})
    probe(make)
    assert len(closed) == 2
