"""Replay of stacked frames that stores each frame once: 1 million Atari transitions in 6.6 GiB instead of 26.

A row has the newest frame of its observation; `prev` leads to the older ones. The first stack of an episode, or of a
stream that goes on after a cut, is stored whole, its older frames in rows of their own (kind GAP, for no stack ends
there), and the last observation of an episode adds one frame. With stacks of 3, an episode that begins with b, b, b:

    frame     b     b     b        o1       o2           final     c     c     c
    kind      GAP   GAP   ONGOING  ONGOING  TERMINATED   GAP       GAP   GAP   GAP
    prev      -     b     b        b        o1           o2        -     c     c

A transition whose stack reaches into rows that have been overwritten becomes a gap: it cannot be drawn any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlcore.buffers.backward import Backward
from rlcore.buffers.columns import check_rows
from rlcore.buffers.prioritized import Prioritized
from rlcore.buffers.replay import NOBODY, ONGOING
from rlcore.buffers.sequence import PrioritizedSequences, SequenceReplay
from rlcore.stream import Step
from rlcore.tree import Tree

Array = np.ndarray


class FrameReplay(Backward):
    """Uniform replay of observations (k, ...) that are stacks of the newest k frames, the newest last.

    Stacks that are not their predecessors moved on by a frame are refused; of those, one frame is compared in every
    row. Batches have views of an array in which a frame that obs and next_obs share lies once (for n_step 1).
    """

    def __init__(
        self,
        capacity: int,
        columns: Mapping[str, Tree],
        rng: np.random.Generator,
        n_step: int = 1,
        gamma: float = 0.99,
        **others: Any,
    ):
        spec = columns.get("obs")
        if not (isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], tuple) and spec[0]):
            raise TypeError(
                "a replay of frames takes observations that are one array (k, ...), a stack of k frames; with dicts, "
                f"tuples or numbers use Replay; got {spec!r}"
            )
        shape, dtype = spec
        self.k: int = shape[0]
        self.LEAST = self.k + 1  # rows of a first stack and its successor
        super().__init__(capacity, {**columns, "obs": (shape[1:], dtype)}, rng, n_step, gamma, **others)
        self._stacks = np.zeros((0, *shape), dtype)  # what observations are like
        self._frames: Array = self._columns["obs"]
        self._window = self._stacks  # of a batch: all frames of its observations

    def add(self, obs: Tree, action: Tree, step: Step, extra: Mapping[str, Tree] = {}, stream: int = 0) -> None:
        """Append a row for each of the N streams from number `stream` on; obs is (N, k, ...)."""
        n = len(step.reward)
        if stream < 0 or stream + n > self._checked:
            self._admit(obs, action, step, extra, stream)
        valid, waiting = step.valid.tolist(), self._waiting[stream : stream + n]
        last = max(self._written - self.capacity, NOBODY)  # of the rows that are gone
        if self.k > 1:
            if known := [i for i, row in enumerate(waiting) if row > last]:
                before = self._frames.take([waiting[i] % self.capacity for i in known], 0)
                self._compare(obs, known, before, stream)
            if step.final_obs is not step.obs and (over := (step.ended & step.valid).nonzero()[0].tolist()):
                self._compare(step.final_obs, over, obs[over, -1], stream)
            if new := [i for i, row in enumerate(waiting) if row <= last and valid[i]]:
                self._add_older(obs, new, stream)
        super().add(obs[:, -1], action, step._replace(final_obs=step.final_obs[:, -1]), extra, stream)

    def _compare(self, obs: Array, which: list[int], before: Array, stream: int) -> None:
        """ValueError unless the newest of the older frames of some observations are these."""
        same = obs[which, -2] == before
        if not same.all():
            i = next(i for i, equal in zip(which, same) if not equal.all())
            raise ValueError(
                f"replay of frames: an observation of stream {stream + i} is not the one before moved on by a frame. "
                f"It takes stacks (N, {self.k}, ...) of the newest frames, the newest last; for others use Replay, or "
                "an agent's share_frames=False"
            )

    def _add_older(self, obs: Array, which: list[int], stream: int) -> None:
        """Rows for the older frames of first stacks, the last of which waits for the newest."""
        older = obs[which, :-1]
        row, each = self._written, self.k - 1
        self._frames[self._slots(row, len(which) * each)] = older.reshape(-1, *older.shape[2:])
        for i in which:
            for j in range(each):
                self._begin(row + j)
                if j:
                    self._link(row + j - 1, row + j, ONGOING)
            row += each
            self._waiting[stream + i] = row - 1
        self._written = row

    def _begin(self, row: int) -> int:
        """Make the row a gap, and so the transitions whose stacks have a frame that is overwritten with it."""
        if row >= self.capacity:
            gone = row - self.capacity
            for _ in range(self.k - 1):
                succ = self._succ.item(gone % self.capacity)
                if succ == gone:
                    break
                gone = succ
                if self._kind.item(gone % self.capacity):
                    self._retire(gone % self.capacity)
        return super()._begin(row)

    def _link(self, row: int, succ: int, kind: int) -> None:
        """Make a gap a transition, if its stack is whole."""
        super()._link(row, succ, kind)
        oldest, last = row, max(succ - self.capacity, NOBODY)
        for _ in range(self.k - 1):
            oldest = self._prev.item(oldest % self.capacity)
            if oldest <= last:
                self._retire(row % self.capacity)
                break

    def _make_obs(self, n: int) -> None:
        k, shape = self.k, self._stacks.shape[2:]
        self._window = np.empty((n, k + 1 if self.n_step == 1 else 2 * k, *shape), self._stacks.dtype)
        self._batch["obs"], self._batch["next_obs"] = self._window[:, :k], self._window[:, -k:]

    def _take_obs(self, at: Array, succ: Array) -> None:
        later = succ[None] if self.n_step == 1 else self._stack(succ)
        frames = np.concatenate((self._stack(at), later))
        self._frames.take(frames.T, 0, self._window, "clip")

    def _stack(self, at: Array) -> Array:
        """The slots (k, n) of the frames of the stacks in slots `at`, which are whole."""
        slots = np.empty((self.k, len(at)), np.int64)
        slots[-1] = at
        for i in range(self.k - 1, 0, -1):
            np.remainder(self._prev.take(slots[i]), self._ring, slots[i - 1])
        return slots

    def _admit(self, obs: Tree, action: Tree, step: Step, extra: Mapping[str, Tree], stream: int) -> None:
        stacks = {"obs": self._stacks, "final_obs": self._stacks}
        check_rows("replay", {"obs": obs, "final_obs": step.final_obs}, stacks, len(step.reward))
        super()._admit(obs[:, -1], action, step._replace(final_obs=step.final_obs[:, -1]), extra, stream)


class PrioritizedFrames(Prioritized, FrameReplay):
    """Prioritized replay of stacked frames."""


class FrameSequences(FrameReplay, SequenceReplay):
    """Sequences of stacked frames, which lie once in a batch: obs is a view, too."""

    def __init__(
        self,
        capacity: int,
        columns: Mapping[str, Tree],
        rng: np.random.Generator,
        length: int,
        gamma: float = 0.99,
        burn_in: int = 0,
    ):
        super().__init__(capacity, columns, rng, length, gamma, burn_in=burn_in)

    def _make_obs(self, n: int) -> None:
        length = self.burn_in + self.length + 1
        self._window = np.empty((self.k - 1 + length, n, *self._stacks.shape[2:]), self._stacks.dtype)
        stacks = np.lib.stride_tricks.sliding_window_view(self._window, self.k, 0, writeable=True)
        self._batch["obs"] = np.moveaxis(stacks, -1, 2)

    def _take_sequences(self, walk: Array) -> None:
        frames = np.concatenate((walk[: self.k - 1], walk))
        for i in range(
            self.burn_in + self.k - 1, 0, -1
        ):  # not by way of the walk, which ends where the older frames are
            frames[i - 1], _ = self._before(frames[i])
        self._frames.take(frames, 0, self._window, "clip")


class PrioritizedFrameSequences(PrioritizedSequences, FrameSequences):
    """Sequences of stacked frames by the priorities of their first rows."""
