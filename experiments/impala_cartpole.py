"""IMPALA on CartPole-v1: `python experiments/impala_cartpole.py --seed 0`.

Eight environments in one process, which acts and learns in turn, so that the policy that acts is never an old one;
V-trace is for that, and `rlcore launch` for actors and learners that are processes of their own.
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
    folder: Path = Path(
        "runs/impala_cartpole"
    )  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    from rlcore.agents import IMPALA

    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            IMPALA,
            None,
            "CartPole-v1",
            seed=settings.seed,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            n_envs=8,
            n_steps=20,
            n_epochs=2,
            gae_lambda=0.95,
            ent_coef=0.0,
            vf_coef=0.5,
            max_grad_norm=0.5,
            learning_rate=f"linear:0.001:0:{settings.steps}",
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
