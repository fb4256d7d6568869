import re

import numpy as np
import pytest

from rlcore.autograd import Variable, grad, no_backprop_mode
from rlcore.autograd import functions as F

RAMP = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


def gradient_of(f, x):
    v = Variable(x)
    F.sum(f(v)).backward()
    return v.grad


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1)).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


@pytest.mark.parametrize(
    ("settings", "indexes"),
    [
        ({}, [[8, 7], [5, 4]]),
        ({"pad": 1}, [[8, 8, 6], [8, 8, 6], [2, 2, 0]]),
        ({"cover_all": False}, [[8]]),
    ],
)
def test_indices(settings, indexes):
    y, found = F.max_pooling_2d(RAMP, 3, 2, return_indices=True, **settings)
    assert found.dtype == np.int64
    assert found[0, 0].tolist() == indexes  # Chainer 7.8.1
    assert y.shape == found.shape


def test_averages_with_padding():
    # Chainer 7.8.1
    zeros = [[10 / 9, 24 / 9], [51 / 9, 10]]
    np.testing.assert_allclose(F.average_pooling_2d(RAMP, 3, 2, 1).array[0, 0], zeros, rtol=1e-6)
    none = F.average_pooling_nd(RAMP, 3, 2, 1, pad_value=None).array[0, 0]
    np.testing.assert_allclose(none, [[2.5, 4], [8.5, 10]], rtol=1e-6)


@pytest.mark.parametrize("pad_value", [0, None])
def test_the_mean_of_many_halves(pad_value):
    """Their sum is beyond float16."""
    x = Variable(np.full((1, 1, 64, 64), 30, np.float16))
    y = F.average_pooling_2d(x, 64, pad_value=pad_value)
    assert (y.item(), y.dtype) == (30, np.float16)
    y.backward()
    assert (x.grad == np.float16(2.0**-12)).all()


def test_of_equal_elements_the_first_has_the_gradient():
    """Row by row, also where a later row has it earlier."""
    x = np.zeros((1, 1, 3, 3), np.float32)
    assert gradient_of(lambda v: F.max_pooling_2d(v, 3), x)[0, 0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    x[0, 0, 0, 2] = x[0, 0, 1, 0] = x[0, 0, 1, 1] = 1
    assert gradient_of(lambda v: F.max_pooling_2d(v, 3), x)[0, 0].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("shape", "ksize"), [((2, 3, 6, 5), (3, 2)), ((1, 2, 3, 4, 5), (2, 3, 2)), ((1, 1, 20, 20), 17)]
)
@pytest.mark.parametrize("laid", [np.ascontiguousarray, channels_last, np.asfortranarray])
def test_ties_and_layouts(shape, ksize, laid):
    """Few different values: the number of the largest is what argmax over the window says."""
    x = np.random.default_rng(0).integers(0, 3, shape).astype(np.float32)
    y, found = F.max_pooling_nd(laid(x), ksize, 1, cover_all=False, return_indices=True)
    ksize = ksize if isinstance(ksize, tuple) else (ksize,) * (x.ndim - 2)
    windows = np.lib.stride_tricks.sliding_window_view(x, ksize, tuple(range(2, x.ndim)))
    flat = windows.reshape(*y.shape, -1)
    np.testing.assert_array_equal(y.array, flat.max(axis=-1))
    np.testing.assert_array_equal(found, flat.argmax(axis=-1))
    gradient = gradient_of(lambda v: F.max_pooling_nd(v, ksize, 1, cover_all=False), laid(x))
    assert gradient.sum() == y.size
    np.testing.assert_array_equal(
        gradient > 0, gradient_of(lambda v: F.max_pooling_nd(v, ksize, 1, cover_all=False), x) > 0
    )


@pytest.mark.parametrize("f", [lambda x: F.max_pooling_2d(x, 3, 2), lambda x: F.average_pooling_2d(x, 3, 2, 1)])
@pytest.mark.parametrize("laid", [np.ascontiguousarray, channels_last])
def test_memory_keeps_its_layout(f, laid):
    x = laid(np.random.default_rng(0).standard_normal((2, 3, 5, 5)))
    v = Variable(x) * 1
    y = f(v)
    assert y.array.flags.c_contiguous == x.flags.c_contiguous
    assert channels_last(y.array).strides == y.array.strides or x.flags.c_contiguous
    g = y.creator.backward(y.array, *y.creator.saved)
    assert g.strides == x.strides


