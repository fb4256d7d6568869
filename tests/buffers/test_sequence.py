"""Sequences against plain lists of episodes: rows, burn-in, states, masks, and what a learner reads off them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.buffers import PrioritizedSequences, SequenceReplay
from rlcore.rng import generator
from rlcore.stream import Step
from tests.buffers.histories import COLUMNS, GO, TERMINATE, TRUNCATE, Episodes, World, add, episode, histories

H = {**COLUMNS, "h": (((2,), np.float32), ((), np.int64))}


def replay(capacity: int, length: int, burn_in: int = 0, seed: int = 0, kind: Any = SequenceReplay) -> SequenceReplay:
    return kind(capacity, COLUMNS, generator(seed), length, 0.5, burn_in)


def columns_of(batch: dict[str, Any], i: int) -> dict[str, list]:
    """The sequence of one row of a batch, as lists; observations as numbers."""
    names = [name for name in ("action", "reward", "discount", "mask", "reset") if name in batch]
    return {"obs": batch["obs"][:, i, 0].tolist()} | {name: batch[name][:, i].tolist() for name in names}


def by_row(buffer: SequenceReplay, n: int = 200) -> dict[int, dict[str, list]]:
    batch = buffer.sample(n)
    return {row: columns_of(batch, i) for i, row in enumerate(batch["row"].tolist())}


# The picture in the module's docstring


def test_the_picture():
    buffer = replay(20, length=4, burn_in=2)
    episode(buffer, 0, [1, 2, 4, 8, 16, 32, 64], TERMINATE)
    found = by_row(buffer)
    assert sorted(found) == list(range(7))
    assert found[4]["obs"] == [2, 3, 4, 5, 6, 7, 7]
    assert found[4]["reward"] == [16, 32, 64, 0]
    assert found[4]["discount"] == [0.5, 0.5, 0, 1]
    assert found[4]["mask"] == [True, True, True, False]
    assert found[4]["reset"] == [False] * 7
    assert found[1]["obs"] == [0, 0, 1, 2, 3, 4, 5]
    assert found[1]["reward"] == [2, 4, 8, 16]
    assert found[1]["mask"] == [True] * 4
    assert found[1]["reset"] == [False, True, False, False, False, False, False]
    assert found[0]["reset"] == [False, False, True, False, False, False, False]


def test_a_truncated_episode_is_bootstrapped_from_its_last_observation():
    buffer = replay(20, length=3)
    episode(buffer, 0, [1, 2], TRUNCATE)
    episode(buffer, 1002, [4, 8])
    found = by_row(buffer)
    assert found[0] == {
        "obs": [0, 1, 2, 2],
        "action": found[0]["action"],
        "reward": [1, 2, 0],
        "discount": [0.5, 0.5, 1],
        "mask": [True, True, False],
    }
    assert found[3]["obs"] == [1002, 1003, 1003, 1003]  # the newest row waits
    assert found[3]["mask"] == [True, False, False]


def test_a_sequence_begins_with_the_state_of_its_first_row():
    buffer = SequenceReplay(20, H, generator(0), 2, 0.5, burn_in=3)
    yes = np.ones(1, bool)
    for t in range(6):
        obs = np.full((1, 2), t, np.float32)
        h = (np.full((1, 2), 10 * t, np.float32), np.full(1, -t))
        buffer.add(
            obs, np.zeros(1, np.int64), Step(obs + 1, np.ones(1, np.float32), ~yes, ~yes, obs + 1, yes, {}), {"h": h}
        )
    batch = buffer.sample(100)
    first = np.maximum(batch["row"] - 3, 0)
    assert set(batch["row"].tolist()) == {0, 1, 2, 3, 4}
    assert (batch["obs"][0, :, 0] == first).all()
    assert (batch["h"][0] == 10 * first[:, None]).all()
    assert (batch["h"][1] == -first).all()


# Lists of episodes as an oracle


def sequences(episodes: Episodes, capacity: int, length: int, burn_in: int) -> dict[int, dict[str, list]]:
    """What is to be found for each first row; None stands for what may be anything."""
    found = {}
    for piece in episodes.pieces:
        rows = piece["rows"]
        last = [] if piece["last"] is None else [piece["last"]]
        steps = rows if last else rows[:-1]
        seen = [obs for _, obs, _, _ in rows] + last
        for k, (row, *_) in enumerate(steps):
            if row < episodes.row - capacity:
                continue
            first = k
            while first > max(k - burn_in, 0) and rows[first - 1][0] >= episodes.row - capacity:
                first -= 1
            missing, there = burn_in - (k - first), steps[k : k + length]
            discount = [0.5] * len(there)
            if piece["end"] == TERMINATE and k + length >= len(steps):
                discount[-1] = 0.0
            rest = length - len(there)
            found[row] = {
                "obs": [None] * missing + seen[first : k + len(there) + 1] + [seen[-1]] * rest,
                "action": [action for _, _, action, _ in there] + [there[0][2]] * rest,
                "reward": [reward for *_, reward in there] + [0] * rest,
                "discount": discount + [1] * rest,
                "mask": [True] * len(there) + [False] * rest,
            }
            if burn_in:
                reset = [False] * (burn_in + length + 1)
                reset[missing] = missing > 0
                found[row]["reset"] = reset
    return found


@settings(max_examples=80, deadline=None)
@given(histories(), st.integers(1, 5), st.integers(0, 3), st.sampled_from((SequenceReplay, PrioritizedSequences)))
def test_every_sequence_is_that_of_the_episodes(history, length, burn_in, kind):
    capacity, blocks = history
    buffer, episodes, world = replay(capacity, length, burn_in, kind=kind), Episodes(), World()
    for block in blocks:
        arguments = world.block(*block)
        add(buffer, *arguments)
        episodes.add(*arguments)
    expected = sequences(episodes, capacity, length, burn_in)
    assert len(buffer) == len(expected)
    if not expected:
        return
    found = by_row(buffer, 500)
    assert found.keys() == expected.keys()
    for row, columns in found.items():
        for name, values in columns.items():
            told = expected[row][name]
            assert [None if a is None else b for a, b in zip(told, values, strict=True)] == told, (row, name)


@settings(max_examples=30, deadline=None)
@given(histories(), st.sampled_from((SequenceReplay, PrioritizedSequences)), st.data())
def test_it_goes_on_from_its_state_bit_for_bit(history, kind, data):
    capacity, blocks = history
    stop = data.draw(st.integers(0, len(blocks)))
    one, two = (replay(capacity, 3, 2, seed, kind) for seed in (1, 2))
    world = World()
    for event in (GO, TERMINATE) * 20:  # what was there before counts for nothing
        add(two, *World().block(0, [event]))
    for k in range(len(blocks) + 1):
        both = (one, two)[: 2 if k >= stop else 1]
        if k == stop:
            two.load(copy.deepcopy(one.state()))
        if len(one):
            a, *b = (buffer.sample(5) for buffer in both)
            assert all(np.array_equal(a[name], other[name]) for other in b for name in a)
            if kind is PrioritizedSequences:
                for buffer in both:
                    buffer.update(a["row"], a["row"] / 7)
        if k < len(blocks):
            arguments = world.block(*blocks[k])
            for buffer in both:
                add(buffer, *arguments)


def test_priorities_are_of_first_rows():
    buffer = replay(40, 4, kind=PrioritizedSequences)
    episode(buffer, 0, [1.0] * 30)
    batch = buffer.sample(16)
    assert batch["weight"].shape == (16,)
    buffer.update(np.arange(29), np.where(np.arange(29) == 7, 1e6, 0))
    assert (buffer.sample(16)["row"] == 7).all()


def test_a_batch_has_the_dtypes_of_its_columns_and_its_arrays_serve_again():
    buffer = SequenceReplay(50, H, generator(0), 4, 0.5, burn_in=2)
    yes, obs = np.ones(1, bool), np.zeros((1, 2), np.float32)
    h = (np.zeros((1, 2), np.float32), np.zeros(1, np.int64))
    for _ in range(9):
        buffer.add(obs, np.zeros(1, np.int64), Step(obs, np.ones(1, np.float32), ~yes, ~yes, obs, yes, {}), {"h": h})
    batch = buffer.sample(8)
    types = {name: (value.shape, str(value.dtype)) for name, value in batch.items() if name != "h"}
    assert types == {
        "obs": ((7, 8, 2), "float32"),
        "action": ((4, 8), "int64"),
        "reward": ((4, 8), "float32"),
        "discount": ((4, 8), "float32"),
        "mask": ((4, 8), "bool"),
        "reset": ((7, 8), "bool"),
        "row": ((8,), "int64"),
    }
    assert [part.shape for part in batch["h"]] == [(8, 2), (8,)]
    assert buffer.sample(8)["obs"] is batch["obs"]
    assert buffer.sample(4)["obs"].shape == (7, 4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length.*at least 1, got 0"),
        ({"length": 3, "burn_in": -1}, "burn_in.*at least 0, got -1"),
    ],
)
@pytest.mark.parametrize("kind", [SequenceReplay, PrioritizedSequences])
def test_sequences_that_make_no_sense_are_refused(arguments, message, kind):
    with pytest.raises(ValueError, match=message):
        replay(10, **arguments, kind=kind)
