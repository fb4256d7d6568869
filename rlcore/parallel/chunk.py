"""Chunks: T steps of N streams as one message, laid out once, filled and read in place.

    header | obs (T + 1, N, ...), action, extra (T, N, ...), reward, flags | last observations of episodes | episodes

All that lies before the last observations is of one size; behind it, a chunk is as long as episodes ended in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rlcore.envs.batch import Leaf
from rlcore.envs.layout import carve, size
from rlcore.memory import refuse_beyond
from rlcore.parallel.wire import CHUNK, COUNTED, HEADER, Header, ProtocolError, seal
from rlcore.stream import Step
from rlcore.tree import Tree, leaves, map_, put

EPISODE = np.dtype([("step", "<i8"), ("stream", "<i8"), ("return", "<f8"), ("length", "<i8")])
DEPTH = 32  # of nested observations

Row = tuple[Tree, Tree, Step, dict[str, Tree]]  # what train() gives an agent of a step


class Layout:
    """Where what lies in chunks of `steps` steps of n streams; obs, action, extra: Leafs of one row."""

    def __init__(self, steps: int, n: int, obs: Tree, action: Tree, extra: dict[str, Tree]):
        self.steps, self.n, self.obs, self.action, self.extra = steps, n, obs, action, extra

        def of(rows: int, tree: Tree) -> Tree:
            return map_(lambda leaf: Leaf((rows, n, *leaf.shape), leaf.dtype), tree)

        self.plan = {
            "obs": of(steps + 1, obs),
            "action": of(steps, action),
            "extra": of(steps, extra),
            "reward": Leaf((steps, n), np.dtype(np.float32)),
            "flags": Leaf((4, steps, n), np.dtype(bool)),  # terminated, truncated, valid, there is a last observation
        }
        self.fixed = HEADER + size(self.plan)
        self.offsets, self.record = [], 0  # of the parts of a last observation; its bytes
        for leaf in leaves(obs):
            self.offsets.append(self.record)
            self.record += -(-math.prod(leaf.shape) * leaf.dtype.itemsize // 8) * 8
        self.most = self.fixed + steps * n * (self.record + EPISODE.itemsize)

    @classmethod
    def like(cls, steps: int, obs: Tree, action: Tree, extra: dict[str, Tree]) -> Layout:
        """That of chunks of such rows, arrays (N, ...)."""

        def one(array: Any) -> Leaf:
            array = np.asarray(array)
            return Leaf(array.shape[1:], array.dtype)

        return cls(steps, len(next(leaves(obs))), map_(one, obs), map_(one, action), map_(one, extra))

    def words(self) -> bytes:
        """It as JSON."""
        trees = {"obs": self.obs, "action": self.action, "extra": self.extra}
        return json.dumps({"steps": self.steps, "n": self.n, **{k: _told(v) for k, v in trees.items()}}).encode()

    @classmethod
    def read(cls, words: bytes) -> Layout:
        """It of `words`; ValueError if they are others."""
        try:
            told = json.loads(words)
            steps, n, *trees = (told[name] for name in ("steps", "n", "obs", "action", "extra"))
            obs, action, extra = map(_heard, trees)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise ValueError(f"no layout of a chunk ({type(error).__name__}: {error})") from None
        if not (type(steps) is type(n) is int and steps > 0 < n and isinstance(extra, dict)):
            raise ValueError(f"no layout of a chunk: steps {steps!r}, n {n!r}, extra a {type(extra).__name__}")
        return cls(steps, n, obs, action, extra)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.words() == other.words()


def _told(tree: Tree) -> Any:
    if isinstance(tree, dict):
        return {"dict": [[key, _told(part)] for key, part in tree.items()]}
    if isinstance(tree, tuple):
        return {"tuple": [_told(part) for part in tree]}
    return {"shape": tree.shape, "dtype": tree.dtype.str}


def _heard(told: Any, depth: int = 0) -> Tree:
    if depth > DEPTH:
        raise ValueError("nested too deep")
    if "dict" in told:
        return {str(key): _heard(part, depth + 1) for key, part in told["dict"]}
    if "tuple" in told:
        return tuple([_heard(part, depth + 1) for part in told["tuple"]])
    shape, dtype = told["shape"], np.dtype(str(told["dtype"]))
    if dtype.kind not in "biuf" or not all(type(k) is int and 0 <= k < COUNTED for k in shape) or len(shape) > DEPTH:
        raise ValueError(f"an array of {dtype} {shape}")
    return Leaf(tuple(shape), dtype)


class Chunk:
    """Memory for a chunk, into which steps or a message are put."""

    def __init__(self, layout: Layout):
        self.layout = layout
        refuse_beyond(layout.most, "a chunk of steps", "send chunks of fewer steps, or act in fewer environments")
        self.buffer = np.zeros(layout.most, np.uint8)
        c = carve(layout.plan, self.buffer[HEADER:])
        self.obs, self.action, self.extra, self.reward = c["obs"], c["action"], c["extra"], c["reward"]
        self.terminated, self.truncated, self.valid, self.final = c["flags"]
        self._flags = c["flags"].reshape(-1).view(np.uint8).data
        offsets = iter(layout.offsets)
        self.finals = map_(lambda leaf: self._finals(leaf, next(offsets)), layout.obs)
        self.steps = self.n_finals = 0  # so far
        self.ended: list[tuple[int, Any]] = []  # (step, episodes)
        self.header = Header(CHUNK, 0)

    def _finals(self, leaf: Leaf, offset: int) -> np.ndarray:
        layout = self.layout
        inner = np.empty(leaf.shape, leaf.dtype).strides
        shape = (layout.steps * layout.n, *leaf.shape)
        return np.ndarray(shape, leaf.dtype, self.buffer, layout.fixed + offset, (layout.record, *inner))

    # what an actor does
    def add(self, obs: Tree, action: Tree, step: Step, extra: dict[str, Tree]) -> bool:
        """Append a step; whether the chunk is full."""
        k = self.steps
        put(self.obs, k, obs)
        put(self.action, k, action)
        for name, column in self.extra.items():
            put(column, k, extra[name])
        self.reward[k] = step.reward
        self.terminated[k], self.truncated[k], self.valid[k] = step.terminated, step.truncated, step.valid
        self.final[k] = False
        if step.final_obs is not step.obs:
            self.final[k] = step.ended | ~step.valid
            at = self.final[k].nonzero()[0]
            where = slice(self.n_finals, self.n_finals + len(at))
            put(self.finals, where, map_(lambda array: array[at], step.final_obs))
            self.n_finals = where.stop
        if step.info and "episode" in step.info:
            self.ended.append((k, step.info["episode"]))
        self.steps = k + 1
        if self.steps < self.layout.steps:
            return False
        put(self.obs, self.steps, step.obs)
        return True

    def sealed(self, actor: int, number: int, weights: int) -> np.ndarray:
        """The message; the next step begins another."""
        layout, ended, finals = self.layout, self.ended, self.n_finals
        end = layout.fixed + finals * layout.record
        n = sum([len(streams) for _, (streams, _, _) in ended])
        if n:
            episodes = self.buffer[end : end + n * EPISODE.itemsize].view(EPISODE)
            episodes["step"] = np.concatenate([np.full(len(told[0]), k) for k, told in ended])
            for name, parts in zip(("stream", "return", "length"), zip(*[told for _, told in ended])):
                episodes[name] = np.concatenate(parts)
            end += n * EPISODE.itemsize
        self.steps, self.n_finals, self.ended = 0, 0, []
        return seal(self.buffer[:end], Header(CHUNK, actor, layout.steps, layout.n, finals, n, number, weights))

    # what a learner does
    def admit(self, header: Header, nbytes: int, source: int) -> None:
        """Take the message in the buffer for this chunk; ProtocolError unless its parts belong together."""
        layout, n = self.layout, self.layout.steps * self.layout.n
        flags = bytes(self._flags)
        over, cut = (int.from_bytes(flags[k : k + n], "little") for k in (0, n))
        if (header.steps, header.n) != (layout.steps, layout.n):
            what = f"is of {header.steps} steps of {header.n} streams, expected {layout.steps} of {layout.n}"
        elif nbytes != layout.fixed + header.finals * layout.record + header.episodes * EPISODE.itemsize:
            what = f"has {nbytes} bytes, with {header.finals} last observations and {header.episodes} episodes"
        elif flags.translate(None, b"\0\1") or over & cut:
            what = "has flags that are none, or rows that are terminated and truncated"
        elif (found := flags.count(b"\1", 3 * n)) != header.finals:
            what = f"has {header.finals} last observations, but {found} rows that should have one"
        elif header.episodes and not self._sound(header):
            what = "tells of episodes in steps or streams that there are not"
        else:
            self.header = header
            return
        raise ProtocolError(f"a chunk from rank {source} {what}")

    def _episodes(self, header: Header) -> np.ndarray:
        start = self.layout.fixed + header.finals * self.layout.record
        return self.buffer[start : start + header.episodes * EPISODE.itemsize].view(EPISODE)

    def _sound(self, header: Header) -> bool:
        episodes = self._episodes(header)
        step, stream = episodes["step"], episodes["stream"]
        inside = step.min() >= 0 and step.max() < header.steps and stream.min() >= 0 and stream.max() < header.n
        return bool(inside and (np.diff(step) >= 0).all())

    def rows(self) -> Iterator[Row]:
        """obs, action, Step and extra of each step, as train() had them: views of the buffer."""
        some, told, last = self.final.any(1).tolist(), self._told(), 0
        obs = map_(lambda a: a[0], self.obs)
        for k in range(self.layout.steps):
            action, extra, after = (_at(tree, i) for tree, i in ((self.action, k), (self.extra, k), (self.obs, k + 1)))
            final = after
            if some[k]:
                at = self.final[k].nonzero()[0]
                where = slice(last, last + len(at))
                final, last = map_(np.copy, after), where.stop
                put(final, at, map_(lambda array, where=where: array[where], self.finals))
            flags = self.terminated[k], self.truncated[k]
            yield obs, action, Step(after, self.reward[k], *flags, final, self.valid[k], told.get(k, {})), extra
            obs = after

    def _told(self) -> dict[int, dict[str, Any]]:
        """What `info` is in the steps in which episodes ended."""
        if not self.header.episodes:
            return {}
        episodes = self._episodes(self.header)
        steps, first = np.unique(episodes["step"], return_index=True)
        parts = np.split(episodes, first[1:])
        fields = "stream", "return", "length"
        return {k: {"episode": tuple([p[f].copy() for f in fields])} for k, p in zip(steps.tolist(), parts)}


def side_by_side(chunks: Sequence[Chunk]) -> Iterator[Row]:
    """The rows of chunks of one layout, as those of all their streams."""
    if len(chunks) == 1:
        yield from chunks[0].rows()
        return

    def joined(parts: Sequence[Tree]) -> Tree:
        return map_(lambda *arrays: np.concatenate(arrays), *parts)

    n, obs = chunks[0].layout.n, joined([_at(chunk.obs, 0) for chunk in chunks])
    for rows in zip(*[chunk.rows() for chunk in chunks]):
        _, actions, steps, extras = zip(*rows)
        after = joined([step.obs for step in steps])
        same = all(step.final_obs is step.obs for step in steps)
        final = after if same else joined([step.final_obs for step in steps])
        told = [(i, step.info["episode"]) for i, step in enumerate(steps) if step.info]
        info = {}
        if told:
            streams, returns, lengths = zip(*[(streams + i * n, *others) for i, (streams, *others) in told])
            info = {"episode": tuple([np.concatenate(part) for part in (streams, returns, lengths)])}
        reward, terminated, truncated, valid = (
            np.concatenate([getattr(step, name) for step in steps])
            for name in ("reward", "terminated", "truncated", "valid")
        )
        yield obs, joined(actions), Step(after, reward, terminated, truncated, final, valid, info), joined(extras)
        obs = after


def _at(tree: Tree, k: int) -> Tree:
    return tree[k] if type(tree) is np.ndarray else map_(lambda array: array[k], tree)
