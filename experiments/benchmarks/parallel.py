"""What ranks add to raw MPI, what two do against one, and what a waiting one takes; they are started here."""

import timing

# isort: split
import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np

import ranks
from rlcore.agents import IMPALA, PPO, PPOConfig
from rlcore.autograd import optimizers
from rlcore.envs import SerialEnv
from rlcore.networks import NatureCNN, mlp
from rlcore.parallel.actor import IN_FLIGHT, Soon, act
from rlcore.parallel.base import Alone, Comm, wait_for
from rlcore.parallel.chunk import Chunk, Layout
from rlcore.parallel.comm import world
from rlcore.parallel.crew import Crew
from rlcore.parallel.data_parallel import join, loop
from rlcore.parallel.feed import Feed
from rlcore.parallel.roles import Roles
from rlcore.parallel.wire import CHUNK, UP, opened
from rlcore.rng import generator
from timing import Row, Skipped, µs

BLOCKS = 31  # behind every median
OVER = 20e-6, 1.15  # seconds, and times one raw Allreduce, that reducing may add to a step
SHARE, REACTION = 0.06, 1e-3  # of a core that a waiting rank may take, and seconds until it sees a message
ROLLOUT, ROLLOUTS = 1_024, 8  # rows of an update of PPO; updates in a segment, at most
SIZES = 28 << 10, 128 << 10, 512 << 10, 1 << 20  # bytes of a chunk


# A step of an optimizer, with and without the means over two ranks.


def reducing(comm: Comm, blocks: int) -> list[Any]:
    """Of two networks: name, bytes, and in turns the seconds of a step alone, of one that reduces, of an Allreduce."""
    from mpi4py import MPI

    found = []
    nets = {"a 64-64 network": mlp(4, (64, 64), 2, rng=generator(0)), "a Nature CNN": NatureCNN(rng=generator(0))}
    for name, net in nets.items():
        sides: list[Any] = []
        for reduce in (None, comm.mean_):
            model = net.copy()
            for p in model.params():
                p.grad = np.full_like(p.array, 1e-3)
            sides.append(optimizers.Adam().setup(model, reduce=reduce).update)
        numbers = np.zeros(net.flat.size + len([*net.params()]) + 1, np.float32)  # flags and the weight behind
        sides.append(partial(MPI.COMM_WORLD.Allreduce, MPI.IN_PLACE, numbers))
        turns = ranks.by_turns(20 if numbers.nbytes < 1 << 20 else 1, blocks, comm.barrier, *sides)
        found.append((name, numbers.nbytes, turns))
    return found


def rows_of_reducing(found: list[Any]) -> Iterator[Row]:
    for name, nbytes, turns in found:
        alone, both, raw = (median(column) for column in zip(*turns))
        over = median(b - a - OVER[1] * r for a, b, r in turns)
        ours, other = f"{µs(both - alone)} more, of {µs(both)}", f"{µs(raw)} Allreduce of {nbytes:,} bytes"
        what = f"mean over 2 ranks, a step of {name}"
        yield Row(what, ours, other, over * 1e6, OVER[0] * 1e6, f"µs over {OVER[1]} of it")


# Chunks from an actor to a learner.


