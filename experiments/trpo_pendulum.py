"""TRPO on Pendulum-v1: `python experiments/trpo_pendulum.py --seed 0`.

Settings are those of the RL Zoo, without its state-dependent exploration.
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
    folder: Path = Path("runs/trpo_pendulum")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    from rlcore.agents import TRPO

    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            TRPO,
            None,
            "Pendulum-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            n_envs=2,
            n_steps=1_024,
            gamma=0.9,
            n_critic_updates=15,
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
