"""Replay against plain lists of episodes, hand-computed returns and a world whose states are hashes of its history."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.buffers.replay import Replay
from rlcore.rng import generator
from rlcore.stream import Step
from rlcore.tree import Ring, map_
from tests.buffers.histories import (
    COLUMNS,
    GO,
    INVALID,
    TERMINATE,
    TRUNCATE,
    Episodes,
    Transition,
    World,
    add,
    drawn,
    episode,
    histories,
    pair,
)


def replay(capacity: int, n_step: int = 1, gamma: float = 0.5, seed: int = 0, columns: dict = COLUMNS) -> Replay:
    return Replay(capacity, columns, generator(seed), n_step, gamma)


def returns(buffer: Replay) -> dict[int, tuple[float, float, float]]:
    return {t.obs: (t.reward, t.discount, t.next_obs) for t in drawn(buffer).values()}


# Returns computed by hand: rewards 1, 10, 100, gamma 1/2


@pytest.mark.parametrize(
    ("n_step", "end", "expected"),
    [
        (1, TERMINATE, {0: (1, 0.5, 1), 1: (10, 0.5, 2), 2: (100, 0, 3)}),
        (2, TERMINATE, {0: (6, 0.25, 2), 1: (60, 0, 3), 2: (100, 0, 3)}),
        (3, TERMINATE, {0: (31, 0, 3), 1: (60, 0, 3), 2: (100, 0, 3)}),
        (5, TERMINATE, {0: (31, 0, 3), 1: (60, 0, 3), 2: (100, 0, 3)}),
        (1, TRUNCATE, {0: (1, 0.5, 1), 1: (10, 0.5, 2), 2: (100, 0.5, 3)}),
        (2, TRUNCATE, {0: (6, 0.25, 2), 1: (60, 0.25, 3), 2: (100, 0.5, 3)}),
        (3, TRUNCATE, {0: (31, 0.125, 3), 1: (60, 0.25, 3), 2: (100, 0.5, 3)}),
        (5, TRUNCATE, {0: (31, 0.125, 3), 1: (60, 0.25, 3), 2: (100, 0.5, 3)}),
        (1, GO, {0: (1, 0.5, 1), 1: (10, 0.5, 2)}),  # the newest row waits; its observation is where to bootstrap
        (3, GO, {0: (6, 0.25, 2), 1: (10, 0.5, 2)}),
    ],
)
def test_returns_at_the_end_of_an_episode(n_step, end, expected):
    buffer = replay(20, n_step)
    episode(buffer, 0, [1, 10, 100], end)
    assert returns(buffer) == expected
    assert len(buffer) == len(expected)


@pytest.mark.parametrize("end", [TERMINATE, TRUNCATE])
def test_no_window_enters_the_next_episode_and_no_successor_is_a_reset(end):
    buffer = replay(20, n_step=3)
    episode(buffer, 0, [1, 10], end)
    episode(buffer, 1002, [1000, 1000, 1000])
    g = 0 if end == TERMINATE else 1
    assert returns(buffer) == {
        0: (6, 0.25 * g, 2),
        1: (10, 0.5 * g, 2),
        1002: (1500, 0.25, 1004),
        1003: (1000, 0.5, 1004),
    }


def test_an_invalid_row_cuts_the_stream_before_and_after():
    buffer = replay(20, n_step=3)
    episode(buffer, 0, [1, 10])
    add(buffer, [2], [INVALID], [7], [777])
    episode(buffer, 7, [100, 200])
    assert returns(buffer) == {0: (6, 0.25, 2), 1: (10, 0.5, 2), 7: (100, 0.5, 8)}


def test_a_row_that_ends_an_episode_and_is_invalid_is_no_transition():
    buffer = replay(20)
    episode(buffer, 0, [1])
    yes, obs = np.ones(1, bool), np.array([pair(1)], np.float32)
    buffer.add(obs, np.zeros(1, np.int64), Step(9 * obs, np.ones(1, np.float32), yes, ~yes, 5 * obs, ~yes, {}))
    episode(buffer, 20, [1, 1])
    assert {t.obs for t in drawn(buffer).values()} == {0, 20}


def test_an_invalid_row_that_nobody_waits_for_takes_no_room():
    with_dummies, without = replay(20), replay(20)
    for buffer in (with_dummies, without):
        for first in (0, 10, 20):
            episode(buffer, first, [1, 2], TERMINATE)
            if buffer is with_dummies:  # Gymnasium's NEXT_STEP: a row from the last observation to the first
                add(buffer, [first + 2], [INVALID], [first + 10], [0])
    assert drawn(with_dummies) == drawn(without)
    for name in ("kind", "succ"):
        assert (with_dummies.state()[name] == without.state()[name]).all()


# The ring


def test_the_newest_rows_are_kept_first_in_first_out():
    buffer = replay(10)
    for t in range(26):
        add(buffer, [t], [GO], [t + 1], [t])
        assert len(buffer) == min(t, 9)
    assert drawn(buffer) == {row: Transition(row, 0, row, row + 1, 0.5) for row in range(16, 25)}


def test_an_ended_episode_takes_one_row_more():
    buffer = replay(9)
    for first in (0, 10, 20):
        episode(buffer, first, [1, 1], TERMINATE)
    assert sorted(drawn(buffer)) == [0, 1, 3, 4, 6, 7]
    episode(buffer, 30, [1])
    assert sorted(drawn(buffer)) == [1, 3, 4, 6, 7]


def test_rows_of_a_block_come_before_the_final_observations_of_its_episodes():
    buffer = replay(20)
    add(buffer, [0, 10, 20], [TERMINATE, GO, TRUNCATE], [1, 11, 21], [5, 6, 7], [1, 2, 3])
    add(buffer, [1001, 11, 1021], [GO, GO, GO], [1002, 12, 1022], [0, 0, 0])
    assert drawn(buffer) == {
        0: Transition(0, 1, 5, 1, 0),
        1: Transition(10, 2, 6, 11, 0.5),
        2: Transition(20, 3, 7, 21, 0.5),
    }


@pytest.mark.parametrize(("silence", "kept"), [(2, True), (3, False), (4, False), (9, False)])
def test_a_link_from_a_stream_that_was_silent_for_a_ring_is_dropped(silence, kept):
    buffer = replay(4)
    add(buffer, [100], [GO], [101], [7], stream=0)
    for t in range(silence):
        add(buffer, [t], [GO], [t + 1], [0], stream=1)
    before = drawn(buffer)
    add(buffer, [101], [GO], [102], [7], stream=0)
    after = drawn(buffer)
    newest = silence + 1
    expected = {row: t for row, t in before.items() if row > newest - 4}
    if kept:
        expected[0] = Transition(100, 0, 7, 101, 0.5)
    assert after == expected
    assert len(buffer) == len(after)


# Plain lists of episodes as an oracle


@settings(max_examples=200, deadline=None)
@given(histories(), st.integers(1, 4))
def test_every_transition_is_that_of_the_episodes(history, n_step):
    capacity, blocks = history
    buffer, episodes, world = replay(capacity, n_step), Episodes(), World()
    for block in blocks:
        arguments = world.block(*block)
        add(buffer, *arguments)
        episodes.add(*arguments)
        expected = episodes.transitions(capacity, n_step, 0.5)
        assert len(buffer) == len(expected)
        if expected:
            found = drawn(buffer, 64)
            assert found == {row: expected[row] for row in found}
    if expected:
        assert drawn(buffer, 1000) == expected


@settings(max_examples=50, deadline=None)
@given(histories(), st.integers(1, 3), st.data())
def test_a_replay_goes_on_from_its_state_bit_for_bit(history, n_step, data):
    capacity, blocks = history
    stop = data.draw(st.integers(0, len(blocks)))
    one, two, world = replay(capacity, n_step, seed=1), replay(capacity, n_step, seed=2), World()
    for event in (GO, TERMINATE) * 20:  # what was there before counts for nothing
        add(two, *World().block(0, [event]))
    for k in range(len(blocks) + 1):
        if k == stop:
            two.load(copy.deepcopy(one.state()))
        if k >= stop and len(one):
            a, b = one.sample(5), two.sample(5)
            assert all(np.array_equal(a[name], b[name]) for name in a)
        if k < len(blocks):
            arguments = world.block(*blocks[k])
            for buffer in (one, two)[: 2 if k >= stop else 1]:
                add(buffer, *arguments)
    assert len(one) == len(two)


def test_every_successor_is_the_hash_of_where_it_came_from():
    """s' = h(s, action, episode): a mixture of any two streams, episodes or generations of rows shows."""

    def h(obs: np.ndarray, action: np.ndarray, episode: np.ndarray) -> np.ndarray:
        mixed = (obs[:, 0] * 2654435761 + action * 40503 + episode * 69069 + 12345) % 2**31
        return np.stack([mixed, episode], 1)

    n, rng = 3, generator(0)
    columns = {"obs": ((2,), np.int64), "action": ((), np.int64), "episode": ((), np.int64)}
    buffer = replay(200, columns=columns)
    episodes = np.arange(n)
    obs = np.stack([episodes * 7, episodes], 1)
    for _ in range(1500):
        action = rng.integers(0, 4, n)
        final = h(obs, action, episodes)
        chance = rng.random(n)
        terminated, truncated = chance < 0.05, chance > 0.93
        ended = terminated | truncated
        extra = {"episode": episodes}
        episodes = np.where(ended, episodes + n, episodes)
        reset = np.stack([episodes * 7, episodes], 1)
        after = np.where(ended[:, None], reset, final)
        step = Step(after, np.ones(n, np.float32), terminated, truncated, final, np.ones(n, bool), {})
        buffer.add(obs, action, step, extra)
        obs = after
        if len(buffer):
            batch = buffer.sample(16)
            assert (batch["next_obs"] == h(batch["obs"], batch["action"], batch["episode"])).all()


