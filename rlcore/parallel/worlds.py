"""What one of several ranks saves of its agent, and how a save of so many ranks is gone on from by another number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.agents.base import Agent
from rlcore.agents.descent import Patience
from rlcore.autograd import Link
from rlcore.autograd.optimizers import Optimizer
from rlcore.backend import is_array
from rlcore.buffers import Prioritized, Replay
from rlcore.buffers.replay import GAP
from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.envs.wrappers.normalize import Moments
from rlcore.parallel.base import Comm
from rlcore.tree import Ring, leaves, map_, named_leaves


def stripped(agent: Agent) -> dict[str, Any]:
    """An agent's state without what all ranks have alike: networks, and vectors of optimizers."""
    parts = agent.parts()
    return {
        name: _without_vectors(parts.get(name), value)
        for name, value in agent.state().items()
        if not isinstance(parts.get(name), Link)
    }


def filled(agent: Agent, state: dict[str, Any]) -> dict[str, Any]:
    """A state that may be stripped, with what the agent has now in the place of what is missing."""
    now, parts = agent.state(), agent.parts()
    links = {name: now[name] for name, part in parts.items() if isinstance(part, Link)}
    return links | {name: _with_vectors(parts.get(name), value, now.get(name)) for name, value in state.items()}


def needed(size: int, comm: Comm) -> list[int]:
    """The ranks, of `size`, from whose parts a rank goes on."""
    return list(range(comm.rank, size, comm.size)) if comm.rank < size else [comm.rank % size]


def moved(parts: dict[str, Any], given: Sequence[dict[str, Any]], size: int, comm: Comm, t: int) -> None:
    """Go on from the states of the parts of the ranks that are `needed`, of `size` ranks that were another number.

    Exact are networks, optimizers, counts, and the running moments of rank 0's wrappers. Rows of a Replay or
    Prioritized are dealt to the ranks, of each old rank a share in order of time, and are cut where shares meet; other
    replays, rollouts, and what is remembered of streams are empty. Environments begin anew. Generators are new ones, by
    this rank's own and t. Of other parts, a recorder say, each rank has that of an old rank.
    """
    states: dict[str, Any] = {}
    for name, part in parts.items():
        saved = [state[name] for state in given if name in state]
        if isinstance(part, Agent) and saved:
            states[name] = _agent_state(part, saved, size, comm, t)
            part.check(states[name])
        elif saved and not isinstance(part, VectorEnv):
            states[name] = saved[0]
            if hasattr(part, "check"):
                part.check(saved[0])
    for name, part in parts.items():
        if isinstance(part, VectorEnv):
            _take_moments(part, given[0].get(name))
            part.reset()
        elif name in states:
            part.load(states[name])


def _agent_state(agent: Agent, saved: list[dict[str, Any]], size: int, comm: Comm, t: int) -> dict[str, Any]:
    old, parts = saved[0], agent.parts()
    state = _renewed(agent.state(), (t, comm.size, comm.rank))
    for name in agent.COUNTS:
        state[name] = old.get(name)
    for name, part in parts.items():
        if name in old and (isinstance(part, Link) or _goes_on(part)):
            state[name] = _with_vectors(part, old[name], state[name])
        elif name in old and type(part) in (Replay, Prioritized):
            sharing = range(comm.rank % size, comm.size, size)  # ranks that go on from the same part
            dealt = _dealt(part, [one[name] for one in saved], sharing.index(comm.rank), len(sharing))
            state[name] = {**dealt, "rng": state[name]["rng"]}
    return state


def _goes_on(part: Any) -> bool:
    inner = list(part.values()) if isinstance(part, dict) else [part]
    return bool(inner) and all(isinstance(one, (Optimizer, Patience)) for one in inner)


def _without_vectors(part: Any, state: Any) -> Any:
    if isinstance(part, Optimizer):
        return {name: value for name, value in state.items() if not is_array(value)}
    if isinstance(part, dict):
        return {name: _without_vectors(inner, state[name]) for name, inner in part.items()}
    return state


def _with_vectors(part: Any, state: Any, now: Any) -> Any:
    if isinstance(part, Optimizer) and isinstance(state, dict):
        return {name: value for name, value in now.items() if is_array(value)} | state
    if isinstance(part, dict) and isinstance(state, dict):
        return {name: _with_vectors(part.get(name), value, now.get(name)) for name, value in state.items()}
    return state


def _renewed(state: Any, salt: tuple[int, ...]) -> Any:
    """A state whose generators are others, which no rank has had before."""
    if not isinstance(state, dict):
        return state
    if state.get("bit_generator") == "PCG64":
        entropy = state["state"]["state"], *salt
        return dict(np.random.PCG64(np.random.SeedSequence(entropy)).state)
    return {name: _renewed(value, salt) for name, value in state.items()}


def _take_moments(env: VectorEnv, state: Any) -> None:
    """The running moments in an environment's state, for the same wrappers of another one."""
    while isinstance(env, Wrapper) and isinstance(state, dict) and state.get("wrapper") == type(env).__name__:
        saved = state["own"].get("moments", [])
        for moments, one in zip(leaves(getattr(env, "moments", ())), [saved] if isinstance(saved, dict) else saved):
            if isinstance(moments, Moments):
                one = {name: one[name] for name in ("mean", "var", "count")}
                moments.check(one)
                moments.load(one)
        env, state = env.env, state["env"]


def _dealt(replay: Replay, saved: Sequence[dict[str, Any]], share: int, shares: int) -> dict[str, Any]:
    """The state of a replay with a share of the newest rows of others, as many of each; streams are cut behind them."""
    state = replay.state()
    columns = map_(lambda ring: np.zeros_like(ring.array), state["columns"])
    numbers: dict[str, Any] = {
        name: np.zeros_like(state[name]) for name in ("kind", "succ", "weights") if name in state
    }
    pending, changed, at = [], [], 0
    for old in saved:
        rows = _rows(old, share, shares, replay.capacity // len(saved))
        lo, n = rows[0] if len(rows) else 0, len(rows)
        slots, here = rows % len(old["kind"]), slice(at, at + n)
        for (_, column), (_, ring) in zip(named_leaves(columns), named_leaves(old["columns"]), strict=True):
            column[here] = ring.array[slots]
        for name, array in numbers.items():
            array[here] = old[name][slots]
        inside = numbers["succ"][here] < lo + n
        numbers["kind"][here] *= inside  # what led out of the share becomes a gap,
        numbers["succ"][here] = np.where(inside, numbers["succ"][here], rows) + (at - lo)  # its own successor
        if "weights" in numbers:
            numbers["weights"][here] *= numbers["kind"][here] != GAP
            fresh = old["changed"][np.isin(old["changed"], slots)]
            changed.append((fresh - lo) % len(old["kind"]) + at)
            for row, error in old["pending"]:
                known = (row >= lo) & (row < lo + n)
                pending.append((row[known] + (at - lo), error[known]))
        at += n
    state |= numbers
    state["columns"] = map_(lambda column: Ring(column, at), columns)
    state["waiting"] = np.zeros(0, np.int64)
    if "weights" in numbers:
        largest = max(old["largest"] for old in saved)
        state |= {"pending": pending, "changed": np.concatenate(changed), "largest": largest}
    return state


def _rows(state: dict[str, Any], share: int, shares: int, most: int) -> Any:
    """The numbers of the newest rows, `most` or fewer, in a share of those that a replay's state holds."""
    written, there = next(leaves(state["columns"])).written, len(state["kind"])
    first = max(written - there, 0)
    lo, hi = (first + (written - first) * k // shares for k in (share, share + 1))
    return np.arange(max(lo, hi - most), hi)
