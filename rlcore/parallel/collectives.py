"""Communication as functions of Variables: what goes forward comes back as a gradient; for models on several ranks.

All ranks of a collective call run its backward pass too, in the same order. As in ChainerMN, `send` gives a Variable
without a number, a thread: `backward()` of it waits for the gradient, and `recv` or `connect` tie it to what follows.
A message with tag t takes the tags 2 t and, for the gradient, 2 t + 1 of the communicator. Messages have no second
derivative, the others do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd import Variable
from rlcore.autograd.dual import traced
from rlcore.autograd.function import Function
from rlcore.autograd.variable import as_variable
from rlcore.backend import xp_of
from rlcore.parallel.base import Comm, wait_for

__all__ = ["allgather", "allreduce", "alltoall", "bcast", "connect", "recv", "send"]
DTYPES = [np.dtype(name) for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
MAX_NDIM = 64


def allreduce(comm: Comm, x: Any) -> Variable:
    """The sum of everybody's x."""
    return AllReduce(comm).apply(_recorded(x))


def allgather(comm: Comm, x: Any) -> Variable:
    """Everybody's x, of one shape: (size, ...)."""
    return AllGather(comm).apply(_recorded(x))


def alltoall(comm: Comm, x: Any) -> Variable:
    """Everybody's part for this rank (size, ...), of x whose r-th part is for rank r."""
    return AllToAll(comm).apply(_recorded(x))


def bcast(comm: Comm, x: Any, root: int = 0) -> Variable:
    """The root's x; others give an array of its shape and dtype, whose gradient is 0."""
    return Bcast(comm, root).apply(_recorded(x))


def send(comm: Comm, x: Any, dest: int, tag: int = 0) -> Variable:
    """Send x to `recv` of another rank; gives a thread, a scalar 0."""
    return Send(comm, dest, 2 * tag, 2 * tag + 1).apply(_recorded(x))


def recv(comm: Comm, source: int, tag: int = 0, thread: Any = None) -> Variable:
    """What another rank has sent by `send`, of any shape and dtype.

    thread: what an earlier `send` gave, so that backward() goes on to it; ValueError if what comes is not of `send`.
    """
    thread = _thread() if thread is None else thread
    return Receive(comm, source, 2 * tag, 2 * tag + 1).apply(_recorded(thread))


def connect(thread: Any, x: Any) -> Variable:
    """x, from which backward() goes on to the `send` that gave the thread too."""
    return Connect().apply(thread, x)


class AllReduce(Function):
    def __init__(self, comm: Comm):
        self.comm = comm

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.comm.sum_(x.copy())

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return _again(AllReduce(self.comm), gy)


class AllGather(AllReduce):
    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.comm.allgather(x)

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return _again(AllToAll(self.comm), gy).sum(0)


class AllToAll(AllReduce):
    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.comm.alltoall(x)

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return _again(AllToAll(self.comm), gy)


class Bcast(Function):
    def __init__(self, comm: Comm, root: int):
        self.comm, self.root = comm, root

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.comm.bcast_(x.copy(), self.root)

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return _again(Reduce(self.comm, self.root), gy)


class Reduce(Bcast):
    """The sum, at the root; 0 elsewhere."""

    def forward(self, x):  # type: ignore[no-untyped-def]
        total = self.comm.sum_(x.copy())
        if self.comm.rank != self.root:
            total[...] = 0
        return total

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return _again(Bcast(self.comm, self.root), gy)


class Send(Function):
    composite = False

    def __init__(self, comm: Comm, rank: int, there: int, back: int):
        self.comm, self.rank, self.there, self.back = comm, rank, there, back

    def forward(self, x):  # type: ignore[no-untyped-def]
        if x.dtype not in DTYPES:
            raise TypeError(f"expected numbers, got {x.dtype}")
        head = np.array([DTYPES.index(x.dtype), *x.shape], np.int64)
        for message in (head, x.copy()):  # a copy, as nobody waits until it has been received
            self.comm.send(message, self.rank, self.there).drop()
        return xp_of(x).zeros((), np.float32)

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return Receive(self.comm, self.rank, self.back, self.there).forward(gy)


class Receive(Send):
    def forward(self, thread):  # type: ignore[no-untyped-def]
        head = np.empty(self._waiting() // 8, np.int64)
        if not 1 <= head.size <= MAX_NDIM + 1:
            raise ValueError(f"the message of rank {self.rank} is not one of send()")
        self.comm.receive(head, self.rank, self.there)
        kind, *shape = head.tolist()
        if not 0 <= kind < len(DTYPES) or min(shape, default=0) < 0:
            raise ValueError(f"the message of rank {self.rank} is not one of send()")
        nbytes = DTYPES[kind].itemsize * math.prod(shape)
        if (there := self._waiting()) != nbytes:
            raise ValueError(f"the message of rank {self.rank} has {there} bytes, its head says {nbytes}")
        return self.comm.receive(xp_of(thread).empty(tuple(shape), DTYPES[kind]), self.rank, self.there)

    def _waiting(self) -> int:
        """Bytes of the next message, which is waited for."""
        return wait_for(lambda: self.comm.probe(self.rank, self.there)).nbytes

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return Send(self.comm, self.rank, self.back, self.there).forward(gy)


class Connect(Function):
    def forward(self, thread, x):  # type: ignore[no-untyped-def]
        self.like = xp_of(thread).zeros_like(thread)
        return x

    def backward(self, gy):  # type: ignore[no-untyped-def]
        return self.like, gy


def _recorded(x: Any) -> Variable:
    """x as a Variable through which backward() comes, so that no rank is missing there."""
    x = as_variable(x)
    return x if x.node is not None else Variable(x.array)


def _again(op: Function, g: Any) -> Any:
    """An op on an array or on a Variable."""
    return op.apply(_recorded(g)) if traced(g) else op.forward(g)


def _thread() -> Variable:
    return Variable(np.zeros((), np.float32))
