"""VectorEnv: what every environment is to the rest of the library, and the seeds of its episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from rlcore.stream import Step

_MASK = (1 << 64) - 1


def episode_seed(seed: int, number: int) -> int:
    """The seed of one episode, 31 bits, a pure function: nothing to save, and any n_envs plays the same episodes.

    Episode k of stream i has number i + n_envs * k. The mixing is that of SplitMix64 (Steele et al. 2014).
    """
    z = (seed * 0x9E3779B97F4A7C15 + (number + 1) * 0xD1342543DE82EF95) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) >> 33


class VectorEnv(ABC):
    """N environments stepped together; an episode that ends is followed at once by the next one."""

    n_envs: int
    observation_space: Any  # of one environment
    action_space: Any  # of one environment
    obs: Any  # the last observation (N, ...): part of the state
    resumable: Literal["own", "replay", "no"] | None  # how state() is exact; None: not known before the first state()

    @abstractmethod
    def reset(self) -> Any:
        """Start over with the first episodes; gives obs. Two resets play the same episodes."""

    @abstractmethod
    def step(self, action: Any) -> Step:
        """Act in every environment: actions (N, ...)."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on bit for bit: arrays and JSON scalars."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> Any:
        """Take a `state()` back; gives obs."""

    def close(self) -> None:
        """Free what the environments hold."""