# Draws


def test_draws_are_uniform_over_transitions():
    buffer = replay(100)
    for first in range(0, 500, 10):
        episode(buffer, first, [1] * (1 + first // 10 % 4), TERMINATE)
    counts = np.zeros(300)
    for _ in range(1000):
        np.add.at(counts, buffer.sample(100)["row"], 1)
    counts = counts[counts > 0]
    freedom = len(buffer) - 1
    assert len(counts) == len(buffer)
    expected = 100_000 / len(buffer)
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)  # chi-square: mean k, variance 2 k


def test_one_transition_among_gaps_is_found():
    buffer = replay(1000)
    episode(buffer, 5, [3], TERMINATE)
    for stream in range(1, 400):
        add(buffer, [0], [GO], [1], [0], stream=stream)
    assert buffer.sample(64)["row"].tolist() == [0] * 64


def test_the_same_generator_draws_the_same_rows_and_moves_no_other():
    one, two = replay(50, seed=3), replay(50, seed=3)
    for buffer in (one, two):
        episode(buffer, 0, [1] * 30)
    assert (one.sample(16)["row"] == two.sample(16)["row"]).all()
    assert (one.sample(16)["row"] != one.sample(16)["row"]).any()


def test_a_batch_has_the_dtypes_of_its_columns_and_its_arrays_serve_again():
    buffer = replay(50, n_step=3)
    episode(buffer, 0, [1] * 30)
    batch = buffer.sample(8)
    types = {name: (value.shape, str(value.dtype)) for name, value in batch.items()}
    assert types == {
        "obs": ((8, 2), "float32"),
        "action": ((8,), "int64"),
        "reward": ((8,), "float32"),
        "next_obs": ((8, 2), "float32"),
        "discount": ((8,), "float32"),
        "row": ((8,), "int64"),
    }
    assert buffer.sample(8)["obs"] is batch["obs"]
    assert buffer.sample(4)["obs"].shape == (4, 2)


def test_an_empty_replay_says_so():
    buffer = replay(10)
    with pytest.raises(ValueError, match="no transition"):
        buffer.sample(1)
    add(buffer, [0], [GO], [1], [0])
    assert len(buffer) == 0
    with pytest.raises(ValueError, match="no transition"):
        buffer.sample(1)


# Trees


TREE = {
    "obs": {"camera": ((2, 2), np.uint8), "body": (((1,), np.float32), ((), np.int64))},
    "action": (((), np.int64), ((2,), np.float32)),
    "log_prob": ((), np.float32),
}


def tree_row(t: int, end: bool = False) -> tuple:
    def obs(x: int) -> dict:
        camera = np.full((1, 2, 2), x, np.uint8)
        return {"camera": camera, "body": (np.full((1, 1), x, np.float32), np.full(1, x, np.int64))}

    action = (np.array([t]), np.full((1, 2), t, np.float32))
    after, yes = obs(t + 1), np.ones(1, bool)
    step = Step(obs(100) if end else after, np.full(1, t, np.float32), ~yes, yes & end, after, yes, {})
    return obs(t), action, step, {"log_prob": np.full(1, -t, np.float32), "unasked": None}


def test_observations_and_actions_may_be_trees():
    buffer = replay(20, columns=TREE)
    for t in range(5):
        buffer.add(*tree_row(t, end=t == 4))
    batch = buffer.sample(200)
    t = batch["row"]
    assert set(t.tolist()) == {0, 1, 2, 3, 4}
    for name, x in (("obs", t), ("next_obs", t + 1)):
        assert (batch[name]["camera"] == x[:, None, None]).all()
        assert (batch[name]["body"][0] == x[:, None]).all()
        assert (batch[name]["body"][1] == x).all()
    assert (batch["action"][0] == t).all()
    assert (batch["action"][1] == t[:, None]).all()
    assert (batch["log_prob"] == -t).all()


def test_a_replay_of_trees_loads_a_state_whose_tuples_came_back_as_lists():
    def listed(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: listed(branch) for name, branch in tree.items()}
        return [listed(branch) for branch in tree] if type(tree) is tuple else tree

    one, two = replay(20, columns=TREE), replay(20, columns=TREE, seed=1)
    for t in range(5):
        one.add(*tree_row(t))
    two.load(listed(one.state()))
    a, b = one.sample(9), two.sample(9)
    assert (a["row"] == b["row"]).all()
    map_(np.testing.assert_array_equal, a["next_obs"], b["next_obs"])


# State


def test_columns_are_saved_as_rings_and_links_whole():
    buffer = replay(10)
    for t in range(13):
        add(buffer, [t], [GO], [t + 1], [t])
    state = buffer.state()
    assert all(type(ring) is Ring and ring.written == 13 for ring in state["columns"].values())
    assert state["columns"]["reward"].array.tolist() == [10, 11, 12, 3, 4, 5, 6, 7, 8, 9]
    assert state["succ"].tolist() == [11, 12, 12, 4, 5, 6, 7, 8, 9, 10]
    assert np.shares_memory(state["kind"], buffer.state()["kind"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"capacity": 12}, "capacity 10, this replay 12"),
        ({"n_step": 2}, "n_step 1, this replay 2"),
        ({"gamma": 0.9}, "gamma 0.5, this replay 0.9"),
        (
            {"columns": {**COLUMNS, "h": ((3,), np.float32)}},
            r"columns \['action', 'obs', 'reward'\], this replay .*'h'",
        ),
        (
            {"columns": {**COLUMNS, "obs": ((3,), np.float32)}},
            r"obs as float32 \(10, 2\), this replay as float32 \(10, 3\)",
        ),
        ({"columns": {**COLUMNS, "action": ((), np.int32)}}, r"action as int64 \(10,\), this replay as int32 \(10,\)"),
    ],
)
def test_a_state_of_another_replay_is_refused_and_changes_nothing(other, message):
    source = replay(10)
    episode(source, 0, [1] * 7)
    arguments = {"capacity": 10, "n_step": 1, "gamma": 0.5, "columns": COLUMNS, "seed": 4} | other
    buffer = replay(**arguments)
    before = copy.deepcopy(buffer.state())
    with pytest.raises(ValueError, match=message):
        buffer.load(source.state())
    np.testing.assert_equal(buffer.state(), before)
    assert len(buffer) == 0


