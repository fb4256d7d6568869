from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlcore.explorers import Boltzmann, EpsilonGreedy, Greedy, Schedule
from rlcore.rng import generator

VALUES = np.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]], np.float32)
NUMBERS = st.floats(-1e300, 1e300)


def test_a_constant_schedule_and_a_linear_one():
    assert [Schedule(0.5)(t) for t in (0, 10**9)] == [0.5, 0.5]
    assert [Schedule(1.0, 0.2, 8)(t) for t in (0, 2, 4, 8, 9)] == [1.0, 0.8, 0.6, 0.2, 0.2]
    assert [Schedule(0.0, 4.0, 4)(t) for t in range(6)] == [0.0, 1.0, 2.0, 3.0, 4.0, 4.0]


@pytest.mark.parametrize(
    "text", ["3e-4", "1", "0.05", "-0.5", "2.5e-4", "1e+6", "linear:1:0.05:5000", "linear:3e-4:0:1"]
)
def test_a_schedule_gives_its_text_back(text):
    assert str(Schedule.parse(text)) == text


def test_what_a_text_means():
    assert Schedule.parse("3e-4") == Schedule(0.0003)
    assert Schedule.parse("linear:1:0.05:5000") == Schedule(1.0, 0.05, 5000)
    assert Schedule.parse("linear:1:0:1e6") == Schedule(1.0, 0.0, 1_000_000)


@given(NUMBERS, st.none() | NUMBERS, st.integers(1, 10**12))
def test_every_schedule_survives_its_text(start, end, steps):
    schedule = Schedule(start, end, 0 if end is None else steps)
    assert Schedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize(
    "text",
    ["", "fast", "linear", "linear:1:0.05", "linear:1:0.05:5000:2", "linear:1::50", "cosine:1:0:50", "constant:1"],
)
def test_what_is_no_schedule_is_said_with_what_would_be(text):
    with pytest.raises(ValueError, match=r"is no schedule: write a number \(3e-4\) or linear:START:END:STEPS"):
        Schedule.parse(text)


@pytest.mark.parametrize("text", ["linear:1:0:0", "linear:1:0:-5", "linear:1:0:2.5"])
def test_a_text_with_a_bad_number_of_steps(text):
    with pytest.raises(ValueError, match="whole number of steps above 0"):
        Schedule.parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.0), "whole number of steps"),
        ((1.0, 0.0, 0), "whole number of steps"),
        ((1.0, 0.0, 2.0), "whole number of steps"),
        ((1.0, None, 5), "give an end"),
        ((float("nan"),), "finite"),
        ((1.0, float("inf"), 5), "finite"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule(*arguments)


def test_greedy_takes_the_best_allowed_action():
    mask = np.array([[True, False, True], [False, True, True]])
    assert Greedy()(VALUES, 0).tolist() == [1, 0]
    assert Greedy()(VALUES, 0, mask).tolist() == [2, 1]
    assert Greedy()(VALUES, 0).dtype == np.int64


def test_epsilon_zero_is_greedy_and_epsilon_one_is_uniform():
    assert EpsilonGreedy(0, generator(0))(VALUES, 0).tolist() == [1, 0]
    values = np.tile(VALUES[:1], (30_000, 1))
    counts = np.bincount(EpsilonGreedy(1.0, generator(0))(values, 0))
    assert np.abs(counts - 10_000).max() < 4 * np.sqrt(30_000 * 2 / 9)


def test_the_frequency_of_exploring_follows_the_schedule():
    explorer = EpsilonGreedy(Schedule(1.0, 0.2, 100), generator(1))
    values = np.tile(VALUES[:1], (40_000, 1))
    for t, epsilon in ((0, 1.0), (50, 0.6), (100, 0.2), (1000, 0.2)):
        p = epsilon * 2 / 3  # a third of the random actions are the greedy one
        other = (explorer(values, t) != 1).sum()
        assert abs(other - 40_000 * p) < 4 * np.sqrt(40_000 * p * (1 - p))


def test_random_actions_are_drawn_from_the_allowed_ones_alone():
    values = np.tile([[9.0, 0.0, 1.0, 0.0]], (30_000, 1))
    mask = np.tile([[False, True, True, True]], (30_000, 1))
    counts = np.bincount(EpsilonGreedy(1.0, generator(2))(values, 0, mask), minlength=4)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 10_000).max() < 4 * np.sqrt(30_000 * 2 / 9)
    mask[:, [1, 3]] = False
    assert set(EpsilonGreedy(0.5, generator(2))(values, 0, mask).tolist()) == {2}


def test_each_row_has_its_own_mask():
    values, mask = np.zeros((1000, 3)), np.eye(3, dtype=bool)[np.arange(1000) % 3]
    for explorer in (Greedy(), EpsilonGreedy(0.5, generator(3)), Boltzmann(1.0, generator(3))):
        assert (explorer(values, 0, mask) == np.arange(1000) % 3).all()


@pytest.mark.parametrize("explorer", [Greedy(), EpsilonGreedy(1.0, generator(0)), Boltzmann(1.0, generator(0))])
def test_a_mask_that_forbids_everything_names_the_stream(explorer):
    with pytest.raises(ValueError, match="stream 1 forbids every action"):
        explorer(VALUES, 0, np.array([[True, True, True], [False, False, False]]))


def test_boltzmann_draws_by_the_exponential_of_the_values():
    values = np.tile(np.log([[1.0, 2.0, 5.0]]).astype(np.float32) / 2, (80_000, 1))
    counts = np.bincount(Boltzmann(0.5, generator(4))(values, 0))
    for count, p in zip(counts, (1 / 8, 2 / 8, 5 / 8), strict=True):
        assert abs(count - 80_000 * p) < 4 * np.sqrt(80_000 * p * (1 - p))


def test_boltzmann_bears_large_values():
    values = np.array([[1e30, -1e30, 0.0]], np.float32)
    assert Boltzmann(1e-3, generator(0))(values, 0).tolist() == [0]


@pytest.mark.parametrize("make", [lambda rng: EpsilonGreedy(0.3, rng), lambda rng: Boltzmann(1.0, rng)])
@pytest.mark.parametrize("mask", [None, np.array([[True, False, True]] * 2)])
def test_a_call_takes_one_number_a_row_whatever_it_decides(make, mask):
    mine, other = generator(5), generator(5)
    explorer = make(mine)
    for t in range(20):
        explorer(VALUES, t, mask)
        other.random(2)
    assert mine.random() == other.random()


@pytest.mark.parametrize("make", [lambda rng: EpsilonGreedy(0.7, rng), lambda rng: Boltzmann(1.0, rng)])
def test_an_explorer_goes_on_from_its_state(make):
    one, two = make(generator(6)), make(generator(7))
    one(VALUES, 0)
    two.load(copy.deepcopy(one.state()))
    assert [one(VALUES, t).tolist() for t in range(50)] == [two(VALUES, t).tolist() for t in range(50)]


def test_greedy_has_no_state():
    Greedy().load(Greedy().state())
    assert Greedy().state() == {}


@pytest.mark.parametrize("epsilon", [-0.1, 1.5, Schedule(1.0, -0.1, 5)])
def test_an_epsilon_that_is_no_probability_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon is a probability"):
        EpsilonGreedy(epsilon, generator(0))


@pytest.mark.parametrize("temperature", [0, -1.0, Schedule(1.0, 0.0, 5)])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature is above 0"):
        Boltzmann(temperature, generator(0))
