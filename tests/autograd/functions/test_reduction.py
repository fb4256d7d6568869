"""Reductions: ties, halves, infinities and axes."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F


def slopes(f, values):
    x = Variable(np.array(values))
    F.sum(f(x)).backward()
    return x.grad.tolist()


def test_every_tied_element_gets_the_whole_gradient():
    assert slopes(lambda x: F.max(x, (0, 1)), [[3.0, 2, 3], [1, 0, 0]]) == [[1, 0, 1], [0, 0, 0]]  # Chainer 7.8.1
    assert slopes(lambda x: F.min(x, 1, keepdims=True), [[3.0, 2, 2], [1, 0, 0]]) == [[0, 1, 1], [0, 1, 1]]


def test_argmax_takes_the_first_of_several():
    x = np.array([[1.0, 3, 3], [0, 0, -1]])
    assert F.argmax(x, 1).array.tolist() == [1, 0]
    assert F.argmin(-x, axis=0).array.tolist() == [0, 0, 0]
    assert F.argmin(Variable(x)).array == 5
    assert not F.argmin(Variable(x)).requires_grad
    with pytest.raises(TypeError, match=r"argmax: .*\(got x \(2, 3\) float64\)"):
        F.argmax(x, (0, 1))
    with pytest.raises(ValueError, match=r"argmin: .*axis 2"):
        F.argmin(x, 2)


def test_sums_of_halves():
    """As of Chainer 7.8.1 the mean of 70,000 ones is 1, and their sum overflows; each sum is exact to a rounding."""
    x = np.ones(70000, np.float16)
    assert F.average(x).item() == 1
    with np.errstate(over="ignore"):
        assert F.sum(x).item() == np.inf
    assert F.sum(np.ones((30000, 2), np.float16), axis=0).array.tolist() == [30000, 30000]
    assert F.sum(x[:3000].reshape(-1, 1), (0,), keepdims=True).array.tolist() == [[3000]]
    assert F.average(x).dtype == F.sum(x[:9]).dtype == np.float16
    weighted = F.average(x, weights=x)
    assert (weighted.item(), weighted.dtype) == (1, np.float16)
    assert F.average(x[:9], weights=np.ones(9)).dtype == np.float64
    assert F.logsumexp(np.zeros((4096, 1), np.float16), axis=0).item() == np.float16(12 * np.log(2))


def test_means_of_integers_are_floats():
    assert F.mean(np.arange(4)).item() == 1.5
    assert F.mean(np.arange(4, dtype=np.uint8), axis=0).item() == 1.5


def test_weighted_means():
    """Chainer 7.8.1."""
    x, w = Variable(np.array([-1.5, 0, 1.5, 2.5])), Variable(np.array([1.5, 3, 4.5, 5.5]))
    y = F.average(x, weights=w)
    y.backward()
    np.testing.assert_allclose(y.array, 1.2586207, rtol=1e-7)
    np.testing.assert_allclose(x.grad, [0.10344827, 0.20689654, 0.31034482, 0.37931034], rtol=1e-6)
    np.testing.assert_allclose(w.grad, [-0.19024971, -0.08680143, 0.01664684, 0.08561236], rtol=1e-6)
    x = np.arange(6.0).reshape(2, 3)
    assert Variable(x).mean(0, weights=np.array([1.0, 3])).array.tolist() == [2.25, 3.25, 4.25]
    assert F.average(x, -2, np.array([1.0, 3])).array.tolist() == [2.25, 3.25, 4.25]
    for weights in (np.array([1.0, 1, 2]), np.array([[1.0, 1, 2], [0.5, 0.5, 1]])):
        assert F.average(x, 1, weights, keepdims=True).array.tolist() == [[1.25], [4.25]]


@pytest.mark.parametrize("axis", [0, 2, -3, None, (0, 1)])
def test_weights_that_do_not_fit_are_refused(axis):
    with pytest.raises(ValueError, match=r"average: weights \(3,\) must have the shape of x \(2, 3\)"):
        F.average(np.ones((2, 3)), axis, np.ones(3))


def test_logsumexp_of_large_numbers():
    x = np.array([[1000.0, 1000], [-1000, -1000]])
    np.testing.assert_allclose(F.logsumexp(x, axis=1).array, [1000 + np.log(2), -1000 + np.log(2)], rtol=1e-15)
    np.testing.assert_allclose(slopes(lambda x: F.logsumexp(x, 1), x), 0.5, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [1, (0, 2), None])
def test_logsumexp_of_nothing_but_minus_infinity(dtype, axis):
    """No nan (which Chainer gives), and no gradient: all actions masked."""
    x = Variable(np.full((2, 3, 2), -np.inf, dtype))
    y = F.logsumexp(x, axis)
    assert (y.array == -np.inf).all()
    assert y.dtype == dtype
    gx = grad(F.sum(y), x, enable_double_backprop=True)[0]
    F.sum(y).backward()
    assert (gx.array == 0).all()
    assert (x.grad == 0).all()


def test_logsumexp_with_some_minus_infinities():
    x = Variable(np.array([[-np.inf] * 3, [0.0, -np.inf, 0.0]]))
    y = F.logsumexp(x, axis=1, keepdims=True)
    np.testing.assert_allclose(y.array, [[-np.inf], [np.log(2)]], rtol=1e-15)
    F.sum(y).backward()
    np.testing.assert_allclose(x.grad, [[0, 0, 0], [0.5, 0, 0.5]], rtol=1e-15)


def test_logsumexp_of_integers_is_a_float():
    np.testing.assert_allclose(F.logsumexp(np.array([0, 0])).array, np.log(2), rtol=1e-15)


def test_logsumexp_over_no_elements_is_refused():
    with pytest.raises(ValueError, match=r"logsumexp: .*zero-size.*x \(2, 0\)"):
        F.logsumexp(np.ones((2, 0)), axis=1)


def test_batch_l2_norm_squared():
    assert F.batch_l2_norm_squared(np.arange(6.0).reshape(2, 1, 3)).array.tolist() == [5, 50]
    assert F.batch_l2_norm_squared(np.arange(6.0).reshape(2, 3)).array.tolist() == [5, 50]
    with pytest.raises(ValueError, match=r"batch_l2_norm_squared: .*two axes or more, got shape \(3,\)"):
        F.batch_l2_norm_squared(np.ones(3))


@pytest.mark.parametrize("f", [F.sum, F.average, F.max, F.min, F.logsumexp])
@pytest.mark.parametrize("axis", [2, -3, (0, 0)])
def test_axes_that_are_refused(f, axis):
    with pytest.raises(ValueError, match=rf"{f.__name__}: .*x \(2, 3\)"):
        f(np.ones((2, 3)), axis)
