"""A3C on CartPole-v1 by several processes, put together from its parts: `python experiments/a3c_cartpole.py --seed 0`.

The same run in one line is `rlcore train a3c --env CartPole-v1 --workers 2 --seed 0`.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy
from rlcore import rng
from rlcore.agents import A3C, A3CConfig
from rlcore.envs import SerialEnv
from rlcore.fields import Schedule
from rlcore.harness import Checkpoint, Evaluation, Progress, Recorder, evaluate
from rlcore.parallel.hogwild import hogwild


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    steps: int = 200_000  # env steps of all workers together
    workers: int = 2  # processes that learn
    eval_every: int = 10_000  # env steps
    folder: Path = Path("runs/a3c_cartpole")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


def make_env(seed):
    return SerialEnv("CartPole-v1", seed=seed)


def make_agent(env, generator):
    """Alike in all processes: the model's sizes, that is; what it starts from is that of this one's."""
    config = A3CConfig(learning_rate=Schedule(2e-3, 0.0, 200_000), n_steps=32, gamma=0.98, gae_lambda=0.9, ent_coef=0.0)
    return A3C.from_spaces(env.observation_space, env.action_space, config, generator)


def main(settings: Settings) -> None:
    agent = make_agent(make_env(settings.seed), rng.generator(settings.seed))

    folder = settings.folder / f"s{settings.seed}"
    recorder = Recorder(folder, n_envs=1)
    test_env = SerialEnv("CartPole-v1", n_envs=8, seed=settings.seed + 1_000_000)
    evaluation = Evaluation(agent, test_env, settings.eval_every, 20, recorder, best=folder / "best")
    checkpoint = Checkpoint(folder / "checkpoints", 10_000, agent=agent, recorder=recorder, evaluation=evaluation)
    t = checkpoint.restore()
    if t == 0:
        recorder.clear_files()  # of a run that ended before its first checkpoint

    progress = Progress(recorder, settings.steps, t)
    try:
        hooks = [recorder, evaluation, progress, checkpoint]
        t = hogwild(agent, make_agent, make_env, settings.steps, settings.workers, hooks, t, settings.seed)
        checkpoint.save(t)
    finally:
        progress.close()
        recorder.flush_files()

    fresh = SerialEnv("CartPole-v1", n_envs=8, seed=settings.seed + 2_000_000)
    returns, _ = evaluate(agent.policy(), fresh, 20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
