"""Actors: ranks that act by the newest weights they have, and send what they see to a learner in chunks."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from rlcore.agents.base import Agent
from rlcore.agents.on_policy import OnPolicy
from rlcore.agents.reinforce import REINFORCE
from rlcore.backend import xp_of
from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers import learning
from rlcore.explorers import EpsilonGreedy
from rlcore.fields import Schedule
from rlcore.harness.loop import Hook, train
from rlcore.parallel.base import LONG, SHORT, Comm, Pending, RankLost, wait_for
from rlcore.parallel.chunk import Chunk, Layout
from rlcore.parallel.roles import Roles
from rlcore.parallel.wire import (
    BYE,
    DOWN,
    HEADER,
    HELLO,
    LAYOUT,
    STOP,
    UP,
    WEIGHTS,
    Header,
    ProtocolError,
    note,
    opened,
)
from rlcore.stream import Step
from rlcore.tree import leaves

STEPS = 50  # of each environment in a chunk, as many as Ape-X sends at a time (Horgan et al. 2018)
IN_FLIGHT = 2  # chunks of an actor that are on their way
EPSILON, ALPHA = 0.4, 7.0  # of the ladder, as Horgan et al. 2018
LITTLE = 1_000  # rows of a replay that is never written to
LOOKS, LOOKED = 300, 3e-4  # at what is waited for, before the first sleep: 0.2 ms; and with a short sleep, in seconds


def ladder(actor: int, actors: int) -> float:
    """The probability of a random action of one of many actors (Horgan et al. 2018, section 4.1)."""
    return EPSILON ** (1 + ALPHA * actor / max(actors - 1, 1))


def acting_config(config: Any) -> Any:
    """The config of an agent that only acts: its replay is small, as nothing goes into it."""
    if not hasattr(config, "buffer_size"):
        return config
    needed = sum([getattr(config, name, 0) for name in ("batch_size", "sequence_length", "burn_in")])
    return replace(config, buffer_size=min(config.buffer_size, LITTLE + needed))


def act(
    agent: Agent,
    env: VectorEnv,
    comm: Comm,
    learners: int = 1,
    steps: int | None = None,
    hooks: Sequence[Hook] = (),
    epsilons: bool = True,
) -> int:
    """Act in an environment until the learner ends it, or a hook; gives the rows acted.

    steps: of a chunk; None: as many as an on-policy agent's rollout has, else 50. epsilons: an epsilon-greedy agent has
    the epsilon of its place on the ladder; else that of its config. Ranks other than actors call `learn` with the same
    `learners`. RankLost if the learner dies.
    """
    roles = Roles.of(comm, learners)
    if roles.learns:
        raise ValueError(f"act: rank {comm.rank} learns, the ranks from {learners} on act")
    remote = RemoteAgent(agent, comm, roles, steps)
    prepare(agent, env, roles.actor, roles.actors, epsilons)
    if learners > 1:
        comm.split(-1)  # the learners make a communicator of theirs
    t = train(remote, env, sys.maxsize, [*hooks, remote.over])  # type: ignore[arg-type]
    remote.leave()
    return t


def prepare(agent: Any, env: VectorEnv, actor: int, actors: int, epsilons: bool = True) -> None:
    """Make an agent the actor of this number; ValueError if it, or the environment, cannot be one."""
    if learned := [type(wrapper).__name__ for wrapper in learning(env)]:
        raise ValueError(
            f"{', '.join(learned)}: what an actor learns of its environment is not shared with the others; leave "
            "normalize_obs and normalize_reward out, or train in one process"
        )
    explorer = getattr(agent, "explorer", None)
    if epsilons and isinstance(explorer, EpsilonGreedy) and not getattr(agent, "noise", None):
        explorer.epsilon = Schedule(ladder(actor, actors))


def chunk_steps(agent: Agent, steps: int | None) -> int:
    """The steps of a chunk of what an agent does; ValueError if it cannot learn from chunks of so many."""
    name = type(agent).__name__
    if steps is not None and steps < 1:
        raise ValueError(f"a chunk has at least 1 step, got {steps}")
    if not isinstance(agent, OnPolicy):
        return STEPS if steps is None else steps
    if isinstance(agent, REINFORCE):
        raise ValueError(f"{name} learns from whole episodes, actors send chunks of some steps: use A2C, IMPALA, APPO")
    if steps not in (None, agent.rollout.length):
        raise ValueError(f"{name} learns from n_steps {agent.rollout.length} at a time, chunks have {steps}")
    return agent.rollout.length


class Soon:
    """wait_for(condition), but what comes within 0.2 ms is not slept over, if what was waited for last came so soon.

    Of small chunks thousands come a second. Where they are slow to come, looking would take a core from who acts: then
    it sleeps for a quarter of the last wait before it looks again.
    """

    def __init__(self) -> None:
        self.looks, self.pause = LOOKS, SHORT

    def __call__(self, condition: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        for _ in range(self.looks):
            if found := condition():
                return found
        found = wait_for(condition, pause=self.pause)
        waited = time.perf_counter() - start
        self.looks, self.pause = (LOOKS, SHORT) if waited < LOOKED else (1, min(waited / 4, LONG))
        return found


class RemoteAgent:
    """An agent as train() sees it, that learns elsewhere: what it observes goes to a learner, from which weights come.

    A chunk is acted by the weights that were newest at its first step, its agent's t an estimate: the learner's at
    these weights, and rows since then as if all actors were as quick as this one.
    """

    def __init__(self, agent: Any, comm: Comm, roles: Roles, steps: int | None = None):
        self.agent, self.comm, self.rank, self.learner = agent, comm, roles.rank, roles.learner
        self.actors, self.steps = len(roles.of_learner(roles.learner)), chunk_steps(agent, steps)
        self.number = self.k = 0  # of the chunk; of the next step in it
        self.version = 0  # of the weights that act
        self.refused = 0  # messages
        self.stopped = False  # by the learner
        self.soon = Soon()
        self._n = 0  # streams
        self._chunks: list[Chunk] = []  # by turns
        self._pending: list[tuple[Pending, np.ndarray]] = []
        state = agent.actor.flat_state
        self._weights = np.empty(HEADER + state.nbytes, np.uint8)
        self._values = self._weights[HEADER:].view(state.dtype)
        self._fresh: Header | None = None  # of weights that have come
        if getattr(agent, "exploration", None) is not None:
            agent.rollout = Place(self)

    # what train() calls
    def act(self, obs: Any) -> tuple[Any, dict[str, Any]]:
        if not self.k:
            if not self._n:
                self._join(len(next(leaves(obs))))
            self.look()
            if self._fresh is not None:
                self._take(self._fresh)
        return self.agent.act(obs)

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        if not self._chunks:
            layout = Layout.like(self.steps, obs, action, extra)
            self._send(note(Header(LAYOUT, self.rank, self.steps, self._n), layout.words()))
            self._chunks = [Chunk(layout) for _ in range(IN_FLIGHT)]
        chunk = self._chunks[self.number % IN_FLIGHT]
        full = chunk.add(obs, action, step, extra)
        self.agent.forget(step.ended | ~step.valid)
        self.agent.t += self._n * self.actors
        self.k += 1
        if full:
            self._send(chunk.sealed(self.rank, self.number, self.version))
            self.number, self.k = self.number + 1, 0
            self.soon(lambda: self.look() or self._in_flight() < IN_FLIGHT)

    def update(self) -> dict[str, Any]:
        self.look()
        return {}

    def over(self, t: int, step: Step, stats: dict[str, Any]) -> bool:
        """The hook that ends train()."""
        return self.stopped

    # messages
    def _join(self, n: int) -> None:
        """Say hello, and wait for weights."""
        self._n = n
        self._send(note(Header(HELLO, self.rank, self.steps, n)))
        self.soon(lambda: self.look() or self._fresh is not None)

    def leave(self) -> None:
        """Say that this actor goes, once all it has sent has been received; the learner's last word is a stop."""
        with suppress(RankLost):  # then nobody waits
            self._send(note(Header(BYE, self.rank)))
            self.soon(lambda: self.look() and not self._in_flight())

    def _send(self, message: np.ndarray) -> None:
        self._pending.append((self.comm.send(message, self.learner, UP), message))

    def _in_flight(self) -> int:
        self._pending = [(sent, message) for sent, message in self._pending if not sent.done()]
        return len(self._pending)

    def look(self) -> bool:
        """Take in what has come; whether the learner has said that this is the end."""
        while (envelope := self.comm.probe(self.learner, DOWN)) is not None:
            whole = envelope.nbytes == len(self._weights)
            message = self._weights if whole else np.empty(envelope.nbytes, np.uint8)
            self.comm.receive(message, self.learner, DOWN)
            try:
                header = opened(message, self.learner, (WEIGHTS, STOP))
            except ProtocolError as error:
                self.refused += 1
                if self.refused == 1:
                    warnings.warn(f"{error}; it is dropped, and so are others like it", RuntimeWarning, stacklevel=2)
                self._fresh = None if whole else self._fresh
                continue
            if header.kind == STOP:
                self.stopped = True
            elif whole:
                self._fresh = header  # the newest of several
            else:
                raise ValueError(
                    f"the learner's weights come in {envelope.nbytes} bytes, those of this actor's network would in "
                    f"{len(self._weights)}: all ranks need the same agent and environment"
                )
        return self.stopped

    def _take(self, header: Header) -> None:
        """Act by the weights that have come."""
        state = self.agent.actor.flat_state
        state[...] = self._values if xp_of(state) is np else xp_of(state).asarray(self._values)
        self.version, self.agent.t, self._fresh = header.weights, header.number, None


class Place:
    """Stands where an actor's rollout was, for noise that is drawn anew every so many steps of it."""

    def __init__(self, remote: RemoteAgent):
        self.remote, self.length = remote, remote.steps

    def __len__(self) -> int:
        return self.remote.k
