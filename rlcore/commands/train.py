"""`rlcore train ALGORITHM`: one run, new or gone on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcore.agents import ALGORITHMS
from rlcore.api import Run
from rlcore.commands.evaluate import EPISODES, report
from rlcore.envs.make import EnvConfig
from rlcore.harness import RunFolder
from rlcore.harness.config import to_dict
from rlcore.harness.folder import find_resumable, new_path, same_run
from rlcore.harness.header import Monitor, compared, completed, differences
from rlcore.harness.signals import Interrupted
from rlcore.parallel.comm import world
from rlcore.parallel.hogwild import own_share
from rlcore.ranks import Mode, RankRun, act_for, own_device, place_of


@dataclass(frozen=True)
class Train:
    """What is trained, and where it is kept."""

    env: str = "CartPole-v1"  # Gymnasium id
    seed: int = 0  # of everything that is drawn
    seeds: str | None = None  # 0..4 or 0,2,5: a run for each of these seeds, in processes of their own
    jobs: int = 0  # runs at a time, with --seeds; 0: one per core
    n_envs: int = 1  # environments stepped together
    steps: int = 50_000  # rows, one per environment and step, at which the run ends
    root: Path = Path("runs")  # run folders are made under this one
    folder: Path | None = None  # run folder, instead of a new one under root
    resume: bool = False  # go on with the newest unfinished run of these settings, or start one
    config: Path | None = None  # JSON or YAML, config.json of a run say: what is not given here is taken from it
    device: str = "cpu"  # where networks are: cpu, gpu, gpu:1; of ranks, gpu is another of the machine's for each
    tuned: bool = True  # what is neither given nor in that file is as tuned for this env, where rlcore has settings
    parallel: Mode = "auto"  # on several ranks, all learn as one (data), or the first for others that act (actors)
    learners: int = 1  # ranks that learn, with actors; steps are counted by each of them
    chunks: int = 1  # rollouts, each of another actor, that an on-policy learner learns from at a time


def train(algorithm: str, settings: Train, config: Any, envs: EnvConfig, monitor: Monitor) -> None:
    """Train, and print the return over fresh episodes."""
    if settings.steps < 0:
        raise ValueError(f"--steps must not be negative, got {settings.steps}")
    comm = world()
    device = own_device(settings.device, comm)
    parts: dict[str, Any] = {**to_dict(envs), **to_dict(monitor), "device": device}
    given: tuple[Any, Any, str, int, int] = ALGORITHMS[algorithm], config, settings.env, settings.seed, settings.n_envs
    if comm.size == 1:
        _train(algorithm, settings, Run(*given, **parts))
        return
    place: Any = place_of(comm, given[0], settings.parallel, settings.learners, settings.chunks)
    if place is None:
        act_for(comm, *given, own_share(given[0], envs), settings.learners, device)
    else:
        _train(algorithm, settings, RankRun(*place, *given, **parts))


def _train(algorithm: str, settings: Train, run: Run) -> None:
    files = _resumable(algorithm, settings, run) if settings.resume and run.leads else None
    if run.anywhere(files is not None):
        if files is not None:
            header = run.header()
            files.config |= {kind: header[kind] for kind in ("envs", "monitor")}  # they may be others than before
        run.go_on(files, settings.steps)
    else:
        if settings.resume and run.leads:
            print("no unfinished run with these settings: starting a new one")
        run.record_in(settings.folder or new_path(settings.root, settings.env, algorithm, settings.seed))
    if run.leads:
        print(f"{algorithm} on {settings.env}, seed {settings.seed}, from step {run.t:,}, in {run.folder}")
    try:
        run.learn(max(settings.steps - run.t, 0), progress=run.leads)
    except Interrupted as signal:
        if run.leads and not signal.finished:  # else there is nothing to start again
            print(f"interrupted at step {run.t:,} and saved; the same command with --resume goes on from there")
            raise
    if not run.leads:
        run.close()
        return
    try:
        report(run, EPISODES)  # of Atari, say, it takes minutes
    except KeyboardInterrupt:
        print(f"the run is finished; to evaluate it: rlcore eval {run.folder}")
        raise SystemExit(130) from None
    finally:
        run.close()


def _resumable(algorithm: str, settings: Train, run: Run) -> RunFolder | None:
    """The run folder to go on with, None if there is none."""
    config = {**run.header(), "steps": settings.steps}
    defaults = {"agent": to_dict(type(run.config)()), "envs": to_dict(EnvConfig())}
    if settings.folder is None:
        return find_resumable(settings.root, settings.env, algorithm, config, defaults)
    if not settings.folder.exists():
        return None
    files = RunFolder.open(settings.folder)
    theirs = completed(files.config, defaults)
    if not same_run(theirs, config):
        odd = "; with ".join(differences(compared(theirs), compared(config)))
        odd = odd or f"steps {files.config.get('steps')}, this one has {settings.steps}"
        files.close()
        raise ValueError(f"{settings.folder} is a run with {odd}; give the same settings to resume it")
    return files
