"""R2D2 in a T-maze, with its memory or without: `python experiments/r2d2_tmaze.py --corridor 20`.

The side of the reward is shown once, at the start of a corridor, and must be turned to at its end. Whoever does not
remember it (`--algorithm dqn`) is right half of the time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

import rlcore.threads  # noqa: F401  before anything that imports NumPy

# isort: split
import gymnasium
import numpy as np

from rlcore import Run
from rlcore.agents import DQN, R2D2


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    algorithm: Literal["r2d2", "dqn"] = "r2d2"
    corridor: int = 10  # steps between the side shown and the turn
    steps: int = 10_000  # env steps
    eval_every: int = 1_000  # env steps
    folder: Path = Path("runs/r2d2_tmaze")  # the run is kept in folder/s<seed>, and goes on from its last checkpoint


class TMaze(gymnasium.Env):
    """Observed is the side, at the start alone, and whether this is the end; the last action decides: 1 if right."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, corridor: int):
        self.corridor = corridor

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side, self.place = int(self.np_random.integers(2)), 0
        return np.array([2 * self.side - 1, 0], np.float32), {}

    def step(self, action):
        over = self.place == self.corridor
        self.place += 1
        return (
            np.array([0, self.place == self.corridor], np.float32),
            float(over and action == self.side),
            over,
            False,
            {},
        )


def main(settings: Settings) -> None:
    def maze():
        return TMaze(settings.corridor)

    folder = settings.folder / f"s{settings.seed}"
    cls = {"r2d2": R2D2, "dqn": DQN}[settings.algorithm]
    shared = dict(learning_rate=1e-3, learning_starts=1_000, gamma=0.97, epsilon="linear:1:0.05:5000", hidden=())
    memory = dict(sequence_length=settings.corridor + 1, burn_in=5, lstm_hidden_size=32, batch_size=16)
    if folder.exists():
        run = Run.resume(folder, env=maze, steps=settings.steps)
    else:
        own = memory if cls is R2D2 else {}
        run = Run(cls, None, maze, settings.seed, 8, folder, eval_every=settings.eval_every, **shared, **own)
    run.learn(settings.steps - run.t, progress=True)
    returns = run.evaluate(20)
    print(f"seed {settings.seed}: mean return {returns.mean():.1f} over {len(returns)} fresh episodes")


if __name__ == "__main__":
    main(tyro.cli(Settings))
