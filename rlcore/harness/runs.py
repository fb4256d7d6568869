"""Run folders as data: found under paths, read, and put into groups that differ by their seeds alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlcore.envs.make import EnvConfig
from rlcore.harness.config import load_config, to_dict
from rlcore.harness.files import read
from rlcore.harness.header import HOW, check_header
from rlcore.harness.record import SCORES

By = Literal["settings", "path", "commit"]
SEEN = ("eval_every", "eval_episodes")  # of what is monitored: scores depend on them
ENVS = to_dict(EnvConfig())  # what is put around environments where an older config.json does not say it: nothing
SAID = 3  # differing settings that a label names, where fewer would do


@dataclass(frozen=True)
class RunData:
    """What a run folder holds of one run; scores: the columns of scores.tsv, in order of steps."""

    path: Path
    given: str  # the path on which it was found
    config: dict[str, Any]
    scores: dict[str, np.ndarray]
    finished: bool
    commit: str

    @property
    def env(self) -> str:
        """The environment's id, or its spaces if it was made without one."""
        c = self.config
        return c["env"] or f"{c['observation_space']} -> {c['action_space']}"

    @property
    def settings(self) -> dict[str, Any]:
        """All that makes a run but its environment, algorithm and seed, one name each."""
        c = self.config
        parts = {"agent": c["agent"], "envs": {**ENVS, **c["envs"]}}
        flat = {f"{k}.{name}": v for k, part in parts.items() for name, v in part.items() if name not in HOW}
        whole = ("n_envs", "steps", "observation_space", "action_space")
        return {**{name: c.get(name) for name in whole}, **{name: c["monitor"].get(name) for name in SEEN}, **flat}


@dataclass
class Group:
    """Runs of one environment that differ by their seeds alone."""

    env: str
    label: str
    runs: list[RunData]


@dataclass
class Found:
    """The groups in some paths, and in words what was left out of them and what to mind."""

    groups: list[Group]
    notes: list[str] = field(default_factory=list)


def find(paths: Sequence[str | Path], unfinished: bool = False, by: By = "settings") -> Found:
    """Read all runs in and under paths, which may hold wildcards; ValueError if there is none to be used.

    Left out, with a note each: runs that are not finished (unless asked for), have no evaluation, cannot be read, or
    repeat the seed of a newer run of their group. by: "path" and "commit" keep apart what differs in these.
    """
    notes: list[str] = []
    runs: list[RunData] = []
    for given, folder in _folders(paths):
        try:
            run = read_run(folder, given)
        except (OSError, ValueError) as error:
            notes.append(f"left out {folder}: {error}")
            continue
        if run.finished or unfinished:
            runs.append(run)
        else:
            notes.append(f"left out {folder}: it is not finished (--unfinished takes it in)")
    if not runs:
        raise ValueError("\n".join(["no runs to be used in " + " ".join(map(str, paths)), *notes]))
    return Found(_groups(runs, by, notes), notes)


def read_run(folder: Path, given: str = "") -> RunData:
    """One run folder; ValueError says what is wrong with it."""
    config = load_config(folder / "config.json")
    check_header(config, "config.json")
    commit = folder / "commit.txt"
    text = read(commit).decode(errors="replace").strip() if commit.exists() else "unknown"
    return RunData(folder, given, config, _scores(folder / "scores.tsv"), (folder / "finished").exists(), text)


def _folders(paths: Sequence[str | Path]) -> list[tuple[str, Path]]:
    """(path as given, run folder): each run once, in order of the paths, then of the names."""
    found: dict[Path, tuple[str, Path]] = {}
    for given in map(str, paths):
        tops = sorted(glob(given)) if has_magic(given) and not os.path.exists(given) else [given]
        if not tops or not all(map(os.path.exists, tops)):
            raise ValueError(f"{given} does not exist; expected run folders, or a folder with some under it")
        for top in tops:
            for here, folders, files in os.walk(top):
                folders.sort()
                if "config.json" in files:
                    found.setdefault(Path(here).resolve(), (given, Path(here)))
                    folders.clear()
    return list(found.values())


def _scores(path: Path) -> dict[str, np.ndarray]:
    try:
        lines = read(path).decode().splitlines()
    except FileNotFoundError:
        raise ValueError("it has no scores.tsv, so no evaluation yet") from None
    if not lines or tuple(lines[0].split("\t")) != SCORES:
        raise ValueError(f"scores.tsv does not begin with the columns {' '.join(SCORES)}")
    try:
        rows = np.array([[float(x) for x in line.split("\t")] for line in lines[1:]]).reshape(-1, len(SCORES))
    except ValueError:
        raise ValueError("scores.tsv has a line that is not of numbers, one for each column") from None
    if not len(rows):
        raise ValueError("its scores.tsv has no evaluation yet")
    if not np.isfinite(rows).all() or (np.diff(rows[:, 0]) <= 0).any():
        raise ValueError("scores.tsv has a number that is not finite, or steps that do not grow")
    return dict(zip(SCORES, rows.T))


