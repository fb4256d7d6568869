"""DDPG on Pendulum-v1 by the short form: `python experiments/ddpg_pendulum.py --seed 0`.

Settings are those of RL Baselines3 Zoo, which come with `rlcore train ddpg --env Pendulum-v1` as well.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import Run
from rlcore.agents import DDPG


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 20_000  # env steps
    learning_starts: int = 10_000  # env steps before the first update; until then actions are uniform
    eval_every: int = 5_000  # env steps
    folder: Path = Path("runs/ddpg_pendulum")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            DDPG,
            env="Pendulum-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            checkpoint_every=10_000,
            learning_rate=1e-3,
            buffer_size=200_000,
            learning_starts=settings.learning_starts,
            gamma=0.98,
            action_noise=(0.1,),
            hidden=(400, 300),
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
