"""Collective calls with arrays of a device: by way of the host on a stand-in for CuPy, and by a stand-in for NCCL."""

from __future__ import annotations

import sys
from threading import Barrier, local
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rlcore.parallel import devices as module
from rlcore.parallel.base import Alone
from rlcore.parallel.devices import connected, local_device
from rlcore.parallel.local import run_threads
from tests.autograd import device

Array = device.Array


@pytest.fixture
def cupy(monkeypatch):
    device.install(monkeypatch)
    return sys.modules["cupy"]


def calls(comm):
    """Every call, with device arrays, against what is known."""
    ranks, n = list(range(comm.size)), comm.size
    x = Array(np.arange(6.0).reshape(2, 3) + comm.rank)
    assert comm.sum_(x) is x
    assert x.get().tolist() == (np.arange(6.0).reshape(2, 3) * n + sum(ranks)).tolist()
    assert comm.max_(Array([comm.rank, 5])).get().tolist() == [n - 1, 5]
    x = Array(np.full(4, np.nan if comm.rank == 0 else comm.rank, np.float32))
    assert comm.mean_(x, 0 if comm.rank == 0 else 2) == 2 * (n - 1)
    np.testing.assert_allclose(x.get(), sum(ranks) / (n - 1))
    x = Array(np.full(4, np.nan))
    assert comm.mean_(x, 0) == 0
    assert not x.get().any()
    x = Array(np.full((2, 2), comm.rank, np.float16))
    assert comm.bcast_(x, n - 1) is x
    assert (x.get() == n - 1).all()
    rows = comm.allgather(Array([[comm.rank, 7]]))
    assert rows.get().tolist() == [[[rank, 7]] for rank in ranks]
    parts = comm.alltoall(Array([[10 * comm.rank + to] for to in ranks]))
    assert parts.get().tolist() == [[10 * rank + comm.rank] for rank in ranks]
    assert all(isinstance(found, Array) for found in (rows, parts))
    if comm.rank == 0:
        comm.send(Array([1.0, 2.0]), 1).drop()
    elif comm.rank == 1:
        x = Array(np.zeros(2))
        assert comm.receive(x, 0, 0) is x
        assert x.get().tolist() == [1, 2]
    comm.barrier()
    return comm.devices.nccl


@pytest.mark.parametrize("n", [2, 3])
def test_by_way_of_the_host(cupy, n):
    assert run_threads(n, calls) == [None] * n


def test_memory_of_the_host_is_kept_and_page_locked(cupy, monkeypatch):
    made = []
    monkeypatch.setattr(sys.modules["cupyx"], "empty_pinned", lambda *a: made.append(a) or np.empty(*a), raising=False)

    def twice(comm):
        for _ in range(2):
            comm.sum_(Array(np.ones(3)))

    run_threads(2, twice)
    assert made == [((3,), np.float64)] * 2


@pytest.fixture
def nccl(cupy, monkeypatch):
    """NCCL between threads: pointers are the arrays themselves, and each call is done by all."""
    mine = local()  # the thread's GPU
    monkeypatch.setattr(Array, "data", property(lambda self: SimpleNamespace(ptr=self.hidden)), raising=False)
    cupy.cuda = SimpleNamespace(
        Device=lambda: SimpleNamespace(id=mine.id),
        get_current_stream=lambda: SimpleNamespace(ptr=99),
        runtime=SimpleNamespace(getDeviceCount=lambda: 2, getDeviceProperties=lambda k: {"uuid": b"GPU %012d" % k}),
    )
    groups = {}

    class Communicator:
        def __init__(self, size, name, rank):
            group = groups.setdefault(name, SimpleNamespace(barrier=Barrier(size), arrays=[None] * size))
            self.rank, self.group = rank, group

        def _all(self, array, n):
            """Everybody's numbers, of which there must be n."""
            self.group.arrays[self.rank] = array.copy()
            self.group.barrier.wait(30)
            found = list(self.group.arrays)
            self.group.barrier.wait(30)
            assert n in (array.size, array.nbytes)
            return found

        def allReduce(self, send, receive, n, kind, op, stream):
            assert (kind, stream) == (str(send.dtype), 99)
            receive[...] = op(self._all(send, n), 0)

        def bcast(self, array, n, kind, root, stream):
            assert (n, kind) == (array.nbytes, "uint8")
            array[...] = self._all(array, n)[root]

        def allGather(self, send, receive, n, kind, stream):
            assert (n, kind) == (send.nbytes, "uint8")
            receive[...] = self._all(send, n)

    nccl = ModuleType("cupy.cuda.nccl")
    nccl.NcclCommunicator, nccl.NCCL_SUM, nccl.NCCL_MAX = Communicator, np.sum, np.max
    nccl.get_unique_id = lambda: tuple(range(-64, 64))
    for name, kind in module.NUMBERS.items():
        setattr(nccl, f"NCCL_{kind}", name)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)
    return mine


@pytest.mark.parametrize("n", [2, 3])
def test_by_nccl(nccl, n):
    def on_own_gpu(comm):
        nccl.id = comm.rank
        return calls(comm)

    assert all(found is not None for found in run_threads(n, on_own_gpu))


def test_ranks_that_share_a_gpu_go_by_way_of_the_host(nccl):
    def on_one_gpu(comm):
        nccl.id = 0
        return connected(comm)

    assert run_threads(2, on_one_gpu) == [None, None]


def test_the_device_of_a_rank(nccl):
    comm = Alone()
    assert [local_device(SimpleNamespace(local_rank=rank)) for rank in range(3)] == ["@cupy:0", "@cupy:1", "@cupy:0"]
    sys.modules["cupy"].cuda.runtime.getDeviceCount = lambda: 0
    assert local_device(comm) == "@numpy"


def test_without_a_gpu_the_device_is_the_cpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert local_device(Alone()) == "@numpy"
