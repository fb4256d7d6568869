"""`rlcore export RUN`: a trained policy as a folder for NumPy alone, or as an ONNX file."""

from __future__ import annotations

from pathlib import Path

from rlcore.api import Run
from rlcore.commands.evaluate import take_best
from rlcore.harness.export import export_policy
from rlcore.harness.onnx import export_onnx


def main(run: Path, /, out: Path, best: bool = False, onnx: bool = False, env: str | None = None) -> None:
    """Export the policy of a run folder, with what the run's wrappers do to observations and actions.

    Args:
        run: the run folder.
        out: a new folder, which `rlcore.load_policy` reads; a new file with --onnx.
        best: take the policy of the best evaluation while training, not the last one.
        onnx: write an ONNX file.
        env: Gymnasium id, needed where that of the run is MODULE:ID: no file may import a module.
    """
    trained = Run.read(run, env)
    if best:
        take_best(trained, run)
    policy, about = trained.agent.policy(), {k: trained.header()[k] for k in ("algorithm", "env")}
    if onnx:
        export_onnx(out, policy, trained.env)
        print(f"{out}: inputs obs_0 ..., outputs action_0 ..., of any number of rows")
    else:
        export_policy(out, policy, trained.env, **about, steps=trained.t)
        print(f"{out}: rlcore.load_policy({str(out)!r}) acts by it; it needs NumPy and nothing else")
