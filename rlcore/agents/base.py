"""What every agent can do: act, observe, update; its policy, and its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from rlcore.autograd import Link
from rlcore.stream import Step


class Policy(ABC):
    """Acts and does not learn: a live view of an agent, for evaluation and for use."""

    @abstractmethod
    def __call__(self, obs: Any) -> Any:
        """Actions for a batch of observations (N, ...)."""

    def reset(self, mask: Any = None) -> None:  # noqa: B027  most policies remember nothing
        """Forget what is remembered of the streams in mask (N,), of all if None."""


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
