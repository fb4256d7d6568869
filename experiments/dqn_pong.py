"""Double DQN on Pong from pixels in 1.6 million frames: `python experiments/dqn_pong.py --seed 0`.

The network is the smaller one of Mnih et al. 2013, whose update takes two fifths of the time of Nature's; returns of
three steps, an update every other step and little exploration make up for few frames. Another game: `--game breakout`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import rng
from rlcore.agents import DoubleDQN, DQNConfig
from rlcore.agents.base import rows_of
from rlcore.autograd import Chain
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import Adam
from rlcore.buffers import Replay
from rlcore.envs import SerialEnv
from rlcore.envs.atari import atari
from rlcore.envs.wrappers import RecordVideo
from rlcore.explorers import EpsilonGreedy, Schedule
from rlcore.harness import Checkpoint, Evaluation, Progress, Recorder, evaluate, train


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    game: str = "pong"
    steps: int = 400_000  # env steps of 4 frames
    buffer_size: int = 100_000  # transitions, 28 kB each
    learning_starts: int = 10_000  # env steps before the first update
    eval_every: int = 25_000  # env steps
    eval_episodes: int = 4
    folder: Path = Path("runs/dqn_pong")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


class Network(Chain):
    """The smaller network of Mnih et al. 2013: frames (N, 4, 84, 84) to action values (N, A)."""

    def __init__(self, n_actions):
        super().__init__()
        self.conv1 = L.Convolution2D(4, 16, 8, 4, scale=1 / 255, relu=True)
        self.conv2 = L.Convolution2D(16, 32, 4, 2, relu=True)
        self.hidden = L.Linear(32 * 9 * 9, 256, relu=True)
        self.value = L.Linear(256, n_actions)

    def forward(self, x):
        h = self.conv2(self.conv1(x))
        return self.value(self.hidden(h.reshape(len(x), -1)))


def main(settings: Settings) -> None:
    config = DQNConfig(
        learning_rate=Schedule(1e-4),
        buffer_size=settings.buffer_size,
        learning_starts=settings.learning_starts,
        batch_size=32,
        n_step=3,
        update_every=2,
        gradient_steps=1,
        target_update_interval=500,  # updates: 1,000 env steps
        epsilon=Schedule(1.0, 0.02, 60_000),
    )
    rng.seed(settings.seed)  # the network's first weights
    sampling, acting, own = rng.spawn(settings.seed, 3)
    env = SerialEnv(atari(settings.game), seed=settings.seed)
    columns = {"obs": rows_of(env.observation_space), "action": ((), "int64")}
    replay = Replay(config.buffer_size, columns, sampling, config.n_step, config.gamma)
    q = Network(int(env.action_space.n))
    optimizer = Adam(1e-4, eps=1.5e-4, corrected_eps=True)  # that eps, as Hessel et al. 2018: rewards are rare
    agent = DoubleDQN(q, optimizer, replay, EpsilonGreedy(config.exploration, acting), config, own)

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
