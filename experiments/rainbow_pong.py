"""Rainbow on Pong from pixels in few steps: `python experiments/rainbow_pong.py --seed 0`.

Rate, noise and target are those of the data-efficient Rainbow (van Hasselt et al. 2019), the rest is Hessel et al.'s;
there is one update every 4 steps. Another game: `--game Breakout`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import Run
from rlcore.agents import Rainbow


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    game: str = "Pong"
    steps: int = 250_000  # env steps of 4 frames
    buffer_size: int = 250_000  # rows, 7 kB each
    learning_starts: int = 10_000  # env steps before the first update
    update_every: int = 4  # env steps between updates
    eval_every: int = 25_000  # env steps
    eval_episodes: int = 8
    folder: Path = Path("runs/rainbow_pong")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, steps=settings.steps)
    else:
        run = Run(
            Rainbow,
            env=f"ALE/{settings.game}-v5",
            seed=settings.seed,
            folder=folder,
            atari="dqn",
            eval_every=settings.eval_every,
            eval_episodes=settings.eval_episodes,
            checkpoint_every=settings.eval_every,
            learning_rate=1e-4,
            buffer_size=settings.buffer_size,
            learning_starts=settings.learning_starts,
            update_every=settings.update_every,
            target_update_interval=500,  # updates: 2,000 env steps
            noisy_sigma=0.1,
            priority_beta=f"linear:0.4:1:{settings.steps}",
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(settings.eval_episodes)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
