"""VectorEnv: what every environment is to the rest of the library, and the seeds of its episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import index
from typing import Any, Literal

import numpy as np

from rlcore.stream import Step

_MASK = (1 << 64) - 1
Episodes = tuple[np.ndarray, np.ndarray, np.ndarray]  # (stream, return, length) of those that ended


class EnvError(RuntimeError):
    """An environment raised, died or hung; says which, in which step of which episode, and its own traceback."""


def episode_seed(seed: int, number: int) -> int:
    """The seed of one episode, 31 bits, a pure function: nothing to save, and any n_envs plays the same episodes.

    Episode k of stream i has number i + n_envs * k. The mixing is that of SplitMix64 (Steele et al. 2014).
    """
    seed, number = index(seed), index(number)  # a NumPy integer would overflow
    z = (seed * 0x9E3779B97F4A7C15 + (number + 1) * 0xD1342543DE82EF95) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) >> 33


def refuse_others(state: dict[str, Any], made: dict[str, Any]) -> None:
    """ValueError unless a state is of an environment made as this one is."""
    for name, here in made.items():
        if state.get(name) != here:
            raise ValueError(
                f"load: the state is of an environment with {name} {state.get(name)!r}, here it is {here!r}"
            )


def no_transition(obs: Any, n: int) -> Step:
    """A Step whose n rows are no transitions."""
    no = np.zeros(n, bool)
    return Step(obs, np.zeros(n, np.float32), no, no, obs, no, {})


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
    def check(self, state: dict[str, Any]) -> None:
        """ValueError, before anything changes, unless a state is of an environment made as this one is."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> Any:
        """Take a `state()` back; gives obs.

        With resumable "no" the running episodes are lost: obs is still their last one, and the next step, whose rows
        are no transitions, begins new ones.
        """

    def restart(self, which: np.ndarray) -> tuple[Any, Episodes]:
        """Cut the running episodes of the streams in a mask (N,) short, between two steps, and begin the next ones.

        Gives obs, written in place, and (stream, return, length) of the episodes that were cut. ValueError if this kind
        of environment cannot reset single streams.
        """
        raise ValueError(
            f"{type(self).__name__} cannot begin an episode in single streams; use SerialEnv or ProcessEnv"
        )

    def render(self, stream: int = 0) -> np.ndarray:
        """A picture of one stream, uint8 (H, W, 3); ValueError if its environment renders none."""
        raise ValueError(f"{type(self).__name__} renders no pictures of single streams; use SerialEnv or ProcessEnv")

    def close(self) -> None:  # noqa: B027 (many hold nothing)
        """Free what the environments hold."""
