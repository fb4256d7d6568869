"""Drawing from replays: transitions, priorities and stacked frames, against Stable-Baselines3's and PFRL's."""

from timing import COUNT, PAIRS, Row, Skipped, compare, missing, table, µs

# isort: split
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.buffers import FrameReplay, Prioritized, Replay
from rlcore.rng import generator
from rlcore.stream import Step

BATCH = 32
ROWS = 1_000_000  # of four numbers, as CartPole's
PFRLS = 100_000  # in PFRL's, whose rows are dicts in lists: the smaller, the faster
FRAMES = 50_000  # rows of stacks of 4 frames of 84 x 84: 0.35 GB, and as 2 stacks of their own 2.8 GB
AT_ONCE = 1_000  # streams while a replay of numbers is filled
VECTOR = {"obs": ((4,), np.float32), "action": ((), np.int64)}
STACK = {"obs": ((4, 84, 84), np.uint8), "action": ((), np.int64)}


def filled(replay: Replay) -> Replay:
    """Full, with an episode of 200 steps behind another."""
    rng, n = generator(1), AT_ONCE
    no, yes, action, reward = np.zeros(n, bool), np.ones(n, bool), np.zeros(n, np.int64), np.ones(n, np.float32)
    for _ in range(replay.capacity // n + 1):
        obs, over = rng.random((n, 4), np.float32), rng.random(n) < 1 / 200
        replay.add(obs, action, Step(obs, reward, over, no, obs, yes, {}))
    return replay


def full_of_frames(replay: FrameReplay) -> FrameReplay:
    """Full, of one stream that shows 256 frames over and over."""
    frames = generator(1).integers(256, size=(256 + 4, 84, 84), dtype=np.uint8)
    frames[256:] = frames[:4]
    no, yes, action, reward = np.zeros(1, bool), np.ones(1, bool), np.zeros(1, np.int64), np.ones(1, np.float32)
    for t in range(replay.capacity):
        obs, after = (frames[None, i : i + 4] for i in (t % 256, t % 256 + 1))
        replay.add(obs, action, Step(after, reward, no, no, after, yes, {}))
    return replay


def theirs(rows: int, space: spaces.Box, **settings: Any) -> Any:
    """Stable-Baselines3's replay, full."""
    from stable_baselines3.common.buffers import ReplayBuffer

    replay = ReplayBuffer(rows, space, spaces.Discrete(2), device="cpu", **settings)
    replay.observations[:] = 1  # or all of its memory would be one page of zeros
    if not settings:
        replay.next_observations[:] = 1
    replay.full = True
    return replay


def pfrls() -> Any:
    """PFRL's prioritized replay, full."""
    from pfrl.replay_buffers import PrioritizedReplayBuffer

    replay = PrioritizedReplayBuffer(PFRLS, alpha=0.6, beta0=0.4, betasteps=10**6)
    for obs in generator(1).random((PFRLS, 4), np.float32):
        replay.append(obs, 0, 1.0, obs)
    return replay


def drawing(replay: Replay) -> Callable[[], object]:
    return lambda: replay.sample(BATCH)


def learning(replay: Prioritized) -> Callable[[], object]:
    """A batch, and the priorities that come back."""
    error = generator(2).random(BATCH, np.float32)
    return lambda: replay.update(replay.sample(BATCH)["row"], error)


def prioritized(ours: Callable[[], object], uniform: Callable[[], object]) -> list[Row | Skipped]:
    what = f"prioritized sample({BATCH}) and update, {ROWS:,}"
    pair = compare(ours, uniform)
    found: list[Row | Skipped] = [
        Row(what, µs(pair.ours), f"{µs(pair.other)} uniform sample", pair.ours * 1e6, 120, "µs")
    ]
    if skipped := list(missing(f"{what}, against PFRL", "torch", "pfrl", "gym")):
        return found + skipped
    warnings.simplefilter("ignore")  # of gym, which PFRL imports
    import torch
    from pfrl.replay_buffer import batch_experiences

    replay, error, cpu = pfrls(), list(generator(2).random(BATCH)), torch.device("cpu")

    def other() -> None:
        batch_experiences(replay.sample(BATCH), cpu, lambda obs: obs, 0.99)
        replay.update_errors(error)

    pair = compare(ours, other)
    return [*found, Row(what, µs(pair.ours), f"{µs(pair.other)} PFRL, of {PFRLS:,}", pair.ratio, 10, "x")]


def transitions(ours: Callable[[], object]) -> Row:
    other = theirs(ROWS, spaces.Box(-1, 1, (4,), np.float32))
    pair = compare(ours, lambda: other.sample(BATCH))
    what = f"sample({BATCH}) of {ROWS:,} transitions"
    return Row(what, µs(pair.ours), f"{µs(pair.other)} Stable-Baselines3", pair.ratio, 3, "x")


def frames() -> Row:
    ours = full_of_frames(FrameReplay(FRAMES, STACK, generator(0)))
    box = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    other = theirs(FRAMES, box, optimize_memory_usage=True, handle_timeout_termination=False)
    pair = compare(drawing(ours), lambda: other.sample(BATCH))
    what = f"sample({BATCH}) of 84 x 84 x 4 from single frames"
    return Row(what, µs(pair.ours), f"{µs(pair.other)} Stable-Baselines3, stacks", pair.ours * 1e6, 250, "µs")


def rows() -> list[Row | Skipped]:
    uniform = drawing(filled(Replay(ROWS, VECTOR, generator(0))))
    found = prioritized(learning(filled(Prioritized(ROWS, VECTOR, generator(0)))), uniform)
    absent = list(missing("replay against Stable-Baselines3", "torch", "stable_baselines3"))
    return [*found, *(absent or (transitions(uniform), frames()))]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs, {COUNT} thread(s)")