def test_many_images_are_worked_on_a_few_at_a_time():
    x = np.random.default_rng(0).standard_normal((40, 2, 64, 64)).astype(np.float32)
    for laid in (x, channels_last(x)):
        v = Variable(laid)
        y = F.max_pooling_2d(v, 2)
        np.testing.assert_array_equal(y.array, x.reshape(40, 2, 32, 2, 32, 2).max(axis=(3, 5)))
        F.sum(y).backward()
        np.testing.assert_array_equal(v.grad == 1, y.array.repeat(2, axis=2).repeat(2, axis=3) == x)
        mean = F.average_pooling_2d(laid, 2).array
        np.testing.assert_allclose(mean, x.reshape(40, 2, 32, 2, 32, 2).mean(axis=(3, 5)), atol=1e-6)


def test_without_a_graph_the_values_are_the_same():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6)).astype(np.float32)
    for settings in ((3, 2, 1), (2, 2, 0), ((1, 3), 1, (0, 2))):
        with no_backprop_mode():
            y = F.max_pooling_2d(Variable(x), *settings)
        np.testing.assert_array_equal(y.array, F.max_pooling_2d(Variable(x), *settings).array)


def test_a_window_in_the_padding_is_minus_infinity_and_has_no_gradient():
    x = np.ones((1, 1, 4), np.float32)
    v = Variable(x)
    y = F.max_pooling_1d(v, 1, 2, pad=1)  # at -1, 1, 3, 5
    assert y.array.tolist() == [[[-np.inf, 1, 1, -np.inf]]]
    y.grad = np.float32([[[5, 1, 2, 7]]])
    y.backward()
    assert v.grad.tolist() == [[[0, 1, 0, 2]]]


def test_second_derivatives_of_a_window_in_the_padding():
    """The derivative of the gradient with respect to gy: what lies at the largest elements, 0 in the padding."""
    x, gy = Variable(np.ones((1, 1, 4))), Variable(np.ones((1, 1, 4)))
    g = grad(F.max_pooling_1d(x, 1, 2, pad=1), x, gy, enable_double_backprop=True)[0]
    assert grad(F.sum(g * np.array([1.0, 2, 3, 4])), gy)[0].array.tolist() == [[[0, 2, 4, 0]]]


def test_the_third_derivative_of_a_cube():
    x = Variable(np.array([[[0.5, 2.0, 3.0, 1.0]]]))
    y = F.sum(F.max_pooling_1d(x, 2) ** 3)
    for expected in ([0, 12, 27, 0], [0, 12, 18, 0], [0, 6, 6, 0]):
        g = grad(y, x, enable_double_backprop=True)[0]
        assert g.array.tolist() == [[expected]]
        y = F.sum(g)


@pytest.mark.parametrize("size", [16, 17])
def test_windows_of_many_elements(size):
    """Numbers beyond 255."""
    x = np.zeros((1, 1, size, size), np.float32)
    x[0, 0, -1, -1] = 1
    y, found = F.max_pooling_2d(x, size, return_indices=True)
    assert (y.item(), found.item()) == (1, size * size - 1)
    np.testing.assert_array_equal(gradient_of(lambda v: F.max_pooling_2d(v, size), x), x)


