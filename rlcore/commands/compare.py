"""`rlcore compare PATH ...`: what groups of runs have scored, with intervals, and which is better."""

from __future__ import annotations

import json as jsons
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from rlcore.harness import stats
from rlcore.harness.runs import By, Found, Group, common_end, find, score
from rlcore.harness.stats import Interval, Verdict, number, span
from rlcore.rng import generator

Metric = Literal["final", "best", "last-k", "auc"]
SAYS = {
    "final": "last evaluation",
    "best": "best evaluation (which flatters noisy runs)",
    "last-k": "mean of the last {last} evaluations",
    "auc": "mean height of the learning curve",
}


class Row(NamedTuple):
    """A group and what it has scored; steps and seconds: medians at the evaluation up to which scores are taken."""

    group: Group
    scores: np.ndarray
    iqm: Interval
    steps: float
    seconds: float


def main(
    paths: tuple[Path, ...] = (Path("runs"),),
    /,
    metric: Metric = "final",
    last: int = 5,
    until: int | None = None,
    unfinished: bool = False,
    by: By = "settings",
    baseline: str | None = None,
    markdown: bool = False,
    json: Path | None = None,
    gate: float | None = None,
    strict: bool = False,
    resamples: int = stats.RESAMPLES,
    seed: int = 0,
) -> None:
    """Compare the runs in and under some paths.

    Runs of one environment that differ by their seeds alone are a group. For each there is the interquartile mean of
    its scores with a stratified-bootstrap 95 % interval, for each pair of groups a verdict.

    Args:
        paths: run folders, folders with some under them, or patterns with wildcards.
        metric: score of a run: its last evaluation, its best one, the mean of the last ones, or the area under the
            curve over its length.
        last: how many evaluations last-k takes.
        until: use evaluations up to this step only.
        unfinished: take in unfinished runs; an environment's runs are then compared where the shortest has got to.
        by: path keeps apart what was found on different PATHs, commit what was trained at different commits.
        baseline: compare with this group only: its label, or a part that no other label has.
        markdown: print tables in Markdown.
        json: write all numbers into this file.
        gate: exit with code 1 if the IQM of a group is below this.
        strict: exit with code 1 if a group is worse than the baseline.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    if last < 1:
        raise ValueError(f"--last must be at least 1, got {last}")
    if strict and baseline is None:
        raise ValueError("--strict needs a --baseline")
    found = find(paths, unfinished, by)
    rows = _rows(found, metric, last, until, unfinished, resamples, seed)
    pairs = _pairs(rows, baseline)
    verdicts = [
        (
            a,
            b,
            stats.compare((a.group.label, b.group.label), a.scores, b.scores, generator(seed), a.group.env, resamples),
        )
        for a, b in pairs
    ]
    overall = _overall(pairs, resamples, seed)
    print(_report(rows, SAYS[metric].format(last=last), markdown))
    for line in [*[verdict.words for *_, verdict in verdicts], *[words for *_, words in overall]]:
        print(f"- {line}" if markdown else line)
    for note in [*found.notes, *_cautions(rows, len(pairs))]:
        print(f"note: {note}", file=sys.stderr)
    if json is not None:
        json.write_text(jsons.dumps(_numbers(rows, verdicts, overall, metric, found), indent=2) + "\n")
    below = [row for row in rows if gate is not None and row.iqm.value < gate]
    for row in below:
        print(f"below the gate: {row.group.label} on {row.group.env} has IQM {number(row.iqm.value)}", file=sys.stderr)
    if below or (strict and any(verdict.sign < 0 for *_, verdict in verdicts)):
        sys.exit(1)


def _rows(
    found: Found, metric: str, last: int, until: int | None, unfinished: bool, resamples: int, seed: int
) -> list[Row]:
    rows = []
    for group in found.groups:
        here = [run for other in found.groups if other.env == group.env for run in other.runs]
        end = np.inf if until is None else until
        if unfinished and not all(run.finished for run in here):
            end = min(end, common_end(here))
        for run in group.runs:
            if run.scores["steps"][0] > end:
                raise ValueError(f"{run.path} has no evaluation up to step {end:,.0f}: its first is later")
        scores = np.array([score(run, metric, last, end) for run in group.runs])
        at = [np.searchsorted(run.scores["steps"], end, side="right") - 1 for run in group.runs]
        steps, seconds = (
            float(np.median([run.scores[name][k] for run, k in zip(group.runs, at)])) for name in ("steps", "elapsed")
        )
        rows.append(Row(group, scores, stats.bootstrap([scores], generator(seed), resamples=resamples), steps, seconds))
    return rows


def _pairs(rows: list[Row], baseline: str | None) -> list[tuple[Row, Row]]:
    """The rows to be compared, the baseline second."""
    by_env = [[row for row in rows if row.group.env == env] for env in dict.fromkeys(row.group.env for row in rows)]
    if baseline is None:
        return [pair for here in by_env for pair in combinations(here, 2)]
    pairs = []
    for here in by_env:
        exact = [row for row in here if row.group.label == baseline]
        matching = exact or [row for row in here if baseline in row.group.label]
        if len(matching) != 1:
            labels = ", ".join(repr(row.group.label) for row in here)
            raise ValueError(f"--baseline {baseline!r} fits {len(matching)} groups on {here[0].group.env}: {labels}")
        pairs += [(row, matching[0]) for row in here if row is not matching[0]]
    return pairs


def _overall(pairs: list[tuple[Row, Row]], resamples: int, seed: int) -> list[tuple[str, str, Interval, str]]:
    """For each two labels that meet on several environments: the probability of improvement over all of them."""
    meetings: dict[tuple[str, str], list[tuple[Row, Row]]] = {}
    for a, b in pairs:
        meetings.setdefault((a.group.label, b.group.label), []).append((a, b))
    found = []
    for (one, other), met in meetings.items():
        if len(met) > 1:
            scores = [a.scores for a, _ in met], [b.scores for _, b in met]
            p = stats.probability_of_improvement(*scores, generator(seed), resamples)
            numbers = f"{p.value:.2f} [{p.low:.2f}, {p.high:.2f}]"
            found.append((one, other, p, f"over {len(met)} environments, P({one} > {other}) = {numbers}"))
    return found


def _report(rows: list[Row], says: str, markdown: bool) -> str:
    lines = []
    for env in dict.fromkeys(row.group.env for row in rows):
        here = [row for row in rows if row.group.env == env]
        episodes = {row.group.runs[0].config["monitor"].get("eval_episodes") for row in here}
        of = f", returns over {episodes.pop()} episodes" if len(episodes) == 1 else ""
        table = [["group", "seeds", "IQM", "95 % interval", "mean", "median", "min", "max", "steps", "wall time"]]
        for row in here:
            x = row.scores
            interval = span(row.iqm) if len(x) > 1 else "-"
            cells = [number(row.iqm.value), interval, *map(number, (x.mean(), np.median(x), x.min(), x.max()))]
            table.append([row.group.label, str(len(x)), *cells, f"{row.steps:,.0f}", _time(row.seconds)])
        lines += [f"**{env}**: {says}{of}" if markdown else f"{env}: {says}{of}", *([""] if markdown else [])]
        lines += [*_table(table, markdown), ""]
    return "\n".join(lines)


def _table(table: list[list[str]], markdown: bool) -> list[str]:
    """Aligned columns: words to the left, numbers to the right."""
    if markdown:
        rule = "|---|" + "---:|" * (len(table[0]) - 1)
        body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
        return [body[0], rule, *body[1:]]
    widths = [max(map(len, column)) for column in zip(*table)]
    return [
        "  ".join([row[0].ljust(widths[0]), *[cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]]) for row in table
    ]


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _cautions(rows: list[Row], pairs: int) -> list[str]:
    """What the numbers cannot carry."""
    found = []
    few = min(len(row.scores) for row in rows)
    if few < 3:
        found.append("an interval of fewer than 3 runs cannot be trusted; train more seeds")
    elif few < stats.FEW:
        found.append(f"intervals of fewer than {stats.FEW} runs are too narrow: at 3 runs they cover 75 %, not 95 %")
    for env in dict.fromkeys(row.group.env for row in rows):
        steps = sorted({row.steps for row in rows if row.group.env == env})
        if len(steps) > 1:
            text = " and ".join(f"{s:,.0f}" for s in (steps[0], steps[-1]))
            found.append(f"groups on {env} are compared after {text} steps; --until compares them at one step")
    if pairs >= 3:
        found.append(f"{pairs} verdicts at 95 % each: about one in 20 is wrong where there is no difference")
    return found


def _numbers(
    rows: list[Row],
    verdicts: Sequence[tuple[Row, Row, Verdict]],
    overall: Sequence[tuple[str, str, Interval, str]],
    metric: str,
    found: Found,
) -> dict[str, Any]:
    """All numbers, as JSON values."""
    return {
        "metric": metric,
        "groups": [
            {
                "env": row.group.env,
                "label": row.group.label,
                "seeds": [run.config["seed"] for run in row.group.runs],
                "scores": row.scores.tolist(),
                "iqm": _plain(row.iqm),
                "mean": float(row.scores.mean()),
                "median": float(np.median(row.scores)),
                "steps": row.steps,
                "seconds": row.seconds,
                "runs": [str(run.path) for run in row.group.runs],
                "settings": row.group.runs[0].settings,
            }
            for row in rows
        ],
        "verdicts": [
            {
                "env": a.group.env,
                "a": a.group.label,
                "b": b.group.label,
                "better": {1: "a", -1: "b", 0: None}[verdict.sign],
                "iqm_difference": _plain(verdict.difference),
                "probability_of_improvement": _plain(verdict.improvement),
                "seeds_needed": verdict.seeds,
                "words": verdict.words,
            }
            for a, b, verdict in verdicts
        ],
        "over_environments": [{"a": a, "b": b, "probability_of_improvement": _plain(p)} for a, b, p, _ in overall],
        "notes": found.notes,
    }


def _plain(interval: Interval) -> dict[str, float]:
    return {name: float(value) for name, value in interval._asdict().items()}
