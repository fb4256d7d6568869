"""Data-parallel learning: ranks with environments of their own step the same parameters by their mean gradient.

    comm = world()
    agent = PPO.from_spaces(..., rng.generator(rank_seed(seed, comm)))
    env = make_env("CartPole-v1", 8, rank_seed(seed, comm))
    loop(comm)(join(agent, comm), env, steps)

A step of N ranks is that of one rank on their rows together: gradients are weighted by rows, and whatever else a step
depends on, moments of advantages, a target of the divergence, a number that is not finite, is that of all rows. What
stays a rank's own: its environments and its row count `t`, its generators, its replay and priorities, whose weights
are relative to the largest in its own batch, the noise of noisy networks, and the statistics that `update` gives.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from rlcore.agents.base import Agent
from rlcore.autograd import Link
from rlcore.autograd.optimizers import Optimizer
from rlcore.backend import is_array
from rlcore.envs.base import VectorEnv
from rlcore.harness.loop import Hook, train
from rlcore.parallel.base import Comm
from rlcore.parallel.normalization import SharedMoments
from rlcore.stream import Step

EVERY = 16  # steps of the environments after which ranks tell each other whether to leave, and what they have seen
TEXT = 4_096  # bytes of what ranks tell each other in words, a path above all
OWN = ("batch_size", "buffer_size")  # settings in which ranks may differ
A = TypeVar("A", bound=Agent)


def rank_seed(seed: int, comm: Comm) -> int:
    """A seed for what is drawn on this rank alone, of 63 bits; the seed itself where there is only one rank."""
    if comm.size == 1:
        return seed
    return int(np.random.SeedSequence((seed, comm.rank)).generate_state(1, np.uint64)[0] >> 1)


def join(agent: A, comm: Comm, reduce: Callable[[Any, float], float] | None = None) -> A:
    """Let agents that are alike, one on each rank, learn as one; gives the agent, with the parameters of rank 0.

    reduce: what takes the mean over the ranks in the place of a vector and gives the sum of the weights, `comm.mean_`
    if None. ValueError, on all ranks, if they cannot: for REINFORCE, A3C, settings or counts that differ (batch_size
    and buffer_size may), or sizes that are not known yet. Where comm has one rank, nothing is changed.
    """
    if comm.size == 1:
        return agent
    refuse(comm, _unfit(agent))
    refuse_differences(comm, {"settings": _settings(agent), "networks": _outlines(agent), "counts": _counts(agent)})
    share(agent, comm)
    agent.comm = comm
    for _, optimizer in optimizers_of(agent):
        optimizer.reduce = reduce or comm.mean_
    return agent


def share(agent: Agent, comm: Comm) -> None:
    """Rank 0's networks, and the vectors of its optimizers, on all ranks."""
    for _, link in links_of(agent):
        _share(comm, link)
    for _, optimizer in optimizers_of(agent):
        for vector in optimizer.state().values():
            if is_array(vector):
                comm.bcast_(vector)


def loop(comm: Comm) -> Callable[..., int]:
    """`harness.train` for ranks that learn as one: they all leave it at the same row.

    Every 16 steps they tell each other whether a hook of any of them has said stop, and join the moments of their
    NormalizeObservation and NormalizeReward wrappers; in between a rank scales by the joined moments and its own rows.
    """
    if comm.size == 1:
        return train

    def together(agent: Agent, env: VectorEnv, steps: int, hooks: Sequence[Hook] = (), t: int = 0) -> int:
        refuse_differences(comm, {"n_envs": str(env.n_envs), "rows": f"{t} of {steps}"})
        shared, wish = SharedMoments(env, comm), np.zeros(1)

        def leave(t: int, step: Step, stats: dict[str, Any]) -> bool:
            meet = t // env.n_envs % EVERY == 0
            if meet:
                shared.exchange()  # before the hooks, of which one may save what the run goes on from
            wish[0] = max(wish[0], any([hook(t, step, stats) for hook in hooks]))  # noqa: C419  every hook runs
            return meet and bool(comm.max_(wish)[0])

        return train(agent, env, steps, [leave], t)

    return together


def links_of(agent: Agent) -> Iterator[tuple[str, Link]]:
    """The agent's networks, by the names of its parts."""
    return ((name, part) for name, part in agent.parts().items() if isinstance(part, Link))


def optimizers_of(agent: Agent) -> Iterator[tuple[str, Optimizer]]:
    """The agent's optimizers, by the names of its parts."""
    for name, part in agent.parts().items():
        for own, inner in part.items() if isinstance(part, dict) else [("", part)]:
            if isinstance(inner, Optimizer):
                yield f"{name}/{own}" if own else name, inner


def refuse(comm: Comm, why: str) -> None:
    """ValueError on all ranks if one of them has a reason."""
    if comm.max_(np.array([bool(why)], np.float64))[0]:
        raise ValueError(shared_text(comm, why))


def shared_text(comm: Comm, text: str) -> str:
    """The text of the first rank that has one, on all ranks: 4,096 bytes of it, at most."""
    line, given = np.zeros(TEXT, np.uint8), text.encode()[:TEXT]
    line[: len(given)] = np.frombuffer(given, np.uint8)
    first = next((row for row in comm.allgather(line) if row.any()), line)
    return bytes(first).rstrip(b"\0").decode(errors="ignore")


def refuse_differences(comm: Comm, what: dict[str, str]) -> None:
    """ValueError on all ranks, naming the first, if these texts are not the same on all."""
    sums = np.array([zlib.crc32(text.encode()) for text in what.values()], np.float64)
    largest = comm.max_(np.concatenate((sums, -sums)))
    for i, (name, text) in enumerate(what.items()):
        if largest[i] != -largest[len(sums) + i]:
            raise ValueError(f"ranks that learn as one must have the same {name}; those of rank {comm.rank}: {text}")


def _unfit(agent: Agent) -> str:
    """Why an agent cannot join, "" if it can."""
    name = type(agent).__name__
    if agent.apart:
        return f"join: {name} cannot learn with other ranks as one: {agent.apart}"
    for part, link in links_of(agent):
        if unknown := [path for path, p in link.namedparams() if p.array is None]:
            return f"join: the size of {part}{unknown[0]} is not known yet: call the network once, on all ranks"
    if not any(True for _ in optimizers_of(agent)):
        return f"join: {name} names no optimizer among its parts(), so there is nothing to learn together"
    return ""


def _settings(agent: Agent) -> str:
    config = getattr(agent, "config", None)
    if not dataclasses.is_dataclass(config):
        return type(agent).__name__
    given = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in OWN}
    return f"{type(agent).__name__} {given}"


def _outlines(agent: Agent) -> str:
    shapes = [f"{part}{path} {p.shape} {p.dtype}" for part, link in links_of(agent) for path, p in link.namedparams()]
    return ", ".join(shapes)


def _counts(agent: Agent) -> str:
    counts = {name: getattr(agent, name) for name in agent.COUNTS}
    return str(counts | {name: optimizer.t for name, optimizer in optimizers_of(agent)})


def _share(comm: Comm, link: Link) -> None:
    """Rank 0's parameters and persistent values on all ranks."""
    comm.bcast(link)
    for _, owner, name in link.namedpersistents():
        value = owner._persistent[name]
        if isinstance(value, (int, float)):
            owner._persistent[name] = type(value)(comm.bcast_(np.array([value], np.float64))[0])
        elif is_array(value) and value.dtype.kind != "f":
            comm.bcast_(value)
    link._touch()
