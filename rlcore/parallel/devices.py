"""Arrays of GPUs in collective calls: NCCL where each rank has a GPU of its own, else by way of page-locked memory."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from rlcore.backend import xp_of

NUMBERS = {
    "float16": "FLOAT16",
    "float32": "FLOAT32",
    "float64": "FLOAT64",
    "int8": "INT8",
    "uint8": "UINT8",
    "int32": "INT32",
    "uint32": "UINT32",
    "int64": "INT64",
    "uint64": "UINT64",
}  # NCCL's names


def local_device(comm: Any, otherwise: str = "@numpy") -> str:
    """The device of a rank, as `Link.to_device` takes it: GPUs of a machine go round its ranks; else `otherwise`."""
    try:
        cupy = importlib.import_module("cupy")
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception:  # no CuPy, one for another CUDA, no driver, no GPU: each has an error of its own
        return otherwise
    return f"@cupy:{comm.local_rank % count}" if count else otherwise


class Devices:
    """The collective calls of a communicator for arrays of CuPy. All ranks make them with such arrays."""

    def __init__(self, comm: Any):
        self.comm, self.nccl = comm, connected(comm)
        self._rooms: dict[tuple[Any, ...], Any] = {}

    def sum_(self, array: Any) -> Any:
        return self._reduced(array, "sum_", "NCCL_SUM")

    def max_(self, array: Any) -> Any:
        return self._reduced(array, "max_", "NCCL_MAX")

    def _reduced(self, array: Any, what: str, op: str) -> Any:
        if self.nccl is None or array.dtype.name not in NUMBERS:
            return self._staged(array, getattr(self.comm, what))
        numbers, n, kind = self._described(array)
        self.nccl.allReduce(numbers.data.ptr, numbers.data.ptr, n, kind, getattr(_nccl(), op), _stream())
        return _back(array, numbers)

    def mean_(self, array: Any, weight: float) -> float:
        """The weights go ahead, so that the numbers stay where they are."""
        if self.nccl is None:
            host = self._fetched(array)
            total = self.comm.mean_(host, weight)
            array[...] = xp_of(array).asarray(host)
            return total
        total = float(self.comm.sum_(np.array([weight], np.float64))[0])
        if weight and total:
            array *= weight / total
        else:
            array[...] = 0
        if total:
            self.sum_(array)
        return total

    def bcast_(self, array: Any, root: int) -> Any:
        if self.nccl is None:
            return self._staged(array, lambda host: self.comm.bcast_(host, root))
        numbers = xp_of(array).ascontiguousarray(array)
        self.nccl.bcast(numbers.data.ptr, numbers.nbytes, _nccl().NCCL_UINT8, root, _stream())
        return _back(array, numbers)

    def allgather(self, array: Any) -> Any:
        if self.nccl is None:
            return xp_of(array).asarray(self.comm.allgather(self._fetched(array)))
        numbers = xp_of(array).ascontiguousarray(array)
        out = xp_of(array).empty((self.comm.size, *array.shape), array.dtype)
        self.nccl.allGather(numbers.data.ptr, out.data.ptr, numbers.nbytes, _nccl().NCCL_UINT8, _stream())
        return out

    def alltoall(self, array: Any) -> Any:
        return xp_of(array).asarray(self.comm.alltoall(self._fetched(array)))

    def _described(self, array: Any) -> tuple[Any, int, int]:
        """The array in one piece, how many numbers it has, and their kind."""
        numbers = xp_of(array).ascontiguousarray(array)
        return numbers, numbers.size, getattr(_nccl(), f"NCCL_{NUMBERS[array.dtype.name]}")

    def _staged(self, array: Any, call: Any) -> Any:
        host = self._fetched(array)
        call(host)
        array[...] = xp_of(array).asarray(host)
        return array

    def _fetched(self, array: Any) -> Any:
        """A copy in kept memory of the host, page-locked so that it is copied at the speed of the bus."""
        key = array.shape, array.dtype
        if key not in self._rooms:
            pinned = getattr(sys.modules.get("cupyx"), "empty_pinned", np.empty)
            self._rooms[key] = pinned(array.shape, array.dtype)
        room = self._rooms[key]
        xp_of(array).asnumpy(array, out=room)
        return room


def connected(comm: Any) -> Any:
    """NCCL between the ranks, None unless each of them, two or more, has a GPU of its own: a collective call."""
    mine = np.zeros(17, np.uint8)  # whether there is NCCL, and which GPU this is
    try:
        cupy = importlib.import_module("cupy")
        importlib.import_module("cupyx")
        importlib.import_module("cupy.cuda.nccl")
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        mine[1:] = np.frombuffer(bytes(properties["uuid"]), np.uint8)[:16]
        mine[0] = 1
    except Exception:  # each way in which it may be missing has an error of its own
        mine[0] = 0
    everyone = comm.allgather(mine)
    if comm.size < 2 or not everyone[:, 0].all() or len({row.tobytes() for row in everyone}) < comm.size:
        return None
    name = np.zeros(128, np.int8)
    if comm.rank == 0:
        name[...] = np.array(_nccl().get_unique_id(), np.int8)
    comm.bcast_(name)
    return _nccl().NcclCommunicator(comm.size, tuple(name.tolist()), comm.rank)


def _nccl() -> Any:
    return sys.modules["cupy.cuda.nccl"]


def _stream() -> int:
    return sys.modules["cupy"].cuda.get_current_stream().ptr


def _back(array: Any, numbers: Any) -> Any:
    if numbers is not array:
        array[...] = numbers
    return array
