"""Optimizers that step by means over ranks: parameters without a gradient, layouts, float16, scaled losses."""

import numpy as np
import pytest

from rlcore.autograd import Chain, Sequential, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.autograd.optimizers import SGD, Adam
from rlcore.parallel.local import run_threads
from rlcore.rng import generator


def network(seed=0, dtype=np.float64):
    with using_config("dtype", dtype):
        model = Sequential(L.Linear(3, 4), F.tanh, L.Linear(4, 2))
    rng = generator(seed)
    for p in model.params():
        p.array = rng.normal(size=p.shape).astype(dtype)
    return model


def stepped(model, optimizer, x, steps=3, weight=1.0, scale=None):
    for k in range(steps):
        model.cleargrads()
        F.mean_squared_error(model(x[k]), np.zeros((len(x[k]), 2), x.dtype)).backward(loss_scale=optimizer.loss_scale)
        optimizer.update(weight=weight)
    return np.concatenate([p.array.ravel() for p in model.params()])


X = generator(1).normal(size=(3, 9, 3))
ROWS = slice(0, 2), slice(2, 9)


def together(f):
    return run_threads(2, f)


def clipped(optimizer):
    optimizer.add_hook(GradientClipping(0.1))
    return optimizer


def test_the_mean_is_weighted_and_comes_before_the_hooks():
    one = network()
    want = stepped(one, clipped(Adam(0.1).setup(one)), X)

    def rank(comm):
        model = network()
        rows = ROWS[comm.rank]
        return stepped(model, clipped(Adam(0.1).setup(model, comm.mean_)), X[:, rows], weight=rows.stop - rows.start)

    for got in together(rank):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("layout", ["whole", "part", "frozen", "rates", "apart"])
def test_it_is_so_wherever_the_parameters_lie(layout):
    """In one piece with room behind it, in front of others, in pieces, at several rates, in several buffers."""

    def made(reduce=None):
        model = network()
        optimizer = SGD(0.1)
        if layout == "part":
            model.flatten()
            return model, optimizer.setup(model[0], reduce)
        if layout == "apart":
            model[0].flatten()
            model[2].flatten()
        if layout == "frozen":
            model[0].b.update_enabled = False
        optimizer.setup(model, reduce)
        if layout == "rates":
            optimizer.scale(model[2], 0.5)
        return model, optimizer

    one, optimizer = made()
    want = stepped(one, optimizer, X)
    assert (want != stepped(network(), SGD(0.0).setup(network()), X)).any()

    def rank(comm):
        rows = ROWS[comm.rank]
        model, optimizer = made(comm.mean_)
        got = stepped(model, optimizer, X[:, rows], weight=rows.stop - rows.start)
        other = model[2].W.grad.copy()
        if layout == "part":  # what lies behind is left alone
            model.cleargrads()
            F.mean_squared_error(model(X[2][rows]), np.zeros((len(X[2][rows]), 2))).backward()
            before = model[2].flat_grad.copy()
            optimizer.update(weight=0.0)
            np.testing.assert_array_equal(model[2].flat_grad, before)
        return got, other

    for got, other in together(rank):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)
        if layout != "part":
            np.testing.assert_allclose(other, one[2].W.grad, rtol=0, atol=1e-13)


class Two(Chain):
    """Of two layers one is used, or both, or none."""

    def __init__(self):
        super().__init__()
        with using_config("dtype", np.float64):
            self.a, self.b, self.c = L.Linear(2, 1), L.Linear(2, 1), L.Linear(2, 1)

    def forward(self, x, used):
        return sum(F.sum(getattr(self, name)(x)) for name in used)


def test_a_parameter_that_one_rank_uses_is_stepped_by_all_and_others_are_left_alone():
    x = np.ones((1, 2))

    def run(reduce, used, weight=1.0):
        model = Two()
        for p in model.params():
            p.array = np.ones(p.shape)
        optimizer = SGD(0.1).setup(model, reduce)
        for names in used:
            model.cleargrads()
            if names:
                model(x, names).backward()
            optimizer.update(weight=weight)
        return [p.array.copy() for p in model.params()], optimizer.state()

    def rank(comm):
        return run(comm.mean_, [("a", "a"), "b"] if comm.rank else ["a", "a"])

    (first, state), (second, other) = together(rank)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert state["steps"] == other["steps"] == [2, 2, 1, 1, 0, 0]
    for p, value in zip(first, (0.8, 0.8, 0.95, 0.95, 1, 1), strict=True):  # of gradients 1.5 and 0.5, 0.5, none
        np.testing.assert_allclose(p, value)


def test_a_rank_that_weighs_nothing_adds_nothing_and_none_that_do_take_no_step():
    def rank(comm):
        model = network()
        optimizer = SGD(0.1).setup(model, comm.mean_)
        before = stepped(model, optimizer, X, 0)
        alone = stepped(model, optimizer, X * np.nan if comm.rank else X, weight=1.0 - comm.rank)
        nothing = stepped(model, optimizer, X, weight=0.0)
        return before, alone, nothing, optimizer.t

    want = stepped(network(), SGD(0.1).setup(network()), X, 0)
    one = network()
    after = stepped(one, SGD(0.1).setup(one), X)
    for before, alone, nothing, t in together(rank):
        np.testing.assert_array_equal(before, want)
        np.testing.assert_allclose(alone, after, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(nothing, alone)
        assert t == 3


@pytest.mark.parametrize("scale", [None, 128.0, "dynamic"])
def test_float16_parameters_and_scaled_losses(scale):
    """Weighted sums of float16 do not overflow; a dynamic scale is the same on all ranks."""
    x = (X * 20).astype(np.float16)

    def run(reduce, rows, weight=1.0):
        model = network(dtype=np.float16)
        optimizer = SGD(0.001).setup(model, reduce)
        if scale is not None:
            optimizer.loss_scaling(scale=None if scale == "dynamic" else scale)
        optimizer.use_fp32_update()
        return stepped(model, optimizer, x[:, rows], weight=weight), optimizer.loss_scale

    want, _ = run(None, slice(None))

    def rank(comm):
        return run(comm.mean_, ROWS[comm.rank], weight=5000.0 * (ROWS[comm.rank].stop - ROWS[comm.rank].start))

    (first, scale_a), (second, scale_b) = together(rank)
    np.testing.assert_array_equal(first, second)
    assert scale_a == scale_b
    assert np.isfinite(first).all()
    np.testing.assert_allclose(first.astype(float), want.astype(float), atol=5e-3)


def test_setup_again_keeps_what_reduces():
    model, calls = network(), []
    optimizer = SGD(0.1).setup(model, lambda vector, weight: calls.append(weight) or weight)
    optimizer.setup(model)  # as agents do
    optimizer.update(lambda: F.sum(model(X[0])), weight=3.0)
    assert calls == [3.0]
