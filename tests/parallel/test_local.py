"""Ranks in threads and in processes: what all communicators do, and what becomes of ranks that fail."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time

import numpy as np
import pytest

from rlcore.parallel.base import Alone, RankLost, wait_for
from rlcore.parallel.local import HEAD, MAGIC, InProcess, _failure, run_processes, run_threads
from rlcore.parallel.mail import LEAVE, MESSAGE, LocalComm
from tests.parallel import conformance

RUN = pytest.mark.parametrize("run", [run_threads, run_processes], ids=["threads", "processes"])


@pytest.fixture(autouse=True)
def nothing_is_left():
    threads = threading.active_count()
    yield
    assert multiprocessing.active_children() == []
    wait_for(lambda: threading.active_count() <= threads, 10)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("case", conformance.CASES, ids=lambda case: case.__name__)
def test_a_case_in_threads(case, n):
    run_threads(n, case)


@pytest.mark.parametrize("n", [2, 3])
def test_all_cases_in_processes(n):
    assert run_processes(n, conformance.all_of) == list(range(n))


def test_one_process_is_alone():
    assert run_processes(1, type) == [Alone]


class OddError(Exception):
    """Cannot be made again of its words."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def raises(comm):
    if comm.rank == 1:
        raise KeyError("key")
    comm.receive(np.empty(1), 1, 0)


@RUN
def test_what_a_rank_raises_ends_all(run):
    began = time.monotonic()
    with pytest.raises(KeyError, match="key") as caught:
        run(2, raises)
    assert time.monotonic() - began < 30
    if run is run_processes:
        assert "in rank 1:\nTraceback" in str(caught.value.__cause__)


def does_not_listen(comm):
    if comm.rank == 1:
        raise KeyError("key")
    time.sleep(100)


def test_a_rank_that_does_not_listen_is_ended():
    began = time.monotonic()
    with pytest.raises(KeyError):
        run_processes(2, does_not_listen)
    assert time.monotonic() - began < 30


def test_an_error_that_cannot_be_sent():
    failure = _failure(OddError("this", "that"), 1)
    assert repr(failure.error) == "RuntimeError('OddError: this and that')"
    assert failure.words.startswith("in rank 1:\n")


def not_sendable(comm):
    return lambda: None


def test_a_result_that_cannot_be_sent():
    with pytest.raises(Exception, match="not_sendable"):
        run_processes(1, not_sendable)


@RUN
def test_the_others_outlive_a_dead_rank(run):
    results = run(3, conformance.outlives, elastic=True)
    assert results[0] == [(1,)] * 4
    assert results[2] == []
    assert isinstance(results[1], RankLost if run is run_processes else KeyError)
    if run is run_processes:
        assert results[1].ranks == (1,)


def dies(comm):
    if comm.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.barrier()


def test_a_killed_process_is_told():
    with pytest.raises(RankLost, match="1"):
        run_processes(2, dies)


def two_die(comm, at):
    """One before the others come together, one while they do."""
    if comm.rank == 1:
        raise KeyError(1)
    with pytest.raises(RankLost):
        comm.barrier()
    if comm.rank == at:
        time.sleep(0.05)
        raise KeyError(at)
    left = comm.shrink()
    while True:
        try:
            left.barrier()
            if left.size == 2:
                break
        except RankLost:
            left = left.shrink()
    return left.allgather(np.int64(comm.rank)).tolist()


@pytest.mark.parametrize("at", [0, 2, 3])
def test_one_more_dies_while_they_come_together(at):
    results = run_threads(4, two_die, at, elastic=True)
    alive = [rank for rank in range(4) if rank not in (1, at)]
    assert [results[rank] for rank in alive] == [alive, alive]


def leaves_early(comm):
    if comm.rank == 0:
        with pytest.raises(RankLost):
            comm.receive(np.empty(1), 1, 0)
        with pytest.raises(RankLost):
            comm.barrier()
        assert comm.probe() is None
        assert comm.failed == set()
        return comm.shrink().size


@RUN
def test_a_rank_that_has_ended_is_not_waited_for(run):
    assert run(2, leaves_early) == [1, None]


def calls_others(comm):
    with pytest.raises(ValueError, match=r"rank 1 calls max_ of 2 <f8 where rank 0 calls sum_ of 2 <f8"):
        (comm.max_ if comm.rank else comm.sum_)(np.ones(2))
    with pytest.raises(ValueError, match=r"rank 1 calls sum_ of 3 <f4 where rank 0 calls sum_ of 2 <f4"):
        comm.sum_(np.ones(2 + comm.rank, np.float32))
    with pytest.raises(ValueError, match=r"from rank 1 of 2 .* from rank 0 of 2"):
        comm.bcast_(np.ones(2), comm.rank)
    return float(comm.sum_(np.ones(1))[0])


def test_ranks_that_call_different_things():
    assert run_threads(2, calls_others) == [2, 2]


def in_order(comm):
    x = np.array([1e16, 1.0, -1e16][comm.rank])
    return float(comm.sum_(x))


def test_sums_are_in_the_order_of_ranks():
    assert run_threads(3, in_order) == [(1e16 + 1.0) - 1e16] * 3


@pytest.mark.parametrize(
    "head",
    [
        HEAD.pack(b"RLm0", MESSAGE, 0, 1, 0, 0, 1, 0),
        HEAD.pack(MAGIC, LEAVE + 1, 0, 1, 0, 0, 1, 0),
        HEAD.pack(MAGIC, MESSAGE, 0, 2, 0, 0, 1, 0),
        HEAD.pack(MAGIC, MESSAGE, 1, 1, 0, 0, 1, 0) + b"\xff",
        HEAD.pack(MAGIC, MESSAGE, 0, 1, 0, 0, 1, 1 << 62),
        b"RL",
    ],
    ids=["magic", "kind", "source", "words", "bytes", "short"],
)
def test_what_is_not_a_letter_ends_the_connection(head):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        comm = LocalComm(InProcess(0, 2, {1: ours}), range(2))
        theirs.sendall(head)
        if len(head) < HEAD.size:
            theirs.close()
        with pytest.raises(RankLost):
            comm.receive(np.empty(1), 1, 0)


@RUN
def test_a_number_of_ranks(run):
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        run(0, print)
