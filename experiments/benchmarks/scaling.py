"""How data-parallel learning should scale to many ranks: message times of this machine, and a model of those elsewhere.

--write puts the tables into the README.md of this folder; the model is in alpha_beta.py.
"""

import timing

# isort: split
import argparse
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import ranks
from alpha_beta import PER_NODE, Link, Machine, efficiency, fastest, link_of, ring
from rlcore.agents import PPO, PPOConfig
from rlcore.autograd import functions as F
from rlcore.autograd import optimizers
from rlcore.envs import SerialEnv
from rlcore.harness import train
from rlcore.networks import NatureCNN
from rlcore.rng import generator

SIZES = tuple(8 * 4**k for k in range(11))  # bytes of a message, 8 to 8,388,608
RANKS = (8, 128, 1024)
GOAL = 0.9  # of the time is computing
BLOCKS = 21  # behind every median of messages


class Work(NamedTuple):
    """A network: bytes exchanged and seconds computed a step, and where that time comes from."""

    name: str
    nbytes: float
    computing: float
    source: str


# Stated, not measured: nominal rates after the line code; latencies of MPI between idle hosts, rounded.
FDR, FAST, PLAIN = (
    Link(1.5e-6, 2 * 56e9 * 64 / 66 / 8),  # two links a node, as MN-1 has
    Link(3e-6, 100e9 / 8),  # with RDMA
    Link(30e-6, 25e9 / 8),  # by TCP
)
NETWORKS = {"2 x FDR InfiniBand": FDR, "100 GbE, RDMA": FAST, "25 GbE, TCP": PLAIN}
# A hop of NCCL's ring, Simple protocol, by the constants of its src/graph/tuning.cc; PCI Express 3.0 x16 less a fifth
# for headers; a P100 reads two and writes one of 732 GB/s.
GPU_HOP, GPU_NET_HOP, PCI, P100_ADDING = 5.7e-6, 19.8e-6, 12.6e9, 732e9 / 3
RESNET = 25.6e6  # parameters (He et al. 2016)
P100_RATE = 195  # images/s of ResNet-50 at batch 32 on one P100: TensorFlow's benchmarks, DGX-1, May 2017
PUBLISHED = {
    8: None,
    128: "90 %",
    1024: "about 70 to 80 %",
}  # arXiv 1710.11351; 1711.04325, over one GPU to over a node


def on_cpus(here: Link, adding: float) -> list[Machine]:
    """Nodes like this machine, with its messages between the ranks of a node."""
    return [Machine(name, here, between, adding) for name, between in NETWORKS.items()]


def on_gpus() -> list[Machine]:
    """Nodes of GPUs on PCI Express."""
    inside = Link(GPU_HOP, PCI)
    return [
        Machine(name, inside, Link(max(GPU_NET_HOP, between.latency), between.bandwidth), P100_ADDING)
        for name, between in NETWORKS.items()
    ]


# What is measured here.


