"""Ranks that an MPI launcher has started: `world()`. mpi4py is imported here alone, and only where it is needed.

With Open MPI and `mpiexec --with-ft ulfm` the others outlive a rank (User Level Failure Mitigation, MPI Forum).
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from rlcore.backend import to_cpu, xp_of
from rlcore.parallel.base import ANY, Alone, Comm, Envelope, Pending, RankLost, bytes_of, check_size, pieces, wait_for
from rlcore.parallel.heartbeat import waits
from rlcore.parallel.launched import launched

NATIVE = "bBhHiIlLqQfd"  # kinds of numbers that MPI adds
KNOWN_S = 5.0  # in which a rank whose collective call another has revoked is to learn who is dead
NOTHING = Envelope(-2, -2, 0)  # has been seen: of no rank, with no tag
ULFM = "OMPI_MCA_mpi_ft_enable"  # what `mpiexec --with-ft ulfm` sets


def world() -> Comm:
    """All ranks that the launcher (mpiexec, srun, `rlcore launch`) has started, or Alone where none has.

    RuntimeError if there is no MPI, ValueError if MPI sees other ranks than the launcher: it belongs to another MPI.
    """
    ranks = launched()
    return Alone() if ranks == 1 else _connected(ranks)


@cache
def _connected(ranks: int) -> Comm:
    """The communicator of all ranks, made once: `ranks` of them, any number if 0."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError where mpi4py finds no MPI
        reason = str(error).strip().splitlines()
        raise RuntimeError(
            f"{ranks or 'several'} ranks were started by MPI, but mpi4py or its MPI is missing here "
            f"({reason[0] if reason else type(error).__name__}); run: pip install 'rlcore[mpi]'"
        ) from error
    there = MPI.COMM_WORLD.size
    if ranks and there != ranks:
        name = MPI.Get_library_version().split(",")[0].strip("\0\n ")
        raise ValueError(
            f"the launcher has started {ranks} ranks, but MPI ({name}) sees {there}: mpiexec belongs to another MPI "
            "than mpi4py; use `rlcore launch`, or the mpiexec that was installed with this MPI"
        )
    comm = MPI.COMM_WORLD.Dup()
    return MPIComm(comm, MPI)


class Sent(Pending):
    """A synchronous-mode send of MPI; its communicator keeps it, and with it the array, until it is complete."""

    def __init__(self, comm: MPIComm, request: Any, array: Any, dest: int):
        self.comm, self.request, self.array, self.dest, self.dropped = comm, request, array, dest, False

    def done(self) -> bool:
        if self.array is None:
            return True
        try:
            done = bool(self.request.Test())
        except self.comm.MPI.Exception as error:
            self._forget()
            raise self.comm.lost(error, {self.dest}) from None
        if done:
            self._forget()
        return done

    def drop(self) -> None:
        self.dropped = True

    def _forget(self) -> None:
        if self.array is not None:
            self.array = None
            self.comm.sent.remove(self)


