"""Optimizers whose gradients are means over ranks, processes that learn the same parameters in step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rlcore.autograd.parameter as _parameter
from rlcore.autograd.storage import Run, runs
from rlcore.backend import to_cpu, xp_of

Reduce = Callable[[Any, float], float]


class Reducing:
    """An optimizer's part in learning together.

    `reduce(vector, weight)` puts the mean over the ranks in the place of a vector, each with its weight, and gives the
    sum of the weights. In the vector are the gradients, and behind them for each parameter whether it has one.
    """

    reduce: Reduce | None = None
    _active: list[tuple[int, Any]]
    _params: list[Any]
    _version: int
    _exchanged: tuple[int, Any, list[tuple[Any, Any]], int] = (-1, None, [], 0)

    def _reduced(self, weight: float) -> list[int] | None:
        """Gradients become means; the numbers of the parameters that have one on any rank; None if all weigh nothing.

        A parameter without one here counts as zeros, so that all ranks do the same.
        """
        reduce, active = self.reduce, self._active
        if reduce is None or not active:
            return None
        if self._exchanged[0] != _parameter.version:
            self._exchanged = (_parameter.version, *self._laid_out())
        _, vector, copies, size = self._exchanged
        flags = vector[size:]
        flags[...] = 1
        for k, (_, leaf) in enumerate(active):
            if leaf.grad is None:
                leaf.slot[...] = flags[k : k + 1] = 0
        for place, gradient in copies:
            place[...] = gradient
        if not reduce(vector, weight):
            return None
        for place, gradient in copies:
            gradient[...] = place
        used = []
        for (i, leaf), share in zip(active, to_cpu(flags).tolist()):
            if share:  # NaN, too
                leaf.grad = leaf.slot
                used.append(i)
            else:
                leaf.grad = None
        return used

    def _laid_out(self) -> tuple[Any, list[tuple[Any, Any]], int]:
        """The vector to reduce, the slices of it that are copies of gradients, and how many of its elements are such.

        It is the memory of the gradients itself where these lie in one piece with room behind it.
        """
        params = [self._params[i] for i, _ in self._active]
        found, n = runs(params), len(params)
        size = sum(run.stop - run.start for run in found)
        if len(found) == 1 and _room(found[0]) >= n:
            return found[0].buffer.grad[found[0].start : found[0].stop + n], [], size
        like = found[0].grad
        vector = xp_of(like).empty(size + n, like.dtype)
        return vector, _pieces(vector, found), size


def _room(run: Run) -> int:
    """Elements behind a run's gradients that are nobody's."""
    return run.buffer.grad.size - run.stop if run.stop == run.buffer.size else 0


def _pieces(vector: Any, found: Sequence[Run]) -> list[tuple[Any, Any]]:
    """Slices of the vector beside the gradients of the runs."""
    at, pieces = 0, []
    for run in found:
        pieces.append((vector[at : at + run.stop - run.start], run.grad))
        at += run.stop - run.start
    return pieces
