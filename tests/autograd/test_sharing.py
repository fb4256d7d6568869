"""Optimizers that step shared vectors: as one alone, as two by turns, and what is refused."""

import numpy as np
import pytest

from rlcore.autograd import Chain
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.autograd.optimizers import SGD, Adam, RMSprop


def model(seed=0, n_in=3):
    rng = np.random.default_rng(seed)
    net = Chain(a=L.Linear(n_in, 5), b=L.Linear(5, 2))
    for p in net.params():
        if p.array is not None:
            p.array = rng.normal(size=p.shape).astype(np.float32)
    return net


def made(kind=RMSprop, seed=0):
    net = model(seed)
    return net, kind(0.1).setup(net)


def learn(net, optimizer, seed):
    x = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    net.cleargrads()
    F.sum(net.b(F.tanh(net.a(x))) ** 2).backward()
    optimizer.update()


def vectors(net, n=1, start=True):
    values = net.flat.copy() if start else np.zeros_like(net.flat)
    return values, [np.zeros_like(values) for _ in range(n)]


@pytest.mark.parametrize(("kind", "n"), [(RMSprop, 1), (SGD, 0)])
def test_one_alone_steps_as_if_nothing_were_shared(kind, n):
    (net, optimizer), (other, plain) = made(kind), made(kind)
    for o in (optimizer, plain):
        o.add_hook(GradientClipping(0.5))
    values, state = vectors(net, n)
    optimizer.share(values, state)
    for seed in range(3):
        learn(net, optimizer, seed)
        learn(other, plain, seed)
        assert (net.flat == other.flat).all()
        assert (values == other.flat).all()
        if n:
            assert (optimizer.state()["ms"] == plain.state()["ms"]).all()
            assert (state[0] == plain.state()["ms"]).all()


def test_two_by_turns_step_the_same_vectors():
    """The gradient is of the copy, the step is taken from where the other one has gone meanwhile."""
    (one, first), (two, second) = made(), made(seed=1)
    values, (ms,) = vectors(one)
    first.share(values, [ms])
    second.share(values, [ms])
    assert (two.flat == values).all()
    learn(one, first, 0)
    assert not (two.flat == values).any()  # a copy of what was
    before, mean = values.copy(), ms.copy()
    learn(two, second, 1)
    g = two.flat_grad
    mean = np.float32(0.99) * mean + np.float32(1 - 0.99) * g * g
    np.testing.assert_allclose(ms, mean, rtol=1e-6)
    np.testing.assert_allclose(values, before - 0.1 * g / (np.sqrt(mean) + 1e-8), rtol=1e-5)
    assert (two.flat == values).all()


def test_what_is_shared_reaches_parameters_without_a_gradient():
    net, optimizer = made()
    values, state = vectors(net)
    optimizer.share(values, state)
    values += 1
    net.cleargrads()
    F.sum(F.tanh(net.a(np.ones((1, 3), np.float32)))).backward()
    optimizer.update()
    assert (net.flat == values).all()


def test_a_layout_elsewhere_changes_nothing():
    (net, optimizer), (other, plain) = made(), made()
    values, state = vectors(net)
    optimizer.share(values, state)
    for seed in range(3):
        learn(net, optimizer, seed)
        learn(other, plain, seed)
        outer = Chain(x=L.Linear(2, 2), inner=net) if seed == 1 else model(5)
        outer.flatten()
    assert (net.flat == other.flat).all()
    assert (values == other.flat).all()


def test_the_state_of_a_shared_one_loads_into_a_plain_one():
    (net, optimizer), (other, plain) = made(), made(seed=3)
    optimizer.share(*vectors(net))
    learn(net, optimizer, 0)
    other.load(net.state())
    plain.load(optimizer.state())
    learn(net, optimizer, 1)
    learn(other, plain, 1)
    assert (net.flat == other.flat).all()


def test_what_cannot_be_shared_is_refused():
    net, optimizer = made(Adam)
    with pytest.raises(ValueError, match=r"Adam counts its steps.*RMSprop and SGD do not"):
        optimizer.share(*vectors(net, 2))
    net, optimizer = made()
    values, state = vectors(net)
    for wrong in ((values[1:], state), (values, []), (values, [state[0].astype(np.float64)])):
        with pytest.raises(
            ValueError, match="expected 2 vectors of 32 elements of float32, for the values and ms; got"
        ):
            optimizer.share(*wrong)
    with pytest.raises(ValueError, match="sizes of all parameters must be known"):
        RMSprop().setup(model(n_in=None)).share(values, state)
    with pytest.raises(RuntimeError, match=r"call setup\(link\) first"):
        RMSprop().share(values, state)
    optimizer.share(values, state)
    net.c = L.Linear(2, 2)
    with pytest.raises(RuntimeError, match="a model that is shared has got other parameters"):
        optimizer.state()
