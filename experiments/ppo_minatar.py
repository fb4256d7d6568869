"""PPO on a MinAtar game: `python experiments/ppo_minatar.py --game breakout`; it needs `pip install minatar` (GPL).

Settings are those of gymnax (64 environments, MLP 256-256), with fewer environments and smaller minibatches, for 3
million steps.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import PPO, Run


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    game: str = "breakout"  # asterix, breakout, freeway, seaquest, space_invaders
    steps: int = 3_000_000  # env steps
    n_envs: int = 16
    eval_every: int = 150_000  # env steps
    folder: Path = Path("runs/ppo_minatar")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    from dqn_minatar import make_game

    def game():
        return make_game(settings.game)

    folder = settings.folder / f"s{settings.seed}"
    if folder.exists():
        run = Run.resume(folder, env=game, steps=settings.steps)
    else:
        run = PPO(
            game,
            seed=settings.seed,
            n_envs=settings.n_envs,
            folder=folder,
            eval_every=settings.eval_every,
            eval_episodes=20,
            checkpoint_every=10 * settings.eval_every,
            n_steps=128,
            batch_size=min(256, 128 * settings.n_envs),
            n_epochs=4,
            learning_rate=f"linear:0.0005:0:{settings.steps}",
            gamma=0.99,
            gae_lambda=0.95,
            clip_range=0.2,
            ent_coef=0.01,
            hidden=(256, 256),
        )
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
