"""Where the time of training goes: the loop as it is, with a clock around what it calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from rlcore.agents.base import Agent
from rlcore.envs.base import VectorEnv
from rlcore.harness.loop import Hook, train
from rlcore.stream import Step

PARTS = ("act", "env", "observe", "update", "hooks", "rest")
PATIENCE = 200_000  # rows in which three updates must have come


class Profile(NamedTuple):
    """Microseconds per row: medians over repeats of `rows` rows each."""

    parts: dict[str, float]  # of each part of the loop; "rest" is the loop itself, with what the clocks cost
    timed: float  # all of them together
    untimed: float  # the same loop without clocks, in alternation
    rows: int
    period: int  # rows from update to update


class Timed:
    """A callable, and the seconds spent in it."""

    def __init__(self, call: Callable[..., Any]):
        self.call, self.seconds = call, 0.0

    def __call__(self, *args: Any) -> Any:
        begin = time.perf_counter()
        result = self.call(*args)
        self.seconds += time.perf_counter() - begin
        return result


def profile(agent: Agent, env: VectorEnv, rows: int, repeats: int = 5, hooks: Sequence[Hook] = ()) -> Profile:
    """Train an agent that is new on, and time `repeats` stretches of rows with clocks, and as many without.

    A stretch has at least so many rows, and whole periods of the agent's updates, so that each holds its share of them.
    ValueError if rows or repeats are below 1, or the agent does not update.
    """
    if rows < 1 or repeats < 1:
        raise ValueError(f"profile: rows and repeats must be at least 1, got {rows} and {repeats}")
    t, period = _warm(agent, env, hooks)
    length = -(-rows // period) * period
    spent: list[list[float]] = []
    for _ in range(repeats):
        begin = time.perf_counter()
        t = train(agent, env, t + length, hooks, t)
        untimed = time.perf_counter() - begin
        act, step, observe, update = (Timed(call) for call in (agent.act, env.step, agent.observe, agent.update))
        around = [Timed(hook) for hook in hooks]
        clocked: Any = SimpleNamespace(act=act, observe=observe, update=update, t=t)
        world: Any = SimpleNamespace(step=step, obs=env.obs, n_envs=env.n_envs)
        begin = time.perf_counter()
        t = train(clocked, world, t + length, around, t)
        whole = time.perf_counter() - begin
        parts = [act.seconds, step.seconds, observe.seconds, update.seconds, sum(one.seconds for one in around)]
        spent.append([*parts, whole - sum(parts), whole, untimed])
    medians = (1e6 * np.median(spent, axis=0) / length).tolist()
    return Profile(dict(zip(PARTS, medians)), medians[-2], medians[-1], length, period)


def _warm(agent: Agent, env: VectorEnv, hooks: Sequence[Hook]) -> tuple[int, int]:
    """Train until three updates have come: the row reached, and the rows from the second to the third."""
    at: list[int] = []

    def third(t: int, step: Step, stats: dict[str, Any]) -> bool:
        if stats:
            at.append(t)
        return len(at) == 3

    t = train(agent, env, PATIENCE, [*hooks, third])
    if len(at) < 3:
        raise ValueError(f"profile: the agent has made {len(at)} updates in {t:,} rows; 3 are needed to begin with")
    return t, at[2] - at[1]


def ruler() -> float:
    """Microseconds that np.add takes on one element: the unit in which machines and moments can be compared."""
    one = np.ones(1)
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        for _ in range(2_000):
            np.add(one, one)
        times.append(time.perf_counter() - begin)
    return 1e6 * float(np.median(times)) / 2_000