def streaming(comm: Comm, blocks: int) -> list[Any]:
    """Of chunks of several sizes: bytes, and in turns the seconds of one to rank 0, and of as many bytes by raw MPI."""
    from mpi4py import MPI

    found = []
    for size in SIZES:
        layout = layout_of(size)
        chunks = [Chunk(layout) for _ in range(IN_FLIGHT)]
        raw = chunks[0].sealed(1, 0, 0)  # the same memory: a few pages of another can be a third slower
        count = max(20, (4 << 20) // size)
        if comm.rank:
            sides = partial(send_chunks, comm, chunks, count), partial(send_raw, MPI.COMM_WORLD, raw, count)
        else:
            sides = partial(take_chunks, comm, chunks[0], count), partial(take_raw, MPI.COMM_WORLD, raw, count)
        turns = ranks.by_turns(1, blocks, comm.barrier, *sides)
        found.append((len(raw), [tuple(seconds / count for seconds in turn) for turn in turns]))
    return found


def layout_of(size: int, steps: int = 16, n: int = 4) -> Layout:
    """Of chunks of about so many bytes, in which all but a little is observations."""
    few = np.zeros((n, 1))
    rest = Layout.like(steps, few, few, {}).fixed
    return Layout.like(steps, np.zeros((n, (size - rest) // ((steps + 1) * n)), np.uint8), few, {})


def send_chunks(comm: Comm, chunks: list[Chunk], count: int) -> None:
    """As an actor does: sealed, no more than two on their way."""
    pending: deque[Any] = deque()
    soon = Soon()
    for number in range(count):
        if len(pending) == len(chunks):
            sent = pending.popleft()
            soon(sent.done)
        pending.append(comm.send(chunks[number % len(chunks)].sealed(comm.rank, number, 0), 0, UP))
    for sent in pending:
        soon(sent.done)


def take_chunks(comm: Comm, chunk: Chunk, count: int) -> None:
    """As a learner does: looked for, received, checked."""
    soon = Soon()
    for _ in range(count):
        envelope = soon(lambda: comm.probe(tag=UP))
        message = chunk.buffer[: envelope.nbytes]
        comm.receive(message, envelope.source, envelope.tag)
        chunk.admit(opened(message, envelope.source, (CHUNK,)), envelope.nbytes, envelope.source)


def send_raw(comm: Any, message: np.ndarray, count: int) -> None:
    for _ in range(count):
        comm.Send(message, 0)


def take_raw(comm: Any, message: np.ndarray, count: int) -> None:
    for _ in range(count):
        comm.Recv(message, 1)


def rows_of_streaming(found: list[Any]) -> Iterator[Row]:
    for nbytes, turns in found:
        pair = timing.paired(turns)
        ours, other = (f"{nbytes / seconds / 1e9:.3g} GB/s" for seconds in (pair.ours, pair.other))
        yield Row(f"chunks of {nbytes:,} bytes from actor to learner", ours, f"{other} Send", pair.ratio, 0.8, "x")


# A rank that waits.


def waiting(comm: Comm, messages: int, idle: float) -> tuple[float, float]:
    """The share of a core that rank 0 takes while nothing comes, and seconds until it has what rank 1 sends it."""
    stamp, waits, rng, soon = np.zeros(1), [], np.random.default_rng(0), Soon()
    for _ in range(messages):  # when rank 0 has slept for a while
        if comm.rank:
            sleep(rng.uniform(0.01, 0.03))
            stamp[0] = perf_counter()
            soon(comm.send(stamp, 0).done)
        else:
            soon(comm.probe)
            comm.receive(stamp, 1, 0)
            waits.append(perf_counter() - stamp[0])
    comm.barrier()
    start, used = perf_counter(), process_time()
    if comm.rank:
        sleep(idle)
        soon(comm.send(stamp, 0).done)
    else:
        soon(comm.probe)
        comm.receive(stamp, 1, 0)
    return (process_time() - used) / (perf_counter() - start), median(waits) if waits else 0.0


def rows_of_waiting(found: tuple[float, float]) -> Iterator[Row]:
    share, reaction = found
    what = "a rank that waits"
    yield Row(what, f"{100 * share:.2g} % of a core", "", 100 * share, 100 * SHARE, "% of a core")
    yield Row(f"{what}: from a message to its receipt", µs(reaction), "", reaction * 1e3, REACTION * 1e3, "ms")


# Two ranks against one.


def learning(comm: Comm, segments: int, rows: int) -> list[Any]:
    """Seconds a row of PPO takes on both ranks, and on rank 0 while rank 1 sleeps, in segments by turns."""
    joined, alone = (Learner(comm if both else Alone(), comm.rank, rows) for both in (True, False))
    turns = []
    for _ in range(segments + 1):  # the first one warms
        comm.barrier()
        together = joined.segment() / comm.size
        turns.append((together, one_at_work(comm, alone.segment)))
    return turns[1:]


class Learner:
    """PPO on CartPole-v1 as in training.py, by ranks that learn as one."""

    def __init__(self, comm: Comm, seed: int, rows: int):
        self.rows, self.env, self.train, self.t = rows, SerialEnv("CartPole-v1", 8, seed=seed), loop(comm), 0
        spaces = self.env.observation_space, self.env.action_space
        config = PPOConfig(n_steps=128, batch_size=256, n_epochs=4, learning_rate=2.5e-4, ent_coef=0.01)
        self.agent = join(PPO.from_spaces(*spaces, config, generator(seed)), comm)

    def segment(self) -> float:
        """Seconds a row of this rank takes."""
        start = perf_counter()
        self.t = self.train(self.agent, self.env, self.t + self.rows, t=self.t)
        return (perf_counter() - start) / self.rows


def one_at_work(comm: Comm, work: Callable[[], float]) -> float:
    """What the work of rank 0 gives, on rank 0, while all others sleep."""
    note = np.zeros(1)
    if comm.rank:
        wait_for(comm.probe)
        comm.receive(note, 0, 0)
        return 0.0
    found = work()
    for sent in [comm.send(note, rank) for rank in range(1, comm.size)]:
        wait_for(sent.done)
    return found


def acting(comm: Comm, segments: int, rows: int) -> list[Any]:
    """Seconds a row takes of two actors, and of one, until rank 0 has it, in segments by turns."""
    pair, turns = comm.split(0 if comm.rank < 2 else -1), []
    for _ in range(segments + 1):
        together = actors_at_work(comm, rows)
        comm.barrier()
        one = 0.0 if pair is None else actors_at_work(pair, rows)
        one_at_work(comm, float)  # for which the third rank has slept
        turns.append((together, one))
    return turns[1:]


def actors_at_work(comm: Comm, rows: int) -> float:
    """Seconds a row takes of all ranks but rank 0, which takes their chunks and learns nothing; 0 on those."""
    env = SerialEnv("CartPole-v1", 8, seed=comm.rank)
    agent = IMPALA.from_spaces(env.observation_space, env.action_space, IMPALA.Config(), generator(0))
    if comm.rank:
        act(agent, env, comm)
        return 0.0
    steps = agent.rollout.length
    crew = Crew(comm, Roles.of(comm, 1), Feed(agent, sys.maxsize), steps=steps)
    taken, times = 0, []
    while taken < (comm.size - 1) * rows:
        for sender in crew.take(1):
            taken += steps * sender.n
            crew.answer(sender)
        times.append((taken, perf_counter()))
    crew.stop()
    (few, start), (many, end) = times[len(times) // 8], times[-1]  # by then all are at work
    return (end - start) / (many - few)


def rows_of_two(what: str, turns: list[Any]) -> Iterator[Row]:
    pair = timing.paired([tuple(turn) for turn in turns])
    yield Row(what, f"{1 / pair.ours:.0f} steps/s", f"{1 / pair.other:.0f} steps/s of one", pair.ratio, 1.8, "x")


def part(name: str, blocks: int) -> Any:
    """What the ranks of a job measure."""
    comm, segments, rows = world(), max(1, blocks // 4), ROLLOUT * min(blocks, ROLLOUTS)
    if name == "three":
        return [acting(comm, segments, rows)]
    streamed = streaming(comm, blocks)  # first: in memory that others have used it is up to twice as slow
    waited = waiting(comm, 3 * blocks, min(2.0, blocks / 10))
    return [reducing(comm, blocks), streamed, waited, learning(comm, segments, rows)]


def rows(blocks: int = BLOCKS) -> Iterator[Row | Skipped]:
    if skipped := list(ranks.missing_mpi("messages between ranks")):
        yield skipped[0]
        return
    kinds: dict[tuple[str, int], list[Callable[[Any], Iterator[Row]]]] = {
        ("two", 2): [
            rows_of_reducing,
            rows_of_streaming,
            rows_of_waiting,
            partial(rows_of_two, "PPO training on CartPole-v1, 2 ranks against one"),
        ],
        ("three", 3): [partial(rows_of_two, "IMPALA acting on CartPole-v1, 2 actors against one")],
    }
    for (name, n), makers in kinds.items():
        for rows_of, found in zip(makers, ranks.measured(n, __file__, "--part", name, "--blocks", str(blocks))):
            yield from rows_of(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="blocks behind every median")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # as a rank of one
    options = parser.parse_args()
    if options.part is None:
        text = f"{timing.table(rows(options.blocks))}\n\nMedians of {options.blocks} turns, one thread a rank."
        print(text)
        if options.write:
            timing.write("ranks", text)
        return
    found = part(options.part, options.blocks)
    if world().rank == 0:
        ranks.give(found)


if __name__ == "__main__":
    main()
