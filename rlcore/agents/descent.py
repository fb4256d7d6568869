"""A guarded step of an optimizer: where loss or gradient is not finite it is left out, and counted."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from rlcore.autograd import Link
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.autograd.optimizers import Optimizer
from rlcore.backend import to_cpu
from rlcore.tree import Tree, map_


class NonFiniteError(FloatingPointError):
    """Update after update has a loss or gradient that is NaN or infinite; `batch` is what the last one learned from."""

    def __init__(self, message: str, batch: Tree):
        super().__init__(message)
        self.batch = batch


class Patience:
    """Counts updates that are not made for numbers that are not finite; PATIENCE such in a row raise NonFiniteError."""

    PATIENCE = 3  # a batch may be to blame once; more often it is the network

    def __init__(self) -> None:
        self.skipped = self.in_a_row = 0

    def leave_out(self, batch: Tree) -> bool:
        """Count an update that is not made, and warn of it; gives False, or raises NonFiniteError."""
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row == self.PATIENCE:
            self.in_a_row = 0
            raise NonFiniteError(
                f"{self.PATIENCE} updates in a row had a loss or gradient that is NaN or infinite, and were not made: "
                "lower the learning rate, or look for rewards or observations that are far too large",
                map_(lambda leaf: np.array(to_cpu(leaf)), batch),
            )
        warnings.warn("an update is left out: its loss or gradient is NaN or infinite", RuntimeWarning, stacklevel=3)
        return False

    def state(self) -> dict[str, Any]:
        """The counts."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        if state.keys() != self.state().keys() or not all(type(n) is int for n in state.values()):
            raise ValueError(f"load: expected the numbers skipped and in_a_row, got {state!r}")

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.skipped, self.in_a_row = state["skipped"], state["in_a_row"]


class Descent(Patience):
    """Steps of an optimizer, the gradient clipped to an L2 norm, but none where loss or gradient is not finite.

    Then parameters and the optimizer's state stay as they are. A call says whether it has taken the step. rows: those
    that the loss is a mean over, its weight where ranks learn together, which leave a step out all or none.
    """

    def __init__(self, model: Link, optimizer: Optimizer, max_grad_norm: float):
        super().__init__()
        self.model, self.optimizer = model, optimizer.setup(model)
        optimizer.add_hook(FiniteClipping(max_grad_norm))

    def __call__(self, loss: Any, batch: Tree, rows: float = 1) -> bool:
        self.model.cleargrads()
        if math.isfinite(loss.array):
            loss.backward()
        elif self.optimizer.reduce is None:
            return self.leave_out(batch)
        else:  # the other ranks wait for this one's gradient, and are to leave the step out, too
            for p in self.model.params(include_uninit=False):
                p.grad = p.xp.full(p.shape, np.nan, p.dtype)
        return self._step(batch, rows)

    def absent(self, batch: Tree) -> bool:
        """Take the other ranks' step, without a row of one's own."""
        self.model.cleargrads()
        return self._step(batch, 0)

    def _step(self, batch: Tree, rows: float) -> bool:
        try:
            self.optimizer.update(weight=rows)
        except NotFinite:
            return self.leave_out(batch)
        self.in_a_row = 0
        return True


class NotFinite(Exception):
    """Raised before an optimizer's step, which is then not taken."""


class FiniteClipping(GradientClipping):
    """Gradient clipping that raises NotFinite where the norm is NaN or infinite."""

    name = "FiniteClipping"

    def __call__(self, parts: list[Any]) -> None:
        square = 0.0
        for part in parts:
            square += part.grad.dot(part.grad)
        norm = self.norm = math.sqrt(square)  # on a device this reads one number back
        if norm > self.threshold:
            if norm == math.inf:
                raise NotFinite
            for part in parts:
                part.grad *= self.threshold / norm
        elif math.isnan(norm):
            raise NotFinite
