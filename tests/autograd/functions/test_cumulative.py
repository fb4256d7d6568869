"""Running sums and products, above all with zeros."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F


def first_and_second(f, values):
    """Gradient of sum(f), and gradient of the sum of its squares."""
    x = Variable(np.array(values))
    g = grad(F.sum(f(x)), x, enable_double_backprop=True)[0]
    plain = Variable(x.array)
    F.sum(f(plain)).backward()
    np.testing.assert_array_equal(plain.grad, g.array)
    return g.array.tolist(), grad(F.sum(g * g), x)[0].array.tolist()


def test_products_with_zeros():
    """y = a b c: the gradient is (bc, ac, ab), the sum of its squares has the gradient 2 (a (b^2 + c^2), ...)."""
    assert first_and_second(F.prod, [0.0, 2, 3]) == ([6, 0, 0], [0, 36, 24])
    assert first_and_second(F.prod, [0.0, 0, 3]) == ([0, 0, 0], [0, 0, 0])
    assert first_and_second(F.prod, [2.0, 0, 0]) == ([0, 0, 0], [0, 0, 0])
    assert first_and_second(lambda x: F.prod(x, 1), [[0.0, 2, 3], [1, 1, 1]]) == (
        [[6, 0, 0], [1, 1, 1]],
        [[0, 36, 24], [4, 4, 4]],
    )


def test_third_derivative_of_a_product_of_zeros():
    """a b c at 0 has one mixed third derivative, and it is 1."""
    x = Variable(np.zeros(3))
    g = grad(F.prod(x), x, enable_double_backprop=True)[0]
    h = grad(g[0], x, enable_double_backprop=True)[0]
    assert h.array.tolist() == [0, 0, 0]
    assert grad(h[1], x)[0].array.tolist() == [0, 0, 1]


def test_running_products_with_zeros():
    """The gradients as of Chainer 7.8.1; the second ones of a, ab, abc by hand."""
    x = [[0.0, 2, 3], [1, 0, 0]]
    assert first_and_second(F.cumprod, x)[0] == [[15, 0, 0], [0, 0, 0]]
    assert first_and_second(lambda x: F.cumprod(x, axis=1), x)[0] == [[9, 0, 0], [1, 1, 0]]
    # g = (1 + b + bc, a + ac, ab) at (0, 2, 3) is (9, 0, 0)
    assert first_and_second(F.cumprod, [0.0, 2, 3]) == ([9, 0, 0], [0, 72, 36])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17])
@pytest.mark.parametrize("f", [F.cumprod, F.prod])
def test_products_of_every_length(f, n):
    x = np.linspace(-1, 1.5, n)
    x[n // 2] = 0
    v = Variable(x)
    y = f(v)
    weights = np.linspace(1, 2, y.size).reshape(y.shape)
    jacobian = np.zeros((n, n))
    for i in range(n):
        for k in range(i, n):
            jacobian[k, i] = np.prod(np.delete(x[: k + 1], i))
    expected = weights @ jacobian if f is F.cumprod else weights * jacobian[-1]
    for double in (False, True):
        np.testing.assert_allclose(
            grad(y, v, weights, enable_double_backprop=double)[0].array, expected, rtol=1e-13, atol=1e-15
        )


@pytest.mark.parametrize("f", [lambda x: F.prod(x, 1), lambda x: F.cumprod(x, 1), F.cumprod, F.cumsum])
def test_second_derivatives_over_nothing(f):
    x = Variable(np.zeros((2, 0)))
    g = grad(F.sum(f(x)), x, enable_double_backprop=True)[0]
    assert g.shape == (2, 0)


def test_axes():
    x = np.array([[0.0, 2, 3], [1, 0, 0]])
    assert F.cumsum(x).array.tolist() == [0, 2, 5, 6, 6, 6]
    assert F.cumsum(x, 0).array.tolist() == [[0, 2, 3], [1, 2, 3]]
    assert F.cumsum(np.array(2.0)).array.tolist() == [2]
    assert F.cumprod(np.array(2.0)).array.tolist() == [2]
    assert F.prod(x, (), keepdims=True).array.tolist() == x.tolist()
    assert F.prod(x + 1, keepdims=True).array.tolist() == [[24]]
    assert F.prod(np.zeros((2, 0)), 1).array.tolist() == [1, 1]


def test_running_sums_of_halves():
    """Each is exact to a rounding; one half after the other ends at 2048."""
    x = Variable(np.ones(3000, np.float16))
    y = F.cumsum(x)
    assert (y.dtype, y.array[-1]) == (np.float16, 3000)
    for double in (False, True):
        g = grad(y, x, np.ones(3000, np.float16), enable_double_backprop=double)[0]
        assert (g.dtype, g.array[0]) == (np.float16, 3000)


def test_nothing_is_written_into_gradients_that_are_passed_on():
    x, gy = Variable(np.array([1.0, 2, 3])), np.array([1.0, 1, 1])
    y = F.cumprod(x)
    y.grad = gy
    y.backward()
    assert gy.tolist() == [1, 1, 1]
    assert x.grad.tolist() == [9, 4, 2]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: F.cumsum(x, 2), ValueError, r"cumsum: .*axis 2.*x \(2, 3\)"),
        (lambda x: F.cumprod(x, -3), ValueError, r"cumprod: .*axis -3.*x \(2, 3\)"),
        (lambda x: F.cumsum(x, (0, 1)), TypeError, r"cumsum: .*x \(2, 3\)"),
        (lambda x: F.prod(x, 2), ValueError, "prod: axis 2 is out of bounds"),
        (lambda x: F.prod(x, (0, 0)), ValueError, "repeated axis in `prod`"),
    ],
)
def test_axes_that_are_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(np.ones((2, 3)))
