"""Products in parts are the products, and only large matrices on the host are taken apart."""

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.functions import parts, skinny
from rlcore.rng import generator


@pytest.mark.parametrize("n", [1, 2, 7, 32, 33])
@pytest.mark.parametrize("shape", [(1024, 256), (968, 288), (1009, 270)])  # 1009 is prime
@pytest.mark.parametrize("bound", [True, False])
def test_a_linear_layer_with_large_weights(n, shape, bound):
    rng = generator(n)
    x, gy = rng.normal(size=(n, shape[0])), rng.normal(size=(n, shape[1]))
    link = L.Linear(*shape, initialW=rng.normal(size=shape[::-1]), initial_bias=rng.normal(size=shape[1]))
    if bound:
        link.flatten()
    assert link.W.size >= skinny.LARGE
    v = Variable(x)
    y = link(v)
    y.grad = gy
    W, b = link.W.array.copy(), link.b.array.copy()
    y.backward()
    np.testing.assert_allclose(y.array, x @ W.T + b, rtol=1e-11, atol=1e-11)
    for g, expected in ((v.grad, gy @ W), (link.W.grad, gy.T @ x), (link.b.grad, gy.sum(axis=0))):
        assert g.shape == expected.shape
        np.testing.assert_allclose(g, expected, rtol=1e-11, atol=1e-11)


def test_threads_share_the_products(monkeypatch):
    monkeypatch.setattr(parts, "workers", parts._Workers())
    parts.workers.count = 3
    rng = generator(4)
    x, W, gy = rng.normal(size=(7, 1024)), rng.normal(size=(256, 1024)), rng.normal(size=(7, 256))
    vx, vW = Variable(x), Variable(W)
    y = F.linear(vx, vW)
    y.grad = gy
    y.backward()
    parts.workers.pool.shutdown()
    for a, expected in ((y.array, x @ W.T), (vx.grad, gy @ W), (vW.grad, gy.T @ x)):
        np.testing.assert_allclose(a, expected, rtol=1e-11, atol=1e-11)


def test_double_backprop_through_large_weights():
    rng = generator(3)
    arrays = [rng.normal(size=shape) for shape in ((3, 1024), (256, 1024), (256,))]
    variables = [Variable(a) for a in arrays]
    y, gy = F.linear(*variables), rng.normal(size=(3, 256))
    plain, traced = (grad(y, variables, gy, enable_double_backprop=double) for double in (False, True))
    for a, b in zip(plain, traced):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-11, atol=1e-11)
    gx = grad(F.sum(traced[1] * arrays[1]), variables[0])[0]  # of x W^T weighed with gy
    np.testing.assert_allclose(gx.array, gy @ arrays[1], rtol=1e-11, atol=1e-11)


def test_strided_rows_and_no_rows():
    M = generator(0).normal(size=(1024, 256))
    x, g = generator(1).normal(size=(14, 2048))[::2, ::2], generator(2).normal(size=(256, 7)).T
    np.testing.assert_allclose(skinny.times(x, M), x @ M, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(skinny.times_transposed(g, M), g @ M.T, rtol=1e-11, atol=1e-11)
    v = Variable(np.zeros((0, 1024)))
    W = Variable(M.T)
    y = F.linear(v, W)
    y.grad = np.zeros((0, 256))
    y.backward()
    assert v.grad.shape == (0, 1024)
    assert not W.grad.any()


def test_the_largest_divisor():
    assert [skinny.part(12, k) for k in (0, 1, 5, 12, 100)] == [1, 1, 4, 12, 12]
    assert skinny.part(7, 6) == 1