class MPIComm(Comm):
    """Ranks of MPI. Collective calls wait with a busy core, receive() sleeps in between.

    After a RankLost out of a collective call its array holds anything.
    """

    def __init__(self, comm: Any, mpi: Any):
        self.MPI, self._comm = mpi, comm
        comm.Set_errhandler(mpi.ERRORS_RETURN)
        self._mail = comm.Dup()  # for messages: they go on when the other one has been revoked
        self._mail.Set_errhandler(mpi.ERRORS_RETURN)
        here = comm.Split_type(mpi.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = here.rank, here.size
        here.Free()
        self.rank, self.size = comm.rank, comm.size
        self.elastic = os.environ.get(ULFM, "").lower() in ("1", "true")
        self.failed: set[int] = set()
        self._told: set[int] = set()  # of these, those that probe() has told
        self.sent: list[Sent] = []
        self._status, self._seen = mpi.Status(), NOTHING
        self.concurrent = mpi.Query_thread() == mpi.THREAD_MULTIPLE

    def sum_(self, array: Any) -> Any:
        return self._reduce("sum_", array, self.MPI.SUM)

    def max_(self, array: Any) -> Any:
        return self._reduce("max_", array, self.MPI.MAX)

    @waits
    def _reduce(self, what: str, array: Any, op: Any) -> Any:
        if not isinstance(array, np.ndarray):
            return getattr(self.devices, what)(array)
        numbers = array
        if array.dtype.char not in NATIVE:
            numbers = array.astype(_stand_in(what, array.dtype))
        elif not array.flags.c_contiguous:
            numbers = array.copy()
        try:
            for piece in pieces(numbers):
                self._comm.Allreduce(self.MPI.IN_PLACE, piece, op)
        except self.MPI.Exception as error:
            raise self.lost(error, revoke=True) from None
        if numbers is not array:
            array[...] = numbers
        return array

    @waits
    def bcast_(self, array: Any, root: int = 0) -> Any:
        self._check_rank("bcast_", "root", root)
        if not isinstance(array, np.ndarray):
            return self.devices.bcast_(array, root)
        numbers = array if array.flags.c_contiguous else array.copy()
        try:
            for piece in pieces(numbers.reshape(-1).view(np.uint8)):
                self._comm.Bcast(piece, root)
        except self.MPI.Exception as error:
            raise self.lost(error, revoke=True) from None
        if numbers is not array:
            array[...] = numbers
        return array

    def allgather(self, array: Any) -> Any:
        if not isinstance(array, (np.ndarray, np.generic)):
            return self.devices.allgather(array)
        array = np.asarray(array)
        out = np.empty((self.size, *array.shape), array.dtype)
        self._exchange("allgather", self._comm.Allgather, array, out)
        return out

    def alltoall(self, array: Any) -> Any:
        self._check_parts(array)
        if not isinstance(array, np.ndarray):
            return self.devices.alltoall(array)
        out = np.empty(array.shape, array.dtype)
        self._exchange("alltoall", self._comm.Alltoall, array, out)
        return out

    @waits
    def _exchange(self, what: str, call: Any, array: Any, out: Any) -> None:
        check_size(what, array)
        try:
            call(*(np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (array, out)))
        except self.MPI.Exception as error:
            raise self.lost(error, revoke=True) from None

    @waits
    def barrier(self) -> None:
        try:
            self._comm.Barrier()
        except self.MPI.Exception as error:
            raise self.lost(error, revoke=True) from None

    def split(self, color: int) -> Comm | None:
        try:
            comm = self._comm.Split(color if color >= 0 else self.MPI.UNDEFINED, self.rank)
            return None if comm == self.MPI.COMM_NULL else MPIComm(comm, self.MPI)
        except self.MPI.Exception as error:
            raise self.lost(error, revoke=True) from None

    def shrink(self) -> Comm:
        if not self.elastic:
            raise RuntimeError("shrink: ranks may die only with Open MPI and `mpiexec --with-ft ulfm`")
        comm, last = self._comm, None
        for again in range(self.size + 1):  # one more may die meanwhile, and then one more
            try:
                if (self.failed or again) and not comm.Is_revoked():
                    comm.Revoke()  # so that those who have not noticed come here too
                comm = comm.Shrink()
                return MPIComm(comm, self.MPI)
            except self.MPI.Exception as error:
                last = error
        raise RuntimeError(f"MPI: the ranks that are left do not find together ({_words(last)})") from last

    def send(self, array: Any, dest: int, tag: int = 0) -> Pending:
        self._check_rank("send", "dest", dest)
        if tag < 0:
            raise ValueError(f"send: a tag is at least 0, got {tag}")
        check_size("send", array)
        if dest in self.failed:
            raise RankLost({dest})
        for old in [old for old in self.sent if old.dropped]:
            with suppress(RankLost):
                old.done()
        array = np.ascontiguousarray(to_cpu(array))
        try:
            request = self._mail.Issend(bytes_of(array), dest, tag)
        except self.MPI.Exception as error:
            raise self.lost(error, {dest}) from None
        self.sent.append(Sent(self, request, array, dest))
        return self.sent[-1]

    def probe(self, source: int = ANY, tag: int = ANY) -> Envelope | None:
        status, mpi = self._status, self.MPI
        if source != ANY:
            self._check_rank("probe", "source", source)
        where = mpi.ANY_SOURCE if source == ANY else source, mpi.ANY_TAG if tag == ANY else tag
        try:
            found = self._mail.Iprobe(*where, status)
        except mpi.Exception as error:
            lost = self.lost(error, {source} - {ANY})
            if source != ANY or not isinstance(lost, RankLost):
                raise lost from None
            found = self._mail.Iprobe(*where, status)  # what others have sent, now that the dead are known
        if found:
            self._seen = Envelope(status.source, status.tag, status.Get_count(mpi.BYTE))
            return self._seen
        if source == ANY and (news := self.failed - self._told):
            self._told |= news
            raise RankLost(news)
        return None

    def receive(self, out: Any, source: int, tag: int) -> Any:
        envelope = self._seen if self._seen[:2] == (source, tag) else self.probe(source, tag)
        envelope = envelope or wait_for(lambda: self.probe(source, tag))
        if envelope.nbytes != out.nbytes:
            raise ValueError(
                f"receive: the message of rank {envelope.source} with tag {envelope.tag} has {envelope.nbytes} bytes, "
                f"expected {out.nbytes}"
            )
        self._seen = NOTHING
        whole = isinstance(out, np.ndarray) and out.flags.c_contiguous
        numbers = out if whole else np.empty(out.shape, out.dtype)
        try:
            self._mail.Recv(bytes_of(numbers), envelope.source, envelope.tag)
        except self.MPI.Exception as error:
            raise self.lost(error, {envelope.source}) from None
        if numbers is not out:
            out[...] = xp_of(out).asarray(numbers)
        return out

    def _acknowledge(self) -> bool:
        """Whether any ranks are known to be dead, of which MPI then says no more."""
        mpi = self.MPI
        with suppress(mpi.Exception):
            self._mail.Iprobe(mpi.ANY_SOURCE, mpi.ANY_TAG)  # lets MPI take in what has happened
        with suppress(mpi.Exception):
            self._mail.Ack_failed(self.size)
            dead = self._mail.Get_failed()
            self.failed |= set(mpi.Group.Translate_ranks(dead, None, self._mail.Get_group()))
        return bool(self.failed)

    def lost(self, error: Any, ranks: set[int] = frozenset(), revoke: bool = False) -> Exception:  # type: ignore
        """What an error of MPI means; the dead are acknowledged, so that messages of others go on.

        revoke: the call was a collective one, so nobody may wait for this rank in it.
        """
        if not self.elastic:
            return RuntimeError(f"MPI: {_words(error)}; ranks may die only with Open MPI and `mpiexec --with-ft ulfm`")
        mpi = self.MPI
        if not self._acknowledge() and error.Get_error_class() == mpi.ERR_REVOKED:  # others know more, as yet
            with suppress(TimeoutError):
                wait_for(self._acknowledge, KNOWN_S)
        if error.Get_error_class() not in (mpi.ERR_PROC_FAILED, mpi.ERR_REVOKED, mpi.ERR_PROC_FAILED_PENDING):
            if not self.failed:  # else MPI may call it by any name
                return RuntimeError(f"MPI: {_words(error)}")
        if revoke:
            with suppress(mpi.Exception):
                self._comm.Revoke()
        found = self.failed if revoke else ranks or self.failed
        return RankLost(found, "" if found else "a rank is lost")


def _words(error: Any) -> str:
    return error.Get_error_string()


def _stand_in(what: str, dtype: Any) -> Any:
    """Numbers of which MPI knows how to add them."""
    if dtype.char == "e":
        return np.float32
    if dtype.char == "?" and what == "max_":
        return np.uint8
    raise TypeError(f"{what}: expected an array of floating point or whole numbers, got {dtype}")
