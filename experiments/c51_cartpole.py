"""C51 on CartPole-v1, with DQN's settings: `python experiments/c51_cartpole.py --seed 0`.

The same run in one line is `rlcore train c51 --env CartPole-v1 --seed 0`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import Run
from rlcore.agents import CategoricalDQN


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 50_000  # env steps
    v_max: float = 100.0  # the highest return that can be told: of reward 1 for ever, at gamma 0.99
    n_atoms: int = 51  # returns from 0 to v_max that have a probability
    double: bool = False  # the network chooses the successor's action, the target network values it
    eval_every: int = 10_000  # env steps
    folder: Path = Path("runs/c51_cartpole")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            CategoricalDQN,
            env="CartPole-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            v_min=0.0,
            v_max=settings.v_max,
            n_atoms=settings.n_atoms,
            double=settings.double,
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
