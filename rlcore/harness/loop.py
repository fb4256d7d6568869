"""The training loop, whole; everything else is a hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rlcore.agents.base import Agent
from rlcore.envs.base import VectorEnv
from rlcore.parallel.heartbeat import beat
from rlcore.stream import Step

Hook = Callable[[int, Step, dict[str, Any]], "bool | None"]


def train(agent: Agent, env: VectorEnv, steps: int, hooks: Sequence[Hook] = (), t: int = 0) -> int:
    """Run from row t to row `steps`; gives the row reached.

    t counts rows, one per environment and step, so it is the same on every rank. After each step all hooks are called
    with (t, step, statistics of the updates); one that returns True ends the run.
    """
    if steps < 0:
        raise ValueError(f"train: steps must not be negative, got {steps}")
    if t and env.obs is None:
        raise ValueError(f"train: cannot go on from row {t}: the environment has not started; load its state first")
    seen = getattr(agent, "t", None)
    if seen and not t:  # the agent would take the first observation for what follows its last row
        raise ValueError(f"train: the agent has seen {seen} rows; go on with t={seen}, or train a new agent")
    obs = env.obs if t else env.reset()
    while t < steps:
        action, extra = agent.act(obs)
        step = env.step(action)
        agent.observe(obs, action, step, extra)
        stats = agent.update()
        obs, t = step.obs, t + env.n_envs
        beat()
        if any([hook(t, step, stats) for hook in hooks]):  # noqa: C419  a list: every hook runs
            break
    return t


def due(t: int, n_envs: int, every: int) -> bool:
    """Whether something done every so many rows falls on this step."""
    return t % every < n_envs
