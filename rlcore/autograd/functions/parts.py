"""Work on a batch a few items at a time, so that it stays in cache, in memory that each thread keeps.

A fresh large temporary costs as much in page faults as a matrix product on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from rlcore.backend import aligned, xp_of

CHUNK = 1 << 20  # bytes worked on at a time, half of a core's second-level cache


class _Scratch(threading.local):
    """One block for each use, grown as needed; what lies in it is dead when the call that took it returns."""

    def __init__(self) -> None:
        self.blocks: dict[str, np.ndarray] = {}

    def take(self, use: str, shape: tuple[int, ...], like: Any, dtype: Any = None) -> Any:
        """An uninitialised array, valid until the next `take` for this use."""
        dtype = like.dtype if dtype is None else dtype
        if not isinstance(like, np.ndarray):
            return xp_of(like).empty(shape, dtype)  # CuPy keeps a pool
        count = 1
        for n in shape:
            count *= n
        nbytes = count * dtype.itemsize
        block = self.blocks.get(use)
        if block is None or block.nbytes < nbytes:
            block = self.blocks[use] = aligned(nbytes, np.empty(0, np.uint8))
        return np.ndarray(shape, dtype, block)


scratch = _Scratch()


class _Workers:
    """As many threads as BLAS was given when this module was loaded; they end with the process."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or 1)
        self.pool: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[int], None], k: int) -> Any:
        if self.pool is None:
            self.pool = ThreadPoolExecutor(self.count - 1, "rlcore-parts")
        return self.pool.submit(work, k)

    def forget(self) -> None:
        """After a fork: the threads stayed behind."""
        self.pool = None


workers = _Workers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.forget)


def in_parts(n: int, nbytes: int, work: Callable[..., None], like: Any, *totals: Any) -> None:
    """work(first, last, totals) for all n items, a few at a time, one of which takes nbytes of scratch.

    Small products use one thread of BLAS, so the parts are dealt to threads: each adds to totals of its own, which
    are summed in a fixed order. What fits into one part stays with this thread: waking another takes longer. On a
    device all items are one part.
    """
    if n and not isinstance(like, np.ndarray):
        work(0, n, totals)
        return
    m = max(1, min(n, CHUNK // max(1, nbytes)))
    k = 1 if 0 < n * nbytes <= CHUNK else min(workers.count, n)
    if k < 2:
        for i in range(0, n, m):
            work(i, min(i + m, n), totals)
        return
    own = [totals, *([np.zeros_like(t) for t in totals] for _ in range(1, k))]

    def share(w: int) -> None:
        first, last = n * w // k, n * (w + 1) // k
        for i in range(first, last, m):
            work(i, min(i + m, last), own[w])

    dealt(k, share)
    for others in own[1:]:
        for total, other in zip(totals, others):
            total += other


def dealt(k: int, share: Callable[[int], None]) -> None:
    """share(0) in this thread and share(1) to share(k - 1) in others, at once; an error of any is raised."""
    waiting = [workers.submit(share, w) for w in range(1, k)]
    try:
        share(0)
    finally:
        wait(waiting)
    for future in waiting:
        future.result()