def messages(blocks: int, calls: int = 10, sizes: Sequence[int] = SIZES) -> list[tuple[int, float, float]]:
    """Bytes, seconds one way of a message and seconds of an allreduce, between two ranks; every rank calls it."""
    from mpi4py import MPI

    world, other, found = MPI.COMM_WORLD, 1 - MPI.COMM_WORLD.rank, []
    for size in sizes:
        numbers, few = np.zeros(size // 4, np.float32), calls if size < 1 << 20 else 1

        def there_and_back(numbers: np.ndarray = numbers) -> None:
            if world.rank == 0:
                world.Send(numbers, other), world.Recv(numbers, other)
            else:
                world.Recv(numbers, other), world.Send(numbers, other)

        def allreduce(numbers: np.ndarray = numbers) -> None:
            world.Allreduce(MPI.IN_PLACE, numbers)

        turns = ranks.by_turns(few, blocks, world.Barrier, there_and_back, allreduce)
        both_ways, together = (median(column) for column in zip(*turns))
        found.append((size, both_ways / 2, together))
    return found


def adding() -> float:
    """Bytes a second that one rank adds to others: np.add in place of 1 MiB of float32."""
    a, b = np.zeros(1 << 18, np.float32), np.ones(1 << 18, np.float32)
    return a.nbytes / min(timing.per_call(lambda: np.add(a, b, out=a), 50) for _ in range(5))


def policy_net(rows: int = 8192) -> Work:
    """PPO on CartPole-v1 by default: 64-64 for the policy and for the value, acting included."""
    env = SerialEnv("CartPole-v1", 8, seed=0)
    agent = PPO.from_spaces(
        env.observation_space, env.action_space, PPOConfig(n_steps=128, batch_size=256), generator(0)
    )
    t = train(agent, env, 2048)
    before, start = agent.optimizer.t, perf_counter()
    train(agent, env, t + rows, t=t)
    computing = (perf_counter() - start) / (agent.optimizer.t - before)
    nbytes = agent.model.flat.nbytes
    return Work("PPO CartPole-v1, 64-64", nbytes, computing, "here, acting included, batch 256")


def nature_cnn(batch: int = 32, turns: int = 9) -> Work:
    """Forward, backward and Adam."""
    model = NatureCNN(rng=generator(0))
    optimizer = optimizers.Adam().setup(model)
    frames = np.random.default_rng(0).integers(0, 256, (batch, 4, 84, 84), np.uint8)

    def update() -> None:
        model.cleargrads()
        F.sum(model(frames)).backward()
        optimizer.update()

    update()
    computing = sorted(timing.per_call(update, 1) for _ in range(turns))[turns // 2]
    return Work("Nature CNN", model.flat.nbytes, computing, f"here, batch {batch}")


def resnet50(nbytes: int) -> Work:
    return Work(f"ResNet-50, float{8 * nbytes}", RESNET * nbytes, 32 / P100_RATE, "P100, batch 32, 195 images/s")


# The tables.


def size_of(n: float) -> str:
    unit, name = (1e6, "MB") if n >= 1e6 else (1e3, "KB")
    return f"{n / unit:.3g} {name}"


def duration(seconds: float) -> str:
    return timing.µs(seconds) if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def rate(nbytes: float, seconds: float = 1.0) -> str:
    return f"{nbytes / seconds / 1e9:.3g} GB/s"


def share(x: float) -> str:
    return f"{100 * x:.0f} %"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ("---",) * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def table_of_messages(found: Iterable[tuple[int, float, float]], here: Machine) -> str:
    """Measured, and what the model says of an allreduce between two ranks with the link fitted to the messages."""
    head = ("bytes", "one way", "a second", "allreduce, 2 ranks", "by the model")
    lines = (
        (f"{n:,}", duration(way), rate(n, way), duration(together), "{1} {0}".format(*_fastest(n, 2, here)))
        for n, way, together in found
    )
    return markdown(head, lines)


def _fastest(n: float, p: int, on: Machine) -> tuple[str, str]:
    name, seconds = fastest(n, p, on)
    return name, duration(seconds)


def lines_of(work: Work, machines: Iterable[Machine]) -> Iterator[tuple[str, ...]]:
    """A line a machine: efficiency and algorithm at each number of ranks, and what the largest would need."""
    for machine in machines:
        cells, seconds = [], 0.0
        for p in RANKS:
            name, seconds = fastest(work.nbytes, p, machine)
            cells.append(f"{share(efficiency(work.computing, seconds))} {name}")
        overlapped = share(efficiency(work.computing, seconds, overlapped=True))
        yield work.name, machine.name, *cells, overlapped, duration(seconds * GOAL / (1 - GOAL))


def table_of_efficiency(works: Iterable[tuple[Work, Iterable[Machine]]]) -> str:
    head = ("network", f"between nodes of {PER_NODE}", *(f"{p:,} ranks" for p in RANKS))
    head = (*head, f"{RANKS[-1]:,}, double buffering", f"{share(GOAL)} at {RANKS[-1]:,} from a step of")
    return markdown(head, (line for work, machines in works for line in lines_of(work, machines)))


def table_of_works(works: Iterable[Work]) -> str:
    lines = ((w.name, size_of(w.nbytes), duration(w.computing), w.source) for w in works)
    return markdown(("network", "exchanged", "computing between exchanges", "where"), lines)


def table_of_published() -> str:
    """ChainerMN's figures beside the model's, by one ring as it used, in both precisions."""
    mn1 = on_gpus()[0]
    lines = []
    for p, published in PUBLISHED.items():
        exchanges = [(w.computing, ring(w.nbytes, p, mn1)) for w in (resnet50(4), resnet50(2))]
        lines.append((f"{p:,}", *(f"{share(efficiency(*e))} ({duration(e[1])})" for e in exchanges), published or "-"))
    return markdown(("GPUs", "model, float32", "model, float16", "ChainerMN, published"), lines)


LINKS = ", ".join(f"{name} {rate(link.bandwidth)} and {duration(link.latency)}" for name, link in NETWORKS.items())
ASSUMED = f"""\
Assumed: a node of {PER_NODE} ranks has one link to the others, which they share: {LINKS} a message between CPU ranks;
any two ranks of a node exchange as two do here. GPUs: PCI Express 3.0, {rate(PCI)}; hops of {duration(GPU_HOP)} inside
and {duration(GPU_NET_HOP)} or more between nodes (NCCL's constants for its ring, Simple protocol). The batch of a rank
stays the same; nothing is overlapped but in the column that says so. Not in the model, so that real efficiencies are
lower: ranks that wait for the slowest one, the reading of data, links shared with other jobs, switches that are
narrower higher up."""


def text(found: Sequence[tuple[int, float, float]], works: Sequence[Work], added: float) -> str:
    """All of it, as it stands in README.md."""
    here = Machine("here", link_of(found), link_of(found), added)
    cpus, gpus = on_cpus(here.inside, added), on_gpus()
    works_on_gpus = resnet50(4), resnet50(2)
    latency, bandwidth = duration(here.inside.latency), rate(here.inside.bandwidth)
    fit = f"Fitted to them: {latency} a message and {bandwidth}. A rank adds {rate(added)} to others."
    parts = (
        table_of_messages(found, here),
        fit,
        table_of_works([*works, *works_on_gpus]),
        table_of_efficiency([*((work, cpus) for work in works), *((work, gpus) for work in works_on_gpus)]),
        ASSUMED,
        f"ResNet-50 on {PER_NODE} P100s a node and two FDR InfiniBand links, one ring around all GPUs:",
        table_of_published(),
    )
    return "\n\n".join(parts)


def measure(blocks: int = BLOCKS) -> str:
    """Measure what is to be measured here, and give the text; a line that says why not without MPI."""
    if skipped := list(ranks.missing_mpi("messages between ranks")):
        return f"{skipped[0].what}: {skipped[0].why}"
    found: Any = ranks.measured(2, __file__, "--rank", "--blocks", str(blocks))
    return text([(n, a, b) for n, a, b in found], (policy_net(), nature_cnn()), adding())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)  # as one of two ranks
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="blocks behind every median of messages")
    options = parser.parse_args()
    if options.rank:
        found = messages(options.blocks)
        from mpi4py import MPI

        if MPI.COMM_WORLD.rank == 0:
            ranks.give(found)
        return
    got = measure(options.blocks)
    print(got)
    if options.write:
        timing.write("scaling", got)


if __name__ == "__main__":
    main()
