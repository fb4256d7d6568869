"""Rollout: steps in order, first rows checked, state."""

import numpy as np
import pytest

from rlcore.buffers import Rollout
from rlcore.stream import Step

SPECS = {"obs": {"x": ((2,), np.float32), "y": (((), np.int64),)}, "value": ((), np.float32)}


def rows(t, n=3):
    """Step t of n streams, every number of it its own."""
    number = np.arange(n, dtype=np.float32) + 10 * t
    obs = {"x": np.stack([number, -number], 1), "y": (number.astype(np.int64),)}
    flag = number % 2 == 0
    return Step(obs, number, flag, ~flag, obs, flag, {}), {"obs": obs, "value": number / 2}


def filled(steps, length=4, n=3, specs=SPECS):
    rollout = Rollout(length, specs)
    for t in range(steps):
        step, given = rows(t, n)
        rollout.add(step, **given)
    return rollout


def test_steps_lie_in_order_of_arrival():
    rollout = filled(3)
    assert (len(rollout), rollout.full) == (3, False)
    step, given = rows(3)
    rollout.add(step, **given)
    assert (len(rollout), rollout.full) == (4, True)
    c = rollout.columns
    expected = np.arange(3) + 10 * np.arange(4)[:, None]
    np.testing.assert_array_equal(c["reward"], expected)
    np.testing.assert_array_equal(c["obs"]["x"], np.stack([expected, -expected], 2))
    np.testing.assert_array_equal(c["obs"]["y"][0], expected)
    np.testing.assert_array_equal(c["value"], expected / 2)
    for name, wanted in (
        ("terminated", expected % 2 == 0),
        ("truncated", expected % 2 == 1),
        ("valid", expected % 2 == 0),
    ):
        np.testing.assert_array_equal(c[name], wanted)
    with pytest.raises(ValueError, match="full: clear it first"):
        rollout.add(step, **given)
    rollout.clear()
    assert len(rollout) == 0
    rollout.add(step, **given)
    np.testing.assert_array_equal(c["reward"][0], expected[3])


def test_what_is_stored_is_a_copy():
    rollout, (step, given) = Rollout(2, SPECS), rows(0)
    rollout.add(step, **given)
    step.reward[:] = given["obs"]["x"][:] = 99
    assert 99 not in rollout.columns["reward"]
    assert 99 not in rollout.columns["obs"]["x"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("value", np.zeros(3), r"rollout column value: expected float32 \(3,\), got float64 \(3,\)"),
        ("value", np.zeros(2, np.float32), r"column value: expected float32 \(3,\), got float32 \(2,\)"),
        ("obs", {"x": np.zeros((3, 2), np.float32)}, "column obs/y/0: expected int64 (.*), got no array"),
    ],
)
def test_the_first_rows_are_checked(name, value, message):
    rollout, (step, given) = Rollout(2, SPECS), rows(0)
    with pytest.raises(ValueError, match=message):
        rollout.add(step, **{**given, name: value})
    assert (len(rollout), rollout.columns) == (0, {})


def test_the_number_of_streams_stays_within_a_rollout():
    rollout = filled(2)
    step, given = rows(0, n=4)
    with pytest.raises(ValueError, match="of 3 streams, which all come in one call; got 4"):
        rollout.add(step, **given)
    rollout.clear()
    rollout.add(step, **given)
    assert rollout.columns["reward"].shape == (4, 4)


def test_a_length_and_names_are_checked():
    with pytest.raises(ValueError, match="at least 1 step, got length 0"):
        Rollout(0, SPECS)
    with pytest.raises(ValueError, match=r"may not be named \['reward'\]"):
        Rollout(2, {"reward": ((), np.float32)})
    with pytest.raises(TypeError, match="a column is"):
        Rollout(2, {"obs": 3})


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_state_goes_on_bit_for_bit(steps):
    one, other = filled(steps), filled(2, n=5)
    other.load(one.state())
    for rollout in (one, other):
        for t in range(steps, 4):
            step, given = rows(t)
            rollout.add(step, **given)
    np.testing.assert_array_equal(one.columns["obs"]["x"], other.columns["obs"]["x"])
    np.testing.assert_array_equal(one.columns["valid"], other.columns["valid"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.update(length=5), "length 5, this rollout 4"),
        (lambda s: s.pop("columns"), "has length and columns, this one"),
        (lambda s: s["columns"].pop("value"), "has columns"),
        (
            lambda s: s["columns"].update(value=np.zeros((2, 3))),
            r"value as float64 \(2, 3\), expected float32 \(2, 3\)",
        ),
        (lambda s: s["columns"].update(reward=np.zeros((5, 3), np.float32)), r"steps and streams \(5, 3\), expected"),
    ],
)
def test_a_broken_state_changes_nothing(spoil, message):
    state, other = filled(2).state(), filled(3)
    spoil(state)
    with pytest.raises(ValueError, match=message):
        other.load(state)
    assert len(other) == 3


def test_the_first_steps_are_dropped_and_the_others_stay():
    rollout = filled(4)
    rollout.drop(3)
    assert (len(rollout), rollout.full) == (1, False)
    step, given = rows(7)
    rollout.add(step, **given)
    expected = np.arange(3) + 10 * np.array([[3], [7]])
    np.testing.assert_array_equal(rollout.columns["reward"][:2], expected)
    np.testing.assert_array_equal(rollout.columns["obs"]["y"][0][:2], expected)
    rollout.drop(0)
    assert len(rollout) == 2
    rollout.drop(2)
    assert len(rollout) == 0
