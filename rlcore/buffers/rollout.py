"""Rollout: the latest steps of all streams, in order, for on-policy learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlcore.buffers.columns import check_rows, row_bytes, told, zeros
from rlcore.memory import refuse_beyond
from rlcore.tree import Tree, map_, named_leaves, put

OURS = {"reward": np.float32, "terminated": np.bool_, "truncated": np.bool_, "valid": np.bool_}  # of a Step


class Rollout:
    """Up to `length` steps of N streams, N being that of the first step.

    `specs`: name -> (shape, dtype) of a row, or nested dicts and tuples of such, for all that is given to `add` beside
    the Step. `columns` are arrays (length, N, ...), of which the first len() steps are filled.
    """

    def __init__(self, length: int, specs: Mapping[str, Tree]):
        if length < 1:
            raise ValueError(f"a rollout holds at least 1 step, got length {length}")
        if wrong := [name for name in OURS if name in specs]:
            raise ValueError(f"columns of a rollout may not be named {wrong}: it has these anyway")
        self.length = length
        self.columns: dict[str, Tree] = {}
        self._specs = {**specs, **{name: ((), dtype) for name, dtype in OURS.items()}}
        self._rows = zeros((0,), self._specs)  # which are looked at to refuse a specification, or rows, that are wrong
        self._steps = 0

    def __len__(self) -> int:
        """The number of steps that are there."""
        return self._steps

    @property
    def full(self) -> bool:
        return self._steps == self.length

    def add(self, step: Any, **given: Tree) -> None:
        """Append a Step of N streams and what goes with it, arrays with a leading axis N."""
        given |= {name: getattr(step, name) for name in OURS}
        if not self.columns or len(step.reward) != self.columns["reward"].shape[1]:
            self._admit(given, len(step.reward))
        if self._steps == self.length:
            raise ValueError(f"the rollout of {self.length} steps is full: clear it first")
        for name, column in self.columns.items():
            put(column, self._steps, given[name])
        self._steps += 1

    def _admit(self, given: dict[str, Tree], n: int) -> None:
        """Check the first rows, and make columns for as many streams."""
        if self.columns and self._steps:
            streams = self.columns["reward"].shape[1]
            raise ValueError(f"this rollout is of {streams} streams, which all come in one call; got {n}")
        check_rows("rollout", given, self._rows, n)
        refuse_beyond(
            self.length * n * row_bytes(self._specs),
            f"a rollout of {self.length} steps of {n} streams",
            "lower n_steps or n_envs",
        )
        self.columns = zeros((self.length, n), self._specs)

    def clear(self) -> None:
        """Begin anew."""
        self._steps = 0

    def drop(self, n: int) -> None:
        """Forget the first n steps."""
        left = self._steps - n
        for _, column in named_leaves(self.columns):
            column[:left] = column[n : self._steps]
        self._steps = left

    def state(self) -> dict[str, Any]:
        """The steps that are there, as live arrays."""
        columns = {name: map_(lambda c: c[: self._steps], column) for name, column in self.columns.items()}
        return {"length": self.length, "columns": columns if self._steps else {}}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming the difference, if the state is of a rollout made otherwise."""
        if state.keys() != {"length", "columns"}:
            raise ValueError(f"a rollout's state has length and columns, this one {sorted(state)}")
        if state["length"] != self.length:
            raise ValueError(f"the rollout's state has length {state['length']}, this rollout {self.length}")
        if not state["columns"]:
            return
        saved, own = dict(named_leaves(state["columns"])), dict(named_leaves(self._rows))
        if saved.keys() != own.keys():
            raise ValueError(f"the rollout's state has columns {sorted(saved)}, this rollout {sorted(own)}")
        lead = np.shape(saved["reward"])
        if len(lead) != 2 or not 1 <= lead[0] <= self.length:
            raise ValueError(f"the rollout's state has steps and streams {lead}, expected up to ({self.length}, N)")
        for path, column in own.items():
            got, wanted = told(saved[path]), f"{column.dtype} {(*lead, *column.shape[1:])}"
            if got != wanted:
                raise ValueError(f"the rollout's state has {path} as {got}, expected {wanted}")

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state bit for bit, after `check`."""
        self.check(state)
        self._steps, self.columns = 0, {}
        if state["columns"]:
            saved = dict(named_leaves(state["columns"]))
            self._steps, n = saved["reward"].shape
            self.columns = zeros((self.length, n), self._specs)
            for path, column in named_leaves(self.columns):
                column[: self._steps] = saved[path]


def refuse_more(batch_size: int, n_steps: int, n_envs: int) -> None:
    """ValueError for minibatches that are larger than a rollout."""
    if batch_size > n_steps * n_envs:
        raise ValueError(
            f"batch_size {batch_size} is more than the {n_steps * n_envs} rows of an update, n_steps {n_steps} of "
            f"{n_envs} environments: lower batch_size, or raise n_steps or n_envs"
        )
