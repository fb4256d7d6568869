"""Chunks: what an agent gets of them is, bit for bit, what it would have got from the environment."""

from __future__ import annotations

from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.envs.wrappers import FrameStack, TimeLimit
from rlcore.parallel.chunk import Chunk, Layout, side_by_side
from rlcore.parallel.wire import CHUNK, CRC, FIELDS, HEADER, HELLO, STOP, Header, ProtocolError, note, opened, seal
from rlcore.tree import map_, named_leaves

USED = FIELDS.size + CRC.size  # bytes of a header


class Mixed(gymnasium.Env):
    """Dicts and tuples of bytes, numbers and floats; terminates and is truncated by its seed, and may raise."""

    observation_space = spaces.Dict(
        {
            "image": spaces.Box(0, 255, (2, 3), np.uint8),
            "more": spaces.Tuple((spaces.Discrete(5), spaces.Box(-9, 9, (3,), np.float32))),
        }
    )
    action_space = spaces.Discrete(3)

    def __init__(self, raises=False):
        self.raises = raises

    def obs(self):
        draw = self.np_random
        return {
            "image": draw.integers(0, 255, (2, 3), np.uint8),
            "more": (np.int64(draw.integers(5)), draw.random(3, np.float32)),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.obs(), {}

    def step(self, action):
        u = self.np_random.random()
        if self.raises and u > 0.9:
            raise RuntimeError("no more")
        return self.obs(), u, u < 0.2, 0.2 < u < 0.4, {}


class Frames(gymnasium.Env):
    observation_space = spaces.Box(0, 255, (4, 4), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.integers(0, 255, (4, 4), np.uint8), {}

    def step(self, action):
        u = self.np_random.random()
        if u > 0.97:
            raise RuntimeError("no more")
        return self.np_random.integers(0, 255, (4, 4), np.uint8), u, u < 0.2, False, {}


def copied(step):
    """A step whose arrays hold for good."""
    obs = map_(np.copy, step.obs)
    final = obs if step.final_obs is step.obs else map_(np.copy, step.final_obs)
    flags = {name: getattr(step, name).copy() for name in ("reward", "terminated", "truncated", "valid")}
    return step._replace(obs=obs, final_obs=final, **flags)


def acted(env, steps, seed=0):
    """The rows of some steps, copied, and what acting might remember with them."""
    rng, rows = np.random.default_rng(seed), []
    obs = env.reset()
    for _ in range(steps):
        action = rng.integers(0, 2, env.n_envs)
        extra = {"log_prob": rng.random(env.n_envs, np.float32), "h": (rng.random((env.n_envs, 2)),)}
        before = map_(np.copy, obs)
        step = env.step(action)
        rows.append((before, action, copied(step), extra))
        obs = step.obs
    return rows


def packed(rows, actor=1, number=0, weights=0):
    """A chunk that was filled with rows, sent and received."""
    obs, action, _, extra = rows[0]
    layout = Layout.like(len(rows), obs, action, extra)
    there, here = Chunk(layout), Chunk(Layout.read(layout.words()))
    full = [there.add(*row) for row in rows]
    assert full == [False] * (len(rows) - 1) + [True]
    message = there.sealed(actor, number, weights)
    here.buffer[: len(message)] = message
    here.admit(opened(message, actor, (CHUNK,)), len(message), actor)
    return here


def same(a, b):
    a, b = dict(named_leaves(a)), dict(named_leaves(b))
    assert list(a) == list(b)
    for path in a:
        assert (a[path].dtype, a[path].shape) == (b[path].dtype, b[path].shape), path
        np.testing.assert_array_equal(a[path], b[path], path)


def alike(got, wanted):
    assert len(got) == len(wanted)
    for (obs, action, step, extra), (obs_, action_, step_, extra_) in zip(got, wanted):
        same((obs, action, extra), (obs_, action_, extra_))
        same(step[:-1], step_[:-1])
        assert (step.final_obs is step.obs) == (step_.final_obs is step_.obs)
        same(step.info, step_.info)
    assert all(row[2].obs is after[0] for row, after in pairwise(got))  # as train() hands them on


ENVS = {
    "chain": lambda: SerialEnv(lambda: Chain(4, limit=9), 3, 1),
    "time limit": lambda: TimeLimit(SerialEnv(lambda: Chain(4, limit=100), 2, 1), 5),
    "mixed": lambda: SerialEnv(Mixed, 4, 2),
    "restarts": lambda: SerialEnv(lambda: Mixed(raises=True), 3, 3, on_fault="restart"),
    "stacks and restarts": lambda: FrameStack(SerialEnv(Frames, 4, 4, on_fault="restart"), 3),
}


@pytest.mark.filterwarnings("ignore:restarted")
@pytest.mark.parametrize("name", ENVS)
def test_the_rows_of_a_chunk_are_those_of_the_environment(name):
    env = ENVS[name]()
    rows = acted(env, 40)
    flags = {f: any(getattr(step, f).any() for _, _, step, _ in rows) for f in ("terminated", "truncated")}
    assert flags["terminated"] or flags["truncated"]
    assert ("restarts" in name) == (not all(step.valid.all() for _, _, step, _ in rows))
    alike(list(packed(rows).rows()), rows)


def test_chunks_side_by_side_are_steps_of_all_their_streams():
    parts = [acted(SerialEnv(Mixed, 2, seed), 20, seed) for seed in range(3)]
    got = list(side_by_side([packed(rows) for rows in parts]))
    env = SerialEnv(Mixed, 6)
    assert len(got) == 20
    for k, (obs, action, step, extra) in enumerate(got):
        rows = [part[k] for part in parts]

        def joined(pick, rows=rows):
            return map_(lambda *arrays: np.concatenate(arrays), *[pick(row) for row in rows])

        same(obs, joined(lambda row: row[0]))
        same(action, joined(lambda row: row[1]))
        same(extra, joined(lambda row: row[3]))
        for field in ("obs", "reward", "terminated", "truncated", "final_obs", "valid"):
            same(getattr(step, field), joined(lambda row, field=field: getattr(row[2], field)))
        assert len(step.reward) == env.n_envs
        told = [
            (i * 2 + s, r, n)
            for i, row in enumerate(rows)
            if "episode" in row[2].info
            for s, r, n in zip(*row[2].info["episode"])
        ]
        assert list(zip(*step.info.get("episode", ()))) == told
    assert sum("episode" in step.info for _, _, step, _ in got) > 3


def test_a_chunk_is_used_again():
    env = SerialEnv(Mixed, 2, 1)
    rows = acted(env, 30)
    obs, action, _, extra = rows[0]
    there = Chunk(Layout.like(10, obs, action, extra))
    for k in range(3):
        for row in rows[10 * k : 10 * k + 10]:
            there.add(*row)
        message = there.sealed(4, k, 7)
        there.admit(opened(message, 4, (CHUNK,)), len(message), 4)
        assert (there.header.actor, there.header.number, there.header.weights) == (4, k, 7)
        alike(list(there.rows()), rows[10 * k : 10 * k + 10])


def test_a_message_is_as_long_as_what_is_in_it():
    rows = acted(SerialEnv(lambda: Chain(4, limit=9), 3, 1), 40)
    layout = Layout.like(40, *[rows[0][i] for i in (0, 1, 3)])
    ended = sum(int(step.ended.sum()) for _, _, step, _ in rows)
    chunk = Chunk(layout)
    for row in rows:
        chunk.add(*row)
    assert len(chunk.sealed(0, 0, 0)) == layout.fixed + ended * (layout.record + 32)
    numbers = 41 * 3 * 5 * 4 + 40 * 3 * (8 + 4 + 16 + 4 + 4)  # obs, action, log_prob, h, reward and flags
    assert numbers < layout.fixed < numbers + HEADER + 7 * 64


GOOD = Layout.like(1, np.zeros((1, 2), np.float32), np.zeros(1, np.int64), {}).words()
CHANGES = [
    (b'"steps": 1', b'"steps": 0'), (b'"steps": 1', b'"steps": 1.0'), (b'"n": 1', b'"n": null'), (b"[2]", b"[-1]"),
    (b"[2]", b"[true]"), (b"[2]", b"2"), (b"<f4", b"O"), (b"<f4", b"nothing"), (b'"dict"', b'"tuple"'),
    (b'{"shape": [2]', b'{"tuple": ' * 99 + b'{"shape": [2]'), (b'"obs"', b'"abs"'), (b"{", b"["),
]  # fmt: skip
LAYOUTS = [b"", b"[]", b"{}", b"nonsense", b"[" * 10_000, *[GOOD.replace(*change, 1) for change in CHANGES]]


@pytest.mark.fault(21)
@pytest.mark.parametrize("words", LAYOUTS)
def test_a_layout_that_is_none_is_refused(words):
    with pytest.raises(ValueError, match="no layout of a chunk"):
        Layout.read(words)


@pytest.mark.fault(21)
def test_a_layout_that_does_not_fit_into_memory_is_refused():
    assert Layout.read(GOOD).words() == GOOD
    with pytest.raises(ValueError, match="GiB"):
        Chunk(Layout.read(GOOD.replace(b"[2]", b"[1099511627776]")))


def chunk_message():
    """A chunk with some ends, as a message of rank 3, and a chunk of the same layout."""
    rows = acted(SerialEnv(Mixed, 2, 1), 12)
    chunk = Chunk(Layout.like(12, *[rows[0][i] for i in (0, 1, 3)]))
    for row in rows:
        chunk.add(*row)
    return chunk.sealed(3, 5, 9).copy(), Chunk(chunk.layout)


def take(message, chunk, source=3):
    header = opened(message, source, (CHUNK,))
    assert header.kind == CHUNK
    chunk.buffer[: len(message)] = message
    chunk.admit(header, len(message), source)


@pytest.mark.fault(21)
def test_messages_with_a_changed_header_or_missing_bytes_are_refused():
    whole, chunk = chunk_message()
    take(whole, chunk)
    rng = np.random.default_rng(0)
    for at in range(USED):
        for bit in range(8):
            message = whole.copy()
            message[at] ^= 1 << bit
            with pytest.raises(ProtocolError, match="from rank 3"):
                take(message, chunk)
    for n in [0, 1, 7, 8, 64, HEADER - 8, HEADER, HEADER + 8, len(whole) - 8, len(whole) - 1]:
        with pytest.raises(ProtocolError, match="from rank 3"):
            take(whole[:n].copy(), chunk)
    for n in rng.integers(0, 300, 2_000):
        with pytest.raises(ProtocolError, match="from rank 3"):
            take(rng.integers(0, 256, n).astype(np.uint8), chunk)


@pytest.mark.fault(21)
def test_whatever_lies_behind_a_header_is_refused_or_is_rows():
    whole, chunk = chunk_message()
    header, rng, read = opened(whole, 3, (CHUNK,)), np.random.default_rng(0), 0
    for k in range(1_000):
        message = whole.copy()
        at = rng.integers(HEADER, len(whole), 1 + k % 20)
        message[at] = rng.integers(0, 256, len(at))
        header = header._replace(**({"finals": rng.integers(30), "episodes": rng.integers(30)} if k % 3 == 0 else {}))
        try:
            take(seal(message, header), chunk)
        except ProtocolError:
            continue
        rows = list(chunk.rows())
        assert len(rows) == 12
        assert all(len(step.reward) == 2 for _, _, step, _ in rows)
        read += 1
    assert 0 < read < 1_000


@pytest.mark.fault(21)
def test_a_refusal_says_what_is_wrong():
    whole, chunk = chunk_message()
    header = opened(whole, 3, (CHUNK,))

    def refused(words, message=whole, source=3, **changes):
        with pytest.raises(ProtocolError, match=words):
            take(seal(message.copy(), header._replace(**changes)) if changes else message, chunk, source)

    refused("of 12 steps of 3 streams, expected 12 of 2", n=3)
    refused("of 13 steps", steps=13)
    refused(f"has {len(whole)} bytes", finals=header.finals + 1)
    refused(f"has {len(whole)} bytes", episodes=header.episodes - 1)
    refused("kind 1, which is not expected", kind=HELLO)
    refused("counts", number=1 << 62)
    refused("magic|begins with", np.concatenate((whole[8:], whole[:8])))
    other = whole.copy()
    other[8] = 77
    refused("has format 77, here it is 1: all ranks need the same version", other)

    def changed(words, change):
        message = whole.copy()
        chunk.buffer[: len(message)] = message
        change(chunk)
        refused(words, seal(chunk.buffer[: len(message)].copy(), header))

    def flags(chunk):
        chunk.valid.view(np.uint8)[0, 0] = 2

    def both(chunk):
        chunk.terminated[0, 0] = chunk.truncated[0, 0] = True

    def more(chunk):
        chunk.final[:] = True

    def episode(field, value):
        def change(chunk):
            chunk._episodes(header)[field][-1] = value

        return change

    changed("flags", flags)
    changed("terminated and truncated", both)
    changed("last observations, but 24 rows", more)
    for field, value in (("step", -1), ("step", 12), ("stream", 2), ("stream", -1)):
        changed("episodes in steps or streams that there are not", episode(field, value))


@pytest.mark.fault(21)
def test_small_messages_are_checked_too():
    message = note(Header(STOP, 2), b"why")
    assert len(message) == HEADER + 3
    assert opened(message, 0, (STOP, HELLO)).kind == STOP
    assert bytes(message[HEADER:]) == b"why"
    with pytest.raises(ProtocolError, match="kind 6, which is not expected"):
        opened(message, 0, (HELLO,))
    message[0] = 0
    with pytest.raises(ProtocolError, match="begins with"):
        opened(message, 0, (STOP,))
