"""What every agent can do: act, observe, update; its policy, and its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rlcore import rng as rngs
from rlcore.autograd import Link
from rlcore.autograd.devices import mover, use
from rlcore.backend import to_cpu
from rlcore.stream import Step
from rlcore.tree import Tree, map_


def here(tree: Tree) -> Tree:
    """Arrays as networks on the host take them: as they are."""
    return tree


class Policy(ABC):
    """Acts and does not learn: a live view of an agent, for evaluation and for use."""

    there: Callable[[Tree], Tree] = staticmethod(here)  # arrays as its networks take them
    state: Tree = None  # what is remembered of N streams, a tree of arrays (N, ...); None: nothing, or nothing yet

    @abstractmethod
    def __call__(self, obs: Any) -> Any:
        """Actions for a batch of observations (N, ...)."""

    def reset(self, mask: Any = None) -> None:  # noqa: B027  most policies remember nothing
        """Forget what is remembered of the streams in mask (N,), of all if None."""

    def predict(self, obs: Any, state: Tree = None, episode_start: Any = None) -> tuple[Any, Tree]:
        """Actions for observations (N, ...), and the state to be given with the next ones; None: it remembers nothing.

        A state has a leading axis N, also when N = 1. Where episode_start, bool (N,), is True it does not count.
        """
        self.state = state
        if episode_start is not None:
            self.reset(np.atleast_1d(episode_start))
        return self(obs), self.state

    def initial(self, n: int) -> Tree:
        """The state of n streams whose episodes begin; None: it remembers nothing."""
        return None

    def exported(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The network of the deterministic policy, observations (N, ...) to numbers (N, n), and how these give actions.

        The latter is one of the heads of `rlcore/policy.py`; ValueError if there is none. The network of a policy that
        remembers takes observations and state to numbers and the state after them.
        """
        raise ValueError(f"{type(self).__name__} cannot be exported")


class Agent(ABC):
    """Learns to act from a stream of transitions.

    `config` is a frozen dataclass, the class attribute `Config` its type. Everything is counted in rows: one per
    environment and step, so that the ratio of acting to learning does not depend on the number of environments.
    """

    Config: type
    COUNTS: tuple[str, ...] = ()  # attributes, whole numbers, that belong to the state
    asynchronous = False  # made for several processes that learn on shared parameters
    actor: Link  # what acts: actor.flat_state is all that another process needs to act alike
    apart = ""  # why ranks cannot learn with such agents as if they were one; "": they can
    comm: Any = None  # of the ranks that do, an `rlcore.parallel.base.Comm`; None: it learns alone
    there: Callable[[Tree], Tree] = staticmethod(here)  # arrays as the networks take them

    def to_device(self, device: Any) -> Any:
        """Have the networks on "cpu", "gpu" or "gpu:1", as `Link.to_device` names them, before it acts; gives itself.

        What an agent is given and gives stays on the host, and so does what it keeps of it: only what networks work on
        goes there and back. ValueError without CuPy or such a GPU.
        """
        if self.asynchronous and device not in ("cpu", "@numpy"):
            raise ValueError(
                f"{type(self).__name__}'s workers share parameters in the host's memory: leave the device at 'cpu', "
                f"got {device!r}"
            )
        try:
            use(device)
            move = mover(device)
            move(np.zeros(1))
        except RuntimeError as error:  # which tells what is missing, CuPy or the GPU
            raise ValueError(str(error)) from None
        for link in _links(self.parts()):
            link.to_device(device)
        self.there = here if move is to_cpu else lambda tree: map_(move, tree)
        return self

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

    def forget(self, over: Any, stream: int = 0) -> None:  # noqa: B027  most remember nothing
        """Forget what acting remembers of the streams from `stream` on in which, by over (N,), an episode is over.

        `observe` does it; who acts for a learner elsewhere does it alone.
        """

    @abstractmethod
    def update(self) -> dict[str, Any]:
        """Do all updates that are due; means of their statistics, {} if there were none."""

    def anywhere(self, here: bool) -> bool:
        """Whether it is so on any of the ranks that learn together."""
        if self.comm is None:
            return here
        return bool(self.comm.max_(np.array([here], np.float64))[0])

    def mean_of_all(self, x: float, rows: int) -> float:
        """The mean of a number over the ranks, weighted by their rows."""
        if self.comm is None:
            return float(x)
        array = np.array([float(x)], np.float64)
        self.comm.mean_(array, rows)
        return float(array[0])

    def most(self, n: int) -> int:
        """The largest of the ranks' numbers."""
        return int(self.comm.max_(np.array([n], np.float64))[0])

    @abstractmethod
    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> Policy:
        """The policy as it is learned: a live view; rng is needed where it draws."""

    def parts(self) -> dict[str, Any]:
        """What has a state, by name: objects with state, check and load, generators, or dicts of these.

        They are loaded in this order.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on bit for bit: live arrays, Rings and JSON scalars."""
        return {**{name: getattr(self, name) for name in self.COUNTS}, **_state(self.parts())}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming what is wrong, unless `load` can take this state."""
        parts = self.parts()
        if wrong := sorted({*self.COUNTS, *parts} ^ state.keys()):
            raise ValueError(f"load: the state is not of a {type(self).__name__}: it differs in {', '.join(wrong)}")
        for name in self.COUNTS:
            if type(state[name]) is not int:
                raise ValueError(f"load: {name} must be a whole number, got {state[name]!r}")
        _check(parts, {name: state[name] for name in parts})

    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back; ValueError, before anything changes, if it is not this agent's."""
        self.check(state)
        _load(self.parts(), state)
        for name in self.COUNTS:
            setattr(self, name, state[name])


def _links(parts: dict[str, Any]) -> Iterator[Link]:
    for part in parts.values():
        if isinstance(part, dict):
            yield from _links(part)
        elif isinstance(part, Link):
            yield part


def _state(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _state(inner) for name, inner in part.items()}
    return rngs.state_of(part) if isinstance(part, np.random.Generator) else part.state()


def _check(part: Any, state: Any) -> None:
    if isinstance(part, dict):
        if not isinstance(state, dict) or part.keys() != state.keys():
            got = ", ".join(state) if isinstance(state, dict) else repr(state)
            raise ValueError(f"load: expected a state for each of {', '.join(part)}, got {got}")
        for name, inner in part.items():
            _check(inner, state[name])
    elif isinstance(part, np.random.Generator):
        rngs.check(part, state)
    else:
        part.check(state)


def _load(part: Any, state: Any) -> None:
    if isinstance(part, dict):
        for name, inner in part.items():
            _load(inner, state[name])
    elif isinstance(part, np.random.Generator):
        rngs.restore(part, state)
    else:
        part.load(state)


def rows_of(space: Any) -> Tree:
    """(shape, dtype) of a space's observations as they reach an agent, nested as they are: floats are float32."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {key: rows_of(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([rows_of(part) for part in space.spaces])
    return space.shape, np.dtype(np.float32) if space.dtype.kind == "f" else np.dtype(space.dtype)
