"""Activations: kinks, ends, arguments and messages."""

import numpy as np
import pytest

from rlcore.autograd import Variable, grad, using_config
from rlcore.autograd import functions as F
from rlcore.rng import default as default_rng
from rlcore.rng import generator, state_of

GRID = [-3.0, -2.5, 0.0, 2.5, 3.0, 6.0, 20.0]


def value_and_slope(f, *values):
    variables = [Variable(np.array(v, np.float64)) for v in values]
    y = f(*variables)
    F.sum(y).backward()
    return y.array.tolist(), *[v.grad.tolist() for v in variables]


@pytest.mark.parametrize(
    ("f", "slopes"),  # Chainer 7.8.1
    [
        (F.relu, [0, 0, 0, 1, 1, 1, 1]),
        (F.clipped_relu, [0, 0, 0, 1, 1, 1, 0]),
        (F.relu6, [0, 0, 0, 1, 1, 0, 0]),
        (F.hard_sigmoid, [0, 0, 0.2, 0, 0, 0, 0]),
        (F.leaky_relu, [0.2, 0.2, 0.2, 1, 1, 1, 1]),
        (lambda x: F.prelu(x, np.array(0.5)), [0.5, 0.5, 1, 1, 1, 1, 1]),
        (lambda x: F.rrelu(x, r=np.full(7, 0.5)), [0.5, 0.5, 1, 1, 1, 1, 1]),
        (lambda x: F.crelu(x, axis=0), [-1, -1, 0, 1, 1, 1, 1]),
        (lambda x: F.elu(x, 2.0), [2 * np.exp(-3), 2 * np.exp(-2.5), 2, 1, 1, 1, 1]),
        (F.selu, [0.08753061208026489, 0.14431358197413438, 1.7580993408473766, *[1.0507009873554805] * 4]),
    ],
)
def test_slopes_at_and_around_the_kinks(f, slopes):
    np.testing.assert_allclose(value_and_slope(f, GRID)[1], slopes, rtol=1e-12)


def test_values_by_hand():
    assert value_and_slope(F.clipped_relu, GRID)[0] == [0, 0, 0, 2.5, 3, 6, 20]
    assert value_and_slope(F.hard_sigmoid, GRID)[0] == [0, 0, 0.5, 1, 1, 1, 1]
    assert value_and_slope(F.prelu, [[-1.0, 0, 2]], [0.5, 0.6, 0.7]) == ([[-0.5, 0, 2]], [[0.5, 1, 1]], [-1, 0, 0])
    assert value_and_slope(lambda x: F.maxout(x, 2), [[1.0, 1, 2, 3]]) == ([[1, 3]], [[1, 1, 0, 1]])
    assert value_and_slope(lambda x: F.maxout(x, 1), [[1.0, 2]]) == ([[1, 2]], [[1, 1]])
    np.testing.assert_allclose(value_and_slope(F.selu, [-1.0])[0], [-1.1113307378125625], rtol=1e-14)  # Chainer 7.8.1


def test_swish_by_chainer():
    y, gx, gb = value_and_slope(F.swish, [[-1.0, 0, 2]], [0.5, 0.6, 0.7])  # Chainer 7.8.1
    np.testing.assert_allclose(y, [[-0.3775406687981454, 0, 1.6043677771171634]], rtol=1e-14)
    np.testing.assert_allclose(gx, [[0.2600388126973482, 0.5, 1.0243427450524423]], rtol=1e-14)
    np.testing.assert_allclose(gb, [0.2350037122015945, 0, 0.6347395899824587], rtol=1e-14)


@pytest.mark.parametrize("dtype", "efd")
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_softplus_at_both_ends(dtype, beta):
    x = Variable(np.array([-1e4, -9, 0, 9, 1e4, np.inf, -np.inf], dtype))
    y = F.softplus(x, beta)
    F.sum(y).backward()
    assert (y.dtype, x.grad.dtype) == (dtype, dtype)
    exact = np.log1p(np.exp(-9 * beta)) / beta
    slope = 1 / (1 + np.exp(9 * beta))
    half = np.finfo(dtype).tiny  # float16 has few digits below
    values, slopes = [0, exact, np.log(2) / beta, 9 + exact, 1e4, np.inf, 0], [0, slope, 0.5, 1 - slope, 1, 1, 0]
    np.testing.assert_allclose(y.array, values, rtol=2e-3, atol=half)
    np.testing.assert_allclose(x.grad, slopes, rtol=2e-2 if dtype == "e" else 1e-5, atol=half)


def test_the_logarithm_of_softplus_stays_finite():
    x = Variable(np.float32([-50]))
    y = F.log(F.softplus(x))
    y.backward()
    np.testing.assert_allclose([y.array[0], x.grad[0]], [-50, 1], rtol=1e-6)


