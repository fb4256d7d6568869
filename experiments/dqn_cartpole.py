"""DQN on CartPole-v1, put together from its parts: `python experiments/dqn_cartpole.py --seed 0`.

The same run in one line is `rlcore train dqn --env CartPole-v1 --seed 0`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import networks, rng
from rlcore.agents import DQN, DQNConfig
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.autograd.optimizers import Adam
from rlcore.buffers import Replay
from rlcore.envs import SerialEnv
from rlcore.explorers import EpsilonGreedy
from rlcore.harness import Checkpoint, Evaluation, Progress, Recorder, evaluate, train


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 50_000  # env steps
    eval_every: int = 10_000  # env steps
    folder: Path = Path("runs/dqn_cartpole")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    config = DQNConfig()
    init, sampling, acting, own = rng.spawn(settings.seed, 4)
    env = SerialEnv("CartPole-v1", seed=settings.seed)

    q = networks.mlp(4, config.hidden, 2, init)
    optimizer = Adam(corrected_eps=True)  # its learning rate is set by config.learning_rate at every update
    optimizer.add_hook(GradientClipping(config.max_grad_norm))
    columns = {"obs": ((4,), "float32"), "action": ((), "int64")}
    replay = Replay(config.buffer_size, columns, sampling, config.n_step, config.gamma)
    agent = DQN(q, optimizer, replay, EpsilonGreedy(config.exploration, acting), config, own)

    folder = settings.folder / f"s{settings.seed}"
    recorder = Recorder(folder, n_envs=1)
    test_env = SerialEnv("CartPole-v1", n_envs=8, seed=settings.seed + 1_000_000)
    evaluation = Evaluation(agent, test_env, settings.eval_every, 20, recorder, best=folder / "best")
    parts = {"agent": agent, "env": env, "recorder": recorder, "evaluation": evaluation}
    checkpoint = Checkpoint(folder / "checkpoints", 10_000, **parts)
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

    fresh = SerialEnv("CartPole-v1", n_envs=8, seed=settings.seed + 2_000_000)
    returns, _ = evaluate(agent.policy(), fresh, 20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
