"""What recorder and hooks add to a run of DQN on CartPole-v1: two runs of equal numbers by turns, one without."""

from timing import COUNT, PAIRS, Row, Skipped, paired, table, µs

# isort: split
import io
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from rlcore.agents import DQN, DQNConfig
from rlcore.envs import SerialEnv
from rlcore.explorers import Schedule
from rlcore.harness import Checkpoint, Evaluation, Progress, Recorder, train
from rlcore.rng import generator

SLICE = 128  # env steps, after which it is the other run's turn: a round of updates of the shipped settings
SLICES = 16  # of a turn: two flushes of the recorder fall into it
NEVER = 10**12  # rows
EPSILON = Schedule(0.05)  # constant: a random action costs less than a greedy one
SETTINGS = {
    "as shipped": DQNConfig(epsilon=EPSILON),
    "an update a step": DQNConfig(
        epsilon=EPSILON, update_every=1, gradient_steps=1, n_step=1, hidden=(64, 64), batch_size=32
    ),
}


class Screen(io.StringIO):
    """A terminal, as far as the progress line can see."""

    def isatty(self) -> bool:
        return True


class Session:
    """A run with hooks that may be left out."""

    def __init__(self, config: DQNConfig, folder: Path):
        self.env = SerialEnv("CartPole-v1", seed=0)
        self.agent = DQN.from_spaces(self.env.observation_space, self.env.action_space, config, generator(0))
        recorder = Recorder(folder, n_envs=1)
        watch = Evaluation(self.agent, self.env, NEVER, 1, recorder)
        checkpoint = Checkpoint(folder / "checkpoints", NEVER, agent=self.agent, recorder=recorder)
        self.hooks = [recorder, watch, Progress(recorder, 10**6), checkpoint]
        self.t = 0

    def seconds(self, monitored: bool) -> float:
        """Seconds of the processor that the next slice takes: others who use it are left out."""
        start = process_time()
        self.t = train(self.agent, self.env, self.t + SLICE, self.hooks if monitored else (), self.t)
        return process_time() - start


def turns(config: DQNConfig, folder: Path) -> list[tuple[float, float]]:
    """Seconds an env step takes (monitored, bare), of two runs of equal numbers.

    They change roles from turn to turn, for where its arrays lie in memory makes one of two runs faster.
    """
    sessions = [Session(config, folder / name) for name in ("a", "b")]
    measured = []
    for turn in range(2 * PAIRS + 2):
        ours = theirs = 0.0
        for _ in range(SLICES):
            ours += sessions[turn % 2].seconds(True)
            theirs += sessions[1 - turn % 2].seconds(False)
        measured.append((ours / SLICE / SLICES, theirs / SLICE / SLICES))
    halves = zip(measured[2::2], measured[3::2])  # the first turns have the steps before learning starts
    return [((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in halves]


def rows() -> list[Row | Skipped]:
    found: list[Row | Skipped] = []
    os.environ.setdefault("TERM", "xterm-256color")
    for name, config in SETTINGS.items():
        with TemporaryDirectory() as folder, redirect_stdout(Screen()):
            pair = paired(turns(config, Path(folder)))
        added = (1 / pair.ratio - 1) * 100
        found.append(Row(f"monitoring of DQN, {name}", µs(pair.ours), f"{µs(pair.other)} bare", added, 3, "% over"))
    return found


if __name__ == "__main__":
    print(
        table(rows()),
        f"\nmedians of {PAIRS} pairs of {2 * SLICE * SLICES} env steps, {COUNT} thread(s)",
        file=sys.stdout,
    )
