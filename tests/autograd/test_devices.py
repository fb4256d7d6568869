"""Models moved between NumPy and a stand-in for CuPy: arrays, gradients, layout, optimizer state."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rlcore.autograd import Chain, Variable, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.devices import device_of, mover
from rlcore.autograd.link_hooks import SpectralNormalization
from tests.autograd import device

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def cupy(monkeypatch):
    module = device.module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def net():
    model = Chain(l1=L.Linear(3, 4, initialW=0.5), l2=L.Linear(4, 1, initialW=0.25))
    model.add_persistent("mean", np.ones(2, np.float32))
    model.add_persistent("count", 3)
    model.state_ = F.tanh(Variable(X))
    return model


def step(model, optimizer, x):
    loss = F.sum(model.l2(F.tanh(model.l1(x))))
    model.cleargrads()
    loss.backward()
    optimizer.update()


@pytest.mark.parametrize("flat", [False, True])
def test_there_and_back(cupy, flat):
    model = net()
    view = model.view()
    F.sum(model.l1(X)).backward()
    W, gradient = model.l1.W.array.copy(), model.l1.W.grad.copy()
    if flat:
        model.flatten()
    version = model.l1.W.buffer
    assert model.to_gpu() is model
    assert model.device == "@cupy"
    assert model.xp is cupy
    for p in (*model.params(), model.mean, model.state_.array):
        assert isinstance(getattr(p, "array", p), device.Array)
    assert isinstance(view.l1.W.array, device.Array)
    assert view.l1.W.array is model.l1.W.array
    assert model.state_.creator is None
    assert (model.l1.W.buffer is not None) == flat
    assert model.l1.W.buffer is not version or not flat
    assert model.l1.W.array.hidden.T.flags.c_contiguous  # as the kernels want it
    np.testing.assert_array_equal(model.l1.W.grad.hidden, gradient)
    assert model.l2.W.grad is None
    if flat:
        assert np.shares_memory(model.flat_state.hidden, model.mean.hidden)
    model.to_cpu()
    assert model.device == "@numpy"
    np.testing.assert_array_equal(model.l1.W.array, W)
    np.testing.assert_array_equal(model.l1.W.grad, gradient)
    assert model.count == 3


def test_training_goes_on_in_a_moved_model(cupy):
    here, there = net(), net()
    for model in (here, there):
        optimizer = optimizers.Adam().setup(model)
        step(model, optimizer, X)
        if model is there:
            model.to_device("@cupy")
            step(model, optimizer, device.Array(X))
            model.to_cpu()
        else:
            step(model, optimizer, X)
        step(model, optimizer, X)
    np.testing.assert_array_equal(here.flat, there.flat)


def test_a_size_settled_after_the_move(cupy):
    model = Chain(l1=L.Linear(None, 4)).to_gpu()
    y = model.l1(device.Array(X))
    assert isinstance(model.l1.W.array, device.Array)
    assert isinstance(y.array, device.Array)
    assert model.l1.W.array.hidden.T.flags.c_contiguous
    model = Chain(l1=L.Linear(None, 4))
    model.to_gpu().load(net_state := Chain(l1=L.Linear(3, 4)).state())
    assert isinstance(model.l1.W.array, device.Array)
    np.testing.assert_array_equal(model.l1.W.array.hidden, net_state["l1"]["W"])


def test_a_hooked_link(cupy):
    link = L.Linear(3, 4).add_hook(SpectralNormalization(use_gamma=True))
    expected = link.copy()(X).array
    link.to_gpu()
    np.testing.assert_allclose(link(device.Array(X)).array.hidden, expected, rtol=1e-6)
    assert isinstance(link.W_u, device.Array)


def test_device_names(cupy, monkeypatch):
    class Device:
        def __init__(self, number):
            self.id = number

        def __enter__(self):
            cupy.current = self.id

        def __exit__(self, *error):
            cupy.current = 0

    seen = []
    cupy.current, cupy.cuda = 0, type("cuda", (), {"Device": Device})
    monkeypatch.setattr(cupy, "asarray", lambda a: seen.append(cupy.current))
    for name in ("@cupy", "@cupy:2", (cupy, 1), cupy, "gpu", "gpu:3", "cuda:1"):
        mover(name)(X)
    assert seen == [0, 2, 1, 0, 0, 3, 1]
    assert mover("cpu")(X) is X
    assert mover("@numpy")(X) is X
    assert mover(np)(X) is X
    for name in ("tpu", "@cupy:x", 1, "@intel64"):
        with pytest.raises(ValueError, match="expected 'cpu', 'gpu', 'gpu:1', '@numpy', '@cupy' or '@cupy:1'"):
            mover(name)
    assert device_of(X) == "@numpy"
    assert Chain().device == "@numpy"


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match="@cupy needs CuPy"):
        Chain().to_gpu()


def test_a_view_is_not_moved():
    with pytest.raises(TypeError, match="a view has no parameters of its own"):
        net().view().to_cpu()
