"""The learner: a rank that feeds its agent with what actors send, as train() would, and sends them its weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlcore.agents.base import Agent
from rlcore.agents.on_policy import OnPolicy
from rlcore.harness.loop import Hook
from rlcore.parallel.actor import chunk_steps
from rlcore.parallel.base import Comm
from rlcore.parallel.chunk import side_by_side
from rlcore.parallel.crew import Crew
from rlcore.parallel.data_parallel import join
from rlcore.parallel.feed import Feed
from rlcore.parallel.heartbeat import beat, essential
from rlcore.parallel.roles import Roles
from rlcore.parallel.schedule import Recording


def learn(
    agent: Agent,
    comm: Comm,
    steps: int,
    hooks: Sequence[Hook] = (),
    t: int = 0,
    learners: int = 1,
    batch: int | None = None,
    recording: Recording | None = None,
) -> int:
    """Learn from row t to row `steps` from what the actors of a communicator send; gives the row reached.

    Loop and hooks are train()'s; a step of it is one of all streams of an actor. An on-policy agent learns from
    `batch` chunks side by side, one of each of so many actors, by default of all; others from one after the other, as
    they come. Updates are made between the rows that make them due, so that actors wait for the learner. learners:
    ranks 0 to learners - 1 learn together, t being the rows of each. recording: keeps the order of what is learned
    from, for `replay`. RuntimeError when no actor is left.
    """
    roles = Roles.of(comm, learners)
    if not roles.learns:
        raise ValueError(f"learn: rank {comm.rank} acts, the ranks below {learners} learn")
    actors = roles.of_learner(comm.rank)
    on_policy = isinstance(agent, OnPolicy)
    if batch is not None and not (on_policy and 1 <= batch <= len(actors)):
        raise ValueError(
            "learn: batch counts the chunks that an on-policy agent learns from at a time, at most one of each of "
            f"{len(actors)} actors; got {batch} for {type(agent).__name__}"
        )
    if recording is not None and learners > 1:
        raise ValueError("learn: what one learner learns from is recorded; leave recording out, or take one learner")
    essential()
    together = group_of(agent, comm, learners)
    feed = Feed(agent, steps, hooks, t, whole=together is not None)
    crew = Crew(comm, roles, feed, hooks, chunk_steps(agent, None) if on_policy else None, recording)
    most = (len(actors) if batch is None else batch) if on_policy else 1
    if recording is not None:
        recording.begin(feed.t, feed.version, len(actors))
    try:
        while True:
            beat()
            taken = [] if feed.over else crew.take(most)
            if agreed(together, not taken):
                break
            told = crew.told(taken)
            feed(side_by_side([sender.chunk for sender in taken]), 0 if on_policy else taken[0].stream, told)
            for sender in taken:
                crew.answer(sender)
        crew.stop()
        if recording is not None:
            recording.end(feed.t)
    finally:
        if recording is not None:
            recording.close()
    return feed.t


def group_of(agent: Agent, comm: Comm, learners: int) -> Comm | None:
    """The communicator of several learners, whose agents have become one; None of one."""
    if learners == 1:
        return None
    group = comm.split(0)
    if group is not None:
        join(agent, group)
    return group


def agreed(group: Comm | None, here: bool) -> bool:
    """Whether it is so on any learner."""
    return here if group is None else bool(group.max_(np.array([here], np.float64))[0])
