"""QR-DQN on CartPole-v1, with DQN's settings: `python experiments/qr_dqn_cartpole.py --seed 0`.

The same run in one line is `rlcore train qr-dqn --env CartPole-v1 --seed 0`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import Run
from rlcore.agents import QRDQN


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 50_000  # env steps
    n_quantiles: int = 10  # of the return of each action
    eval_every: int = 10_000  # env steps
    folder: Path = Path("runs/qr_dqn_cartpole")  # kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            QRDQN,
            env="CartPole-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            n_quantiles=settings.n_quantiles,
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
