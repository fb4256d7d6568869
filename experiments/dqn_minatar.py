"""DQN on a MinAtar game with a network of one's own: `python experiments/dqn_minatar.py --game breakout`.

Network and settings are those of Young and Tian 2019, but for Adam. It needs `pip install minatar`, which is under GPL.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import rng
from rlcore.agents import DQN, DQNConfig
from rlcore.autograd import Chain
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import Adam
from rlcore.buffers import Replay
from rlcore.envs import SerialEnv
from rlcore.explorers import EpsilonGreedy, Schedule
from rlcore.harness import Checkpoint, Evaluation, Progress, Recorder, evaluate, train


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    game: str = "breakout"  # asterix, breakout, freeway, seaquest, space_invaders
    steps: int = 1_000_000  # env steps; the paper has 5 million
    learning_starts: int = 5_000  # env steps before the first update
    eval_every: int = 50_000  # env steps
    folder: Path = Path("runs/dqn_minatar")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


class Network(Chain):
    """Grids of bool (N, 10, 10, channels) to action values (N, A)."""

    def __init__(self, channels, n_actions):
        super().__init__()
        self.conv = L.Convolution2D(channels, 16, 3)
        self.hidden = L.Linear(16 * 8 * 8, 128)
        self.value = L.Linear(128, n_actions)

    def forward(self, x):
        h = F.relu(self.conv(x.transpose(0, 3, 1, 2).astype("float32")))
        return self.value(F.relu(self.hidden(h)))


def make_game(name):
    """An environment by MinAtar's own package, whose sticky actions would repeat the last one of the episode before."""
    import gymnasium
    from minatar.gym import BaseEnv

    class Game(BaseEnv):
        def reset(self, seed=None, options=None):
            self.game.last_action = 0
            return super().reset(seed, options)

    return gymnasium.wrappers.TimeLimit(Game(name, use_minimal_action_set=True), 5_000)


def main(settings: Settings) -> None:
    config = DQNConfig(
        learning_rate=Schedule(2.5e-4),
        learning_starts=settings.learning_starts,
        batch_size=32,
        n_step=1,
        update_every=1,
        gradient_steps=1,
        target_update_interval=1_000,
        epsilon=Schedule(1.0, 0.1, 100_000),
    )
    rng.seed(settings.seed)  # the network's first weights
    sampling, acting, own = rng.spawn(settings.seed, 3)
    env = SerialEnv(lambda: make_game(settings.game), seed=settings.seed)

    q = Network(env.observation_space.shape[-1], int(env.action_space.n))
    columns = {"obs": (env.observation_space.shape, "bool"), "action": ((), "int64")}
    replay = Replay(config.buffer_size, columns, sampling, config.n_step, config.gamma)
    agent = DQN(q, Adam(corrected_eps=True), replay, EpsilonGreedy(config.exploration, acting), config, own)

    folder = settings.folder / f"s{settings.seed}"
    recorder = Recorder(folder, n_envs=1)
    test_env = SerialEnv(lambda: make_game(settings.game), n_envs=8, seed=settings.seed + 1_000_000)
    evaluation = Evaluation(agent, test_env, settings.eval_every, 20, recorder, best=folder / "best")
    parts = {"agent": agent, "env": env, "recorder": recorder, "evaluation": evaluation}
    checkpoint = Checkpoint(folder / "checkpoints", 100_000, **parts)
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

    fresh = SerialEnv(lambda: make_game(settings.game), n_envs=8, seed=settings.seed + 2_000_000)
    returns, _ = evaluate(agent.policy(), fresh, 20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
