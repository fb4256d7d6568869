"""The command line: `rlcore train ALGORITHM ...` and `rlcore eval RUN`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore.agents import Agent
from rlcore.api import ALGORITHMS, Monitor, Run
from rlcore.explorers import Schedule
from rlcore.harness import RunFolder, load_state
from rlcore.harness.config import from_dict, load_config, to_dict
from rlcore.harness.folder import find_resumable, new_path, same_run

EPISODES = 20  # of the evaluation that ends a training
REGISTRY = tyro.constructors.ConstructorRegistry()


@REGISTRY.primitive_rule
def _schedule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Schedule] | None:
    if info.type is not Schedule:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NUMBER|linear:START:END:STEPS",
        instance_from_str=lambda words: Schedule.parse(words[0]),
        is_instance=lambda value: isinstance(value, Schedule),
        str_from_instance=lambda schedule: [str(schedule)],
    )


@dataclass(frozen=True)
class Train:
    """What is trained, and where it is kept."""

    env: str = "CartPole-v1"  # Gymnasium id
    seed: int = 0  # of everything that is drawn
    n_envs: int = 1  # environments stepped together
    steps: int = 50_000  # rows, one per environment and step, at which the run ends
    root: Path = Path("runs")  # run folders are made under this one
    folder: Path | None = None  # run folder, instead of a new one under root
    resume: bool = False  # go on with the newest unfinished run of these settings, or start one
    config: Path | None = None  # config.json of a run: what is not given here is taken from it


def train(algorithm: str, settings: Train, config: Any, monitor: Monitor) -> None:
    """Train, and print the return over fresh episodes."""
    if settings.steps < 0:
        raise ValueError(f"--steps must not be negative, got {settings.steps}")
    run = Run(ALGORITHMS[algorithm], config, settings.env, settings.seed, settings.n_envs, **to_dict(monitor))
    files = _resumable(algorithm, settings, run) if settings.resume else None
    if files is not None:
        run = Run.resume(files, steps=settings.steps)
    else:
        run.record_in(settings.folder or new_path(settings.root, settings.env, algorithm, settings.seed))
    print(f"{algorithm} on {settings.env}, seed {settings.seed}, from step {run.t:,}, in {run.folder}")
    run.learn(max(settings.steps - run.t, 0), progress=True)
    report(run, EPISODES)


def _resumable(algorithm: str, settings: Train, run: Run) -> RunFolder | None:
    """The run folder to go on with, None if there is none."""
    config = {**run.header(), "steps": settings.steps}
    if settings.folder is None:
        return find_resumable(settings.root, settings.env, algorithm, config)
    if not settings.folder.exists():
        return None
    files = RunFolder.open(settings.folder)
    if not same_run(files.config, config):
        odd = [name for name in config if files.config.get(name) != config[name]]
        raise ValueError(
            f"{settings.folder} is a run with other settings ({', '.join(odd)}); give it the same ones to resume"
        )
    return files


def evaluate(run: Annotated[Path, tyro.conf.Positional], episodes: int = EPISODES, best: bool = False) -> None:
    """Evaluate the policy of a run folder on fresh episodes.

    Args:
        run: the run folder.
        episodes: how many episodes are played.
        best: take the policy of the best evaluation while training, not the last one.
    """
    trained = Run.read(run)
    if best:
        stored = load_state(run / "best")
        trained.agent.actor.load(stored["actor"])
        trained.t = stored["t"]
    report(trained, episodes)


def report(run: Run, episodes: int) -> None:
    """Print the mean return over fresh episodes."""
    returns = run.evaluate(episodes)
    print(
        f"mean return {returns.mean():.1f} +- {returns.std():.1f} over {episodes} fresh episodes, after {run.t:,} steps"
    )


def _command(algorithm: str, cls: type[Agent], given: dict[str, Any]) -> Callable[..., None]:
    """`rlcore train ALGORITHM`, with the fields of its config as options."""
    own = from_dict(Train, {k: v for k, v in given.items() if k in ("env", "seed", "n_envs", "steps")})
    config: Any = from_dict(cls.Config, given.get("agent", {}))
    watch = from_dict(Monitor, given.get("monitor", {}))

    def command(settings: Any = own, agent: Any = config, monitor: Any = watch) -> None:
        train(algorithm, settings, agent, monitor)

    command.__annotations__ = {"settings": Train, "agent": cls.Config, "monitor": Monitor}
    command.__doc__ = f"Train {cls.__name__}."
    return command


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the command `rlcore`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        given = load_config(argv[argv.index("--config") + 1]) if "--config" in argv[:-1] else {}
        app, algorithms = tyro.extras.SubcommandApp(), tyro.extras.SubcommandApp()
        for name, cls in ALGORITHMS.items():
            algorithms.command(name=name)(_command(name, cls, given))
        app.command(algorithms, name="train")
        app.command(name="eval")(evaluate)
        app.cli(prog="rlcore", args=argv, config=(tyro.conf.OmitArgPrefixes,), registry=REGISTRY)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"rlcore: {error}")
    except KeyboardInterrupt:
        sys.exit("rlcore: interrupted; the same command with --resume goes on from the last checkpoint")
