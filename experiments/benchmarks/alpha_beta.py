"""Times of an allreduce on machines of nodes, and what they leave of the speed of ranks that exchange nothing.

A message of n bytes takes latency + n / bandwidth (Hockney 1994), in the sums that Thakur, Rabenseifner and Gropp give
for rings, binomial trees and recursive doubling ("Optimization of collective communication operations in MPICH", 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil, log2
from statistics import median
from typing import NamedTuple

PER_NODE = 8


class Link(NamedTuple):
    """A way from rank to rank: seconds a message takes by itself, and bytes a second on top."""

    latency: float
    bandwidth: float


class Machine(NamedTuple):
    """Nodes of `per_node` ranks; `adding` is how many bytes a rank adds to others in a second."""

    name: str
    inside: Link
    between: Link  # of a node, which its ranks share
    adding: float
    per_node: int = PER_NODE

    def nodes(self, p: int) -> int:
        return ceil(p / self.per_node)


def ring(n: float, p: int, on: Machine) -> float:
    """Seconds of an allreduce of n bytes by a reduce-scatter and an allgather around one ring of all p ranks.

    Of its p - 1 hops one per node leaves the node, and the slowest link limits all, as in NCCL's own model.
    """
    if p == 1:
        return 0.0
    m = on.nodes(p)
    bandwidth = min(on.inside.bandwidth, on.between.bandwidth) if m > 1 else on.inside.bandwidth
    hops = 2 * (p - m) * on.inside.latency + 2 * (m - 1) * on.between.latency
    return hops + (p - 1) / p * n * (2 / bandwidth + 1 / on.adding)


def tree(n: float, p: int, on: Machine) -> float:
    """Seconds of an allreduce of n bytes by a reduction along a binomial tree to one rank, and a broadcast back."""
    m = on.nodes(p)
    levels = ((on.inside, ceil(log2(min(p, on.per_node)))), (on.between, ceil(log2(m))))
    return sum(k * (2 * (link.latency + n / link.bandwidth) + n / on.adding) for link, k in levels)


def doubling(n: float, p: int, on: Machine) -> float:
    """Seconds of an allreduce of n bytes by recursive doubling: each swaps all bytes with one twice as far every time.

    The ranks of a node do so at once, over the link that they share.
    """
    g, m = min(p, on.per_node), on.nodes(p)
    inside = on.inside.latency + n / on.inside.bandwidth
    between = on.between.latency + g * n / on.between.bandwidth
    return ceil(log2(g)) * (inside + n / on.adding) + ceil(log2(m)) * (between + n / on.adding)


def two_level(n: float, p: int, on: Machine) -> float:
    """Seconds of a reduce-scatter in each node, allreduces of the ranks' shares between nodes, an allgather in each.

    Between nodes the shares of a node's ranks go at once, over the link that they share, by the fastest way.
    """
    g, m = min(p, on.per_node), on.nodes(p)
    inside = on._replace(per_node=g)
    outside = Machine("", on.between, on.between, on.adding * g, per_node=m)  # each of g ranks adds up its share
    return ring(n, g, inside) + min(f(n, m, outside) for f in (ring, tree, doubling))


ALGORITHMS: dict[str, Callable[[float, int, Machine], float]] = {
    "ring": ring,
    "tree": tree,
    "doubling": doubling,
    "two levels": two_level,
}


def fastest(n: float, p: int, on: Machine) -> tuple[str, float]:
    """Name and seconds of the algorithm that takes least."""
    return min(((name, f(n, p, on)) for name, f in ALGORITHMS.items()), key=lambda pair: pair[1])


def efficiency(computing: float, exchange: float, overlapped: bool = False) -> float:
    """Of the speed of ranks that exchange nothing, at the same batch a rank; overlapped as double buffering does."""
    return computing / (max(computing, exchange) if overlapped else computing + exchange)


def link_of(found: Iterable[tuple[int, float, float]]) -> Link:
    """The latency of the smallest message, and the median bandwidth over it of those of 64 KB and more."""
    (small, latency, _), *others = sorted(found)
    return Link(latency, median((n - small) / max(way - latency, 1e-12) for n, way, _ in others if n >= 1 << 16))
