"""Stacks from single frames: against lists of whole stacks, an env that emits its step, and wrong stacks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlcore.buffers import FrameReplay, FrameSequences, PrioritizedFrames, PrioritizedFrameSequences, Replay
from rlcore.buffers.columns import row_bytes
from rlcore.harness.storage import load_state, save_state
from rlcore.rng import generator
from rlcore.stream import Step
from tests.buffers.histories import GO, INVALID, TERMINATE, TRUNCATE, World, histories

KINDS = (FrameReplay, PrioritizedFrames)
Stack = tuple[int, ...]


def columns(k: int) -> dict[str, Any]:
    return {"obs": ((k, 2, 1), np.uint16), "action": ((), np.int64)}


def replay(capacity: int, k: int = 3, n_step: int = 1, seed: int = 0, kind: Any = FrameReplay) -> FrameReplay:
    return kind(capacity, columns(k), generator(seed), n_step, 0.5)


def pixels(stacks: list[Stack]) -> np.ndarray:
    """Frames (N, k, 2, 1) of their numbers."""
    return np.array(stacks, np.uint16)[:, :, None, None] + np.array([[0], [1]], np.uint16)


def numbers(frames: np.ndarray) -> Any:
    assert (frames[..., 1, 0] == frames[..., 0, 0] + 1).all()
    return frames[..., 0, 0].tolist()


def add(
    buffer: Replay, obs: list[Stack], events: list, after: list[Stack], reward: list, action: list, stream: int = 0
):
    final, ended = pixels(after), np.isin(events, (TERMINATE, TRUNCATE))
    step = Step(
        obs=final + 7 if ended.any() else final,
        reward=np.array(reward, np.float32),
        terminated=np.equal(events, TERMINATE),
        truncated=np.equal(events, TRUNCATE),
        final_obs=final,
        valid=np.not_equal(events, INVALID),
        info={},
    )
    buffer.add(pixels(obs), np.array(action), step, stream=stream)


class Stacks:
    """A World whose observations are stacks; the first of an episode, or after a cut, may hold anything."""

    def __init__(self, k: int) -> None:
        self.world, self.k = World(), k
        self.now: dict[int, Stack] = {}

    def block(self, stream: int, events: list) -> tuple:
        obs, events, after, reward, action, stream = self.world.block(stream, events)
        before, behind = [], []
        for i, (event, now, then) in enumerate(zip(events, obs, after, strict=True), stream):
            older = (self.world.fresh() + 20_000 for _ in range(self.k - 1))
            stack = self.now.pop(i, None) or (*older, now)
            before.append(stack)
            behind.append((*stack[1:], then))
            if event == GO:
                self.now[i] = behind[-1]
        return before, events, behind, reward, action, stream


class Pieces:
    """What is in a replay, as lists of rows with whole stacks; older frames of a first stack are rows without one."""

    def __init__(self, capacity: int, k: int) -> None:
        self.capacity, self.k, self.row = capacity, k, 0
        self.pieces: list[dict[str, Any]] = []
        self.open: dict[int, dict[str, Any]] = {}

    def add(self, obs: list, events: list, after: list, reward: list, action: list, stream: int) -> None:
        for i, event in enumerate(events, stream):
            if event != INVALID and i in self.open and self.open[i]["rows"][-1][0] <= self.row - self.capacity:
                del self.open[i]  # it was silent for a ring
        for i, event in enumerate(events, stream):
            if i not in self.open and event != INVALID:
                self.open[i] = {"rows": [], "last": None, "end": GO}
                self.pieces.append(self.open[i])
                for _ in range(self.k - 1):
                    self.open[i]["rows"].append((self.row, None, None, None))
                    self.row += 1
        ended = 0
        for i, event in enumerate(events):
            piece = self.open.pop(stream + i, None)
            if event == INVALID:
                if piece is not None and piece["rows"][-1][0] > self.row - self.capacity:
                    piece["last"] = obs[i]
                self.row += piece is not None
                continue
            if not piece["rows"] or piece["rows"][-1][0] > self.row - self.capacity:
                grown = piece
            else:  # overwritten by the older frames of others
                grown = {"rows": [], "last": None, "end": GO}
                self.pieces.append(grown)
            grown["rows"].append((self.row, obs[i], action[i], reward[i]))
            self.row += 1
            if event == GO:
                self.open[stream + i] = grown
            else:
                grown["last"], grown["end"] = after[i], event
                ended += 1
        self.row += ended

    def transitions(self, n_step: int) -> dict[int, tuple]:
        """obs, action, reward, next_obs and discount of what can be drawn, by row."""
        found = {}
        for piece in self.pieces:
            rows, end = piece["rows"], piece["end"]
            stacks = [obs for _, obs, _, _ in rows] + ([] if piece["last"] is None else [piece["last"]])
            for j in range(self.k - 1, len(stacks) - 1):
                if rows[j - self.k + 1][0] < self.row - self.capacity:
                    continue
                stop = min(j + n_step, len(stacks) - 1)
                reward = sum(0.5 ** (i - j) * rows[i][3] for i in range(j, stop))
                over = end == TERMINATE and stop == len(rows)
                found[rows[j][0]] = (stacks[j], rows[j][2], reward, stacks[stop], 0 if over else 0.5 ** (stop - j))
        return found


def drawn(buffer: Replay, n: int) -> dict[int, tuple]:
    batch = buffer.sample(n)
    parts = (numbers(batch["obs"]), batch["action"].tolist(), batch["reward"].tolist(), numbers(batch["next_obs"]))
    found: dict[int, tuple] = {}
    for row, obs, action, reward, then, discount in zip(
        batch["row"].tolist(), *parts, batch["discount"].tolist(), strict=True
    ):
        value = (tuple(obs), action, reward, tuple(then), discount)
        assert found.setdefault(row, value) == value
    return found


@settings(max_examples=80, deadline=None)
@given(histories(), st.integers(1, 4), st.integers(1, 3), st.sampled_from(KINDS))
def test_every_transition_is_that_of_the_episodes(history, k, n_step, kind):
    capacity, blocks = history
    capacity = (k + 1) * capacity // 2
    buffer, pieces, world = replay(capacity, k, n_step, kind=kind), Pieces(capacity, k), Stacks(k)
    for block in blocks:
        arguments = world.block(*block)
        add(buffer, *arguments)
        pieces.add(*arguments)
        expected = pieces.transitions(n_step)
        assert len(buffer) == len(expected)
        if expected:
            found = drawn(buffer, 20)
            assert found == {row: expected[row] for row in found}
            if kind is PrioritizedFrames:
                assert sorted(np.flatnonzero(buffer._tree.leaves)) == sorted(row % capacity for row in expected)
    if expected:
        assert drawn(buffer, 1000) == expected


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from((*KINDS, FrameSequences, PrioritizedFrameSequences)), st.data())
def test_it_goes_on_from_its_state_bit_for_bit(history, kind, data):
    capacity, blocks = history
    stop = data.draw(st.integers(0, len(blocks)))
    one, two = (replay(2 * capacity, 3, 2, seed, kind) for seed in (1, 2))
    world = Stacks(3)
    for event in (GO, GO, TERMINATE) * 20:  # what was there before counts for nothing
        add(two, *world.block(0, [event]))
    world = Stacks(3)
    for t in range(len(blocks) + 1):
        both = (one, two)[: 2 if t >= stop else 1]
        if t == stop:
            two.load(copy.deepcopy(one.state()))
        if len(one):
            a, *b = (buffer.sample(5) for buffer in both)
            assert all(np.array_equal(a[name], other[name]) for other in b for name in a)
        if t < len(blocks):
            arguments = world.block(*blocks[t])
            for buffer in both:
                add(buffer, *arguments)


@settings(max_examples=60, deadline=None)
@given(
    histories(), st.integers(1, 3), st.integers(1, 5), st.integers(0, 3),
    st.sampled_from((FrameSequences, PrioritizedFrameSequences)),
)  # fmt: skip
def test_sequences_are_made_of_the_transitions(history, k, length, burn_in, kind):
    capacity, blocks = history
    capacity = (k + 1) * capacity // 2
    buffer, pieces, world = (
        kind(capacity, columns(k), generator(0), length, 0.5, burn_in),
        Pieces(capacity, k),
        Stacks(k),
    )
    for block in blocks:
        arguments = world.block(*block)
        add(buffer, *arguments)
        pieces.add(*arguments)
    expected = pieces.transitions(1)
    assert len(buffer) == len(expected)
    if not expected:
        return
    of_obs = {obs: row for row, (obs, *_) in expected.items()}
    batch = buffer.sample(100)
    assert batch["obs"].shape == (burn_in + length + 1, 100, k, 2, 1)
    for i, row in enumerate(batch["row"].tolist()):
        obs = list(map(tuple, numbers(batch["obs"][:, i])))
        for t in range(length):
            if not batch["mask"][t, i]:
                assert obs[burn_in + t] not in of_obs
                break
            known = (obs[burn_in + t], batch["action"][t, i], batch["reward"][t, i], obs[burn_in + t + 1])
            assert expected[row] == (*known, batch["discount"][t, i])
            row = of_obs.get(obs[burn_in + t + 1])
        if burn_in:
            there = int(batch["reset"][:, i].argmax())
            for t in range(there, burn_in):
                assert expected[of_obs[obs[t]]][3] == obs[t + 1]
            if there:
                older = [row for row, (*_, then, _) in expected.items() if then == obs[there]]
                assert not older


# By hand


@pytest.mark.parametrize("kind", KINDS)
def test_an_env_that_emits_its_step(kind):
    """Two episodes of 6 steps, padded by their first frames; the frames of the second are 100 and so on."""
    buffer = replay(100, 4, kind=kind)
    for first in (0, 100):
        stacks = [tuple(first + max(0, t - j) for j in (3, 2, 1, 0)) for t in range(7)]
        for t in range(6):
            add(buffer, stacks[t : t + 1], [TRUNCATE if t == 5 else GO], stacks[t + 1 : t + 2], [t], [t])
    batch = buffer.sample(400)
    t = batch["action"]
    found = {tuple(stack) for stack in numbers(batch["obs"])}
    wanted = {tuple(first + max(0, t - j) for j in (3, 2, 1, 0)) for first in (0, 100) for t in range(6)}
    assert found == wanted
    assert (batch["next_obs"][:, :3] == batch["obs"][:, 1:]).all()  # moved on by one
    assert (batch["next_obs"][:, 3, 0, 0] % 100 == t + 1).all()
    assert batch["row"].min() == 3  # after the older frames of the first stack
    assert len(buffer) == 12
    assert buffer._written == 2 * (3 + 6 + 1)


def test_a_stack_that_reaches_into_overwritten_rows_is_not_drawn():
    buffer = replay(8, 3)
    for t in range(2, 13):
        add(buffer, [(t - 2, t - 1, t)], [GO], [(t - 1, t, t + 1)], [0], [t])
    # rows 0 and 1 have frames 0 and 1; of 13 rows the newest 8 are those of frames 5 to 12, and 12 waits
    assert sorted(obs for obs, *_ in drawn(buffer, 200).values()) == [(t - 2, t - 1, t) for t in range(7, 12)]
    assert len(buffer) == 5


def test_a_frame_is_stored_once_and_saved_as_a_ring(tmp_path):
    buffer, other = replay(20, 3), replay(20, 3, seed=1)
    for t in range(30):
        add(buffer, [(t, t + 1, t + 2)], [GO], [(t + 1, t + 2, t + 3)], [0], [t])
    ring = buffer.state()["columns"]["obs"]
    assert (ring.array.shape, ring.written) == ((20, 2, 1), 32)
    save_state(tmp_path / "state", buffer.state())
    other.load(load_state(tmp_path / "state"))
    assert drawn(other, 100) == drawn(buffer, 100)


def test_a_million_transitions_of_atari_take_less_than_seven_gibibytes():
    frame = {"obs": ((84, 84), np.uint8), "action": ((), np.int64), "reward": ((), np.float32)}
    links = 1 + 8 + 8  # kind, succ and prev
    million = 1_000_000 * (row_bytes(frame) + links)
    assert million / 2**30 < 6.65
    assert 1.04 * million / 2**30 < 7  # and 4 rows more an episode of 100 steps


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_batch_shares_its_frames_and_serves_again(n_step):
    buffer = replay(50, 4, n_step)
    for t in range(30):
        add(buffer, [(t, t + 1, t + 2, t + 3)], [GO], [(t + 1, t + 2, t + 3, t + 4)], [0], [t])
    batch = buffer.sample(8)
    assert batch["obs"].shape == batch["next_obs"].shape == (8, 4, 2, 1)
    assert np.shares_memory(batch["obs"], batch["next_obs"]) == (n_step == 1)
    assert np.shares_memory(buffer.sample(8)["obs"], batch["obs"])
    assert buffer.sample(3)["obs"].shape == (3, 4, 2, 1)


def test_vectors_are_stacked_too():
    buffer = FrameReplay(20, {"obs": ((3,), np.float32), "action": ((), np.int64)}, generator(0))
    yes = np.ones(1, bool)
    for t in range(9):
        obs = np.array([[t - 2, t - 1, t]], np.float32)
        buffer.add(obs, np.zeros(1, np.int64), Step(obs + 1, np.ones(1, np.float32), ~yes, ~yes, obs + 1, yes, {}))
    batch = buffer.sample(50)
    assert (batch["next_obs"] == batch["obs"] + 1).all()
    assert (batch["obs"] == batch["obs"][:, :1] + np.arange(3)).all()


# Mistakes


@pytest.mark.parametrize("spec", [{"camera": ((4, 2, 2), np.uint8)}, (((4, 2), np.uint8),), ((), np.int64), None])
@pytest.mark.parametrize("kind", KINDS)
def test_observations_that_are_no_stacks_are_refused(spec, kind):
    with pytest.raises(TypeError, match=r"one array \(k, ...\), a stack of k frames; with dicts.*use Replay"):
        kind(10, {"obs": spec, "action": ((), np.int64)}, generator(0))


def test_a_ring_has_room_for_a_first_stack_of_each_stream():
    with pytest.raises(ValueError, match=r"at least 4 rows.*capacity 3"):
        replay(3, 3)
    buffer, world = replay(7, 3), Stacks(3)
    with pytest.raises(ValueError, match=r"7 rows is too small for 2 streams.*are 8"):
        add(buffer, *world.block(0, [GO, GO]))


def reversed_stacks(t: int) -> Stack:
    return (t + 2, t + 1, t)


def every_other(t: int) -> Stack:
    return (2 * t, 2 * t + 2, 2 * t + 4) if t % 2 else (2 * t - 1, 2 * t + 1, 2 * t + 3)


def colours(t: int) -> Stack:
    return (10 * t, 10 * t + 3, 10 * t + 6)


@pytest.mark.parametrize("stack", [reversed_stacks, every_other, colours])
@pytest.mark.parametrize("ends", [False, True])
def test_stacks_that_do_not_move_on_by_a_frame_are_refused_and_change_nothing(stack, ends):
    buffer = replay(20, 3)
    good = [(0, 1, 2), (1, 2, 3)]
    add(buffer, good, [GO, GO], [(1, 2, 3), (2, 3, 4)], [0, 0], [0, 0])
    before = copy.deepcopy(buffer.state())
    arguments = ([(1, 2, 3), stack(1)], [GO, GO], [(2, 3, 4), stack(2)])
    if ends:
        arguments = ([(1, 2, 3), (2, 3, 4)], [GO, TERMINATE], [(2, 3, 4), stack(9)])
    with pytest.raises(ValueError, match=r"stream 1 is not the one before moved on by a frame.*\(N, 3, ...\)"):
        add(buffer, *arguments, [0, 0], [0, 0])
    np.testing.assert_equal(buffer.state(), before)


def test_one_pixel_is_enough():
    buffer = FrameReplay(20, {"obs": ((2, 84, 84), np.uint8), "action": ((), np.int64)}, generator(0))
    yes, obs = np.ones(1, bool), np.zeros((1, 2, 84, 84), np.uint8)
    step = Step(obs, np.zeros(1, np.float32), ~yes, ~yes, obs, yes, {})
    buffer.add(obs, np.zeros(1, np.int64), step)
    wrong = obs.copy()
    wrong[0, 0, 83, 83] = 1
    with pytest.raises(ValueError, match="stream 0"):
        buffer.add(wrong, np.zeros(1, np.int64), step)


def test_first_rows_of_another_shape_are_told_as_stacks():
    buffer = replay(20, 3)
    with pytest.raises(ValueError, match=r"obs: expected uint16 \(1, 3, 2, 1\), got uint16 \(1, 4, 2, 1\)"):
        add(buffer, [(0, 1, 2, 3)], [GO], [(1, 2, 3, 4)], [0], [0])
    assert not buffer._checked
