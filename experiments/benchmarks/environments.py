"""SerialEnv over the plainest loop, and ProcessEnv with 8 Atari environments against other process environments."""

from timing import COUNT, PAIRS, Row, Skipped, missing, paired, table, µs

# isort: split
from collections.abc import Callable
from itertools import cycle
from statistics import median
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np

from rlcore.envs import ProcessEnv, SerialEnv, episode_seed

STEPS = 2000  # env steps in a segment of CartPole
N = 8  # Atari environments
SEGMENT = 60  # steps of all of them
WORKERS = 2
TURNS = 7  # pairs of segments


def actions(steps: int, n: int, choices: int) -> np.ndarray:
    return np.random.default_rng(0).integers(choices, size=(steps, n))


def plain_loop(n: int) -> Callable[[np.ndarray], None]:
    """As little as one can do with n environments, playing the episodes that SerialEnv plays."""
    envs = [gymnasium.make("CartPole-v1", disable_env_checker=True) for _ in range(n)]
    numbers = list(range(n))
    for env, number in zip(envs, numbers):
        env.reset(seed=episode_seed(0, number))

    def step(action: np.ndarray) -> None:
        for i, (env, a) in enumerate(zip(envs, action.tolist())):
            _, _, terminated, truncated, _ = env.step(a)
            if terminated or truncated:
                numbers[i] += n
                env.reset(seed=episode_seed(0, numbers[i]))

    return step


def seconds(step: Callable[[Any], Any], batches: list[np.ndarray]) -> float:
    """Seconds an env step takes."""
    start = perf_counter()
    for action in batches:
        step(action)
    return (perf_counter() - start) / (len(batches) * len(batches[0]))


def overhead(n: int, bar: float) -> Row:
    env = SerialEnv("CartPole-v1", n)
    env.reset()
    ours, other = env.step, plain_loop(n)
    batches = list(actions(STEPS // n, n, 2))
    seconds(ours, batches), seconds(other, batches)
    turns = [(seconds(ours, batches), seconds(other, batches)) for _ in range(PAIRS)]
    pair, over = paired(turns), median(a - b for a, b in turns)
    what = f"SerialEnv, {n} CartPole" + "s" * (n > 1)
    return Row(what, µs(pair.ours), f"{µs(pair.other)} plain loop", over * 1e6, bar, "µs over")


def pong() -> gymnasium.Env[Any, Any]:
    """Pong with 4 frames a step, 84 x 84 grey."""
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # it greets otherwise
    return gymnasium.wrappers.AtariPreprocessing(gymnasium.make("ALE/Pong-v5", frameskip=1), noop_max=0)


def against(name: str, other: Any, bar: float) -> Row:
    """ProcessEnv's and another one's steps a second, in segments by turns; both are closed."""
    ours = ProcessEnv(pong, N, workers=WORKERS, reseed="once")
    batches = list(actions(SEGMENT, N, 6))
    try:
        ours.reset(), other.reset()
        for _ in range(2):  # the first steps load what is used
            seconds(ours.step, batches), seconds(other.step, batches)
        turns = []
        for swap, _ in zip(cycle([False, True]), range(TURNS)):
            sides = [seconds(env.step, batches) for env in ((other, ours) if swap else (ours, other))]
            turns.append((sides[1], sides[0]) if swap else (sides[0], sides[1]))
    finally:
        ours.close(), other.close()
    pair = paired(turns)
    rates = f"{1 / pair.ours:.0f} steps/s", f"{1 / pair.other:.0f} steps/s {name}"
    return Row(f"ProcessEnv, {N} Atari, {WORKERS} workers", *rates, pair.ratio, bar, "x")


def rows() -> list[Row | Skipped]:
    found: list[Row | Skipped] = [overhead(1, 5), overhead(N, 3)]
    if skipped := list(missing("ProcessEnv with Atari", "ale_py", "cv2")):
        return found + skipped
    makers = [pong] * N
    found.append(against("AsyncVectorEnv", gymnasium.vector.AsyncVectorEnv(makers, shared_memory=True), 1))
    if skipped := list(missing("ProcessEnv against Stable-Baselines3", "torch", "stable_baselines3")):
        return found + skipped
    from stable_baselines3.common.vec_env import SubprocVecEnv

    return [*found, against("SubprocVecEnv", SubprocVecEnv(makers), 1.3)]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs (Atari: {TURNS}), {COUNT} thread(s)")
