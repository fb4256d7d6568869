"""Prioritized replay: draws and weights in closed form, priorities that find their rows, an oracle of lists."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.buffers import Prioritized
from rlcore.buffers.prioritized import ESTIMATES
from rlcore.fields import Schedule
from rlcore.harness.storage import load_state, save_state
from rlcore.rng import generator
from rlcore.stream import Step
from tests.autograd import device
from tests.buffers.histories import COLUMNS, GO, TERMINATE, TRUNCATE, Episodes, World, add, drawn, episode, histories

ONE = Schedule(1.0)


def replay(capacity: int, seed: int = 0, alpha: float = 1.0, beta: Schedule = ONE, **more: Any) -> Prioritized:
    given = {"n_step": 1, "gamma": 0.5, "eps": 1e-9} | more
    return Prioritized(capacity, COLUMNS, generator(seed), alpha=alpha, beta=beta, **given)


def filled(capacity: int, n: int, **more: Any) -> Prioritized:
    """Transitions 0 to n - 1 of one stream."""
    buffer = replay(capacity, **more)
    episode(buffer, 0, [1.0] * (n + 1))
    return buffer


def priorities(buffer: Prioritized) -> dict[int, float]:
    """Weights in the tree, by row, of all rows that have one."""
    if buffer._pending or buffer._changed:
        buffer._write_back()
    slots = np.flatnonzero(buffer._tree.leaves)
    newest = buffer._written - 1
    return {int(newest - (newest - slot) % buffer.capacity): float(buffer._tree.leaves[slot]) for slot in slots}


# In closed form


def test_frequencies_are_in_proportion_to_the_priorities():
    buffer = filled(100, 50, alpha=0.7, eps=0.01)
    errors = generator(3).standard_normal(50).astype(np.float32)
    buffer.update(np.arange(50), errors)
    counts = np.zeros(50)
    for _ in range(500):
        counts += np.bincount(buffer.sample(2000)["row"], minlength=50)
    p = (np.abs(errors.astype(np.float64)) + 0.01) ** 0.7
    expected = 1e6 * p / p.sum()
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < 49 + 4 * np.sqrt(2 * 49)  # chi-square of 49; strata make it less


def test_alpha_0_is_uniform():
    buffer = filled(100, 50, alpha=0.0)
    buffer.update(np.arange(50), np.linspace(0, 9, 50))
    assert set(priorities(buffer).values()) == {1.0}
    assert (buffer.sample(20)["weight"] == 1).all()


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_weights_are_those_of_the_paper(beta):
    buffer = filled(100, 50, alpha=0.6, beta=Schedule(beta), eps=0.01)
    errors = np.linspace(-1, 3, 50)
    buffer.update(np.arange(50), errors)
    batch = buffer.sample(32)
    total = sum((abs(error) + 0.01) ** 0.6 for error in errors)
    raw = [(50 * (abs(errors[row]) + 0.01) ** 0.6 / total) ** -beta for row in batch["row"]]
    np.testing.assert_allclose(batch["weight"], np.array(raw) / max(raw), rtol=1e-6)
    assert batch["weight"].dtype == np.float32
    assert batch["weight"].max() == 1


def test_beta_follows_rows_written():
    buffer = filled(100, 50, beta=Schedule(0.0, 1.0, 102))
    buffer.update(np.arange(50), np.where(np.arange(50) % 2, 4.0, 1.0))
    weight = buffer.sample(32)["weight"]  # 51 of 102 rows: beta is 1/2
    np.testing.assert_allclose(np.unique(weight), [0.5, 1], rtol=1e-6)


def test_draws_come_from_strata_of_equal_probability():
    buffer = filled(200, 100)
    for _ in range(20):
        assert (buffer.sample(100)["row"] == np.arange(100)).all()
        assert (buffer.sample(50)["row"] // 2 == np.arange(50)).all()


def test_new_transitions_have_the_largest_priority_so_far():
    buffer = filled(100, 4)
    assert priorities(buffer) == {0: 1, 1: 1, 2: 1, 3: 1}
    buffer.update(np.array([1, 2]), np.array([-7.0, 0.5]))
    add(buffer, [50], [GO], [51], [0])
    assert priorities(buffer) == {0: 1, 1: 7 + 1e-9, 2: 0.5 + 1e-9, 3: 1, 4: 7 + 1e-9}
    buffer.update(np.array([1]), np.array([0.25]))
    add(buffer, [51], [GO], [52], [0])
    assert priorities(buffer)[1] == 0.25 + 1e-9
    assert priorities(buffer)[5] == 7 + 1e-9


def estimating(n_step: int, rewards: list[float], event: int = GO, **more: Any) -> Prioritized:
    """Rows of one stream that was acted with Q(s, a) = 1, 2, 3, ... and best values of 10, 20, 30, ..."""
    columns = {**COLUMNS, **dict.fromkeys(ESTIMATES, ((), np.float32))}
    buffer = Prioritized(20, columns, generator(0), n_step, 0.5, alpha=1.0, beta=ONE, eps=0.25, **more)
    n = len(rewards)
    for i, reward in enumerate(rewards):
        over, no = np.array([i == n - 1]), np.zeros(1, bool)
        obs, after = (np.array([[x, -x]], np.float32) for x in (i, i + 1))
        flags = (over if event == TERMINATE else no), (over if event == TRUNCATE else no)
        final = np.array([[99, -99]], np.float32) if event != GO and over[0] else after
        step = Step(after, np.array([reward], np.float32), *flags, final, ~no, {})
        given = dict(zip(ESTIMATES, np.array([[i + 1], [10 * i + 10]], np.float32)))
        buffer.add(obs, np.zeros(1, np.int64), step, given)
    return buffer


def test_new_transitions_have_the_error_of_the_values_that_acted():
    # of one step: |r + 20 / 2 - 1| + 0.25, |r + 30 / 2 - 2| + 0.25; the last row waits for its successor
    assert priorities(estimating(1, [1.0, 2.0, 3.0])) == {0: 10.25, 1: 15.25}
    # of two: |1 + 2 / 2 + 30 / 4 - 1| + 0.25, and of one, as no more is known
    assert priorities(estimating(2, [1.0, 2.0, 3.0])) == {0: 8.75, 1: 15.25}
    # at the end nothing follows: |3 - 3|, |2 + 3 / 2 - 2|; of the first |1 + 2 / 2 + 30 / 4 - 1|
    assert priorities(estimating(2, [1.0, 2.0, 3.0], TERMINATE)) == {0: 8.75, 1: 1.75, 2: 0.25}
    # a last observation that was cut has no value: the largest so far
    assert priorities(estimating(2, [1.0, 2.0, 3.0], TRUNCATE)) == {0: 8.75, 1: 8.75, 2: 8.75}
    assert priorities(estimating(1, [1.0, 2.0, 3.0], TRUNCATE)) == {0: 10.25, 1: 15.25, 2: 15.25}


def test_an_estimate_is_nothing_against_an_error_and_no_number_is_none():
    buffer = estimating(1, [1.0, 2.0, 3.0])
    buffer.update(np.array([0]), np.array([-99.0], np.float32))
    assert priorities(buffer) == {0: 99.25, 1: 15.25}
    buffer = estimating(1, [1.0, 2.0, 3.0, 4.0])
    buffer._columns["acting_value"][1] = np.nan
    assert priorities(buffer) == {0: 20.25, 1: 15.25, 2: 20.25}
    assert set(buffer.sample(5)) == {"obs", "action", "reward", "next_obs", "discount", "row", "weight"}


def test_what_waits_when_the_ring_has_gone_round_is_known_by_its_row():
    buffer = estimating(1, [1.0] * 47)  # of 20 rows
    assert {row: p for row, p in priorities(buffer).items() if row > 40} == {
        row: abs(1 + (10 * row + 20) / 2 - (row + 1)) + 0.25 for row in range(41, 46)
    }


def test_of_a_row_given_twice_the_last_error_counts():
    buffer = filled(100, 4)
    buffer.sample(1)
    buffer.update(np.array([2, 1, 2]), np.array([5.0, 6.0, 7.0]))
    buffer.update(np.array([1]), np.array([8.0]))
    buffer.update(np.array([3, 3]), np.array([9.0, 2.0]))
    assert priorities(buffer) == pytest.approx({0: 1, 1: 8, 2: 7, 3: 2}, abs=1e-8)


# Which row it is


@pytest.mark.parametrize(("more", "kept"), [(0, [1, 5, 7]), (2, [5, 7]), (5, [5, 7]), (6, [7]), (8, []), (30, [])])
def test_priorities_are_right_when_the_buffer_wraps_between_sampling_and_updating(more, kept):
    buffer = filled(10, 9)
    buffer.sample(4)
    buffer.update(np.array([1, 5, 7]), np.array([3.0, 4.0, 5.0]))
    for t in range(more):
        add(buffer, [100 + t], [GO], [101 + t], [0])
    found = priorities(buffer)
    assert sorted(found) == list(range(more, more + 9))
    given = {1: 3.0, 5: 4.0, 7: 5.0}
    assert found == pytest.approx({row: given[row] if row in kept else 5.0 if row > 8 else 1.0 for row in found})


def test_a_gap_has_no_priority():
    buffer = replay(100)
    for first in (0, 10, 20):
        episode(buffer, first, [1, 1], TERMINATE)
    buffer.update(np.array([0, 1, 2]), np.array([1.0, 2.0, 3.0]))  # 2 is the last observation
    assert sorted(priorities(buffer)) == [0, 1, 3, 4, 6, 7]


def test_an_update_is_not_looked_at_before_the_next_batch():
    buffer = filled(100, 9)
    row = buffer.sample(4)["row"]
    before = buffer._tree.leaves.copy()
    error = np.array([1.0, 2, 3, 4])
    buffer.update(row, error)
    error[:] = 77  # the learner's array serves again
    assert (buffer._tree.leaves == before).all()
    buffer.sample(4)
    assert buffer._tree.leaves[row] == pytest.approx([1, 2, 3, 4])


def test_errors_may_be_a_devices_which_is_asked_for_them_once(monkeypatch):
    device.install(monkeypatch)
    buffer, asked = filled(100, 9), []
    buffer.sample(1)
    monkeypatch.setattr(sys.modules["cupy"], "asnumpy", lambda array: asked.append(1) or array.hidden)
    buffer.update(np.array([3, 4]), device.Array(np.array([2.0, -6.0], np.float32)))
    assert not asked
    assert priorities(buffer) == pytest.approx({row: {3: 2.0, 4: 6.0}.get(row, 1.0) for row in range(9)})
    assert asked == [1]


# Lists of episodes as an oracle


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(1, 3), st.integers(0, 2**32))
def test_every_transition_is_that_of_the_episodes_and_its_priority_its_own(history, n_step, seed):
    capacity, blocks = history
    rng = generator(seed)
    buffer, episodes, world = replay(capacity, n_step=n_step), Episodes(), World()
    p: dict[int, float] = {}
    largest = 1.0
    for block in blocks:
        arguments = world.block(*block)
        add(buffer, *arguments)
        episodes.add(*arguments)
        expected = episodes.transitions(capacity, n_step, 0.5)
        p = {row: p.get(row, largest) for row in expected}
        assert len(buffer) == len(expected)
        if not expected or rng.random() < 0.3:
            continue
        assert priorities(buffer) == pytest.approx(p)
        found = drawn(buffer, 16)
        assert found == {row: expected[row] for row in found}
        if rng.random() < 0.7:
            row = buffer.sample(5)["row"]
            error = np.round(10 * rng.random(5), 2)
            buffer.update(row, error)
            p |= dict(zip(row.tolist(), (error + 1e-9).tolist(), strict=True))
            largest = max(largest, error.max() + 1e-9)


# State


@settings(max_examples=50, deadline=None)
@given(histories(), st.data())
def test_it_goes_on_from_its_state_bit_for_bit(history, data):
    capacity, blocks = history
    stop = data.draw(st.integers(0, len(blocks)))
    one, two, world = replay(capacity, alpha=0.6, seed=1), replay(capacity, alpha=0.6, seed=2), World()
    for event in (GO, TERMINATE) * 20:  # what was there before counts for nothing
        add(two, *World().block(0, [event]))
    two.sample(3)
    rng = generator(5)
    for k in range(len(blocks) + 1):
        both = (one, two)[: 2 if k >= stop else 1]
        if k == stop:
            two.load(copy.deepcopy(one.state()))
        if len(one) and k % 3:
            a, *b = (buffer.sample(5) for buffer in both)
            assert all(np.array_equal(a[name], other[name]) for other in b for name in a)
            error = 3 * rng.random(5, np.float32)
            for buffer in both:
                buffer.update(a["row"], error)
        if k < len(blocks):
            arguments = world.block(*blocks[k])
            for buffer in both:
                add(buffer, *arguments)
    assert priorities(one) == priorities(two)
    assert [level.tolist() for level in one._tree._sums] == [level.tolist() for level in two._tree._sums]


def test_its_state_is_stored_with_errors_that_wait(tmp_path):
    one, two = filled(10, 15, seed=1), replay(10, seed=2)
    one.sample(3)
    one.update(np.array([12, 13]), np.array([5.0, 6.0], np.float32))
    add(one, [40], [GO], [41], [0])
    save_state(tmp_path / "state", one.state())
    two.load(load_state(tmp_path / "state"))
    a, b = one.sample(8), two.sample(8)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert priorities(one) == priorities(two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.5}, "alpha 0.5, this replay 1.0"),
        ({"weights": np.zeros(9)}, r"weights as float64 \(9,\), this replay as float64 \(10,\)"),
        ({"weights": np.full(10, -1.0)}, "negative or not finite"),
        ({"weights": np.full(10, np.nan)}, "negative or not finite"),
        ({"largest": 0.0}, "negative or not finite"),
        ({"pending": [(np.zeros(2, np.int64), np.zeros(3))]}, "do not belong together"),
    ],
)
def test_a_state_that_is_not_its_own_is_refused_and_changes_nothing(change, message):
    buffer = filled(10, 7)
    before = copy.deepcopy(buffer.state())
    with pytest.raises(ValueError, match=message):
        buffer.load(before | change)
    np.testing.assert_equal(buffer.state(), before)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -0.1}, "alpha.*between 0 and 1, got -0.1"),
        ({"alpha": np.nan}, "alpha.*between 0 and 1, got nan"),
        ({"eps": 0.0}, "eps.*above 0 and finite, got 0.0"),
        ({"eps": np.inf}, "eps.*above 0 and finite, got inf"),
        ({"n_step": 0}, "n_step"),
    ],
)
def test_a_replay_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        replay(10, **arguments)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_an_error_that_is_not_finite_is_refused_by_its_row_and_spoils_nothing(wrong):
    buffer = filled(10, 7)
    before = priorities(buffer)
    buffer.update(np.array([2, 4]), np.array([5.0, wrong]))
    with pytest.raises(ValueError, match=r"not finite, for rows \[4\]"):
        buffer.sample(3)
    assert priorities(buffer) == before
    buffer.sample(3)


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        (np.array([1, 2]), np.ones(3), r"rows \(n,\) and their errors \(n,\), got int64 \(2,\), \(3,\)"),
        (np.array([[1]]), np.ones((1, 1)), r"rows \(n,\)"),
        (np.array([1.0]), np.ones(1), "float64"),
        (np.array([1, 8]), np.ones(2), "row 8 has not been written, 8 have"),
    ],
)
def test_an_update_that_fits_no_row_is_refused(row, error, message):
    buffer = filled(10, 7)
    with pytest.raises(ValueError, match=message):
        buffer.update(row, error)
    assert not buffer._pending


def test_an_empty_replay_says_so():
    with pytest.raises(ValueError, match="no transition"):
        replay(10).sample(1)
