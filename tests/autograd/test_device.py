"""The same texts serve arrays of a device: every op, on a stand-in for CuPy as strict as CuPy is, and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from rlcore.autograd import Variable, grad, optimizer_hooks, optimizers
from rlcore.autograd.optimizers.part import Part
from rlcore.rng import generator
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
    device.install(monkeypatch)
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


OPTIMIZERS = [
    *[
        getattr(optimizers, name)()
        for name in optimizers.__all__
        if name not in ("Optimizer", "RMSpropWarmup", "schedules")
    ],
    optimizers.RMSprop(eps_inside_sqrt=True),
    optimizers.RMSpropWarmup(0.1, center=2, period=2),
    optimizers.Adam(weight_decay_rate=0.1, amsgrad=True, adabound=True),
    optimizers.MSVAG(weight_decay_rate=0.1),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_an_optimizers_step_runs_on_a_device(optimizer, place):
    n = 2 + optimizer.n_scratch + len(optimizer.slots)
    host = [np.linspace(1, 2, 5, dtype=np.float32) if i < 2 else np.zeros(5, np.float32) for i in range(n)]
    there = [place.put(a.copy()) for a in host]
    for arrays in (host, there):
        for t in (1, 2):
            optimizer.step(*arrays, *optimizer._beside(arrays[0], optimizer.numbers(0.1, t)))
    for h, t in zip(host, there):
        np.testing.assert_allclose(place.get(t), h, rtol=1e-6)


def parts(dtype, convert=lambda a: a):
    """Two parameters side by side and one apart, as a hook sees them."""
    found = []
    for sizes in ((3, 2), (4,)):
        data, grad = (convert(np.linspace(-1, 2, sum(sizes), dtype=dtype) + k) for k in (0, 0.3))
        part = Part(SimpleNamespace(data=data, grad=grad), None, [], [[]], len(data), False, False)
        part.params, part.names, part.t = [SimpleNamespace(size=n) for n in sizes], ["W", "b"][: len(sizes)], 1
        found.append(part)
    return found


HOOKS = [
    lambda: optimizer_hooks.GradientHardClipping(-0.5, 0.5),
    lambda: optimizer_hooks.WeightDecay(0.1),
    lambda: optimizer_hooks.NonbiasWeightDecay(0.1),
    lambda: optimizer_hooks.Lasso(0.1),
    lambda: optimizer_hooks.GradientNoise(0.3, rng=generator(0)),
    lambda: optimizer_hooks.GradientLARS(weight_decay=0.1),
]


@pytest.mark.parametrize("make", HOOKS, ids=lambda make: type(make()).__name__)
def test_a_hook_runs_on_a_device(make, place):
    host, there = parts(np.float32), parts(np.float32, place.put)
    make()(host)
    make()(there)
    for h, t in zip(host, there):
        np.testing.assert_allclose(place.get(t.grad), h.grad, rtol=1e-6)


def test_float16_parameters_on_a_device(place):
    """Their masters are taken from the parameters, and subnormal state is cleared."""
    values = np.float16([1, 2, 3])
    for master in (False, True):
        data, grad, copy, state, *scratch = (place.put(np.zeros(3, np.float32)) for _ in range(6))
        data, grad = place.put(values.copy()), place.put(np.float16([1, 1, 1]))
        copy[...] = grad
        state[...] = place.put(np.float32([1, 1e-40, -1e-40]))
        masters = [place.put(np.zeros(3, np.float32))] if master else []
        part = Part(SimpleNamespace(data=data, grad=grad), copy, [state, *masters], [scratch], len(data), True, master)
        part.step_in_float32(lambda p, g, tmp, state: p.__isub__(g), [])
        assert place.get(data).tolist() == [0, 1, 2]
        part.clean()
        assert place.get(state).tolist() == [1, 0, 0]


def test_clipping_reads_nothing_back(place):
    there = parts(np.float32, place.put)
    clip = optimizer_hooks.GradientClipping(1.0)
    clip(there)
    norm = np.linalg.norm(np.concatenate([part.grad for part in parts(np.float32)]))
    for h, t in zip(parts(np.float32), there):
        np.testing.assert_allclose(place.get(t.grad), h.grad / norm, rtol=1e-6)
    assert isinstance(clip.norm, place.type)
    assert clip.norm.item() == pytest.approx(norm)


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
