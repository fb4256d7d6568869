"""Hogwild: processes that learn on shared parameters, without a lock (Niu et al. 2011; A3C, Mnih et al. 2016)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from time import monotonic, sleep
from typing import Any

import gymnasium
import numpy as np

from rlcore.agents.base import Agent
from rlcore.agents.descent import NonFiniteError
from rlcore.envs.base import EnvError, VectorEnv
from rlcore.envs.layout import size
from rlcore.envs.make import EnvConfig, make_env
from rlcore.envs.preflight import GUARD, refuse_large, refuse_many, refuse_place, refuse_unsendable
from rlcore.envs.single import maker
from rlcore.envs.worker_process import GoneError, Worker
from rlcore.harness.loop import Hook, train
from rlcore.harness.record import Recorder
from rlcore.parallel.heartbeat import beat
from rlcore.parallel.hogwild_worker import NOT_YET, Job, MakeAgent, MakeEnv, Report, Shared, learn, plan_of
from rlcore.stream import Step

TURN = 0.1  # seconds from one look of this process at what its workers have done to the next
START_S = 60  # for a worker to import what it needs and to make agent and environment, besides the time for a step
LEAVE_S = 5  # for a worker to end its step, and to close its environment


def hogwild(
    agent: Agent,
    make_agent: MakeAgent,
    make_env: MakeEnv,
    steps: int,
    workers: int,
    hooks: Sequence[Hook] = (),
    t: int = 0,
    seed: int = 0,
    timeout_s: float = 60.0,
) -> int:
    """Train from row t of all workers together to row `steps`; gives the row reached.

    Each worker, a process of its own, plays `make_env(its seed)` with `make_agent(env, its generator)`, whose gradients
    step the shared parameters and the shared state of the optimizer; `agent` follows them in this process. Hooks are
    called here about ten times a second, with a Step that says only how many rows there were since the last call and
    which episodes have ended (info["episode"]), and with means of statistics. What a worker raises, its death, and a
    step that takes longer than timeout_s end the run with a RuntimeError or ValueError that tells of it.
    """
    if workers < 1 or steps < 0:
        raise ValueError(f"hogwild: workers must be at least 1 and steps at least 0, got {workers} and {steps}")
    seen = getattr(agent, "t", t)
    if seen != t:
        raise ValueError(f"hogwild: the agent has seen {seen} rows; go on with t={seen}, or train a new agent")
    if t >= steps:
        return t
    crew = Crew(agent, make_agent, make_env, steps, workers, t, seed, timeout_s)
    try:
        crew.start()
        return crew.follow(hooks)
    finally:
        crew.end()


class Crew:
    """The workers, as the process that started them sees them."""

    def __init__(
        self,
        agent: Agent,
        make_agent: MakeAgent,
        make_env: MakeEnv,
        steps: int,
        workers: int,
        t: int,
        seed: int,
        timeout_s: float,
    ):
        refuse_place("hogwild", "train in one process here (workers 1)")
        refuse_many(workers, "hogwild")
        plan = plan_of(agent, workers)
        refuse_large(size(plan), "hogwild: parameters and the optimizer's state take", "parameters")
        for what, make in (("make_agent", make_agent), ("make_env", make_env)):
            refuse_unsendable(make, "hogwild", what)
        jobs = [Job(make_agent, make_env, plan, w, seed, t, steps) for w in range(workers)]
        self.agent, self.timeout_s, self.start_t = agent, timeout_s, t
        self._jobs = [bytes(ForkingPickler.dumps(job)) for job in jobs]
        self._context: Any = multiprocessing.get_context("spawn")  # a fork would copy locks held
        self._buffer = self._context.RawArray("b", size(plan))  # unlinked at birth
        self.shared = Shared(agent, plan, self._buffer)
        self.shared.give()
        self.shared.stop[0] = NOT_YET
        self._workers: list[Worker] = []
        self._busy = dict.fromkeys(range(workers), 0.0)  # those that learn, and for how long they have not come further
        self._rows = [0] * workers  # of each, as last seen
        self._updates = getattr(agent, "n_updates", 0)  # before

    def start(self) -> None:
        """Start the workers, which begin when all are ready."""
        for w, job in enumerate(self._jobs):
            try:
                self._workers.append(Worker(self._context, self._buffer, job, self.timeout_s, learn))
            except (OSError, EOFError) as error:
                what = f"hogwild: worker {w} could not be started ({type(error).__name__}: {error})"
                raise RuntimeError(f"{what}: RLIMIT_NPROC (ulimit -u) or the memory may be used up{GUARD}") from error
        for w in self._busy:
            try:
                self._take(w, self.timeout_s + START_S)
            except GoneError as gone:
                raise RuntimeError(f"hogwild: worker {w} {gone} before it was ready{GUARD}") from None
        self.shared.stop[0] = 0

    def follow(self, hooks: Sequence[Hook]) -> int:
        """Call hooks by turns until the workers are done; gives the row reached."""
        last, t, left = monotonic(), self.start_t, self.timeout_s
        recorders = [hook for hook in hooks if isinstance(hook, Recorder)]
        while True:
            sleep(TURN)
            beat()
            now = monotonic()
            reports = self._hear(min(now - last, 1.0), left)  # less than it was after Ctrl-Z, say
            before, t, last = t, self.start_t + sum(self.shared.rows), now
            done = not self._busy
            self.shared.take()
            stats = self._count(t, reports)
            for recorder in recorders:
                recorder.n_envs = t - before  # by which it knows what is due
            stops = any([hook(t, summary(t - before, reports), stats) for hook in hooks])  # noqa: C419  every hook runs
            if done:
                return t
            if stops:
                self.shared.stop[0], left = 1, min(left, LEAVE_S)

    def _count(self, t: int, reports: list[Report]) -> dict[str, Any]:
        """Bring the counts of the agent up to date; means of statistics."""
        agent: Any = self.agent
        sums: dict[str, tuple[float, int]] = {}
        for report in reports:
            for name, (total, n) in report.sums.items():
                before, m = sums.get(name, (0.0, 0))
                sums[name] = before + total, m + n
        stats = {name: total / n for name, (total, n) in sums.items()}
        agent.t = t
        if "n_updates" in agent.COUNTS:
            agent.n_updates = self._updates + sum(self.shared.updates)
            if "n_updates" in stats:
                stats["n_updates"] = agent.n_updates
        return stats

    def _hear(self, seconds: float, limit: float) -> list[Report]:
        """What workers have to say, `seconds` since they were last heard; RuntimeError for one that says no more."""
        reports = []
        for w in list(self._busy):
            worker = self._workers[w]
            while w in self._busy and worker.ready():
                try:
                    report = self._take(w, 0)
                except GoneError as gone:
                    raise RuntimeError(f"hogwild: worker {w} (process {worker.process.pid}) {gone}") from None
                reports.append(report)
                self.shared.heard[w] += 1
                if report.last:
                    del self._busy[w]
            if w in self._busy:
                rows = self.shared.rows[w]
                self._busy[w] = self._busy[w] + seconds if rows == self._rows[w] else 0.0
                self._rows[w] = rows
                if self._busy[w] > limit:
                    self._lost(w)
        return reports

    def _lost(self, w: int) -> None:
        worker = self._workers[w]
        worker.kill()
        del self._busy[w]
        if not self.shared.stop[0]:  # else it is to end, and the others have a run to save
            what = f"worker {w} (process {worker.process.pid}) has not come further for {self.timeout_s:g} seconds"
            raise RuntimeError(f"hogwild: {what}, in row {self._rows[w]} of its own; raise timeout_s (--env-timeout)?")

    def _take(self, w: int, seconds: float) -> Report:
        """What a worker says; GoneError if nothing, and what it has raised."""
        try:
            _, report = self._workers[w].take(seconds)
        except EnvError as error:
            raise RuntimeError(f"worker {w}: {error}") from None
        except ValueError as error:
            raise ValueError(f"worker {w}: {error}") from None
        self._workers[w].owing = not report.last
        if report.fault is not None:
            message, batch = report.fault
            raise NonFiniteError(f"worker {w}: {message}", batch)
        return report

    def end(self) -> None:
        """End all workers: those that are done close their environments, others are killed."""
        for worker in self._workers:
            worker.leave(LEAVE_S)


def summary(rows: int, reports: list[Report]) -> Step:
    """A Step of so many rows, of which nothing is known but the episodes that ended."""
    episodes = [report.episodes for report in reports if report.episodes]
    info = {"episode": tuple(map(np.concatenate, zip(*episodes)))} if episodes else {}
    no = np.zeros(rows, bool)
    return Step(None, np.zeros(rows, np.float32), no, no, None, ~no, info)


# the loop of a run
def alone(cls: type[Agent], envs: EnvConfig) -> bool:
    """Whether an agent learns in one process, whose environments the settings then describe."""
    return not cls.asynchronous or envs.vector == "process" or envs.workers < 2


def own_share(cls: type[Agent], envs: EnvConfig) -> EnvConfig:
    """How a process that learns makes its environments: `workers` of an asynchronous agent are those that learn."""
    return envs if not cls.asynchronous or envs.vector == "process" else replace(envs, workers=0)


def loop_of(agent: Agent, config: Any, env: Any, n_envs: int, seed: int, envs: EnvConfig) -> Any:
    """The loop by which an agent trains on what makes `n_envs` environments: `train`, or hogwild in its form.

    ValueError, before anything is started, if that cannot be done by several processes.
    """
    cls = type(agent)
    if alone(cls, envs):
        return train
    plan_of(agent, envs.workers)
    if isinstance(env, (VectorEnv, gymnasium.vector.VectorEnv)):
        raise ValueError(f"workers {envs.workers}: each makes environments of its own; give an id or a callable")
    if envs.normalize_obs or envs.normalize_reward:
        raise ValueError(
            f"workers {envs.workers}: normalize_obs and normalize_reward learn from what one process sees; leave them "
            "out, or learn in one process from several environments (workers 1, n_envs)"
        )
    # by its spec: a worker may not have it registered
    make: Any = maker(env) if isinstance(env, str) and envs.atari is None else env
    refuse_unsendable(make, f"workers {envs.workers}", "env")
    make_one = partial(_made, make, n_envs, own_share(cls, envs))
    make_agent = partial(_learner, cls, config)

    def together(agent: Agent, env: VectorEnv, steps: int, hooks: Sequence[Hook] = (), t: int = 0) -> int:
        if env.obs is None:
            env.reset()  # to be saved: the run may go on in one process
        return hogwild(agent, make_agent, make_one, steps, envs.workers, hooks, t, seed, envs.env_timeout)

    return together


def _made(make: Any, n_envs: int, envs: EnvConfig, seed: int) -> VectorEnv:
    return make_env(make, n_envs, seed, envs)


def _learner(cls: type[Agent], config: Any, env: VectorEnv, rng: np.random.Generator) -> Agent:
    return cls.from_spaces(env.observation_space, env.action_space, config, rng)
