"""A3C on CartPole-v1 with two workers against one, each on a core of its own, in segments by turns."""

from timing import COUNT, Row, Skipped, paired, table

# isort: split
from functools import partial
from time import perf_counter
from typing import Any

from rlcore.agents import A3C, A3CConfig
from rlcore.envs import SerialEnv, VectorEnv
from rlcore.envs.preflight import cores
from rlcore.harness import train
from rlcore.harness.config import from_dict, to_dict
from rlcore.harness.tuned import tuned
from rlcore.parallel.hogwild import hogwild
from rlcore.rng import generator

WORKERS, BAR = 2, 1.7
PAIRS = 7  # of segments; each starts its workers anew
SEGMENT = 40_000  # rows
SETTINGS = {**to_dict(A3CConfig()), **tuned("a3c", "CartPole-v1")["agent"]}


def make_env(seed: int) -> VectorEnv:
    return SerialEnv("CartPole-v1", seed=seed)


def make_agent(env: VectorEnv, rng: Any) -> A3C:
    return A3C.from_spaces(env.observation_space, env.action_space, from_dict(A3CConfig, SETTINGS), rng)


class Clock:
    """A hook that sees how many rows were made in what time, from when all have begun."""

    def __init__(self) -> None:
        self.turns: list[tuple[float, int]] = []

    def __call__(self, t: int, step: Any, stats: dict[str, Any]) -> None:
        self.turns.append((perf_counter(), t))

    def seconds(self) -> float:
        """Seconds a row takes, without the first and the last turn."""
        (start, first), (end, last) = self.turns[1], self.turns[-2]
        return (end - start) / (last - first)


def alone(agents: list[Any]) -> float:
    """Seconds a row takes in one process."""
    agent, env = agents
    before = agent.t
    start = perf_counter()
    train(agent, env, before + SEGMENT, t=before)
    return (perf_counter() - start) / (agent.t - before)


def together(workers: int) -> float:
    """Seconds a row of all takes in several processes."""
    clock, agent = Clock(), make_agent(make_env(0), generator(0))
    hogwild(agent, make_agent, make_env, workers * SEGMENT, workers, [clock])
    return clock.seconds()


def rows() -> list[Row | Skipped]:
    what = f"A3C training on CartPole-v1, {WORKERS} workers against one"
    if cores() < WORKERS:
        return [Skipped(what, f"skipped: it takes {WORKERS} cores")]
    env = make_env(0)
    single = partial(alone, [make_agent(env, generator(0)), env])
    single()
    pair = paired([(together(WORKERS), single()) for _ in range(PAIRS)])
    rates = f"{1 / pair.ours:.0f} steps/s", f"{1 / pair.other:.0f} steps/s in one process"
    return [Row(what, *rates, pair.ratio, BAR, "x")]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs of segments, {COUNT} thread(s) each")
