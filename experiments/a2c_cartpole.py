"""A2C on CartPole-v1: `python experiments/a2c_cartpole.py --seed 0`.

Eight environments, an update after five steps of each, and a learning rate that falls to 0.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import Run


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 200_000  # env steps
    eval_every: int = 20_000  # env steps
    folder: Path = Path("runs/a2c_cartpole")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    from rlcore.agents import A2C

    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            A2C,
            None,
            "CartPole-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            n_envs=8,
            learning_rate=f"linear:0.002:0:{settings.steps}",
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