def test_settings_that_are_not_given():
    """Chainer's."""
    rng = np.random.default_rng(1)
    x3, x4, x5 = (rng.standard_normal((1, 2, *(5,) * n)) for n in (1, 2, 3))
    for f, x in (
        (F.max_pooling_1d, x3), (F.max_pooling_2d, x4), (F.max_pooling_3d, x5),
        (F.max_pooling_nd, x3), (F.max_pooling_nd, x4), (F.max_pooling_nd, x5),
        (F.unpooling_1d, x3), (F.unpooling_2d, x4), (F.unpooling_3d, x5),
        (F.unpooling_nd, x3), (F.unpooling_nd, x4), (F.unpooling_nd, x5),
    ):  # fmt: skip
        given = f(x, 2, stride=2, pad=0, cover_all=True).array
        np.testing.assert_array_equal(f(x, 2).array, given)
        assert given.shape[2:] == ((3,) if "max" in f.__name__ else (9,)) * (x.ndim - 2)
    for f, x in (
        (F.average_pooling_1d, x3), (F.average_pooling_2d, x4), (F.average_pooling_3d, x5),
        (F.average_pooling_nd, x3), (F.average_pooling_nd, x4), (F.average_pooling_nd, x5),
    ):  # fmt: skip
        np.testing.assert_array_equal(f(x, 2).array, f(x, 2, stride=2, pad=0, pad_value=0).array)
        padded = f(x, 2, pad=1).array
        assert padded.shape[2:] == (3,) * (x.ndim - 2)
        np.testing.assert_allclose(padded.flat[0], x.flat[0] / 2 ** (x.ndim - 2), rtol=1e-12)
    indexes = np.zeros(x4.shape, int)
    np.testing.assert_array_equal(
        F.upsampling_2d(x4, Variable(indexes), 2).array,
        F.upsampling_2d(x4, indexes, 2, stride=2, pad=0, cover_all=True).array,
    )
    assert F.upsampling_2d(x4, indexes, 2).shape == (1, 2, 9, 9)
    last = F.upsampling_2d(x4, indexes + 5, (2, 3)).array  # the last place of a window
    np.testing.assert_array_equal(last[:, :, 1::2, 2::3], x4[:, :, :4, :4])


def test_no_channels():
    x = np.zeros((2, 0, 4, 4), np.float32)
    for f in (F.max_pooling_2d, F.average_pooling_2d):
        assert f(x, 2).shape == gradient_of(lambda v, f=f: f(v, 2), x)[:, :, :2, :2].shape == (2, 0, 2, 2)


def test_nan_is_the_largest():
    x = np.float32([[[1, np.nan, 2, 3]]])
    np.testing.assert_array_equal(F.max_pooling_1d(x, 2).array, [[[np.nan, 3]]])


def test_pyramid():
    x = np.arange(2 * 3 * 7 * 5, dtype=np.float32).reshape(2, 3, 7, 5)
    y = F.spatial_pyramid_pooling_2d(x, 3, "max")
    assert y.shape == (2, 63, 1, 1)
    low = -np.inf
    first = [34, 69, 104, 17, 19, 32, 34, 52, 54, 67, 69, 87, 89, 102, 104, 5, 7, 9, low, 15, 17, 19, low]
    assert y.array[0, :23, 0, 0].tolist() == first  # Chainer 7.8.1
    x = ((np.arange(81) * 37) % 83).astype(np.float32).reshape(1, 1, 9, 9)
    y = F.spatial_pyramid_pooling_2d(x, 4, "max").array.ravel()
    # Chainer 7.8.1
    assert y[21:47].tolist() == [low] * 9 + [0, 74, 65, 56, 47, low, low, low, 2, 76, 67, 58, 49, low, low, low, 4]


def test_up_and_down():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 6)).astype(np.float32)
    for laid in (x, channels_last(x)):
        y, indexes = F.max_pooling_2d(laid, 2, return_indices=True)
        up = F.upsampling_2d(y, indexes, 2, outsize=(4, 6)).array
        np.testing.assert_array_equal(up, np.where(y.array.repeat(2, axis=2).repeat(2, axis=3) == x, x, 0))


def test_one_element_and_none_unpooled():
    one = np.ones((1, 1, 1))
    assert F.unpooling_1d(one, 1).array.tolist() == F.unpooling_1d(one, 3, pad=1, outsize=1).array.tolist() == [[[1]]]
    assert F.unpooling_2d(np.ones((1, 0, 2, 2)), 2).shape == (1, 0, 3, 3)


def test_unpooling_adds_where_windows_overlap():
    x = np.float32([[0, 1], [4, 5]]).reshape(1, 1, 2, 2)
    # Chainer 7.8.1
    assert F.unpooling_2d(x, 2).array[0, 0].tolist() == [[0, 0, 1], [0, 0, 1], [4, 4, 5]]
    assert F.unpooling_2d(x, 2, cover_all=False).array[0, 0, 3].tolist() == [4, 4, 5, 5]
    overlapping = [[0, 0, 1, 1], [0, 0, 1, 1], [4, 4, 10, 6], [4, 4, 9, 5]]
    assert F.unpooling_2d(x, 3, 2).array[0, 0].tolist() == overlapping


