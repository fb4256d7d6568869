"""`rlcore plot PATH ...`: learning curves with intervals as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import numpy as np

from rlcore.harness.plot import Curve, curve, draw
from rlcore.harness.runs import By, find
from rlcore.harness.stats import iqm


def main(
    paths: tuple[Path, ...] = (Path("runs"),),
    /,
    out: Path = Path("curves.png"),
    x: Literal["steps", "time"] = "steps",
    mean: bool = False,
    all_runs: bool = False,
    unfinished: bool = False,
    by: By = "settings",
) -> None:
    """Draw the evaluations of the runs in and under some paths as learning curves.

    Runs of one environment that differ by their seeds alone are a group: a line is the interquartile mean of its runs,
    the band its 95 % bootstrap interval.

    Args:
        paths: run folders, folders with some under them, or patterns with wildcards.
        out: the picture, of the kind that its ending says (png, svg, pdf); one that exists is replaced.
        x: what goes to the right, environment steps or minutes of training.
        mean: the mean and its interval, not the interquartile mean.
        all_runs: draw every run, too, as a thin line.
        unfinished: take in unfinished runs; a line ends where the shortest of its runs does.
        by: path keeps apart what was found on different PATHs, commit what was trained at different commits.
    """
    found = find(paths, unfinished, by)
    column = "elapsed" if x == "time" else "steps"
    panels: dict[str, list[Curve]] = {}
    for group in found.groups:
        panels.setdefault(group.env, []).append(curve(group, column, np.mean if mean else iqm))
    name = "mean" if mean else "IQM"
    draw(panels, out, column, f"return ({name}, 95 % interval)", all_runs)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{out}: learning curves on {', '.join(panels)}")
