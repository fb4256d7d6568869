"""A worker of hogwild: what it shares with the others, and how it learns."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from time import sleep
from typing import Any, NamedTuple

import numpy as np

from rlcore.agents.base import Agent
from rlcore.agents.descent import NonFiniteError
from rlcore.autograd.optimizers import Optimizer
from rlcore.envs.base import VectorEnv
from rlcore.envs.batch import Leaf
from rlcore.envs.layout import carve
from rlcore.envs.worker_process import ANSWER, ERROR, answer, leave_signals, seed_globals, words
from rlcore.envs.wrappers import learning
from rlcore.harness.loop import train
from rlcore.rng import generator
from rlcore.stream import Step
from rlcore.tree import Tree

MakeAgent = Callable[[VectorEnv, np.random.Generator], Agent]
MakeEnv = Callable[[int], VectorEnv]
MANY = 2_000  # episodes in a report, which takes 48 kB: there is room for it in a pipe, so no worker waits
WAIT = 1e-4  # seconds between two looks whether the others have left
NOT_YET = -1  # of `stop`, until all are ready
LINE = 8  # numbers in a cache line: each worker counts in one of its own


class Job(NamedTuple):
    """What a worker has to do."""

    make_agent: MakeAgent
    make_env: MakeEnv
    plan: Any  # the layout of what is shared
    number: int  # of this worker
    seed: int
    start: int  # row at which all begin
    steps: int  # row of all together at which they end


class Shared:
    """What the processes share, in memory without a name: counts, and the vectors of the agent's optimizers."""

    def __init__(self, agent: Agent, plan: Any, buffer: Any):
        self.optimizers, parts = optimizers(agent), carve(plan, buffer)
        self.counts, self.vectors, self.stop = parts["counts"], parts["vectors"], memoryview(parts["stop"])
        # of each worker: rows, updates, how many of its reports have been heard, whether it has left. A memoryview is
        # read in half the time of an array, and a number in it is written whole
        self.rows, self.updates, self.heard, self.left = (
            memoryview(self.counts.reshape(-1))[i::LINE] for i in range(4)
        )

    def give(self) -> None:
        for optimizer, (values, *state) in zip(self.optimizers, self.vectors):
            optimizer.give(values, state)

    def take(self) -> None:
        for optimizer, (values, *state) in zip(self.optimizers, self.vectors):
            optimizer.take(values, state)

    def join(self) -> None:
        for optimizer, (values, *state) in zip(self.optimizers, self.vectors):
            optimizer.share(values, state)


def optimizers(agent: Agent) -> list[Optimizer]:
    """The optimizers among an agent's parts."""

    def found(part: Any) -> list[Optimizer]:
        if isinstance(part, dict):
            return [optimizer for inner in part.values() for optimizer in found(inner)]
        return [part] if isinstance(part, Optimizer) else []

    return found(agent.parts())


def plan_of(agent: Agent, workers: int) -> Any:
    """The layout of what is shared; ValueError if that cannot be."""
    vectors = []
    for optimizer in optimizers(agent):
        optimizer.check_shareable()
        values, model = optimizer.target.flat, optimizer.target
        if model.flat_state.size > values.size:
            raise ValueError(
                f"hogwild: {type(model).__name__} has moments, of batch normalization say, besides parameters"
            )
        vectors.append((Leaf(values.shape, values.dtype),) * (1 + len(optimizer.slots)))
    whole = np.dtype(np.int64)
    return {"stop": Leaf((1,), whole), "counts": Leaf((workers, LINE), whole), "vectors": tuple(vectors)}


class Report(NamedTuple):
    """What a worker says of the rows since the last time."""

    sums: dict[str, tuple[float, int]] = {}  # of each statistic: the sum, and of how many updates
    episodes: tuple[Any, ...] = ()  # (stream, return, length) arrays
    last: bool = False
    fault: tuple[str, Tree] | None = None  # of a NonFiniteError


