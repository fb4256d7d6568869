"""DQN on Pong from pixels in a million frames: `python experiments/dqn_pong.py --seed 0`.

Settings are RL Zoo's for 10 million steps, but for less exploration, a smaller replay and three-step returns. Another
game: `--game breakout`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import rng
from rlcore.agents import DQN, DQNConfig
from rlcore.envs import SerialEnv
from rlcore.envs.atari import atari
from rlcore.envs.wrappers import RecordVideo
from rlcore.explorers import Schedule
from rlcore.harness import Checkpoint, Evaluation, Progress, Recorder, evaluate, train


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    game: str = "pong"
    steps: int = 250_000  # env steps of 4 frames
    buffer_size: int = 50_000  # transitions, 28 kB each
    learning_starts: int = 10_000  # env steps before the first update
    eval_every: int = 25_000  # env steps
    eval_episodes: int = 8
    folder: Path = Path("runs/dqn_pong")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    config = DQNConfig(
        learning_rate=Schedule(1e-4),  # at 2.5e-4 most units of the first layer die in 300 updates
        buffer_size=settings.buffer_size,
        learning_starts=settings.learning_starts,
        batch_size=32,
        n_step=3,
        update_every=4,
        gradient_steps=1,
        target_update_interval=250,  # updates: 1,000 env steps
        epsilon=Schedule(1.0, 0.02, 100_000),
    )
    env = SerialEnv(atari(settings.game), seed=settings.seed)
    agent = DQN.from_spaces(env.observation_space, env.action_space, config, rng.generator(settings.seed))

    folder = settings.folder / f"s{settings.seed}"
    recorder = Recorder(folder, n_envs=1)
    games, n_envs = atari(settings.game, evaluation=True), min(8, settings.eval_episodes)  # whole games, raw scores
    film = RecordVideo(SerialEnv(games, n_envs, settings.seed + 1_000_000), folder / "videos")
    numbers = settings.eval_every, settings.eval_episodes
    evaluation = Evaluation(agent, film, *numbers, recorder, best=folder / "best", video=film)
    parts = {"agent": agent, "env": env, "recorder": recorder, "evaluation": evaluation}
    checkpoint = Checkpoint(folder / "checkpoints", settings.eval_every, **parts)
    t = checkpoint.restore()
    if t == 0:
        recorder.clear_files()  # of a run that ended before its first checkpoint

    progress = Progress(recorder, settings.steps, t)
    try:
        t = train(agent, env, settings.steps, [recorder, evaluation, progress, checkpoint], t)
        checkpoint.save(t)
    finally:
        progress.close()
        recorder.flush_files()

    fresh = SerialEnv(games, n_envs, settings.seed + 2_000_000)
    returns, _ = evaluate(agent.policy(), fresh, settings.eval_episodes)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
