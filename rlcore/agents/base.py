"""What every agent can do: act, observe, update; its policy, and its state. And what agents share: a guarded step."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from rlcore.autograd import Link
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.autograd.optimizers import Optimizer
from rlcore.stream import Step
from rlcore.tree import Tree, map_


class Policy(ABC):
    """Acts and does not learn: a live view of an agent, for evaluation and for use."""

    @abstractmethod
    def __call__(self, obs: Any) -> Any:
        """Actions for a batch of observations (N, ...)."""

    def reset(self, mask: Any = None) -> None:  # noqa: B027  most policies remember nothing
        """Forget what is remembered of the streams in mask (N,), of all if None."""

    def exported(self) -> tuple[Callable[[Any], Any], dict[str, Any]]:
        """The network of the deterministic policy, observations (N, ...) to numbers (N, n), and how these give actions.

        The latter is one of the heads of `rlcore/policy.py`; ValueError if there is none.
        """
        raise ValueError(f"{type(self).__name__} cannot be exported")


class Agent(ABC):
    """Learns to act from a stream of transitions.

    `config` is a frozen dataclass, the class attribute `Config` its type. Everything is counted in rows: one per
    environment and step, so that the ratio of acting to learning does not depend on the number of environments.
    """

    Config: type
    actor: Link  # what acts: actor.flat_state is all that another process needs to act alike

    @classmethod
    @abstractmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: Any, rng: np.random.Generator) -> Agent:
        """An agent with default networks; ValueError names the spaces it can handle if it cannot handle these."""

    def check_streams(self, n: int) -> None:  # noqa: B027  most can
        """ValueError unless it can learn from n environments at a time."""

    @abstractmethod
    def act(self, obs: Any) -> tuple[Any, dict[str, Any]]:
        """Actions for observations (N, ...), and what must be remembered with them."""

    @abstractmethod
    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        """Take in one step of N streams, numbered from `stream` on."""

    @abstractmethod
    def update(self) -> dict[str, Any]:
        """Do all updates that are due; means of their statistics, {} if there were none."""

    @abstractmethod
    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> Policy:
        """The policy as it is learned: a live view; rng is needed where it draws."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on bit for bit: live arrays, Rings and JSON scalars."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back; ValueError, before anything changes, if it is not this agent's."""


class NonFiniteError(FloatingPointError):
    """Update after update has a loss or gradient that is NaN or infinite; `batch` is what the last one learned from."""

    def __init__(self, message: str, batch: Tree):
        super().__init__(message)
        self.batch = batch


class Descent:
    """Steps of an optimizer, the gradient clipped to an L2 norm, but none where loss or gradient is not finite.

    Then parameters and the optimizer's state stay as they are, `skipped` counts, and PATIENCE such in a row raise
    NonFiniteError. A call says whether it has taken the step.
    """

    PATIENCE = 3  # a batch may be to blame once; more often it is the network

    def __init__(self, model: Link, optimizer: Optimizer, max_grad_norm: float):
        self.model, self.optimizer = model, optimizer.setup(model)
        optimizer.add_hook(FiniteClipping(max_grad_norm))
        self.skipped = self.in_a_row = 0

    def __call__(self, loss: Any, batch: Tree) -> bool:
        self.model.cleargrads()
        if math.isfinite(loss.array):
            loss.backward()
            try:
                self.optimizer.update()
            except NotFinite:
                pass
            else:
                self.in_a_row = 0
                return True
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row == self.PATIENCE:
            self.in_a_row = 0
            raise NonFiniteError(
                f"{self.PATIENCE} updates in a row had a loss or gradient that is NaN or infinite, and were not made: "
                "lower the learning rate, or look for rewards or observations that are far too large",
                map_(np.copy, batch),
            )
        warnings.warn("an update is left out: its loss or gradient is NaN or infinite", RuntimeWarning, stacklevel=2)
        return False

    def state(self) -> dict[str, Any]:
        """The counts; model and optimizer have states of their own."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        if state.keys() != self.state().keys() or not all(type(n) is int for n in state.values()):
            raise ValueError(f"load: expected the numbers skipped and in_a_row, got {state!r}")

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.skipped, self.in_a_row = state["skipped"], state["in_a_row"]


def means_of(stats: list[dict[str, Any]]) -> dict[str, Any]:
    """The means of updates' statistics, of those that were made."""
    made = [s for s in stats if s]
    if len(made) < 2:
        return made[0] if made else {}
    return {name: sum([s[name] for s in made]) / len(made) for name in made[0]}


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


def rows_of(space: Any) -> Tree:
    """(shape, dtype) of a space's observations as they reach an agent, nested as they are: floats are float32."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {key: rows_of(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([rows_of(part) for part in space.spaces])
    return space.shape, np.dtype(np.float32) if space.dtype.kind == "f" else np.dtype(space.dtype)
