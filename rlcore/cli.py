"""The command line: `rlcore train ALGORITHM ...` and `rlcore eval RUN`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore.agents import Agent
from rlcore.api import ALGORITHMS, Monitor, Run
from rlcore.envs.make import refuse_unseen_module
from rlcore.explorers import Schedule
from rlcore.harness import RunFolder, load_state
from rlcore.harness.config import from_dict, load_config, to_dict
from rlcore.harness.files import present
from rlcore.harness.folder import find_resumable, new_path, same_run
from rlcore.harness.header import check_names

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
        files.config["monitor"] = to_dict(monitor)  # which may differ from what it was
        run = Run.resume(files, steps=settings.steps)
    else:
        if settings.resume:
            print("no unfinished run with these settings: starting a new one")
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
        odd = [name for name in config if name != "monitor" and files.config.get(name) != config[name]]
        files.close()
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
        if not present(run / "best").is_dir():
            raise ValueError(f"{run} has no evaluation yet, so no best policy; leave out --best to take the last one")
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
    loose, watch = _unchecked(cls.Config), _unchecked(Monitor)
    config, monitoring = from_dict(loose, given.get("agent", {})), from_dict(watch, given.get("monitor", {}))

    def command(settings: Any = own, agent: Any = config, monitor: Any = monitoring) -> None:
        train(algorithm, settings, cls.Config(**vars(agent)), Monitor(**vars(monitor)))

    command.__annotations__ = {"settings": Train, "agent": loose, "monitor": watch}
    command.__doc__ = f"Train {cls.__name__}."
    return command


def _unchecked(cls: type) -> type[Any]:
    """A dataclass with the fields of another and no checks: tyro would put names of its own before what they say."""
    own = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__post_init__": lambda self: None}
    own |= {k: v for k, v in vars(cls).items() if k == "__firstlineno__"}  # by which Python 3.13 finds the source
    return dataclass(frozen=True)(type(cls.__name__, (cls,), own))  # of that module: there are the comments of --help


def _given(argv: list[str]) -> dict[str, Any]:
    """What the file given as `--config FILE` or `--config=FILE` says, {} if there is none."""
    paths = [after for word, after in pairwise(argv) if word == "--config"]
    paths += [word.partition("=")[2] for word in argv if word.startswith("--config=")]
    if argv[:1] != ["train"] or not paths:
        return {}
    given = load_config(paths[-1])
    check_names(given, paths[-1])
    if given.get("algorithm", argv[1]) != argv[1]:
        raise ValueError(f"{paths[-1]} is of algorithm {given['algorithm']!r}: give it to `rlcore train` for that one")
    if not any(word.partition("=")[0] == "--env" for word in argv):
        refuse_unseen_module(given.get("env"), f"give --env {given.get('env')} to allow it")
    return given


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the command `rlcore`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        given = _given(argv)
        app, algorithms = tyro.extras.SubcommandApp(), tyro.extras.SubcommandApp()
        for name, cls in ALGORITHMS.items():
            algorithms.command(name=name)(_command(name, cls, given if argv[:2] == ["train", name] else {}))
        app.command(algorithms, name="train")
        app.command(name="eval")(evaluate)
        app.cli(prog="rlcore", args=argv, config=(tyro.conf.OmitArgPrefixes,), registry=REGISTRY)
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"rlcore: {error}")
    except KeyboardInterrupt:
        print("rlcore: interrupted; the same command with --resume goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)  # as shells have it: 128 and the number of the signal
