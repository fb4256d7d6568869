"""Feeds an agent with rows that others have acted, as train() would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rlcore.agents.on_policy import OnPolicy
from rlcore.backend import to_cpu
from rlcore.harness.loop import Hook
from rlcore.harness.record import Recorder
from rlcore.parallel.chunk import Row
from rlcore.parallel.wire import HEADER, WEIGHTS, Header, seal


class Feed:
    """Rows for an agent, as by train(): what is observed, then the updates that are due, then the hooks.

    whole: it ends behind the rows that it is given, not between them, as several learners must end together.
    """

    def __init__(self, agent: Any, steps: int, hooks: Sequence[Hook] = (), t: int = 0, whole: bool = False):
        if steps < 0:
            raise ValueError(f"learn: steps must not be negative, got {steps}")
        if (seen := getattr(agent, "t", t)) != t:
            raise ValueError(f"learn: the agent has seen {seen} rows; go on with t={seen}, or train a new agent")
        self.agent, self.steps, self.hooks, self.t, self.whole = agent, steps, hooks, t, whole
        self.recorders = [hook for hook in hooks if isinstance(hook, Recorder)]
        self.over = t >= steps
        self.version, self.version_t = agent.n_updates, t  # of the weights, and the row at which they were made
        if isinstance(agent, OnPolicy):
            agent.clear()  # what is there of a rollout is of streams that have ended

    def __call__(self, rows: Iterable[Row], stream: int = 0, told: dict[str, float] | None = None) -> None:
        """Feed rows of streams from `stream` on, until they end, or it is over; told: more to record with the first."""
        agent, more = self.agent, told or {}
        for obs, action, step, extra in rows:
            try:
                if stream:
                    agent.observe(obs, action, step, extra, stream)
                else:
                    agent.observe(obs, action, step, extra)
            except ValueError as error:
                raise ValueError(
                    f"the learner's agent refuses what was sent of stream {stream} and on: {error}; all ranks need the "
                    "same agent and environment"
                ) from error
            stats = agent.update()
            if more:
                stats, more = {**stats, **more}, {}
            n = len(step.reward)
            self.t += n
            for recorder in self.recorders:
                recorder.n_envs = n  # by which it knows what is due
            stops = any([hook(self.t, step, stats) for hook in self.hooks])  # noqa: C419  every hook runs
            self.over = self.over or stops or self.t >= self.steps
            if self.over and not self.whole:
                break
        if agent.n_updates != self.version:
            self.version, self.version_t = agent.n_updates, self.t

    def cut(self, stream: int, n: int) -> None:
        """The next rows of n streams do not follow their last ones."""
        replay = getattr(self.agent, "replay", None)
        if replay is not None:
            replay.cut(stream, n)

    def weights(self, rank: int) -> np.ndarray:
        """The message of the agent's weights."""
        state = to_cpu(self.agent.actor.flat_state)
        message = np.empty(HEADER + state.nbytes, np.uint8)
        message[HEADER:] = state.view(np.uint8)
        return seal(message, Header(WEIGHTS, rank, number=self.version_t, weights=self.version))
