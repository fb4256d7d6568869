"""Gradients that travel between ranks, against one rank's of the same formula."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.parallel import collectives as C
from rlcore.parallel.local import run_threads

X = np.random.default_rng(0).normal(size=(3, 3, 2))  # of each rank, a part for each
W = np.random.default_rng(1).normal(size=(3, 3, 3, 2))  # of each rank, for all that may come


def allreduced(xs, rank):
    return sum(xs[1:], xs[0])


def allgathered(xs, rank):
    return F.stack(xs, 0)


def alltoall(xs, rank):
    return F.stack([x[rank] for x in xs], 0)


def from_rank_1(xs, rank):
    return xs[1] * 1


CASES = [
    (C.allreduce, allreduced), (C.allgather, allgathered), (C.alltoall, alltoall),
    (lambda comm, x: C.bcast(comm, x, 1), from_rank_1),
]  # fmt: skip
NAMES = ["allreduce", "allgather", "alltoall", "bcast"]


def loss(y, rank):
    return (y * y * y * (W[rank] if y.ndim == 3 else W[rank, 0])).sum()


def on_ranks(comm, call):
    """The value, the gradient, and the gradient of the squared gradients of all ranks."""
    x = Variable(X[comm.rank, :, :].copy())
    y = call(comm, x)
    (gx,) = grad([loss(y, comm.rank)], [x], enable_double_backprop=True)
    (gx * gx).sum().backward()
    return y.array, gx.array, x.grad


def alone(formula):
    xs = [Variable(x.copy()) for x in X]
    ys = [formula(xs, rank) for rank in range(3)]
    gs = grad([sum(loss(y, rank) for rank, y in enumerate(ys))], xs, enable_double_backprop=True)
    sum((g * g).sum() for g in gs if g is not None).backward()
    return [
        (
            y.array,
            np.zeros_like(x.array) if g is None else g.array,
            np.zeros_like(x.array) if x.grad is None else x.grad,
        )
        for y, x, g in zip(ys, xs, gs)
    ]


@pytest.mark.parametrize(("call", "formula"), CASES, ids=NAMES)
def test_gradients_and_second_gradients_are_one_ranks(call, formula):
    for there, here in zip(run_threads(3, on_ranks, call), alone(formula)):
        for a, b in zip(there, here):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def constants(comm):
    """Where only rank 0's input needs a gradient, the others take part all the same."""
    x = Variable(np.ones(2)) if comm.rank == 0 else np.full(2, 5.0)
    y = C.allreduce(comm, x)
    (y * y).sum().backward()
    return None if comm.rank else x.grad.tolist()


def test_an_input_without_a_gradient():
    """y = 1 + 5: each of two ranks gives 2 y."""
    assert run_threads(2, constants)[0] == [24, 24]


def model(comm):
    """tanh(x W) on rank 0, its square times 3 on rank 1, the sum of this back on rank 0."""
    if comm.rank == 0:
        w = Variable(W[0, 0].copy())
        h = F.tanh(Variable(X[0]).T @ w)
        thread = C.send(comm, h, 1)
        y = C.recv(comm, 1, 7, thread)
        assert y.dtype == np.float64
        z = (y * 2).sum()
        z.backward()
        return z.item(), w.grad
    y = C.recv(comm, 0)
    C.send(comm, y * y * 3, 0, 7).backward()


def test_a_model_on_two_ranks():
    z, gw = run_threads(2, model)[0]
    w = Variable(W[0, 0].copy())
    h = F.tanh(Variable(X[0]).T @ w)
    whole = (h * h * 6).sum()
    whole.backward()
    np.testing.assert_allclose(z, whole.item(), rtol=1e-12)
    np.testing.assert_allclose(gw, w.grad, rtol=1e-12)


def test_second_gradients_through_messages_are_refused():
    def f(comm):
        if comm.rank == 0:
            x = Variable(np.ones(2))
            with pytest.raises(ValueError, match="send has no second derivative"):
                grad([C.send(comm, x, 1)], [x], enable_double_backprop=True)
        else:
            thread = Variable(np.zeros((), np.float32))
            with pytest.raises(ValueError, match="receive has no second derivative"):
                grad([C.recv(comm, 0, 0, thread).sum()], [thread], enable_double_backprop=True)

    run_threads(2, f)


def test_kinds_and_shapes_travel():
    def f(comm):
        for x in (np.float16([[1, 2]]), np.array(3), np.zeros((0, 2)), np.array([True])):
            if comm.rank == 0:
                C.send(comm, x, 1)
            else:
                y = C.recv(comm, 0).array
                assert (y.shape, y.dtype) == (x.shape, x.dtype)
                np.testing.assert_array_equal(y, x)

    run_threads(2, f)


def test_connect_goes_both_ways():
    thread, x = Variable(np.zeros((), np.float32)), Variable(np.ones(3))
    (C.connect(thread, x) * 2).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    assert thread.grad == 0


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (np.zeros(0), "not one of send"),
        (np.zeros(66), "not one of send"),
        (np.array([99, 1]), "not one of send"),
        (np.array([1, -1]), "not one of send"),
        (np.array([1, 1 << 40]), "has 8 bytes, its head says 4398046511104"),
    ],
)
def test_a_message_of_somebody_else_is_refused(head, words):
    def f(comm):
        if comm.rank == 0:
            for message in (head, np.zeros(1)):
                comm.send(message, 1).drop()
        else:
            with pytest.raises(ValueError, match=words):
                C.recv(comm, 0)

    run_threads(2, f)


def test_objects_are_not_sent():
    with pytest.raises(TypeError, match="send: expected numbers, got object"):
        run_threads(2, lambda comm: C.send(comm, np.array([None]), 1 - comm.rank))
