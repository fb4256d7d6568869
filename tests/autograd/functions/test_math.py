"""Arithmetic: numbers among arrays, kinks, bounds, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F


def slopes(f, *values):
    variables = [Variable(np.array(v, np.float64)) for v in values]
    F.sum(f(*variables)).backward()
    gs = [v.grad.tolist() for v in variables]
    return gs[0] if len(gs) == 1 else gs


def test_add_takes_one_two_and_more():
    x, y = Variable(np.float32([1, 2])), np.float32([[3], [4]])
    assert F.add(x).array.tolist() == [1, 2]
    assert F.add(1, x).array.tolist() == [2, 3]
    z = F.add(x, y, np.float64(1), x)
    assert z.array.tolist() == [[6, 8], [7, 9]]
    assert z.dtype == np.float32
    F.sum(z).backward()
    assert x.grad.tolist() == [4, 4]


def test_add_takes_something():
    with pytest.raises(TypeError, match="add: expected one argument or more"):
        F.add()


def test_identity_of_several():
    x, y = Variable(np.array([1.0])), Variable(np.array([2.0, 3.0]))
    both = F.identity(x, y)
    assert isinstance(both, tuple)
    a, b = both
    assert (a.array.tolist(), b.array.tolist()) == ([1], [2, 3])
    F.sum(b * 2).backward()
    assert (x.grad, y.grad.tolist()) == (None, [2, 2])


def test_clip_with_one_bound_and_with_equal_bounds():
    x = [-1.5, 0.0, 1.0, 2.5]
    assert F.clip(np.array(x), None, 1.0).array.tolist() == [-1.5, 0, 1, 1]
    assert slopes(lambda x: F.clip(x, None, 1.0), x) == [1, 1, 1, 0]  # Chainer 7.8.1
    assert slopes(lambda x: F.clip(x, 0.0, None), x) == [0, 1, 1, 1]  # Chainer 7.8.1
    assert slopes(lambda x: F.clip(x, 1.0, 1.0), x) == [0, 0, 1, 0]
    assert slopes(lambda x: F.clip(x, np.zeros(4), np.array([1.0, 1, 1, 3])), x) == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("bounds", "match"),
    [((None, None), "clip: x_min and x_max are both None"), ((1, 0.5), "clip: x_min 1 is above x_max 0.5")],
)
def test_bounds_that_are_refused(bounds, match):
    with pytest.raises(ValueError, match=match):
        F.clip(np.ones(2), *bounds)


def test_a_nan_gets_no_gradient_of_clip():
    x = Variable(np.array([np.nan, 0.5]))
    y = F.clip(x, 0, 1)
    np.testing.assert_array_equal(y.array, [np.nan, 0.5])
    F.sum(y).backward()
    assert x.grad.tolist() == [0, 1]


def test_small_arguments_keep_their_digits():
    x = np.array([1e-20, -1e-20])
    np.testing.assert_array_equal(F.expm1(x).array, x)
    np.testing.assert_array_equal(F.log1p(x).array, x)


def test_rsqrt_by_hand():
    assert F.rsqrt(np.array([4.0, 0.25])).array.tolist() == [0.5, 2]
    assert slopes(F.rsqrt, [4.0]) == [-0.0625]  # Chainer 7.8.1
    assert F.rsqrt(np.float16([4])).dtype == np.float16


def test_linear_interpolate_is_exact_at_both_ends():
    x, y = np.array([0.1, 0.2]), np.array([0.7, 1e9])
    assert F.linear_interpolate(1.0, x, y).array.tolist() == x.tolist()
    assert F.linear_interpolate(np.zeros(2), x, y).array.tolist() == y.tolist()
    # p, x and y of Chainer 7.8.1: p (x - y)', p and 1 - p
    assert slopes(F.linear_interpolate, [0.25], [3.0], [1.0]) == [[2], [0.25], [0.75]]


def test_bias_and_scale_by_hand():
    x = np.arange(6.0).reshape(1, 2, 3)
    assert F.bias(x, np.array([10.0, 20])).array.tolist() == [[[10, 11, 12], [23, 24, 25]]]
    assert F.scale(x, np.array([10.0, 20])).array.tolist() == [[[0, 10, 20], [60, 80, 100]]]
    assert F.scale(x, np.array([[2.0, 3]]), axis=0).array.tolist() == [[[0, 2, 4], [9, 12, 15]]]
    assert F.bias(x, np.array(1.0)).array.tolist() == (x + 1).tolist()
    assert F.bias(x, np.array([[10.0], [20]])).array.tolist() == [[[10, 11, 12], [23, 24, 25]]]
    assert F.scale(x[..., None], np.array([10.0, 20])).array.ravel().tolist() == [0, 10, 20, 60, 80, 100]


@pytest.mark.parametrize("f", [F.bias, F.scale])
@pytest.mark.parametrize(("shape", "axis"), [((2,), 1), ((3, 5), 1), ((3, 4, 1), 1), ((4,), -1), ((2, 3, 4, 1), 0)])
def test_axes_that_do_not_fit_are_refused(f, shape, axis):
    with pytest.raises(ValueError, match=rf"{f.__name__}: y of shape .* x of shape \(2, 3, 4\) from axis {axis}"):
        f(np.ones((2, 3, 4)), np.ones(shape), axis)


def test_a_tie_sends_the_gradient_to_the_first():
    x, y = Variable(np.float32([1])), Variable(np.float32([1]))
    F.maximum(F.minimum(x, y), y).backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([1], [0])


@pytest.mark.parametrize("f", [F.maximum, F.minimum])
def test_numbers_on_either_side(f):
    x = Variable(np.float32([0.5, 1.5]))
    F.sum(f(1, x) + f(x, np.float64(1))).backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == ([0, 2] if f is F.maximum else [2, 0])


def test_second_derivatives_by_hand():
    x = Variable(np.array([0.5]))
    for f, second in ((F.log2, -4 / np.log(2)), (F.log10, -4 / np.log(10)), (F.rsqrt, 0.75 * 0.5**-2.5)):
        g = grad(f(x), x, enable_double_backprop=True)[0]
        np.testing.assert_allclose(grad(g, x)[0].array, [second], rtol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        F.add, F.arctan2, F.bias, F.fmod, F.maximum, F.minimum, F.scale,
        lambda x, y: F.linear_interpolate(x, y, 1.0),
        lambda x, y: F.linear_interpolate(0.5, x, y),
        lambda x, y: F.where(np.array([True, False, True]), x, y),
    ],
)  # fmt: skip
def test_a_constant_takes_the_variables_dtype(f):
    x, y = np.ones((2, 3)), np.arange(1.0, 4)
    for a, b in ((x, Variable(y.astype("f"))), (Variable(x.astype("f")), y)):
        z = f(a, b)
        assert z.dtype == np.float32
        np.testing.assert_array_equal(z.array, f(x.astype("f"), y.astype("f")).array)
