"""`rlcore search ALGORITHM --env ENV`: Optuna tries settings, each over some seeds, and drops what does not keep up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rlcore.agents import ALGORITHMS
from rlcore.api import Run
from rlcore.harness.config import load_config, save_config
from rlcore.harness.tuned import FOLDER, overlaid, tuned

FAILURES = (ValueError, FloatingPointError)  # of a trial: settings that do not go together, a loss that becomes NaN
KINDS = {"log": 2, "range": 2, "one of": 1, "linear": 3}  # of ranges, and how many numbers or ranges describe one


def main(
    algorithm: str,
    /,
    env: str = "CartPole-v1",
    trials: int = 50,
    steps: int | None = None,
    seeds: int = 2,
    evaluations: int = 5,
    episodes: int = 10,
    seed: int = 1000,
    space: Path | None = None,
    storage: Path | None = None,
    out: Path = Path("search.json"),
    sampler: Literal["tpe", "random"] = "tpe",
    pruner: Literal["median", "none"] = "median",
) -> None:
    """Search for settings that give the largest mean return.

    Args:
        algorithm: as for `rlcore train`.
        env: Gymnasium id.
        trials: how many settings are tried.
        steps: rows of each run; those tuned for the environment, or 50,000, if not given.
        seeds: runs of each trial; their mean counts.
        evaluations: how often a run is evaluated, each time an occasion to drop the trial.
        episodes: of an evaluation.
        seed: of the search; the runs of a trial have this seed and the next ones: report results with others.
        space: JSON or YAML file of ranges, instead of the algorithm's own.
        storage: SQLite file of the study, which more processes with this command can join, and which goes on later.
        out: where the best settings are kept, for `rlcore train --config`.
        sampler: tree-structured Parzen estimator, or at random.
        pruner: drop a trial whose mean is under the median of those before it, or drop none.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError('to search settings: pip install "rlcore[search]"') from None
    counts = {"trials": trials, "seeds": seeds, "evaluations": evaluations, "episodes": episodes}
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algorithm!r}; known are {', '.join(ALGORITHMS)}")
    if out.exists():
        raise ValueError(f"{out} exists; choose another --out")
    ranges = _ranges(algorithm, space)
    base = tuned(algorithm, env)
    steps = steps or base.get("steps", 50_000)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _kept(optuna, storage) as kept:
        study = optuna.create_study(
            storage=kept,
            study_name=f"{algorithm} on {env}",
            load_if_exists=True,
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed)
            if sampler == "tpe"
            else optuna.samplers.RandomSampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5)
            if pruner == "median"
            else optuna.pruners.NopPruner(),
        )

        def mean_return(trial: Any) -> float:
            settings = {name: _drawn(trial, name, how, steps) for name, how in ranges.items()}
            config = overlaid(base, {"agent": settings})
            trial.set_user_attr("agent", config["agent"])
            flat = {**config.get("envs", {}), **config["agent"]}
            runs = [
                Run(ALGORITHMS[algorithm], None, env, seed + k, config.get("n_envs", 1), **flat) for k in range(seeds)
            ]
            try:
                for k in range(1, evaluations + 1):
                    mean = 0.0
                    for run in runs:
                        run.learn(max(steps * k // evaluations - run.t, 0))
                        mean += float(run.evaluate(episodes).mean()) / seeds
                    trial.report(mean, k)
                    if trial.should_prune():
                        raise optuna.TrialPruned
                return mean
            finally:
                for run in runs:
                    run.close()

        refused: list[str] = []

        def attempt(trial: Any) -> float:
            try:
                return mean_return(trial)
            except FAILURES as error:
                refused.append(str(error))
                raise

        study.optimize(attempt, n_trials=trials, catch=FAILURES, callbacks=[_say])
        if not [trial for trial in study.trials if trial.state.name == "COMPLETE"]:
            raise ValueError(f"no trial came to its end; the last one: {refused[-1] if refused else 'was dropped'}")
        best = {"algorithm": algorithm, "env": env, **{k: v for k, v in base.items() if k in ("n_envs", "envs")}}
        save_config(out, {**best, "steps": steps, "agent": study.best_trial.user_attrs["agent"]})
        print(f"best mean return {study.best_value:.1f} (trial {study.best_trial.number}), kept in {out}")
        print(f"train with it: rlcore train {algorithm} --config {out} --seeds 0..4")


@contextmanager
def _kept(optuna: Any, path: Path | None) -> Iterator[Any]:
    """Where a study is kept: in memory, or in an SQLite file, which is closed at the end."""
    if path is None:
        yield None
        return
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _say(study: Any, trial: Any) -> None:
    value = "-" if trial.value is None else f"{trial.value:.1f}"
    best = "-" if not [t for t in study.trials if t.state.name == "COMPLETE"] else f"{study.best_value:.1f}"
    drawn, agent = {name.partition(" ")[0]: None for name in trial.params}, trial.user_attrs.get("agent", {})
    settings = json.dumps({name: agent.get(name) for name in drawn})
    print(f"trial {trial.number}: {value} ({trial.state.name.lower()}), best {best}; {settings}", flush=True)


def _ranges(algorithm: str, space: Path | None) -> dict[str, Any]:
    """The ranges to search, each checked."""
    path = FOLDER / "search" / f"{algorithm}.json" if space is None else space
    if not path.is_file():
        raise ValueError(f"{path} is no file: give the ranges to search with --space")
    ranges = {name: how for name, how in load_config(path).items() if name != "source"}
    if "same as" in ranges:
        return _ranges(ranges["same as"], None)
    fields = ALGORITHMS[algorithm].Config.__dataclass_fields__  # type: ignore[attr-defined]
    for name, how in ranges.items():
        if name not in fields:
            raise ValueError(f"{path}: {algorithm} has no setting {name!r}; it has {', '.join(fields)}")
        kind, values = next(iter(how.items())) if isinstance(how, dict) and len(how) == 1 else ("", [])
        if kind not in KINDS or not isinstance(values, list) or len(values) < KINDS[kind]:
            raise ValueError(
                f'{path}: {name} must be {{"log": [LOW, HIGH]}}, {{"range": [LOW, HIGH]}}, {{"one of": [...]}} or '
                f'{{"linear": [START, END, PART OF THE RUN]}} with a [LOW, HIGH] each, got {json.dumps(how)}'
            )
    return ranges


def _drawn(trial: Any, name: str, how: dict[str, Any], steps: int) -> Any:
    """A value for a setting, as JSON has it."""
    ((kind, values),) = how.items()
    if kind == "one of":
        return json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in values]))
    if kind == "linear":
        parts = zip(("start", "end", "part"), values)
        start, end, part = (trial.suggest_float(f"{name} {which}", low, high) for which, (low, high) in parts)
        return f"linear:{start!r}:{end!r}:{max(round(part * steps), 1)}"
    return trial.suggest_float(name, *values, log=kind == "log")
