"""What agents with a memory share: the recurrent state of the streams that they act for, and their policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlcore.agents.base import Policy
from rlcore.autograd import as_array
from rlcore.backend import to_cpu, xp_of
from rlcore.buffers.columns import check_rows
from rlcore.tree import Tree, leaves, map_


class Remembered:
    """The recurrent state `h` of N streams, a tree of arrays (N, ...); N is that of the first call of `of`.

    model: model.initial(n) is the state at the start of n episodes.
    """

    def __init__(self, model: Any):
        self.model = model
        self.h: Tree = None  # of no stream yet

    def of(self, n: int) -> Tree:
        """The state of n streams; ValueError if it is that of another number."""
        if self.h is None:
            self.h = self.model.initial(n)
        elif (known := len(next(leaves(self.h)))) != n:
            raise ValueError(
                f"observations of {n} streams, but the recurrent state is that of {known}: go on with as many, or "
                "begin anew (a policy: reset() it; an agent: make a new one)"
            )
        return self.h

    def keep(self, h: Tree) -> None:
        """Take the state after a step, of Variables or arrays."""
        self.h = map_(as_array, h)

    def forget(self, mask: Any, first: int = 0) -> None:
        """Begin anew where mask (N,), whose streams are numbered from `first` on."""
        if self.h is not None and mask.any():
            streams = slice(first, first + len(mask))
            self.h = map_(lambda a: _zeroed(a, streams, xp_of(a).asarray(mask)), self.h)

    def fits(self, h: Tree) -> None:
        """ValueError, naming the array, unless it is a state of some number of streams; None is that of no stream."""
        if h is not None:
            first = np.asarray(next(leaves(h), None))
            check_rows("recurrent state:", {"h": h}, {"h": self.model.initial(0)}, len(first) if first.ndim else 0)

    def state(self) -> dict[str, Any]:
        return {"h": [] if self.h is None else list(leaves(self.h))}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        if state.keys() != {"h"}:
            raise ValueError(f"load: a recurrent state has h, this one {', '.join(sorted(state))}")
        self.fits(self._nested(state["h"]))

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        h = self._nested(state["h"])
        self.h = None if h is None else self.copied(h)

    def copied(self, h: Tree) -> Tree:
        """A state as arrays of one's own, where the model is."""
        return map_(lambda a, own: xp_of(own).array(a), h, self.model.initial(0))

    def _nested(self, arrays: Any) -> Tree:
        """Arrays in the nesting of the model's state; None if there are none."""
        own = self.model.initial(0)
        if len(arrays) not in (0, len(list(leaves(own)))):
            raise ValueError(f"load: a recurrent state of {len(arrays)} arrays, expected {len(list(leaves(own)))}")
        given = iter(arrays)
        return map_(lambda _: next(given), own) if arrays else None


def _zeroed(a: Any, streams: slice, mask: Any) -> Any:
    a = a.copy()  # what was given away stays as it was
    a[streams][mask] = 0
    return a


class RecurrentPolicy(Policy):
    """Acts by a model that remembers: model(obs, h) gives (out, h), choose(out, obs) the actions.

    head: one of the heads of `rlcore/policy.py`, for exports; there: what brings arrays to the model.
    """

    def __init__(
        self,
        model: Any,
        choose: Callable[[Any, Any], Any],
        head: dict[str, Any],
        there: Callable[[Tree], Tree],
    ):
        self.model, self.choose, self.head, self.there = model, choose, head, there
        self.remembered = Remembered(model)

    def __call__(self, obs: Any) -> Any:
        out, h = self.model(self.there(obs), self.remembered.of(len(next(leaves(obs)))))
        self.remembered.keep(h)
        return self.choose(out, obs)

    def reset(self, mask: Any = None) -> None:
        h = self.remembered.h
        if mask is None:
            self.remembered.h = None
        elif h is not None:
            mask, n = np.asarray(mask, bool), len(next(leaves(h)))
            if mask.shape != (n,):
                raise ValueError(f"reset takes a mask of the {n} streams, ({n},), got {mask.shape}")
            self.remembered.forget(mask)

    @property
    def state(self) -> Tree:
        h = self.remembered.h
        return None if h is None else map_(to_cpu, h)

    @state.setter
    def state(self, h: Tree) -> None:
        self.remembered.fits(h)
        self.remembered.h = None if h is None else self.there(h)

    def initial(self, n: int) -> Tree:
        return map_(to_cpu, self.model.initial(n))

    def exported(self) -> tuple[Any, dict[str, Any]]:
        return self.model, self.head
