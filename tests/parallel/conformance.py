"""What every communicator does, as cases that its ranks run together; also a program for mpiexec."""

from __future__ import annotations

import os
import signal
import sys
import threading

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import links as L
from rlcore.parallel import collectives as C
from rlcore.parallel.base import ANY, LARGE, Envelope, RankLost, wait_for
from rlcore.parallel.exchange import DoubleBuffered, Float16

KINDS = [np.float32, np.float64, np.int64, np.uint8, np.float16]


def rows(rank, n=5):
    return np.random.default_rng(rank).normal(3, 2, (n + rank, 2, 3))


def sums(comm):
    for kind in KINDS:
        x = np.arange(6, dtype=kind).reshape(2, 3) + comm.rank
        assert comm.sum_(x) is x
        assert x.dtype == kind
        assert x.tolist() == (np.arange(6).reshape(2, 3) * comm.size + sum(range(comm.size))).tolist()
    big = np.zeros((4, 6))
    view = big[::2, 1::2]
    view[...] = comm.rank
    comm.sum_(view)
    assert (view == sum(range(comm.size))).all()
    assert big.sum() == view.sum()  # what lies between is left alone
    assert comm.sum_(np.array(2.0)) == 2 * comm.size
    assert comm.sum_(np.empty((0, 3))).shape == (0, 3)


def maxima(comm):
    for kind in KINDS:
        x = np.array([comm.rank, 7, comm.size - comm.rank], kind)
        assert comm.max_(x).tolist() == [comm.size - 1, 7, comm.size]
    flag = np.array([comm.rank == comm.size - 1, False])
    assert comm.max_(flag).tolist() == [True, False]


