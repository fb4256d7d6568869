"""A run on several ranks: those that learn as one, of which rank 0 records, and actors that act for them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlcore import rng
from rlcore.agents.appo import APPO
from rlcore.agents.base import Agent
from rlcore.agents.impala import IMPALA
from rlcore.agents.off_policy import OffPolicy
from rlcore.agents.on_policy import OnPolicy
from rlcore.api import Run
from rlcore.envs import VectorEnv
from rlcore.envs.make import EnvConfig, make_env
from rlcore.harness.signals import Interrupted, Signals
from rlcore.parallel.actor import act, acting_config
from rlcore.parallel.base import Alone, Comm
from rlcore.parallel.checkpoints import JointCheckpoint
from rlcore.parallel.data_parallel import join, loop, rank_seed, refuse, shared_text
from rlcore.parallel.devices import local_device
from rlcore.parallel.evaluation import JointEvaluation, Unrecorded
from rlcore.parallel.heartbeat import essential
from rlcore.parallel.learner import learn
from rlcore.parallel.roles import Roles

Mode = Literal["auto", "data", "actors"]


class RankRun(Run):
    """A `Run` of which this process is one of the ranks that learn as one; all call the same methods.

    Rank 0 has the seed, the others seeds that follow from it, and records; steps count the rows of each rank. loop: how
    they train, that of `place_of`.
    """

    def __init__(
        self,
        comm: Comm,
        loop: Any,
        agent_class: type[Agent],
        config: Any,
        env: Any,
        seed: int,
        *args: Any,
        **settings: Any,
    ):
        self.comm, self.leads = comm, comm.rank == 0
        self.evaluation_class: Any = partial(JointEvaluation, comm)
        self.checkpoint_class: Any = partial(JointCheckpoint, comm)
        if not self.leads:
            self.recorder_class = Unrecorded  # type: ignore[assignment]
            self.part = f".rank-{comm.rank}"
        super().__init__(agent_class, config, env, own_seed(seed, comm), *args, **settings)
        join(self.agent, comm)
        self.loop = loop

    def record_in(self, folder: str | Path) -> None:
        why = ""
        if self.leads:
            try:
                super().record_in(folder)
            except ValueError as error:
                why = str(error)
        refuse(self.comm, why)
        self.folder = Path(shared_text(self.comm, str(self.folder) if self.leads else ""))

    def _opened(self, folder: Path, goal: int) -> Any:
        files: Any = Elsewhere(folder)
        why = ""
        if self.leads:
            try:
                files = super()._opened(folder, goal)
            except (ValueError, OSError) as error:
                why = str(error)
        refuse(self.comm, why)
        if self._recorder is None:
            self._recorder, self._watch, self._checkpoint = self._observers(folder)
        return files

    def _observers(self, folder: Path) -> Any:
        recorder, watch, checkpoint = super()._observers(folder)
        if not self.leads:  # the header and the recorder are of rank 0
            checkpoint.parts = {name: checkpoint.parts[name] for name in ("env", "agent", "evaluation")}
        return recorder, watch, checkpoint

    def go_on(self, files: Any, steps: int | None) -> None:
        """As `Run`'s, where rank 0 has opened the folder."""
        folder = Path(shared_text(self.comm, str(files.path) if self.leads else ""))
        super().go_on(files if self.leads else Elsewhere(folder), steps)

    def anywhere(self, here: Any) -> bool:
        return bool(self.comm.max_(np.array([bool(here)], np.float64))[0])


class Elsewhere:
    """In the place of a RunFolder on ranks that do not write into it."""

    def __init__(self, path: Path):
        self.path = path

    def finish(self) -> None:
        pass

    close = finish

    def extend(self, steps: int | None) -> None:
        pass


def own_seed(seed: int, comm: Comm) -> int:
    """The seed on rank 0, on others one that follows from it."""
    return rank_seed(seed, comm) if comm.rank else seed


def own_device(device: str, comm: Comm) -> str:
    """The device of a rank where all are to have "gpu": the GPUs of a machine go round its ranks."""
    return local_device(comm, device) if device == "gpu" and comm.size > 1 else device


def mode_of(cls: type[Agent], mode: Mode) -> str:
    """How ranks train agents of a class: with actors where rows of older policies will do, else on their own."""
    if mode != "auto":
        return mode
    return "actors" if issubclass(cls, (OffPolicy, IMPALA, APPO)) else "data"


def place_of(
    comm: Comm, cls: type[Agent], mode: Mode = "auto", learners: int = 1, chunks: int = 1
) -> tuple[Comm, Any] | None:
    """The ranks that learn, and their loop, for one of them; None for one that acts.

    chunks: that an on-policy agent learns from at a time, one of each of so many actors.
    """
    if mode_of(cls, mode) == "data":
        return comm, loop(comm)
    roles = Roles.of(comm, learners)
    group = Alone() if learners == 1 else comm.split(0 if roles.learns else -1)
    if not roles.learns:
        return None
    essential()

    def fed(agent: Agent, env: VectorEnv, steps: int, hooks: Any = (), t: int = 0) -> int:
        if env.obs is None:
            env.reset()  # to be saved: the run may go on in one process
        return learn(agent, comm, steps, hooks, t, learners, chunks if isinstance(agent, OnPolicy) else None)

    return group or Alone(), fed


def act_for(
    comm: Comm,
    cls: type[Agent],
    config: Any,
    env: Any,
    seed: int,
    n_envs: int,
    envs: EnvConfig,
    learners: int,
    device: str = "cpu",
) -> int:
    """Act for the learners of a run until they end it, or a signal does; gives the rows acted."""
    seed, rows = own_seed(seed, comm), 0
    made = make_env(env, n_envs, seed, envs)
    try:
        spaces = made.observation_space, made.action_space
        agent = cls.from_spaces(*spaces, acting_config(config), rng.generator(seed)).to_device(device)
        with suppress(Interrupted, KeyboardInterrupt), Signals() as signals:  # to mpiexec, leaving is no failure
            rows = act(agent, made, comm, learners, hooks=[signals])
    finally:
        made.close()
    return rows
