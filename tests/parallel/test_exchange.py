"""Means in float16, and means that come one call later."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from rlcore.autograd import Variable, optimizers
from rlcore.autograd import links as L
from rlcore.parallel.base import Alone, RankLost
from rlcore.parallel.exchange import BLOCK, DoubleBuffered, Float16, packed, unpacked
from rlcore.parallel.local import run_threads
from tests.autograd import device


def test_a_block_as_bytes():
    """1.5 is 0.75 x 2^1: its block is scaled by 2^(15 - 1), and 1.5 x 2^14 = 24,576 is 0x7600 in float16."""
    rows = np.zeros((1, BLOCK), np.float32)
    rows[0, :3] = 1.5, -0.75, 2.0**-27
    data = packed(rows)
    assert data.shape == (1, 2 + 2 * BLOCK)
    assert data[0, :4].tolist() == [1, 0, 0x00, 0x76]
    assert unpacked(data)[0, :3].tolist() == [1.5, -0.75, 2.0**-27]


@pytest.mark.parametrize("scale", [1e-38, 1e-8, 1.0, 1e5, 1e37])
def test_rounding_is_of_the_number(scale):
    rows = (scale * np.random.default_rng(0).normal(size=(3, 4 * BLOCK))).astype(np.float32)
    rows[:, BLOCK : 2 * BLOCK] *= 2.0**-20  # a block of its own scale
    error = np.abs(unpacked(packed(rows)) - rows)
    assert (error <= 2.0**-11 * np.abs(rows) + 1e-45).all()
    assert error.max() > 0


def test_what_is_not_finite_stays_so():
    rows = np.ones((1, 2 * BLOCK), np.float32)
    rows[0, :3] = np.nan, np.inf, -np.inf
    back = unpacked(packed(rows))
    np.testing.assert_array_equal(back[0, :3], rows[0, :3])
    assert (back[0, BLOCK:] == 1).all()
    assert not unpacked(packed(np.zeros((1, BLOCK), np.float32))).any()


def means(comm, kind, n):
    x = np.random.default_rng(comm.rank).normal(size=(n, 3)).astype(kind)
    exact = x.astype(np.float64)
    if comm.rank == 1:
        x[...] = np.nan  # of weight 0
    weight = 0 if comm.rank == 1 else 2 * comm.rank + 1
    assert Float16(comm)(x, weight) == comm.mean_(exact, weight)
    bound = comm.max_(np.abs(np.random.default_rng(comm.rank).normal(size=(n, 3))))
    assert (np.abs(x - exact) <= 2.0**-10 * bound).all()
    assert (x == comm.bcast_(x.copy())).all()  # the same bits on all ranks
    assert Float16(comm)(x, 0) == 0
    assert not x.any()
    x = np.full(5, 3e38 if comm.rank else np.inf, np.float32)
    Float16(comm)(x)
    assert (x == np.inf).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("n", [1, 700])
def test_means_in_float16(kind, n):
    run_threads(3, means, kind, n)


def test_half_the_bytes_of_float32():
    sizes = []

    class Counting(Alone):
        def alltoall(self, array):
            sizes.append(array.nbytes)
            return array

        def allgather(self, array):
            sizes.append(array.nbytes)
            return array[None]

    x = np.ones(100_000, np.float32)
    assert Float16(Counting())(x, 3) == 3
    assert (x == 1).all()
    assert sizes[0] < 0.51 * x.nbytes
    assert sizes[1] < 0.51 * x.nbytes


def test_gpus_with_nccl_add_in_float16():
    sums = []

    class Comm(Alone):
        devices = SimpleNamespace(nccl=object())

        def sum_(self, array):
            sums.append(array.dtype)
            array *= 2  # another rank has the same
            return array

    x = device.Array(np.array([1.0, 60_000.0]))
    assert Float16(Comm())(x, 3) == 6
    assert sums == [np.float64, np.float16]
    assert x.get().tolist() == [1, 60_000]
    assert Float16(Comm())(x, 0) == 0
    assert x.get().tolist() == [0, 0]


def delayed(comm, mean):
    buffered = DoubleBuffered(comm, mean)
    a, b = np.zeros(3), np.zeros((2, 2), np.float32)
    totals = []
    for t in range(4):
        a[...], b[...] = comm.rank + 10 * t, 100 * comm.rank + t
        totals.append(buffered(a, comm.rank + 1))
        rtol = 1e-12 if mean is None else 1e-3
        np.testing.assert_allclose(a, 0 if t == 0 else 2 / 3 + 10 * (t - 1), rtol)
        assert buffered(b) == (2 if t else 0)
        assert (b == (50 + t - 1 if t else 0)).all()
        assert comm.sum_(np.ones(1)) == 2  # other calls go on meanwhile
    buffered.close()
    return totals


@pytest.mark.parametrize("mean", [None, Float16])
def test_means_come_one_call_later(mean):
    threads = threading.active_count()
    assert run_threads(2, delayed, mean) == [[0, 3, 3, 3]] * 2
    assert threading.active_count() <= threads


def learns(comm, buffered):
    """Three steps of gradient descent on rank-dependent data, and the weights after each."""
    link = L.Linear(2, 1, nobias=True)
    link.W.array[...] = 0
    reduce = DoubleBuffered(comm) if buffered else comm.mean_
    optimizer = optimizers.SGD(1.0).setup(link, reduce=reduce)
    seen = []
    for t in range(3):
        link.cleargrads()
        (link(Variable(np.float32([[comm.rank, t]]))).sum()).backward()
        optimizer.update()
        seen.append(link.W.array.ravel().tolist())
    if buffered:
        reduce.close()
    return seen


def test_an_optimizer_makes_the_same_steps_one_later():
    plain, late = run_threads(2, learns, False), run_threads(2, learns, True)
    assert plain[0] == plain[1] == [[-0.5, 0], [-1, -1], [-1.5, -3]]
    assert late[0] == late[1] == [[0, 0], *plain[0][:2]]


def loses(comm):
    buffered = DoubleBuffered(comm)
    if comm.rank == 1:
        raise KeyError("dead")
    x = np.ones(2)
    buffered(x)
    with pytest.raises(RankLost):
        buffered(x)
    buffered.close()
    return "told"


def test_a_dead_rank_is_told_at_the_next_call():
    assert run_threads(2, loses, elastic=True)[0] == "told"


def test_an_mpi_for_one_thread_is_refused():
    comm = Alone()
    comm.concurrent = False
    with pytest.raises(ValueError, match="not started for several threads"):
        DoubleBuffered(comm)
