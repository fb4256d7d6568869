"""Saving a checkpoint: of a CartPole run while it trains, and of a replay of Atari frames."""

from timing import COUNT, PAIRS, Row, Skipped, table

# isort: split
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from rlcore import DQN
from rlcore.harness import Checkpoint
from rlcore.harness.header import Header
from rlcore.tree import Ring

FILLED = 50_000  # rows in the replay of the CartPole run, of 100,000
BETWEEN = 1_000  # rows between its saves
FRAMES, NEW = 100_000, 10_000  # of the Atari replay, and those between two saves: 0.7 GB, of which a tenth is new
SAVES = 5  # of it, each after NEW more frames


class Frames:
    """Stands for a replay of frames of 84 x 84 with actions and rewards, full and being written round."""

    def __init__(self) -> None:
        self.frames = np.random.default_rng(0).integers(256, size=(FRAMES, 84, 84), dtype=np.uint8)
        self.actions, self.rewards = np.zeros(FRAMES, np.int64), np.zeros(FRAMES, np.float32)
        self.written = FRAMES

    def write(self, n: int) -> None:
        rows = np.arange(self.written, self.written + n) % FRAMES
        self.frames[rows] += np.uint8(1)
        self.written += n

    def state(self) -> dict[str, Ring]:
        columns = {"frames": self.frames, "actions": self.actions, "rewards": self.rewards}
        return {name: Ring(column, self.written) for name, column in columns.items()}


def seconds(f: Callable[[], object]) -> float:
    start = perf_counter()
    f()
    return perf_counter() - start


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def plain(data: bytes, path: Path) -> None:
    """What the saving of these bytes costs at least: no checksum, no waiting for the disk, nothing deleted."""
    path.write_bytes(data)


def cartpole(folder: Path) -> tuple[float, float, int]:
    """Seconds of a save, those of a plain write, and the bytes of either."""
    run = DQN("CartPole-v1", seed=0, update_every=128, gradient_steps=2).learn(FILLED)
    save = Checkpoint(folder / "checkpoints", 1, 3, header=Header(run.header()), env=run.env, agent=run.agent)
    ours, other = [], []
    for _ in range(PAIRS + 3):  # the first write all, and delete nothing
        run.learn(BETWEEN)
        ours.append(seconds(lambda: save.save(run.t)))
        data = bytes(size(save.path(run.t)))
        other.append(seconds(lambda data=data: plain(data, folder / "plain")))
    return median(ours[3:]), median(other[3:]), len(data)


def atari(folder: Path) -> tuple[float, float, int]:
    """Seconds of a save of the new frames, those of the first save, which writes all, and the bytes of that."""
    frames = Frames()
    save = Checkpoint(folder / "checkpoints", 1, 2, replay=frames)
    first, ours = seconds(lambda: save.save(frames.written)), []
    for _ in range(SAVES):
        frames.write(NEW)
        ours.append(seconds(lambda: save.save(frames.written)))
    return median(ours), first, size(save.path(frames.written))


def rows() -> list[Row | Skipped]:
    with TemporaryDirectory(dir=".") as folder:  # where a run would be: /tmp may be in memory
        ours, other, n = cartpole(Path(folder))
    what = f"saving a checkpoint of DQN on CartPole-v1, {n / 1e6:.2g} MB"
    found: list[Row | Skipped] = [
        Row(what, f"{ours * 1e3:.3g} ms", f"{other * 1e3:.3g} ms plain write", ours * 1e3, 20, "ms")
    ]
    with TemporaryDirectory(dir=".") as folder:
        ours, other, n = atari(Path(folder))
    what = f"saving {NEW:,} new frames of {FRAMES:,} ({n / 1e9:.2g} GB)"
    return [*found, Row(what, f"{ours:.3g} s", f"{other:.3g} s all of them", ours / other, 0.5, "of its time")]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} and {SAVES} saves, {COUNT} thread(s)")