def test_a_state_with_parts_missing_or_of_another_generator_is_refused():
    buffer, state = replay(10), replay(10).state()
    with pytest.raises(ValueError, match="a replay's state has"):
        buffer.load({name: part for name, part in state.items() if name != "succ"})
    with pytest.raises(ValueError, match="MT19937"):
        buffer.load({**state, "rng": {"bit_generator": "MT19937"}})


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"capacity": 1}, "at least 2 rows.*got capacity 1"),
        ({"n_step": 0}, "n_step.*at least 1, got 0"),
        ({"gamma": 1.01}, "gamma.*between 0 and 1, got 1.01"),
        ({"gamma": -0.1}, "gamma.*between 0 and 1, got -0.1"),
        ({"columns": {"obs": ((), np.float32)}}, r"\['action'\] missing"),
        ({"columns": {**COLUMNS, "reward": ((), np.float32)}}, r"may not be named \['reward'\]"),
    ],
)
def test_a_replay_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        replay(**({"capacity": 10} | arguments))


@pytest.mark.parametrize("spec", [np.float32, (4, np.float32), [(4,), np.float32]])
def test_a_column_that_is_no_shape_and_dtype_is_refused(spec):
    with pytest.raises(TypeError, match=r"a column is \(shape, dtype\)"):
        replay(10, columns={**COLUMNS, "obs": spec})