def _groups(runs: list[RunData], by: By, notes: list[str]) -> list[Group]:
    """One group for each environment, algorithm and settings, labelled by the settings in which they differ."""
    kinds: dict[tuple[str, str], list[tuple[dict[str, Any], list[RunData]]]] = {}
    for run in runs:
        settings = run.settings | ({} if by == "settings" else {by: run.given if by == "path" else run.commit[:10]})
        alike = kinds.setdefault((run.env, run.config["algorithm"]), [])
        same = next((members for known, members in alike if known == settings), None)
        if same is None:
            alike.append((settings, [run]))
        else:
            same.append(run)
    groups = []
    for (env, algorithm), alike in sorted(kinds.items()):
        told, untold = _differing([settings for settings, _ in alike])
        if untold:
            notes.append(f"groups of {algorithm} on {env} differ in {', '.join(untold)}, too")
        for words, (_, members) in zip(told, alike):
            label = " ".join([algorithm, *words])
            groups.append(Group(env, label, _one_of_each_seed(members, notes)))
            commits = sorted({run.commit for run in members})
            if len(commits) > 1:
                notes.append(f"{label} on {env} mixes runs of {len(commits)} commits (--by commit keeps them apart)")
    return groups


def _differing(all_: list[dict[str, Any]]) -> tuple[list[list[str]], list[str]]:
    """For each the texts name=value by which all can be told apart, and the names of what differs besides.

    Up to three differing settings are said, of more the fewest that tell all apart; names are the shortest clear ones.
    """
    names = list({name: None for settings in all_ for name in settings})
    short = [name.rpartition(".")[2] for name in names]
    said = {name: s if short.count(s) == 1 else name for name, s in zip(names, short)}
    rest = [name for name in names if any(other.get(name) != all_[0].get(name) for other in all_)]
    spaces = [name for name in rest if name.endswith("_space")]
    brief = [name for name in rest if name not in spaces]
    told: list[str] = []
    if len(brief) <= SAID and _kinds(all_, brief) == len(all_):
        return [_words(own, brief, said) for own in all_], []  # spaces are long, and follow from what was said
    while _kinds(all_, told) < len(all_):
        told.append(max(rest, key=lambda name: (_kinds(all_, [*told, name]), name not in spaces)))
    return [_words(own, told, said) for own in all_], [said[name] for name in brief if name not in told]


def _kinds(all_: list[dict[str, Any]], names: list[str]) -> int:
    """How many kinds of settings these names tell apart."""
    return len({repr([settings.get(name) for name in names]) for settings in all_})


def _words(own: dict[str, Any], names: list[str], said: dict[str, str]) -> list[str]:
    return [f"{said[name]}={_short(own.get(name))}" for name in names]


def _short(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _one_of_each_seed(runs: list[RunData], notes: list[str]) -> list[RunData]:
    """The newest run of each seed, by seed: a run done twice is one observation, not two."""
    newest: dict[int, RunData] = {}
    for run in sorted(runs, key=lambda run: run.path.name):
        seed = run.config["seed"]
        if seed in newest:
            notes.append(f"left out {newest[seed].path}: {run.path.name} is a newer run of the same seed and settings")
        newest[seed] = run
    return [newest[seed] for seed in sorted(newest)]


# curves and scores
def score(run: RunData, metric: str = "final", last: int = 5, until: float = np.inf) -> float:
    """One number for a run, from its evaluations up to step `until`.

    metric: "final", the last evaluation; "best"; "last-k", the mean of the `last` newest; "auc", the mean height of the
    curve between its first and its last evaluation (trapezoids).
    """
    steps = run.scores["steps"]
    kept = steps <= until
    x, y = steps[kept], run.scores["mean"][kept]
    if metric == "best":
        return float(y.max())
    if metric == "last-k":
        return float(y[-last:].mean())
    if metric == "auc" and len(x) > 1:
        return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (x[-1] - x[0]))
    return float(y[-1])


def common_end(runs: Iterable[RunData]) -> float:
    """The last step that all runs have reached."""
    return min(run.scores["steps"][-1] for run in runs)


def curves(runs: Sequence[RunData], x: str = "steps", until: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Common points (T,) and mean returns there (n, T), between evaluations by linear interpolation.

    x: "steps", or "elapsed", seconds. The points are those of all runs, within what all of them cover.
    """
    own = [run.scores[x] for run in runs]
    points = np.unique(np.concatenate(own))
    low, high = max(p[0] for p in own), min(min(p[-1] for p in own), until)
    points = points[(points >= low) & (points <= high)]
    return points, np.array([np.interp(points, p, run.scores["mean"]) for p, run in zip(own, runs)])
