"""Optimizers of several processes that step the same vectors, without a lock (Niu et al. 2011, Mnih et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import rlcore.autograd.parameter as _parameter
from rlcore.autograd.storage import Run, runs


class Elsewhere(NamedTuple):
    """A run whose values are stepped in other memory."""

    data: Any
    grad: Any


class Sharing:
    """An optimizer's part in stepping vectors that other processes step as well."""

    target: Any
    slots: tuple[str, ...]
    numbers: Any
    _check_setup: Any
    _lay: Any
    _in_float32: bool
    _params: list[Any]
    _state: list[Any]
    _used: list[int] | None
    _version: int
    _shared: Any = None  # all values in flat order, stepped in the place of the parameters
    _copied: Sequence[tuple[Any, Any]] = ()  # where the parameters lie, and their slices of it

    def share(self, values: Any, state: list[Any]) -> None:
        """Step `values` and the `state` vectors, one for each slot, which others may step at any time.

        They are vectors in flat order. The parameters become a copy of the values, now and after each step; gradients
        stay this model's own. ValueError if the formula counts steps, as Adam's: each process would count its own.
        """
        self._check_vectors("share", values, state)
        self._shared, self._state, self._used = values, list(state), None
        self._place()
        self._renew()

    def give(self, values: Any, state: list[Any]) -> None:
        """Write parameters and state into such vectors."""
        self._check_vectors("give", values, state)
        for own, place in [*self._paired(values), *zip(self._state, state)]:
            place[...] = own

    def take(self, values: Any, state: list[Any]) -> None:
        """Take parameters and state from such vectors, as they are at this moment."""
        self._check_vectors("take", values, state)
        for own, place in [*self._paired(values), *zip(self._state, state)]:
            own[...] = place

    def check_shareable(self) -> None:
        """ValueError if what is stepped cannot be shared."""
        self._check_setup("share")
        if self._version != _parameter.version:
            self._lay()
        if not self._params or self._in_float32 or any(p.array is None for p in self.target.params()):
            raise ValueError("share: the sizes of all parameters must be known, and none be of float16")
        if self.numbers(1.0, 1) != self.numbers(1.0, 1000):
            name = type(self).__name__
            raise ValueError(f"share: {name} counts its steps, which processes cannot share; RMSprop and SGD do not")

    def _check_vectors(self, caller: str, values: Any, state: list[Any]) -> None:
        """ValueError unless this can be shared in these vectors."""
        self.check_shareable()
        size, dtype = sum(p.size for p in self._params), self._params[0].dtype
        got = [(v.shape, v.dtype) for v in (values, *state)]
        if got != [((size,), dtype)] * (1 + len(self.slots)):
            wanted = f"{1 + len(self.slots)} vectors of {size} elements of {dtype}"
            raise ValueError(f"{caller}: expected {wanted}, for the values and {', '.join(self.slots)}; got {got}")

    def _place(self) -> None:
        """After a new layout, find the parameters again."""
        if self._shared is not None:
            self._copied = self._paired(self._shared)

    def _paired(self, values: Any) -> list[tuple[Any, Any]]:
        """Where the parameters lie, and the same elements of a vector in flat order."""
        at, pairs = 0, []
        for run in runs(self._params):
            size = run.stop - run.start
            pairs.append((run.data, values[at : at + size]))
            at += size
        return pairs

    def _stepped(self, run: Run, here: slice) -> Any:
        """A run as it is stepped; `here` are its elements in flat order."""
        return run if self._shared is None else Elsewhere(self._shared[here], run.grad)

    def _renew(self) -> None:
        """Copy what is shared into the parameters."""
        for own, shared in self._copied:
            own[...] = shared