def means(comm):
    """Of (rank + 1) with weight 2 (rank + 1): sum of squares by sum; also where weights go ahead."""
    ranks = np.arange(1, comm.size + 1)
    for kind in (np.float32, np.float64, np.float16):
        for n in (1, 7, LARGE // np.dtype(kind).itemsize + 1):
            x = np.full(n, comm.rank + 1, kind)
            assert comm.mean_(x, 2 * (comm.rank + 1)) == 2 * ranks.sum()
            rtol = 1e-3 if kind == np.float16 else 1e-6
            np.testing.assert_allclose(x, (ranks * ranks).sum() / ranks.sum(), rtol)
            x = np.full(n, comm.rank, kind)
            assert comm.mean_(x) == comm.size
            np.testing.assert_allclose(x, (comm.size - 1) / 2, rtol=1e-6)
    x = np.full((3, 2), 60_000, np.float16)  # times the weight it would be infinite
    comm.mean_(x, 100)
    assert (x == 60_000).all()


def means_without_some(comm):
    """A rank of weight 0 adds nothing, not even its NaN; without any weight there is nothing."""
    for n in (3, LARGE):
        x = np.full((n, 2), np.nan if comm.rank == 0 else float(comm.rank))
        assert comm.mean_(x, 0 if comm.rank == 0 else 3) == 3 * (comm.size - 1)
        np.testing.assert_allclose(x, sum(range(comm.size)) / max(comm.size - 1, 1), rtol=1e-12)
        x = np.full((n, 2), np.nan)
        assert comm.mean_(x, 0) == 0
        assert not x.any()
    x = np.zeros((4, 4))
    x[:, 1] = comm.rank
    comm.mean_(x[:, 1])
    assert x.sum() == 4 * x[0, 1] == 2 * (comm.size - 1)
    if comm.size > 1:
        with pytest.raises(TypeError, match="floating point"):
            comm.mean_(np.arange(3))


def broadcasts(comm):
    root = comm.size - 1
    for kind in [*KINDS, bool]:
        x = np.array([[comm.rank == root, 1], [0, 1]], kind)
        assert comm.bcast_(x, root) is x
        assert x.tolist() == np.array([[1, 1], [0, 1]], kind).tolist()
    x = np.full((3, 4), comm.rank)
    comm.bcast_(x[:, 1], root)
    assert x.sum() == 9 * comm.rank + 3 * root
    with pytest.raises(ValueError, match="root is a rank of"):
        comm.bcast_(x, comm.size)


def broadcast_of_a_link(comm):
    link = L.BatchNormalization(3)
    link.gamma.array[...] = comm.rank
    link.avg_mean[...] = comm.rank
    comm.bcast(link, comm.size - 1)
    assert (link.gamma.array == comm.size - 1).all()
    assert (link.avg_mean == comm.size - 1).all()


def gathers(comm):
    x = comm.allgather(np.array([[comm.rank, 5]], np.int16))
    assert x.tolist() == [[[rank, 5]] for rank in range(comm.size)]
    assert x.dtype == np.int16
    assert comm.allgather(np.arange(6.0)[::2] + comm.rank)[-1].tolist() == [comm.size - 1 + k for k in (0, 2, 4)]
    assert comm.allgather(np.int64(comm.rank)).tolist() == list(range(comm.size))
    parts = np.array([[10 * comm.rank + to] * 2 for to in range(comm.size)], np.float16)
    assert comm.alltoall(parts)[:, 1].tolist() == [10 * rank + comm.rank for rank in range(comm.size)]
    with pytest.raises(ValueError, match="one part for each"):
        comm.alltoall(np.zeros((comm.size + 1, 2)))
    comm.barrier()


def moments(comm):
    for n in (5, 0):
        joined = np.concatenate([rows(rank, n) for rank in range(comm.size)])
        mean, variance, count = comm.moments(rows(comm.rank, n).astype(np.float32))
        assert count == len(joined)
        if count:
            np.testing.assert_allclose(mean, joined.mean(0), rtol=1e-6)
            np.testing.assert_allclose(variance, joined.var(0), rtol=1e-5, atol=1e-12)
            assert mean.dtype == variance.dtype == np.float64
    x = 1e8 + rows(comm.rank)  # where the mean of squares less the squared mean is nothing but rounding
    np.testing.assert_allclose(comm.moments(x)[1], comm.moments(x - 1e8)[1], rtol=1e-6)


def splits(comm):
    """By parity, and the last rank alone in none."""
    part = comm.split(comm.rank % 2)
    members = list(range(comm.rank % 2, comm.size, 2))
    assert (part.size, part.rank) == (len(members), members.index(comm.rank))
    assert part.sum_(np.array([comm.rank])) == sum(members)
    rest = comm.split(-1 if comm.rank == comm.size - 1 else 0)
    assert (rest is None) == (comm.rank == comm.size - 1)
    if rest is not None:
        assert rest.allgather(np.int64(comm.rank)).tolist() == list(range(comm.size - 1))
    if comm.size > 1 and rest is not None and rest.size > 1:
        if rest.rank == 0:  # a message stays within its communicator
            wait_for(rest.send(np.ones(2), 1).done)
        elif rest.rank == 1:
            assert comm.probe() is None
            assert rest.receive(np.empty(2), 0, 0).tolist() == [1, 1]
    comm.barrier()
    assert 0 <= comm.local_rank < comm.local_size <= comm.size


def synchronous_sends(comm):
    """A message is done only when it has been received, and comes whole."""
    if comm.rank == 0:
        pending = [comm.send(np.full((2, 3), rank, np.float32), rank, tag=rank) for rank in range(1, comm.size)]
        assert not any(message.done() for message in pending)
        comm.barrier()
        assert not any(message.done() for message in pending)
        comm.barrier()
        for message in pending:
            assert wait_for(message.done, 30)
            assert message.done()
    else:
        comm.barrier()
        comm.barrier()
        assert (comm.receive(np.empty((2, 3), np.float32), 0, comm.rank) == comm.rank).all()
    comm.barrier()


def order(comm):
    """Messages of a source and a tag come in the order in which they were sent; tags may be chosen."""
    if comm.size == 1:
        return
    if comm.rank == 0:
        last = comm.size - 1
        for source in (last, 1):
            envelope = wait_for(lambda source=source: comm.probe(source, 5), 30)
            assert envelope == Envelope(source, 5, 8)
        assert comm.receive(np.empty(1), last, 6) == 200 + last
        for number in (0, 1):
            assert comm.receive(np.empty(1), last, 5) == 10 * last + number
        if last != 1:
            for number in (0, 1):
                assert comm.receive(np.empty(1), ANY, 5) == 10 + number
            assert comm.receive(np.empty(1), 1, ANY) == 201
        assert comm.probe(ANY, 5) is None
        comm.receive(np.empty((0, 2)), last, 9)
        comm.barrier()
    else:
        pending = [comm.send(np.array([10.0 * comm.rank + number]), 0, 5) for number in (0, 1)]
        pending.append(comm.send(np.array([200.0 + comm.rank]), 0, 6))
        for message in pending:
            wait_for(message.done, 30)
        if comm.rank == comm.size - 1:
            wait_for(comm.send(np.empty((0, 2)), 0, 9).done, 30)
        comm.barrier()


def sizes(comm):
    """A message of another size stays, and can be received as what it is, in any layout."""
    if comm.size == 1:
        return
    if comm.rank == 0:
        wait_for(comm.send(np.arange(12.0).reshape(3, 4)[:, 1:3], 1).done, 30)
    elif comm.rank == 1:
        with pytest.raises(ValueError, match=r"message of rank 0 with tag 0 has 48 bytes, expected 40"):
            comm.receive(np.empty(5), 0, 0)
        assert comm.probe(0) == Envelope(0, 0, 48)
        x = np.zeros((2, 6))
        comm.receive(x[:, ::2], 0, 0)
        assert x.tolist() == [[1, 0, 2, 0, 5, 0], [6, 0, 9, 0, 10, 0]]
    comm.barrier()


def dropped(comm):
    """A dropped message may still be received; whoever dropped it may forget its array."""
    if comm.rank == 0 and comm.size > 1:
        comm.send(np.arange(1000.0), 1).drop()
        wait_for(comm.send(np.arange(3.0), 1, 1).done, 30)
    elif comm.rank == 1:
        comm.receive(np.empty(3), 0, 1)
        assert comm.receive(np.empty(1000), 0, 0).tolist() == list(range(1000))
    comm.barrier()


def exchanges(comm):
    """Means in float16 and those that come one call later are means."""
    x = np.full(600, comm.rank + 1, np.float32)
    assert Float16(comm)(x, 2) == 2 * comm.size
    np.testing.assert_allclose(x, (comm.size + 1) / 2, rtol=1e-3)
    late = DoubleBuffered(comm)
    for t in range(3):
        x[...] = comm.rank + t
        assert late(x) == (comm.size if t else 0)
        comm.barrier()
        np.testing.assert_allclose(x, (comm.size - 1) / 2 + t - 1 if t else 0)
    late.close()


def gradients(comm):
    """Of the sum over ranks of the square of what all have gathered, and of what the next rank has sent."""
    x = Variable(np.array([comm.rank + 1.0]))
    y = C.allgather(comm, x)
    (y * y).sum().backward()
    assert x.grad == 2 * comm.size * (comm.rank + 1)
    if comm.size > 1:
        x.cleargrad()
        thread = C.send(comm, x, (comm.rank + 1) % comm.size)
        y = C.recv(comm, (comm.rank - 1) % comm.size, thread=thread)
        (y * y).sum().backward()
        assert x.grad == 2 * (comm.rank + 1)
    comm.barrier()


def refusals(comm):
    if comm.size == 1:
        for call in (lambda: comm.send(np.ones(1), 0), lambda: comm.receive(np.ones(1), 0, 0)):
            with pytest.raises(ValueError, match="no other rank"):
                call()
        return
    with pytest.raises(ValueError, match=f"dest is a rank of {comm.size}, 0 to {comm.size - 1}, got -1"):
        comm.send(np.ones(1), -1)
    with pytest.raises(ValueError, match="tag is at least 0"):
        comm.send(np.ones(1), 0, -1)
    with pytest.raises(ValueError, match="source is a rank"):
        comm.probe(comm.size)


CASES = [
    sums, maxima, means, means_without_some, broadcasts, broadcast_of_a_link, gathers, moments, splits,
    synchronous_sends, order, sizes, dropped, exchanges, gradients, refusals,
]  # fmt: skip


def all_of(comm):
    for case in CASES:
        case(comm)
        assert comm.failed == set()
    return comm.rank


def outlives(comm):
    """Rank 1 dies, by which others learn in any call; the others go on."""
    if comm.rank == 1:
        wait_for(comm.send(np.ones(1), 0).done)
        if threading.current_thread() is threading.main_thread():
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("dead")
    told = []
    if comm.rank == 0:
        pending = comm.send(np.ones(1), 1)
        comm.receive(np.empty(1), 1, 0)
        calls = lambda: comm.receive(np.empty(1), 1, 0), lambda: comm.probe(1), lambda: comm.probe(ANY, 9)
        for call in (pending.done, *calls):
            with pytest.raises(RankLost, match="lost rank 1") as lost:
                wait_for(call, 30)
            told.append(lost.value.ranks)
        pending.drop()
        with pytest.raises(RankLost):
            comm.send(np.ones(1), 1)
        assert comm.probe(ANY, 9) is None  # told once
        assert comm.receive(np.empty(1), 2, 4) == 7  # messages of others go on
    else:
        wait_for(comm.send(np.array([7.0]), 0, 4).done)
    with pytest.raises(RankLost) as lost:
        wait_for(lambda: comm.sum_(np.zeros(1)).any())
    assert lost.value.ranks == (1,) == tuple(comm.failed)
    with pytest.raises(RankLost):
        comm.barrier()
    left = comm.shrink()
    assert left.allgather(np.int64(comm.rank)).tolist() == [0, 2]
    assert left.shrink().size == 2
    assert left.failed == set()
    return told


if __name__ == "__main__":
    from rlcore.parallel.comm import world

    ranks = world()
    if sys.argv[1] == "outlives":
        print(outlives(ranks), flush=True)
        os._exit(0)  # MPI_Finalize hangs now and then when ranks have died
    else:
        assert ranks.size == int(sys.argv[1])
        all_of(ranks)
        print("fine", flush=True)
