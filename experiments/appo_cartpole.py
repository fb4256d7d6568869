"""APPO on CartPole-v1: `python experiments/appo_cartpole.py --seed 0`.

PPO's clipped surrogate on V-trace, with the settings of PPO; eight environments in one process.
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
    folder: Path = Path("runs/appo_cartpole")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    from rlcore.agents import APPO

    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            APPO,
            None,
            "CartPole-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            n_envs=8,
            n_steps=32,
            batch_size=256,
            n_epochs=20,
            gamma=0.98,
            gae_lambda=0.8,
            ent_coef=0.0,
            vf_coef=0.5,
            max_grad_norm=0.5,
            normalize_advantage=True,
            learning_rate=f"linear:0.001:0:{settings.steps}",
            clip_range=f"linear:0.2:0:{settings.steps}",
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
