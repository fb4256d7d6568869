"""Other ways to take the mean of a gradient than `comm.mean_`: in float16, and while the next one is computed.

Each is called like `comm.mean_`: `join(agent, comm, reduce=Float16(comm))`, `DoubleBuffered(comm, Float16)`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from rlcore.backend import to_cpu, xp_of
from rlcore.parallel.base import Comm

BLOCK = 256  # numbers that share a scale
TOP = 15  # their largest one is brought below 2^15, of the 65,504 that float16 can hold
Mean = Callable[[Any, float], float]


class Float16:
    """The mean in float16, with half the bytes of float32: each rank adds one part in float32 and sends it to all.

    Each block of 256 numbers has a scale, a power of two, so that nothing overflows. A number is rounded twice, by at
    most 2^-11 of itself; what is below 2^-28 of the largest in its block has less digits. Numbers that are not finite
    stay so. With NCCL the GPUs add in float16, without scales (as in ChainerMN): above 65,504 is infinite, below 6e-8
    is 0.
    """

    def __init__(self, comm: Comm):
        self.comm = comm

    def __call__(self, array: Any, weight: float = 1.0) -> float:
        if not isinstance(array, np.ndarray) and self.comm.devices.nccl is not None:
            return self._by_nccl(array, weight)
        n, parts = array.size, self.comm.size
        padded = np.zeros((parts, BLOCK * -(-n // (BLOCK * parts))), np.float32)
        if weight:
            padded.reshape(-1)[:n] = to_cpu(array).reshape(-1)
        got = self.comm.alltoall(np.concatenate((_bytes(np.full((parts, 1), weight, np.float64)), packed(padded)), 1))
        weights = got[:, :8].copy().view(np.float64)[:, 0]
        total = float(weights.sum())
        mean = np.zeros(padded.shape[1], np.float32)
        for share, numbers in zip(weights / (total or 1.0), unpacked(got[:, 8:])):
            if share:
                mean += np.float32(share) * numbers
        means = unpacked(self.comm.allgather(packed(mean[None])[0])).reshape(-1)[:n]
        array[...] = xp_of(array).asarray(means.reshape(array.shape).astype(array.dtype))
        return total

    def _by_nccl(self, array: Any, weight: float) -> float:
        total = float(self.comm.sum_(np.array([weight], np.float64))[0])
        if weight and total:
            array *= weight / total
        else:
            array[...] = 0
        array[...] = self.comm.sum_(array.astype(np.float16))
        return total


def packed(rows: np.ndarray) -> np.ndarray:
    """Rows of float32 (n, blocks * 256) as bytes (n, ...): the exponents of the blocks, and the numbers in float16."""
    blocks = rows.reshape(len(rows), -1, BLOCK)
    largest = np.abs(blocks).max(2, initial=0)
    exponents = np.frexp(np.where(np.isfinite(largest), largest, 1))[1]  # 0 is 0 times 2^0
    with np.errstate(all="ignore"):  # beside a number that is not finite
        numbers = np.ldexp(blocks, TOP - exponents[..., None]).astype(np.float16)
    return np.concatenate((_bytes(exponents.astype(np.int16)), _bytes(numbers.reshape(len(rows), -1))), 1)


def unpacked(rows: np.ndarray) -> np.ndarray:
    """What `packed` was given, rounded."""
    blocks = rows.shape[1] // (2 * (BLOCK + 1))
    exponents = rows[:, : 2 * blocks].copy().view(np.int16).astype(np.int32)
    numbers = rows[:, 2 * blocks :].copy().view(np.float16).astype(np.float32).reshape(len(rows), blocks, BLOCK)
    return np.ldexp(numbers, exponents[..., None] - TOP).reshape(len(rows), -1)


def _bytes(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows).view(np.uint8)


class DoubleBuffered:
    """The mean of the gradients before these, while the mean of these is taken in another thread (as in ChainerMN).

    The first call gives 0, by which an optimizer makes no step. Exchange and computing overlap where there is a core
    to spare; MPI must have been started for several threads, as mpi4py does it. A run that is resumed begins anew, with
    a first call. `mean` makes what takes the mean from a communicator, `comm.mean_` if None.
    """

    def __init__(self, comm: Comm, mean: Callable[[Comm], Mean] | None = None):
        if not comm.concurrent:
            raise ValueError("DoubleBuffered: this MPI was not started for several threads (MPI_THREAD_MULTIPLE)")
        own = comm.split(0)  # a communicator for the other thread alone
        if own is None:
            raise RuntimeError("split: no communicator for all ranks")
        self._mean = own.mean_ if mean is None else mean(own)
        self._threads = ThreadPoolExecutor(1, "exchange")  # one, in which all ranks keep the same order
        self._under_way: dict[tuple[int, int], tuple[Any, Future[float]]] = {}  # by the vector's memory and size

    def __call__(self, array: Any, weight: float = 1.0) -> float:
        key = _place(array), array.size
        before = self._under_way.pop(key, None)
        if before is None:
            new, total = array.copy(), 0.0
            array[...] = 0
        else:
            old, future = before
            total = future.result()
            new = array.copy()
            array[...] = old
        self._under_way[key] = new, self._threads.submit(self._mean, new, weight)
        return total

    def close(self) -> None:
        """Wait for what is under way, of which nothing comes any more: a collective call at the end."""
        under_way, self._under_way = self._under_way, {}
        for _, future in under_way.values():
            future.result()
        self._threads.shutdown()


def _place(array: Any) -> int:
    """Where an array lies, by which a vector of gradients is known again."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
