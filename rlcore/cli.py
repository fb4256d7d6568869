"""The command line: `rlcore train ALGORITHM ...`, and a module of `rlcore.commands` for each other command."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import tyro

import rlcore.threads  # before anything that imports NumPy
from rlcore.agents import ALGORITHMS, Agent
from rlcore.commands.seeds import run_all, seeds_of
from rlcore.commands.train import Train, train
from rlcore.envs.make import EnvConfig, refuse_unseen_module
from rlcore.fields import Schedule
from rlcore.harness.config import from_dict, load_config
from rlcore.harness.header import Monitor, check_names
from rlcore.harness.tuned import overlaid, tuned
from rlcore.parallel.faults import guard, rank_here
from rlcore.parallel.launched import launched

COMMANDS = {
    "eval": "evaluate",
    "compare": "compare",
    "plot": "plot",
    "doctor": "doctor",
    "bench": "bench",
    "search": "search",
    "export": "export",
    "launch": "launch",
}  # name -> the module whose main() it is
MISTAKES = (ValueError, TypeError, OSError, ImportError, FloatingPointError)  # ImportError: an extra is missing
REGISTRY = tyro.constructors.ConstructorRegistry()


@REGISTRY.primitive_rule
def _schedule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """A Schedule, or None where that may be: tyro would make subcommands of the two."""
    kinds = {get_args(k)[0] if get_origin(k) is Annotated else k for k in get_args(info.type) or [info.type]}
    if kinds - {type(None)} != {Schedule}:
        return None
    may_be_none = type(None) in kinds
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{None}|" * may_be_none + "NUMBER|linear:START:END:STEPS",
        instance_from_str=lambda words: None if may_be_none and words == ["None"] else Schedule.parse(words[0]),
        is_instance=lambda value: isinstance(value, Schedule) or (may_be_none and value is None),
        str_from_instance=lambda schedule: [str(schedule)],
    )


@REGISTRY.primitive_rule
def _json(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    if info.type_origin is not dict:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=lambda words: json.loads(words[0]),
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    )


def _command(
    algorithm: str, cls: type[Agent], given: dict[str, Any], argv: list[str], do: Callable[..., None]
) -> Callable[..., None]:
    """`rlcore train ALGORITHM`, with the fields of its config as options, and what it does with them."""
    own = from_dict(Train, {k: v for k, v in given.items() if k in ("env", "seed", "n_envs", "steps")})
    kinds = {"agent": cls.Config, "envs": EnvConfig, "monitor": Monitor}
    loose = {name: _unchecked(kind) for name, kind in kinds.items()}
    start = {name: from_dict(kind, given.get(name, {})) for name, kind in loose.items()}

    def command(settings: Any, agent: Any, envs: Any, monitor: Any) -> None:
        parts = (
            cls.Config(**vars(agent)),
            EnvConfig(**vars(envs)),
            Monitor(**vars(monitor)),
        )  # what is wrong comes first
        if settings.seeds is None:
            do(algorithm, settings, *parts)
        elif settings.folder is not None:
            raise ValueError("--folder is of one run; with --seeds give --root, under which each gets a folder")
        elif do is not train or launched() != 1:
            raise ValueError("--seeds starts runs that are one process each; start ranks once for each --seed instead")
        else:
            run_all(argv, seeds_of(settings.seeds), settings.jobs)

    command.__defaults__ = (own, *start.values())
    command.__annotations__ = {"settings": Train, **loose}
    command.__doc__ = f"Train {cls.__name__}."
    return command


def _unchecked(cls: type) -> type[Any]:
    """A dataclass with the fields of another and no checks: tyro would put names of its own before what they say."""
    own = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__post_init__": lambda self: None}
    own |= {k: v for k, v in vars(cls).items() if k == "__firstlineno__"}  # by which Python 3.13 finds the source
    return dataclass(frozen=True)(type(cls.__name__, (cls,), own))  # of that module: there are the comments of --help


def _given(argv: list[str]) -> dict[str, Any]:
    """What `--config FILE` says, over the settings tuned for the environment."""
    if argv[:1] != ["train"] or len(argv) < 2:
        return {}
    path, env, given = _value(argv, "--config"), _value(argv, "--env"), {}
    if path is not None:
        given = load_config(path)
        check_names(given, path)
        if given.get("algorithm", argv[1]) != argv[1]:
            raise ValueError(f"{path} is of algorithm {given['algorithm']!r}: give it to `rlcore train` for that one")
        if env is None:
            refuse_unseen_module(given.get("env"), f"give --env {given.get('env')} to allow it")
    if "--no-tuned" in argv:
        return given
    return overlaid(tuned(argv[1], str(env or given.get("env") or Train.env)), given)


def _value(argv: list[str], option: str) -> str | None:
    """The last value of an option on the command line, as `--option VALUE` or `--option=VALUE`."""
    values = [after for word, after in pairwise([*argv, ""]) if word == option]
    values += [word.partition("=")[2] for word in argv if word.startswith(f"{option}=")]
    return values[-1] if values else None


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the command `rlcore`."""
    with nullcontext() if rank_here() is None else guard():  # a rank ends all others by what it says
        _main(argv)


def _main(argv: Sequence[str] | None, do: Callable[..., None] = train) -> None:
    if argv is None:
        argv = sys.argv[1:]
        # where the module of `--env MODULE:ID` may be; last, so that nothing there is taken for what is installed
        sys.path.append(str(Path.cwd()))
    # options with underscores, which tyro takes as well, in the one form that is looked for here
    own = argv.index("--") if argv[:1] == ["launch"] and "--" in argv else len(argv)  # what follows is another's
    ours = [re.sub(r"^--[^=]+", lambda option: option[0].replace("_", "-"), word) for word in argv[:own]]
    argv = [*("--n" if word == "-n" and argv[0] == "launch" else word for word in ours), *argv[own:]]
    if argv == ["--version"]:
        print(f"rlcore {rlcore.__version__}")
        return
    if argv[own:][1:2] == ["train"]:  # what is wrong with it is told once, before there are ranks
        _main(argv[own + 1 :], lambda *parts: None)
    try:
        given = _given(argv)
        app, algorithms = tyro.extras.SubcommandApp(), tyro.extras.SubcommandApp()
        for name, cls in ALGORITHMS.items():
            own_given = given if argv[:2] == ["train", name] else {}
            algorithms.command(name=name)(_command(name, cls, own_given, argv, do))
        app.command(algorithms, name="train", help="Train an agent, or go on with a run; evaluate it at the end.")
        named = [name for name in ("train", *COMMANDS) if argv[:1] == [name]]
        for name in named or COMMANDS:  # all of them only to list them
            if name in COMMANDS:
                app.command(name=name)(import_module(f"rlcore.commands.{COMMANDS[name]}").main)
        app.cli(prog="rlcore", args=argv, config=(tyro.conf.OmitArgPrefixes,), registry=REGISTRY)
    except BrokenPipeError:  # whoever read what is printed has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that nothing is said of it at exit
        sys.exit(141)  # as shells have it: 128 and the number of the signal
    except MISTAKES as error:
        sys.exit(f"rlcore: {error}")
    except KeyboardInterrupt:
        remedy = "; the same command with --resume goes on from the last checkpoint" if argv[:1] == ["train"] else ""
        print(f"rlcore: interrupted{remedy}", file=sys.stderr)
        sys.exit(130)
