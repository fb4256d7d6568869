"""Run folders made by hand, with scores that can be worked out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlcore.harness.record import SCORES


def run_folder(
    root: Path,
    scores: list[float],
    seed: int = 0,
    env: str | None = "CartPole-v1",
    algorithm: str = "dqn",
    every: int = 100,
    finished: bool = True,
    commit: str = "abc",
    time: str = "20260101-000000",
    seconds: float = 1.0,
    agent: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    """A run evaluated every so many steps and seconds, with these mean returns."""
    folder = root / (env or "made") / algorithm / f"{time}-s{seed}"
    folder.mkdir(parents=True)
    header = {
        "algorithm": algorithm, "env": env, "observation_space": "Box", "action_space": "Discrete(2)", "seed": seed,
        "agent": {"learning_rate": "0.001", "hidden": [8, 8], **(agent or {})}, "envs": {"vector": "serial"},
        "monitor": {"log_every": 10, "eval_every": every, "eval_episodes": 20}, "n_envs": 1,
        "steps": len(scores) * every, **config,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(header))
    (folder / "commit.txt").write_text(commit + "\n")
    lines = ["\t".join(SCORES)]
    for k, mean in enumerate(scores, 1):
        lines.append("\t".join(map(str, (k * every, k, k * seconds, mean, mean, 0.0, mean, mean))))
    (folder / "scores.tsv").write_text("\n".join(lines) + "\n")
    if finished:
        (folder / "finished").touch()
    return folder