@pytest.mark.parametrize("f", [F.elu, F.selu, F.softplus, lambda x: F.swish(x, np.array(1.5)), F.tanh, F.sigmoid])
def test_second_derivatives_against_differences_of_the_first(f):
    x = np.linspace(-4, 4, 41) + 0.05

    def slope(at):
        v = Variable(at)
        return grad(f(v), v, np.ones(41), enable_double_backprop=True)[0], v

    first, v = slope(x)
    second = grad(first, v, np.ones(41))[0].array
    numeric = (slope(x + 1e-5)[0].array - slope(x - 1e-5)[0].array) / 2e-5
    np.testing.assert_allclose(second, numeric, rtol=1e-5, atol=1e-8)


def test_rrelu_draws_from_the_generator_it_is_given():
    x = Variable(-np.ones((40, 50), np.float32))
    before = state_of(default_rng())
    y, r = F.rrelu(x, 0.1, 0.3, return_r=True, rng=generator(3))
    assert state_of(default_rng()) == before
    assert (y.dtype, r.dtype, r.shape) == (np.float32, np.float32, (40, 50))
    np.testing.assert_array_equal(y.array, -r)
    np.testing.assert_array_equal(F.rrelu(x, 0.1, 0.3, rng=generator(3)).array, y.array)
    assert 0.1 <= r.min() < 0.101
    assert 0.299 < r.max() <= 0.3
    F.sum(y).backward()
    np.testing.assert_array_equal(x.grad, r)
    F.rrelu(x)
    assert state_of(default_rng()) != before


def test_rrelu_in_test_mode_takes_the_middle():
    with using_config("train", False):
        y, r = F.rrelu(np.float32([[-1, 2]]), r=np.full((1, 2), 0.9, np.float32), return_r=True)
    np.testing.assert_allclose(y.array, [[-0.22916667, 2]], rtol=1e-6)  # Chainer 7.8.1
    np.testing.assert_allclose(r, [[0.22916667] * 2], rtol=1e-6)
    assert (r.shape, r.dtype) == ((1, 2), np.float32)


def test_the_slopes_of_rrelu_get_no_gradient():
    x, r = Variable(np.float32([-1, 2])), Variable(np.float32([0.5, 0.5]))
    y, used = F.rrelu(x, r=r, return_r=True)
    F.sum(y).backward()
    assert used is r.array
    assert r.grad is None
    assert x.grad.tolist() == [0.5, 1]


def test_weights_of_images_channels():
    x, one, two = -np.ones((1, 2, 2, 2)), np.array([2.0, 3.0]), np.array([[2.0, 4.0], [6.0, 8.0]])
    assert F.prelu(x, one).array.tolist() == [[[[-2, -2]] * 2, [[-3, -3]] * 2]]
    assert F.prelu(x, two).array.tolist() == [[[[-2, -2], [-4, -4]], [[-6, -6], [-8, -8]]]]


X = np.zeros((2, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: F.prelu(X, np.zeros(3, "f")),
            ValueError,
            r"prelu: W must .* x\.shape\[1:2\]; got W \(3,\) for x \(2, 4",
        ),
        (lambda: F.prelu(X, np.zeros(4)), TypeError, "prelu: x is float32 and W is float64"),
        (lambda: F.swish(X, np.zeros((4, 2), "f")), ValueError, r"swish: beta must .* got beta \(4, 2\)"),
        (lambda: F.swish(X, np.zeros(4, "e")), TypeError, "swish: x is float32 and beta is float16"),
        (lambda: F.rrelu(X, r=np.zeros(4, "f")), ValueError, r"rrelu: r must be \(2, 4, 3\) float32 .* \(4,\)"),
        (lambda: F.rrelu(X, r=X.astype("d")), ValueError, "rrelu: r must be .* float64"),
        (lambda: F.maxout(X, 0), ValueError, "maxout: axis 1 of length 4 does not divide into pools of 0"),
        (lambda: F.maxout(X, -2), ValueError, "maxout: axis 1 of length 4 does not divide into pools of -2"),
        (lambda: F.maxout(X, 3), ValueError, "maxout: axis 1 of length 4 does not divide into pools of 3"),
        (lambda: F.maxout(X, 2, axis=3), ValueError, r"maxout: axis 3 is out of range for x of shape \(2, 4, 3\)"),
        (lambda: F.softmax(X, axis=3), ValueError, r"softmax: axis 3 is out of bounds .*x \(2, 4, 3\) float32"),
    ],
)
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("f", [F.elu, F.selu])
def test_the_gradient_at_infinity_is_that_of_the_line(f):
    x = Variable(np.array([np.inf, 5.0]))
    f(x)[0].backward()
    assert x.grad.tolist() == [F.elu(np.ones(1)).item() if f is F.elu else 1.0507009873554805, 0]
