"""Datasets that ranks share out."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.parallel.base import Comm
from rlcore.tree import Tree, leaves, map_


def scatter(data: Tree, comm: Comm, rng: np.random.Generator | None = None, equal: bool = True) -> Any:
    """This rank's share of n rows, given n its numbers (k,), int64, given arrays (n, ...), in any nesting, its rows.

    rng: rank 0's shuffles the rows first; without it a share is of neighbours. equal: all shares are of one size, for
    which some rows are given twice, so that ranks take as many steps in an epoch; else some have a row less. Every rank
    gives the same data, or a memory map of them, of which it reads its own rows.
    """
    if isinstance(data, (int, np.integer)):
        n = int(data)
    else:
        sizes = {len(leaf) for leaf in leaves(data)}
        if len(sizes) != 1:
            raise ValueError(f"scatter: the arrays have {sorted(sizes)} rows; all must have as many")
        n = sizes.pop()
    if n < 1:
        raise ValueError(f"scatter: there must be a row at least, got {n}")
    if (comm.max_(np.array([n, -n])) != [n, -n]).any():
        raise ValueError(f"scatter: ranks have different numbers of rows; rank {comm.rank} has {n}")
    order = np.arange(n) if rng is None else rng.permutation(n)
    comm.bcast_(order)
    size, rank = comm.size, comm.rank
    if equal:
        most = -(-n // size)
        start = rank * n // size
        at = order[np.arange(start, start + most) % n]
    else:
        at = order[rank * n // size : (rank + 1) * n // size]
    return at if isinstance(data, (int, np.integer)) else map_(lambda leaf: leaf[at], data)
