"""Learning curves as a picture: for each environment a panel, for each group of runs a line with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlcore.harness.runs import Group, curves
from rlcore.harness.stats import bootstrap, iqm
from rlcore.rng import generator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008
DASHES = ("-", "--", ":", "-.")  # when the colours have been used up
RESAMPLES = 2_000  # of each point


class Curve(NamedTuple):
    """What is drawn of a group: points (T,), the middle line, its interval (of 3 runs or more), the runs (n, T)."""

    label: str
    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    runs: np.ndarray


def curve(group: Group, x: str = "steps", statistic: Callable[..., Any] = iqm, seed: int = 0) -> Curve:
    """The statistic of a group at the points all its runs cover, with its bootstrap interval; whole runs are drawn."""
    points, runs = curves(group.runs, x)
    if not len(points):
        raise ValueError(f"the runs of {group.label} on {group.env} have no evaluations at a common {x}")
    found = bootstrap([runs], generator(seed), statistic, RESAMPLES)
    label = f"{group.label} ({len(runs)} seed{'s' * (len(runs) > 1)})"
    if len(runs) < 3:  # an interval of these could not be trusted
        return Curve(label, points, found.value, None, None, runs)
    return Curve(label, points, found.value, found.low, found.high, runs)


def draw(
    panels: Mapping[str, Sequence[Curve]], path: str | Path, x: str = "steps", y: str = "return", all_runs: bool = False
) -> None:
    """Write a picture of panels, title -> curves; the ending of path says of which kind (png, svg, pdf).

    all_runs: each run as a thin line; so are the runs of a group that has too few for an interval. ValueError without
    matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError('pictures need matplotlib: pip install "rlcore[plot]"') from None
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(5.2 * columns, 6.4), 4.0 * rows), dpi=150, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    kind = Path(path).suffix[1:].lower()
    if kind not in canvas.get_supported_filetypes():
        known = ", ".join(sorted(canvas.get_supported_filetypes()))
        raise ValueError(f"{path}: no pictures of kind {kind!r}; the ending must be one of {known}")
    labels = list(dict.fromkeys(c.label.rpartition(" (")[0] for drawn in panels.values() for c in drawn))
    for k, (title, drawn) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, k + 1)
        for one in drawn:
            _draw_curve(axes, one, labels.index(one.label.rpartition(" (")[0]), x, all_runs)
        _dress(axes, title, x, y)
    figure.savefig(path)


def _draw_curve(axes: Any, one: Curve, place: int, x: str, all_runs: bool) -> None:
    """A group has one colour in all panels."""
    colour, dash = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
    points = one.x / 60 if x == "elapsed" else one.x
    single = {"marker": "o", "markersize": 4} if len(points) == 1 else {}
    if one.low is not None:
        axes.fill_between(points, one.low, one.high, color=colour, alpha=0.2, linewidth=0)
    if len(one.runs) > 1 and (all_runs or one.low is None):
        axes.plot(points, one.runs.T, color=colour, linestyle=dash, linewidth=0.7, alpha=0.35)
    axes.plot(points, one.middle, color=colour, linestyle=dash, linewidth=1.8, label=one.label, **single)


def _dress(axes: Any, title: str, x: str, y: str) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_title(title, fontsize=11)
    axes.set_xlabel("minutes" if x == "elapsed" else "environment steps", fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15))  # below: it hides nothing


def _thousands(value: float, position: int | None = None) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"
