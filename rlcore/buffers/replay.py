"""Replay: one ring of rows for all streams, and n-step transitions drawn from it.

A row is what one stream gave in one step: the observation, the action taken on it, the reward, and whatever else was
to be remembered. `succ` is the row whose observation came next, `kind` says what the row is:

    obs    o0        o1        o2           final     p0        p1
    kind   ONGOING   ONGOING   TERMINATED   GAP       ONGOING   GAP
    succ   o1        o2        final        final     p1        p1

A gap is no transition and its own successor. It is the true last observation of an episode (final), the row at which
a stream was cut, or the newest row of a stream (p1) until its successor arrives. So a walk along `succ` leaves no
episode, and comes to rest on the observation to bootstrap from.

Rows are numbered from 0 in order of arrival, for ever; row r lies in slot r % capacity.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from rlcore.buffers.columns import check_rows, pairs, row_bytes, rows_like, zeros
from rlcore.memory import refuse_beyond
from rlcore.rng import check, restore, state_of
from rlcore.stream import Step
from rlcore.tree import Ring, Tree, map_, named_leaves, put

Array = np.ndarray

GAP, ONGOING, TERMINATED, TRUNCATED = range(4)
NOBODY = -1  # the stream has no row that waits for its successor
OURS = ("reward", "next_obs", "discount", "row", "weight", "mask", "reset")  # of batches: not the caller's to name


class Replay:
    """Uniform replay of the newest `capacity` rows: the transitions of all streams, and one row more an episode.

    `columns`: name -> (shape, dtype) of a row, or nested dicts and tuples of such, for "obs", "action" and what is kept
    of `extra`. Mnih et al. 2015; n-step returns without correction as in Hessel et al. 2018.
    """

    LEAST = 2  # rows of a transition and its successor
    FIXED: tuple[str, ...] = ("capacity", "n_step", "gamma")  # attributes that a state must agree in

    def __init__(
        self,
        capacity: int,
        columns: Mapping[str, Tree],
        rng: np.random.Generator,
        n_step: int = 1,
        gamma: float = 0.99,
    ):
        if capacity < self.LEAST:
            raise ValueError(
                f"a replay holds at least {self.LEAST} rows, those of a transition and its successor, "
                f"got capacity {capacity}"
            )
        if n_step < 1:
            raise ValueError(f"n_step counts the rewards of a return, at least 1, got {n_step}")
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma is a discount between 0 and 1, got {gamma}")
        if wrong := [name for name in ("obs", "action") if name not in columns]:
            raise ValueError(f"a replay needs the columns 'obs' and 'action', {wrong} missing in {list(columns)}")
        if wrong := [name for name in OURS if name in columns]:
            raise ValueError(f"columns of a replay may not be named {wrong}: batches have these anyway")
        self.capacity, self.n_step, self.gamma = capacity, n_step, gamma
        specs = {**columns, "reward": ((), np.float32)}
        refuse_beyond(
            capacity * (row_bytes(specs) + 9),  # 9 of kind and succ
            f"a replay of {capacity} rows",
            "lower buffer_size, or keep less in a row",
        )
        self._columns = zeros((capacity,), specs)
        self._kind = np.zeros(capacity, np.int8)
        self._succ = np.zeros(capacity, np.int64)
        self._waiting: list[int] = []  # per stream, the row that waits for its successor
        self._checked = 0  # streams whose first rows were looked at
        self._written = self._transitions = 0
        self._rng = rng
        self._ring = np.array(capacity)  # array % array takes half the time of array % int
        self._discount = np.array([1, gamma, 0, gamma], np.float32)  # of passing a row, by kind
        self._batch: dict[str, Tree] = {}
        self._drawn = 0  # transitions in a batch
        self._here: list[tuple[Array, Array]] = []  # a column and where in the batch its rows go
        self._obs: list[tuple[Array, Array, Array]] = []  # the same of an observation, and of the next one

    def __len__(self) -> int:
        """The number of transitions that can be drawn."""
        return self._transitions

    def add(self, obs: Tree, action: Tree, step: Step, extra: Mapping[str, Tree] = {}, stream: int = 0) -> None:
        """Append a row for each of the N streams from number `stream` on; every array has a leading axis N."""
        n = len(step.reward)
        if stream < 0 or stream + n > self._checked:
            self._admit(obs, action, step, extra, stream)
        values = {**extra, "obs": obs, "action": action, "reward": step.reward}
        terminated, truncated, valid = step.terminated.tolist(), step.truncated.tolist(), step.valid.tolist()
        keep: Any = range(n)
        if False in valid:  # such a row is of use only where its observation is waited for
            keep = [i for i in keep if valid[i] or self._waiting[stream + i] != NOBODY]
            values = {name: map_(itemgetter(keep), values[name]) for name in self._columns}
        row, end = self._written, self._written + len(keep)
        at = self._slots(row, len(keep))
        for name, column in self._columns.items():
            put(column, at, values[name])
        closing: list[int] = []  # streams whose episodes ended, each of which a final observation follows
        for i in keep:
            before = self._waiting[stream + i]
            self._begin(row)
            if before > row - self.capacity and before != NOBODY:  # else overwritten while the stream was silent
                self._link(before, row, ONGOING)
            if not valid[i]:
                self._waiting[stream + i] = NOBODY
            elif terminated[i] or truncated[i]:
                self._waiting[stream + i] = NOBODY
                self._link(row, end + len(closing), TERMINATED if terminated[i] else TRUNCATED)
                closing.append(i)
            else:
                self._waiting[stream + i] = row
            row += 1
        for i in closing:
            put(self._columns["obs"], self._begin(row), map_(itemgetter(i), step.final_obs))
            row += 1
        self._written = row

    def cut(self, stream: int, n: int) -> None:
        """Begin anew in n streams: their next rows do not follow their last ones, which are lost as transitions."""
        self._waiting[stream : stream + n] = [NOBODY] * len(self._waiting[stream : stream + n])

    def _begin(self, row: int) -> int:
        """Make the row a gap, in the place of what was in its slot."""
        slot = row % self.capacity
        if self._kind[slot]:
            self._retire(slot)
        self._succ[slot] = row
        return slot

    def _link(self, row: int, succ: int, kind: int) -> None:
        """Make a gap a transition."""
        slot = row % self.capacity
        self._kind[slot] = kind
        self._succ[slot] = succ
        self._transitions += 1

    def _retire(self, slot: int) -> None:
        """Make a transition a gap."""
        self._kind[slot] = GAP
        self._transitions -= 1

    def _slots(self, row: int, n: int) -> slice | Array:
        first = row % self.capacity
        if first + n <= self.capacity:
            return slice(first, first + n)
        return np.arange(first, first + n) % self.capacity

    def sample(self, n: int) -> dict[str, Tree]:
        """Draw n transitions (n > 0), uniformly and with replacement; the arrays hold until the next call.

        obs, action, reward, next_obs, discount, row and the columns of `extra`: reward is the sum of up to n_step
        discounted rewards, next_obs what followed the last of them, discount what V(next_obs) is multiplied with.
        """
        if not self._transitions:
            raise ValueError("the replay holds no transition to sample: add a row and its successor first")
        return self._from(self._draw(n))

    def _from(self, at: Array) -> dict[str, Tree]:
        """The batch of the transitions in these slots."""
        if len(at) != self._drawn:
            self._make_batch(len(at))
        for column, out in self._here:
            column.take(at, 0, out, "clip")
        discount = self._discount.take(self._kind.take(at))
        succ = self._after(at)
        for _ in range(self.n_step - 1):  # a gap adds no reward, and passing it no discount
            kind = self._kind.take(succ)
            self._batch["reward"] += discount * self._columns["reward"].take(succ) * kind.astype(bool)
            discount *= self._discount.take(kind)
            succ = self._after(succ)
        self._take_obs(at, succ)
        return {**self._batch, "discount": discount, "row": self._rows(at)}

    def _after(self, at: Array) -> Array:
        """The slots of the successors."""
        succ = self._succ.take(at)
        if self._written > self.capacity:
            succ %= self._ring
        return succ

    def _rows(self, at: Array) -> Array:
        """The rows in these slots."""
        newest = np.array(self._written - 1)
        return newest - (newest - at) % self._ring if self._written > self.capacity else at

    def _take_obs(self, at: Array, succ: Array) -> None:
        """Put the observations in slots `at` and `succ` into the batch."""
        for column, out, next_out in self._obs:
            column.take(at, 0, out, "clip")
            column.take(succ, 0, next_out, "clip")

    def _draw(self, n: int) -> Array:
        """Slots (n,) of transitions, uniformly: drawn from all rows, gaps rejected."""
        size = min(self._written, self.capacity)
        b = n + 2 * (n * (size - self._transitions) // self._transitions + 1)  # mostly enough at once
        found = self._pick(b, size)
        while len(found) < n:
            found = np.concatenate((found, self._pick(b, size)))
        return found[:n]

    def _pick(self, b: int, size: int) -> Array:
        """Slots of the transitions among b rows drawn from the first `size` slots."""
        at = (self._rng.random(b) * size).astype(np.int64)
        return at.take(self._kind.take(at).nonzero()[0])

    def _make_batch(self, n: int) -> None:
        """Arrays for batches of n rows, and which column each of them is taken from."""
        self._drawn = n
        _, others = self._split()
        self._batch = rows_like(others, (n,))
        self._here = pairs(others, self._batch)
        self._make_obs(n)

    def _make_obs(self, n: int) -> None:
        """The same for observations."""
        obs, _ = self._split()
        self._batch["obs"], self._batch["next_obs"] = rows_like(obs, (n,)), rows_like(obs, (n,))
        nexts = [out for _, out in pairs(obs, self._batch["next_obs"])]
        self._obs = [(*here, out) for here, out in zip(pairs(obs, self._batch["obs"]), nexts)]

    def _split(self) -> tuple[Tree, dict[str, Tree]]:
        """The column of observations, and the others."""
        return self._columns["obs"], {name: tree for name, tree in self._columns.items() if name != "obs"}

    def _admit(self, obs: Tree, action: Tree, step: Step, extra: Mapping[str, Tree], stream: int) -> None:
        """Check the first rows of streams that are new."""
        n = len(step.reward)
        if stream < 0:
            raise ValueError(f"streams are numbered from 0, got stream={stream}")
        if self.LEAST * (stream + n) > self.capacity:
            raise ValueError(
                f"a replay of {self.capacity} rows is too small for {stream + n} streams: "
                f"those of a transition and its successor of each are {self.LEAST * (stream + n)}"
            )
        flag = np.zeros(1, bool)
        expected = {**self._columns, "final_obs": self._columns["obs"]}
        expected |= {"terminated": flag, "truncated": flag, "valid": flag}
        check_rows("replay", {**extra, **step._asdict(), "obs": obs, "action": action}, expected, n)
        self._waiting += [NOBODY] * (stream + n - len(self._waiting))
        self._checked = stream + n

    def state(self) -> dict[str, Any]:
        """Everything, as live arrays: columns of rows that never change are Rings, `kind` and `succ` are not.

        A row gets its final kind and successor one step after it was written, or many when its stream is slow, so what
        was written since the last save does not cover these two; they are 9 bytes a row, and are saved whole.
        """
        return {
            **{name: getattr(self, name) for name in self.FIXED},
            "columns": {name: map_(lambda c: Ring(c, self._written), tree) for name, tree in self._columns.items()},
            "kind": self._kind,
            "succ": self._succ,
            "waiting": np.array(self._waiting, np.int64),
            "rng": state_of(self._rng),
        }

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming the difference, if the state is of a replay made otherwise."""
        if state.keys() != self.state().keys():
            raise ValueError(f"a replay's state has {list(self.state())}, this one {list(state)}")
        for name in self.FIXED:
            if state[name] != getattr(self, name):
                raise ValueError(f"the replay's state has {name} {state[name]}, this replay {getattr(self, name)}")
        rings, columns = dict(named_leaves(state["columns"])), dict(named_leaves(self._columns))
        if rings.keys() != columns.keys():
            raise ValueError(f"the replay's state has columns {sorted(rings)}, this replay {sorted(columns)}")
        for path, (saved, own) in self._paired(state).items():
            theirs, ours = (f"{array.dtype} {array.shape}" for array in (saved, own))
            if theirs != ours:
                raise ValueError(f"the replay's state has {path} as {theirs}, this replay as {ours}")
        check(self._rng, state["rng"])

    def _paired(self, state: dict[str, Any]) -> dict[str, tuple[Array, Array]]:
        """Saved and own arrays, by path."""
        columns = dict(named_leaves(self._columns))
        pairs = {path: (ring.array, columns[path]) for path, ring in named_leaves(state["columns"])}
        return pairs | {"kind": (state["kind"], self._kind), "succ": (state["succ"], self._succ)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state bit for bit, after `check`."""
        self.check(state)
        restore(self._rng, state["rng"])
        self._written = state["columns"]["reward"].written
        for saved, own in self._paired(state).values():
            own[: self._written] = saved[: self._written]  # memory that holds no rows yet stays untouched
        self._kind[self._written :] = GAP
        self._waiting = state["waiting"].tolist()
        self._checked = 0
        self._transitions = int(np.count_nonzero(self._kind))
