"""SAC on Pendulum-v1, put together from its parts: `python experiments/sac_pendulum.py --seed 0`.

The same run in one line is `rlcore train sac --env Pendulum-v1 --seed 0`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import continuous, rng
from rlcore.agents import SAC, SACConfig
from rlcore.autograd.optimizers import Adam
from rlcore.buffers import Replay
from rlcore.envs import SerialEnv
from rlcore.explorers import Schedule
from rlcore.harness import Checkpoint, Evaluation, Progress, Recorder, evaluate, train


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 20_000  # env steps
    learning_starts: int = 100  # env steps before the first update
    eval_every: int = 5_000  # env steps
    folder: Path = Path("runs/sac_pendulum")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def main(settings: Settings) -> None:
    config = SACConfig(learning_rate=Schedule(1e-3), learning_starts=settings.learning_starts, buffer_size=50_000)
    init, sampling, own = rng.spawn(settings.seed, 3)
    env = SerialEnv("Pendulum-v1", seed=settings.seed)

    box = continuous.UnitBox(env.action_space, "SAC")
    actor = continuous.actor(env.observation_space, config.hidden, box.size, init, continuous.GaussianActor)
    critics = continuous.critics(env.observation_space, config.hidden, box.size, 2, init)
    optimizers = {name: Adam(corrected_eps=True) for name in ("actor", "critic", "temperature")}
    columns = {"obs": ((3,), "float32"), "action": ((box.size,), "float32")}
    replay = Replay(config.buffer_size, columns, sampling, config.n_step, config.gamma)
    agent = SAC(actor, critics, optimizers, replay, box, config, own)

    folder = settings.folder / f"s{settings.seed}"
    recorder = Recorder(folder, n_envs=1)
    test_env = SerialEnv("Pendulum-v1", n_envs=8, seed=settings.seed + 1_000_000)
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

    fresh = SerialEnv("Pendulum-v1", n_envs=8, seed=settings.seed + 2_000_000)
    returns, _ = evaluate(agent.policy(), fresh, 20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