def test_more_streams_than_there_is_room_for():
    buffer = replay(5)
    add(buffer, [0, 1], [GO, GO], [2, 3], [0, 0])
    with pytest.raises(ValueError, match="5 rows is too small for 3 streams"):
        add(buffer, [4], [GO], [5], [0], stream=2)
    with pytest.raises(ValueError, match="stream=-1"):
        add(buffer, [4], [GO], [5], [0], stream=-1)


def good_row() -> dict[str, Any]:
    yes, obs = np.ones(2, bool), np.zeros((2, 2), np.float32)
    step = Step(obs, np.zeros(2, np.float32), ~yes, ~yes, obs, yes, {})
    return {"obs": obs, "action": np.zeros(2, np.int64), "step": step, "extra": {"h": np.zeros((2, 3), np.float32)}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obs": np.zeros((2, 2))}, r"obs: expected float32 \(2, 2\), got float64 \(2, 2\)"),
        ({"obs": np.zeros(2, np.float32)}, r"obs: expected float32 \(2, 2\), got float32 \(2,\)"),
        ({"obs": {"camera": np.zeros((2, 2))}}, r"obs: expected float32 \(2, 2\), got no array"),
        ({"action": [0, 1]}, r"action: expected int64 \(2,\), got no array"),
        ({"action": np.zeros(3, np.int64)}, r"action: expected int64 \(2,\), got int64 \(3,\)"),
        ({"extra": {}}, r"h: expected float32 \(2, 3\), got no array"),
        ({"reward": np.zeros(2)}, r"reward: expected float32 \(2,\), got float64 \(2,\)"),
        ({"terminated": np.zeros(2)}, r"terminated: expected bool \(2,\), got float64 \(2,\)"),
        ({"final_obs": np.zeros((2, 3), np.float32)}, r"final_obs: expected float32 \(2, 2\), got float32 \(2, 3\)"),
    ],
)
def test_a_first_row_of_another_shape_or_dtype_names_the_column(change, message):
    buffer = replay(10, columns={**COLUMNS, "h": ((3,), np.float32)})
    row = good_row()
    of_step = {name: value for name, value in change.items() if name in Step._fields and name != "obs"}
    row |= {name: value for name, value in change.items() if name not in of_step}
    row["step"] = row["step"]._replace(**of_step)
    with pytest.raises(ValueError, match=message):
        buffer.add(**row)
    buffer.add(**good_row())
    buffer.add(**good_row())
    assert len(buffer) == 2
