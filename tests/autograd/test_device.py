"""The same texts serve arrays of a device: every op, on a stand-in for CuPy as strict as CuPy is, and on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from rlcore.autograd import Variable, grad, optimizers
from rlcore.autograd.optimizer_hooks import GradientClipping
from tests.autograd import device
from tests.autograd.ops import OPS

ARRAY = device.Array


class Place(NamedTuple):
    """Where arrays live besides the host: their type, and the way there and back."""

    type: type
    put: Callable[[np.ndarray], Any]
    get: Callable[[Any], np.ndarray]

    def const(self, value: Any) -> Any:
        return self.put(value) if isinstance(value, np.ndarray) else value


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", device.module())
    return Place(ARRAY, ARRAY, ARRAY.get)


@pytest.fixture
def gpu():
    cupy = pytest.importorskip("cupy")
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no GPU: {error}")
    return Place(cupy.ndarray, cupy.asarray, cupy.asnumpy)


@pytest.fixture(params=["stand_in", pytest.param("gpu", marks=pytest.mark.gpu)])
def place(request):
    return request.getfixturevalue(request.param)


def both(y):
    return list(y) if isinstance(y, tuple) else [y]


def total(ys):
    parts = [(y * y).sum() for y in ys]
    return sum(parts[1:], parts[0])


@pytest.mark.parametrize("op", [op for op in OPS if not op.host], ids=lambda op: op.name)
def test_an_op_runs_on_a_device(op, place):
    xs = op.inputs()
    host = [Variable(x) for x in xs]
    total(both(op(*host))).backward()
    second = grad(total(grad(total(both(op(*host))), host, enable_double_backprop=True)), host)
    there, consts = [Variable(place.put(x)) for x in xs], [place.const(c) for c in op.consts]
    ys = both(op.f(*there, *consts))
    assert all(isinstance(y.array, place.type) for y in ys)
    total(ys).backward()
    for h, t in zip(host, there):
        assert isinstance(t.grad, place.type)
        np.testing.assert_allclose(place.get(t.grad), h.grad, rtol=1e-12, atol=1e-12)
    firsts = grad(total(both(op.f(*there, *consts))), there, enable_double_backprop=True)
    for h, t in zip(second, grad(total(firsts), there)):
        assert (h is None) == (t is None)
        if h is not None:
            np.testing.assert_allclose(place.get(t.array), h.array, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "optimizer", [optimizers.SGD(), optimizers.RMSprop(), optimizers.RMSprop(eps_inside_sqrt=True), optimizers.Adam()]
)
def test_an_optimizers_step_runs_on_a_device(optimizer, place):
    host = [np.linspace(1, 2, 5, dtype=np.float32) for _ in range(3 + len(optimizer.slots))]
    there = [place.put(a.copy()) for a in host]
    for arrays in (host, there):
        for t in (1, 2):
            optimizer.step(*arrays[:3], t, *arrays[3:])
    for h, t in zip(host, there):
        np.testing.assert_allclose(place.get(t), h, rtol=1e-6)


def test_clipping_reads_nothing_back(place):
    there = [place.put(np.float32([3, 0])), place.put(np.float32([0, 4]))]
    clip = GradientClipping(1.0)
    clip(there)
    np.testing.assert_allclose([place.get(g) for g in there], [[0.6, 0], [0, 0.8]], rtol=1e-6)
    assert isinstance(clip.norm, place.type)
    assert clip.norm.item() == pytest.approx(5)


@pytest.mark.usefixtures("stand_in")
def test_the_stand_in_is_strict():
    a = ARRAY(np.ones(3))
    for mix in (
        lambda: a + np.ones(3),
        lambda: np.maximum(a, np.zeros(())),
        lambda: np.asarray(a),
        lambda: a[np.array([0])],
        lambda: np.concatenate([a, a]),
        lambda: a.dot(np.ones(3)),
    ):
        with pytest.raises(TypeError, match=r"met a device array|implicit conversion|does not take"):
            mix()
