"""Run: an agent, its environment and a step count; the short form, the command line and the scripts share it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from rlcore import rng
from rlcore.agents import algorithm, name_of
from rlcore.agents.base import Agent
from rlcore.agents.descent import NonFiniteError
from rlcore.envs import VectorEnv
from rlcore.envs.batch import as_batch
from rlcore.envs.make import EnvConfig, evaluation_env, make_env, refuse_unseen_module
from rlcore.fields import whole
from rlcore.harness import (
    Checkpoint,
    Evaluation,
    Hook,
    Progress,
    Recorder,
    RunFolder,
    evaluate,
    load_state,
    newest_state,
    save_state,
)
from rlcore.harness.checkpoint import check_state, keep_fault, load_parts
from rlcore.harness.config import from_dict, load_config, to_dict
from rlcore.harness.header import Header, Monitor, check_header
from rlcore.harness.settings import distributed
from rlcore.harness.signals import Signals
from rlcore.parallel.hogwild import loop_of, own_share
from rlcore.stream import Step
from rlcore.tree import map_

EVALUATION, FRESH = 1_000_000, 2_000_000  # what is added to the seed for evaluation while and after training
STREAMS = 8  # of an evaluation, at most
Kind = type[Agent] | None


class Run:
    """Trains, uses, saves and loads one agent on one environment.

    env: a Gymnasium id, a callable that gives a gymnasium.Env, or a vector environment, whose seed and n_envs then
    hold; else they are 0 and 1. settings: fields of the agent's config, of EnvConfig or of Monitor. With a folder,
    which must not exist, training is recorded, evaluated and checkpointed there. loop: how it trains, as `train` does.
    device: where its networks are, "cpu", "gpu" or "gpu:1"; it is no part of the run, which can go on elsewhere.
    """

    recorder_class, evaluation_class, checkpoint_class = Recorder, Evaluation, Checkpoint
    leads, part = True, ""  # of the processes of a run: whether it records; what names of its own files end with

    def __init__(
        self,
        agent_class: type[Agent],
        config: Any = None,
        env: Any = "CartPole-v1",
        seed: int | None = None,
        n_envs: int | None = None,
        folder: str | Path | None = None,
        device: str = "cpu",
        **settings: Any,
    ):
        self.config, self.env_config, self.monitor = distributed(agent_class, config, settings)
        seed = None if seed is None else whole("seed", seed)  # a NumPy integer is not JSON's
        if seed is not None and seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self._make: Any = env
        self.folder: Path | None = None
        if folder is not None:
            self.record_in(folder)
        self.env = make_env(env, n_envs, seed, own_share(agent_class, self.env_config))
        self.seed: int = getattr(self.env, "seed", 0) if seed is None else seed
        spaces = self.env.observation_space, self.env.action_space
        self.agent = agent_class.from_spaces(*spaces, self.config, rng.generator(self.seed)).to_device(device)
        self.agent.check_streams(self.env.n_envs)
        self.loop = loop_of(self.agent, self.config, env, self.env.n_envs, self.seed, self.env_config)
        self.t = 0  # rows so far
        self._files: RunFolder | None = None  # locked, from resume() to the end of learn()
        self._recorder: Any = None  # with _watch and _checkpoint: hooks that write into the folder
        self._evaluations: dict[Any, VectorEnv] = {}

    def record_in(self, folder: str | Path) -> None:
        """Keep what training gives in a new folder."""
        if Path(folder).exists():
            raise ValueError(f"{folder} exists; choose another folder, or go on with the run in it by resuming it")
        self._refuse_ready_env()
        self.folder = Path(folder)

    def learn(self, steps: int, hooks: Sequence[Hook] = (), progress: bool = False) -> Run:
        """Train for `steps` more rows; hooks are called after each step. Once interrupted, it can be called again.

        Ctrl-C and, with a folder, SIGTERM and SIGUSR1 end it after the running step, saved, as `Signals` raises them.
        """
        goal = self.t + whole("steps", steps)
        if goal < self.t:
            raise ValueError(f"learn: steps must not be negative, got {steps}")
        if self.folder is None:
            with Signals(scheduler=False) as signals:
                self._train(goal, [*hooks, signals])
            return self
        files = self._files or self._opened(self.folder, goal)
        line = [Progress(self._recorder, goal, self.t)] if progress else []
        try:
            with Signals() as signals:
                self._watch.stop, owed = signals.pending, self._watch.owed
                self._watch.catch_up()
                if not self.anywhere(signals.received):
                    self._train(goal, [*hooks, self._recorder, self._watch, *line, self._checkpoint, signals])
                if owed or not self._checkpoint.saved(self.t):
                    self._checkpoint.save(self.t)
                signals.received = (signals.received or "SIGUSR1") if self.anywhere(signals.received) else ""  # as all
                signals.finished = self.t >= goal and not self._watch.owed  # neither a hook nor a signal has ended it
                if signals.finished:
                    files.finish()
        except NonFiniteError as error:
            kept = keep_fault(files.path, self.t, self.agent.state(), error.batch, self.part)
            raise NonFiniteError(f"{error}; what it learned from is kept in {kept}", error.batch) from error
        finally:
            for hook in line:
                hook.close()
            self._recorder.flush_files()
            files.close()
            self._files = None
        return self

    def _train(self, goal: int, hooks: Sequence[Hook]) -> None:
        try:
            self.loop(self.agent, self.env, goal, [self._count, *hooks], self.t)
        except BaseException:  # in an update, say, when the agent has taken the step in and no hook has been called
            self.t = getattr(self.agent, "t", self.t)
            raise

    def _count(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        self.t = t

    def _opened(self, folder: Path, goal: int) -> RunFolder:
        """The folder to train into, new at the first time."""
        if self._recorder is not None:
            files = RunFolder.open(folder)
            files.extend(goal)
            return files
        self._evaluation_env(EVALUATION, self.monitor.eval_episodes, folder)  # what may fail comes before the folder
        files = RunFolder.create(folder, {**self.header(), "steps": goal})
        try:
            self._recorder, self._watch, self._checkpoint = self._observers(files.path)
        except BaseException:
            files.close()
            raise
        return files

    def _observers(self, folder: Path) -> tuple[Recorder, Evaluation, Checkpoint]:
        m = self.monitor
        header = {k: v for k, v in self.header().items() if k != "monitor"}
        logs: Any = m.log_every, m.tags, self.agent.actor, m.histograms_every, header
        recorder = self.recorder_class(folder, self.env.n_envs, *logs)
        env = self._evaluation_env(EVALUATION, m.eval_episodes, folder)
        films = (env, m.video_every) if m.video_every else ()
        watch = self.evaluation_class(self.agent, env, m.eval_every, m.eval_episodes, recorder, folder / "best", *films)
        parts = {"header": Header(self.header()), **self._parts(), "recorder": recorder, "evaluation": watch}
        saved = folder / "checkpoints", m.checkpoint_every, m.keep, recorder.scalar
        return recorder, watch, self.checkpoint_class(*saved, **parts)

    def anywhere(self, here: Any) -> bool:
        """Whether it is so in any process of this run."""
        return bool(here)

    def _parts(self) -> dict[str, Any]:
        return {"env": self.env, "agent": self.agent}  # in this order: an environment may yet fail as it is replayed

    @classmethod
    def resume(
        cls, folder: str | Path | RunFolder, env: Any = None, steps: int | None = None, agent_class: Kind = None,
        device: str = "cpu",
    ) -> Run:  # fmt: skip
        """The run in a folder, from its newest checkpoint, to go on with, if need be to more steps than it was to have.

        env is needed if it was not made from an id, agent_class if it is none of this library's.
        """
        files = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
        try:
            run = cls._from_header(files.config, files.path / "config.json", env, agent_class, device)
            run.go_on(files, steps)
        except BaseException:
            files.close()
            raise
        return run

    def go_on(self, files: Any, steps: int | None) -> None:
        """Go on from the newest checkpoint in a run folder that has been opened, which is of such a run."""
        self.folder, self._files = files.path, files
        self._recorder, self._watch, self._checkpoint = self._observers(files.path)
        self.t = self._checkpoint.restore()
        if self.t == 0:
            self._recorder.clear_files()
        files.extend(steps)

    @classmethod
    def read(cls, folder: str | Path, env: Any = None, agent_class: Kind = None) -> Run:
        """The run in a folder as of its newest checkpoint, to use: nothing is written there, even while it trains."""
        folder = Path(folder)
        path = folder / "config.json"
        if not path.is_file():
            raise ValueError(f"{folder} is no run folder: it has no config.json")
        run = cls._from_header(load_config(path), path, env, agent_class)
        found = newest_state(folder / "checkpoints")
        if found is None:
            raise ValueError(f"{folder} has no checkpoint yet")
        run._load(found[1])
        return run

    def _load(self, state: dict[str, Any]) -> None:
        load_parts(self._parts(), state["parts"])
        self.t = state["t"]

    @classmethod
    def _from_header(cls, header: Any, where: Path, env: Any, agent_class: Kind, device: str = "cpu") -> Run:
        check_header(header, where)
        agent_class = algorithm(header["algorithm"], agent_class, where)
        if env is None:
            if header["env"] is None:
                raise ValueError("the environment was not made from a Gymnasium id; give env=")
            refuse_unseen_module(header["env"], f"import it first, or give env= (--env {header['env']})")
        config: Any = from_dict(agent_class.Config, header["agent"])
        env = header["env"] if env is None else env
        parts: Any = to_dict(from_dict(EnvConfig, header["envs"])) | to_dict(from_dict(Monitor, header["monitor"]))
        run = cls(agent_class, config, env, header["seed"], header["n_envs"], device=device, **parts)
        Header(run.header()).check({**header, "env": run.header()["env"]})
        return run

    def header(self) -> dict[str, Any]:
        """What makes this run: algorithm, environment, seed and settings, as JSON values."""
        return {
            "algorithm": name_of(type(self.agent)),
            "env": self._make if isinstance(self._make, str) else None,
            "observation_space": str(self.env.observation_space),
            "action_space": str(self.env.action_space),
            "seed": self.seed,
            "n_envs": self.env.n_envs,
            "agent": to_dict(self.config),
            "envs": to_dict(self.env_config),
            "monitor": to_dict(self.monitor),
        }

    def evaluate(self, episodes: int = 20) -> np.ndarray:
        """Returns (episodes,) of the deterministic policy on episodes that training and its evaluations never saw."""
        if whole("episodes", episodes) < 1:
            raise ValueError(f"evaluate: episodes must be at least 1, got {episodes}")
        return evaluate(self.agent.policy(), self._evaluation_env(FRESH, episodes), episodes)[0]

    def _refuse_ready_env(self) -> None:
        if isinstance(self._make, (VectorEnv, gymnasium.vector.VectorEnv)):
            raise ValueError("to evaluate, give the environment as an id or a callable: a second one is needed")

    def _evaluation_env(self, offset: int, episodes: int, folder: Path | None = None) -> VectorEnv:
        self._refuse_ready_env()
        videos = folder / "videos" if folder is not None and self.monitor.video_every else None
        key = offset, min(episodes, STREAMS), videos
        if key not in self._evaluations:
            made = self._make, key[1], self.seed + offset
            self._evaluations[key] = evaluation_env(self.env, *made, self.env_config, videos)
        return self._evaluations[key]

    def close(self) -> None:
        """Free what the environments hold, worker processes above all."""
        for env in (self.env, *self._evaluations.values()):
            env.close()

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Action for one observation, or actions for a batch of them, and the state after it, as `Policy.predict`."""
        batch, single = as_batch(obs, self.env.observation_space)
        action, state = self.agent.policy(deterministic).predict(batch, state, episode_start)
        return (map_(lambda a: a[0], action) if single else action), state

    def save(self, path: str | Path) -> None:
        """Store agent, environment and step count in a new folder; `load` goes on bit for bit."""
        if Path(path).exists():
            raise ValueError(f"save: {path} exists; choose another folder")
        parts = {"header": self.header(), **{name: part.state() for name, part in self._parts().items()}}
        save_state(path, {"t": self.t, "library_rng": rng.state_of(rng.default()), "parts": parts})

    @classmethod
    def load(cls, path: str | Path, env: Any = None, agent_class: Kind = None, device: str = "cpu") -> Run:
        """A run from `save`, or from a checkpoint; ValueError if it is damaged, or not of this kind of environment.

        env is needed if it was not made from an id, agent_class if it is none of this library's.
        """
        state = load_state(path)
        check_state(state, path)
        run = cls._from_header(state["parts"].get("header"), Path(path), env, agent_class, device)
        run._load(state)
        rng.restore(rng.default(), state["library_rng"])
        return run