class Clerk:
    """A worker's hook: counts, reports when the last report has been heard, and ends the run at its last row."""

    def __init__(self, agent: Any, env: VectorEnv, connection: Any, shared: Shared, job: Job):
        self.agent, self.connection, self.shared, self.job = agent, connection, shared, job
        self.number, self.start, self.rows, self.stop = job.number, job.start, shared.rows, shared.stop
        self.first = job.number * env.n_envs  # of its streams
        self.nearly = job.steps - len(shared.rows) * env.n_envs  # from here on, a step of all would go too far
        self.sent = 0
        self.sums: dict[str, list[Any]] = {}
        self.episodes: list[tuple[int, float, int]] = []

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> bool:
        self.rows[self.number] = t - self.start
        if stats:
            self.shared.updates[self.number] = self.agent.n_updates
            for name, value in stats.items():
                entry = self.sums.setdefault(name, [0.0, 0])
                entry[0] += float(value)
                entry[1] += 1
        if step.info and "episode" in step.info:
            streams, returns, lengths = step.info["episode"]
            self.episodes += zip((streams + self.first).tolist(), returns.tolist(), lengths.tolist())
        if (self.sums or self.episodes) and self.shared.heard[self.number] == self.sent:
            self.report()
        return self.over()

    def over(self) -> bool:
        """Whether this worker has made its last row; the first one makes the last of all, once others have left."""
        rows = self.agent.t = self.start + sum(self.rows)  # of all, by which schedules go
        if rows < self.nearly or self.stop[0]:
            return bool(self.stop[0])
        if self.number:
            return True
        left = self.shared.left
        while sum(left) < len(left) - 1 and not self.stop[0]:
            sleep(WAIT)
        rows = self.agent.t = self.start + sum(self.rows)
        return rows >= self.job.steps or bool(self.stop[0])

    def report(self, last: bool = False) -> None:
        """Say what there is, of episodes no more than fit."""
        told, self.episodes = self.episodes[:MANY], self.episodes[MANY:]
        sums = {name: (total, n) for name, (total, n) in self.sums.items()}
        self.sums = {}
        self.sent += 1
        answer(self.connection, ANSWER, Report(sums, tuple(map(np.array, zip(*told))), last and not self.episodes))
        if last and self.episodes:
            self.report(last)


def learn(connection: Any, buffer: Any, job: bytes) -> None:
    """What a worker process does."""
    leave_signals()
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody is there to hear
        try:
            clerk, env = _ready(connection, buffer, ForkingPickler.loads(job))
            answer(connection, ANSWER, Report())
            while clerk.stop[0] == NOT_YET:
                sleep(10 * WAIT)
            if not clerk.over():
                clerk.agent.t = clerk.job.start  # train() begins there, whatever others have done by now
                train(clerk.agent, env, sys.maxsize, [clerk], clerk.job.start)
            clerk.shared.left[clerk.job.number] = 1
        except NonFiniteError as error:
            answer(connection, ANSWER, Report(fault=(str(error), error.batch)))
            return
        except Exception as error:
            answer(connection, ERROR, words(error))
            return
        clerk.report(last=True)
        os.read(connection.fileno(), 1)  # until the other end is closed
    with suppress(Exception):
        env.close()


def _ready(connection: Any, buffer: Any, job: Job) -> tuple[Clerk, VectorEnv]:
    entropy = job.seed % (1 << 64), job.start, job.number
    seed_globals(entropy)
    for_env, for_agent = np.random.SeedSequence((*entropy, 1)).generate_state(2, np.uint64).tolist()
    env = job.make_env(for_env >> 32)
    if learned := [type(wrapper).__name__ for wrapper in learning(env)]:
        raise ValueError(
            f"{', '.join(learned)}: what is learned of the environment is not shared; train in one process"
        )
    agent: Any = job.make_agent(env, generator(for_agent))
    agent.check_streams(env.n_envs)
    if plan_of(agent, job.plan["counts"].shape[0]) != job.plan:
        raise ValueError("make_agent gave an agent of other sizes in a worker process than in this one")
    shared = Shared(agent, job.plan, buffer)
    shared.join()
    env.reset()  # as its rows are counted from where all begin
    agent.t = job.start
    return Clerk(agent, env, connection, shared, job), env