X2 = np.ones((1, 2, 4, 4), np.float32)
WRONG = [
    (ValueError, lambda: F.max_pooling_2d(X2[0], 2), "max_pooling_2d: expected x (N, C, 2 sizes), got x (2, 4, 4)"),
    (ValueError, lambda: F.max_pooling_3d(X2, 2), "max_pooling_3d: expected x (N, C, 3 sizes)"),
    (ValueError, lambda: F.average_pooling_2d(X2, 5), "average_pooling_2d: no window fits into x (1, 2, 4, 4)"),
    (ValueError, lambda: F.max_pooling_2d(X2, (2, 2, 2)), "max_pooling_2d: ksize must be 2 integers of at least 1"),
    (ValueError, lambda: F.max_pooling_2d(X2, 2, 0), "max_pooling_2d: stride must be 2 integers of at least 1"),
    (ValueError, lambda: F.max_pooling_nd(X2[0, 0], 2), "max_pooling_nd: expected x (N, C, 1 sizes), got x (4, 4)"),
    (ValueError, lambda: F.average_pooling_nd(X2[0, 0], 2), "average_pooling_nd: expected x (N, C, 1 sizes)"),
    (ValueError, lambda: F.unpooling_nd(X2[0, 0], 2), "unpooling_nd: expected x (N, C, 1 sizes)"),
    (ValueError, lambda: F.spatial_pyramid_pooling_2d(X2[0], 2, "max"), "spatial_pyramid_pooling_2d: expected x (N, C"),
    (
        IndexError,
        lambda: F.upsampling_2d(X2, np.arange(-1, 31).reshape(X2.shape).clip(-1, 3), 2),
        "upsampling_2d: indexes must be from 0 to 3 for ksize (2, 2), got -1 to 3",
    ),
    (ValueError, lambda: F.max_pooling_2d(X2, 2, pad=-1), "max_pooling_2d: pad must be 2 integers of at least 0"),
    (ValueError, lambda: F.average_pooling_nd(X2, 2, pad_value=1), "average_pooling_nd: pad_value must be 0 or None"),
    (TypeError, lambda: F.max_pooling_2d(X2.astype(np.uint8), 2), "max_pooling_2d: x must be of floats, got uint8"),
    (ValueError, lambda: F.spatial_pyramid_pooling_2d(X2, 2), "spatial_pyramid_pooling_2d: pooling must be 'max'"),
    (ValueError, lambda: F.max_pooling_2d(X2, (2, 5), cover_all=False), "max_pooling_2d: no window fits into x"),
    (ValueError, lambda: F.unpooling_2d(X2, 2, outsize=0), "unpooling_2d: outsize must be 2 integers of at least 1"),
    (ValueError, lambda: F.unpooling_2d(X2, 2, pad=(0, 5)), "unpooling_2d: the result would have sizes (7, -3)"),
    (ValueError, lambda: F.unpooling_2d(X2, 2, outsize=(10, 7)), "unpooling_2d: outsize (10, 7) does not belong to x"),
    (
        ValueError,
        lambda: F.upsampling_2d(X2, np.zeros((1, 2, 4, 3), np.int64), 2),
        "upsampling_2d: indexes (1, 2, 4, 3) must have x's shape (1, 2, 4, 4)",
    ),
    (TypeError, lambda: F.upsampling_2d(X2, X2, 2), "upsampling_2d: indexes must hold integers, got float32"),
    (
        IndexError,
        lambda: F.upsampling_2d(X2, np.arange(32).reshape(X2.shape).clip(0, 6), (2, 3)),
        "upsampling_2d: indexes must be from 0 to 5 for ksize (2, 3), got 0 to 6",
    ),
]


@pytest.mark.parametrize(("kind", "call", "message"), WRONG)
def test_what_does_not_fit_is_said(kind, call, message):
    with pytest.raises(kind, match=re.escape(message)):
        call()
