"""REINFORCE with a learned baseline on CartPole-v1: `python experiments/reinforce_cartpole.py --seed 0`.

Eight episodes make an update; four environments play them, and what is unfinished waits for the next one.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import Run


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 100_000  # env steps
    eval_every: int = 10_000  # env steps
    folder: Path = Path(
        "runs/reinforce_cartpole"
    )  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    from rlcore.agents import REINFORCE

    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            REINFORCE,
            None,
            "CartPole-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            n_envs=4,
            learning_rate=f"linear:0.01:0:{settings.steps}",
            n_episodes=8,
            normalize_advantage=True,
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
