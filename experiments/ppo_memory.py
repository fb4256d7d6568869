"""PPO on CartPole-v1 without velocities, with an LSTM or without: `python experiments/ppo_memory.py --units 32`.

One observation does not say which way the pole falls. Without a memory (`--units 0`) it stays near 50 of 500.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import PPO, Run


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 200_000  # env steps
    units: int = 32  # of the LSTM; 0: none
    eval_every: int = 20_000  # env steps
    folder: Path = Path("runs/ppo_memory")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def positions():
    """CartPole-v1 whose observations are the positions of cart and pole alone."""
    import gymnasium
    import numpy as np

    env = gymnasium.make("CartPole-v1")
    seen = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    return gymnasium.wrappers.TransformObservation(env, lambda obs: obs[[0, 2]], seen)


def main(settings: Settings) -> None:
    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, env=positions, steps=settings.steps)
    else:
        run = PPO(
            positions,
            seed=settings.seed,
            n_envs=8,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            n_steps=64,
            batch_size=256,
            n_epochs=10,
            learning_rate=f"linear:0.002:0:{settings.steps}",
            gamma=0.98,
            gae_lambda=0.9,
            lstm_hidden_size=settings.units or None,
            sequence_length=32,
            share_layers=False,
            hidden=(32,) if settings.units else (64, 64),
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
