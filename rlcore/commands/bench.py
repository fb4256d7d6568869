"""`rlcore bench ALGORITHM`: where the time of a training step goes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlcore.agents import ALGORITHMS
from rlcore.api import Run
from rlcore.harness import Recorder
from rlcore.harness.config import from_dict
from rlcore.harness.profile import Profile, profile, ruler
from rlcore.harness.tuned import tuned

PARTS = {
    "act": "the agent's act()",
    "env": "the environment's step()",
    "observe": "the agent's observe()",
    "update": "the agent's update()",
    "hooks": "the recorder",
    "rest": "the loop, and the clocks",
}


def main(
    algorithm: str, /, env: str = "CartPole-v1", steps: int = 20_000, n_envs: int | None = None, repeats: int = 5,
    seed: int = 0,
) -> None:  # fmt: skip
    """Train for a while, and say how long acting, the environment, updates and the rest take.

    With the settings that rlcore has for the environment, else with the algorithm's defaults; with the recorder as a
    hook, without evaluations and checkpoints. Half of the steps run without clocks: they give the steps per second.

    Args:
        algorithm: its name in `rlcore train`.
        env: Gymnasium id.
        steps: rows that are timed, one per environment and step; a little more, so that whole rounds of updates are.
        n_envs: environments stepped together.
        repeats: stretches into which the steps are cut; medians over these are shown.
        seed: of everything that is drawn.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algorithm!r}; known are {', '.join(ALGORITHMS)}")
    if steps < 1 or repeats < 1:
        raise ValueError(f"--steps and --repeats must be at least 1, got {steps} and {repeats}")
    cls, given = ALGORITHMS[algorithm], tuned(algorithm, env)
    config: Any = from_dict(cls.Config, given.get("agent", {}))
    n = given.get("n_envs", 1) if n_envs is None else n_envs
    run = Run(cls, config, env, seed, n, **given.get("envs", {}))
    with TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), n)
        found = profile(run.agent, run.env, max(1, steps // (2 * repeats)), repeats, [recorder])
    run.env.close()
    settings = "tuned settings" if given else "default settings"
    print(f"{algorithm} on {env}, {n} environment{'s' * (n > 1)}, {settings}")
    print(f"medians of {repeats} stretches of {found.rows:,} rows, an update every {found.period:,} rows\n")
    print("\n".join(_table(found)))
    print(f"\n{1e6 / found.untimed:,.0f} steps/s ({found.untimed:.1f} us a row without the clocks)")
    print(f"ruler: np.add on one element takes {ruler():.2f} us")


def _table(found: Profile) -> list[str]:
    lines = [f"{'':8} {'us a row':>9} {'share':>6}"]
    for name, taken in found.parts.items():
        lines.append(f"{name:8} {taken:9.1f} {taken / found.timed:6.0%}  {PARTS[name]}")
    return [*lines, f"{'all':8} {found.timed:9.1f} {1:6.0%}"]
