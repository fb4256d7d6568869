import re

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.functions import parts


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def test_by_hand():
    x, W = np.float32([[[1, 2, 3, 4]]]), np.float32([[[1, 10]]])
    assert F.convolution_1d(x, W).array.tolist() == [[[21, 32, 43]]]
    assert F.convolution_1d(x, W, np.float32([5]), stride=2, pad=1).array.tolist() == [[[15, 37, 9]]]
    assert F.convolution_1d(x, W, dilate=2).array.tolist() == [[[31, 42]]]
    assert F.deconvolution_1d(x, W, stride=2).array.tolist() == [[[1, 10, 2, 20, 3, 30, 4, 40]]]
    assert F.deconvolution_1d(x, W).array.tolist() == [[[1, 12, 23, 34, 40]]]


def test_cover_all_and_outsize():
    ones = np.ones((1, 1, 6), np.float32)
    W = np.ones((1, 1, 3), np.float32)
    # Chainer 7.8.1
    assert F.convolution_1d(ones, W, stride=2, cover_all=True).array.tolist() == [[[3, 3, 2]]]
    assert F.convolution_1d(ones, W, stride=2).array.tolist() == [[[3, 3]]]
    y = ones[:, :, :3]
    assert F.deconvolution_1d(y, W, stride=2, outsize=(6,)).array.tolist() == [[[1, 1, 2, 1, 2, 1]]]
    assert F.deconvolution_1d(y, W, stride=2, outsize=(8,)).array.tolist() == [[[1, 1, 2, 1, 2, 1, 1, 0]]]
    dilated = F.deconvolution_1d(y, W, dilate=2)
    assert F.deconvolution_1d(y, W, dilate=2, outsize=7).array.tolist() == dilated.array.tolist()
    assert F.deconvolution_1d(y[:, :, :0], W[:, :, :1]).shape == (1, 1, 0)
    for wrong in (5, 9):
        with pytest.raises(ValueError, match=rf"deconvolution_1d: .*{wrong}"):
            F.deconvolution_1d(y, W, stride=2, outsize=(wrong,))


def test_depthwise_results_of_one_channel_lie_side_by_side():
    x = np.float32([1, 2]).reshape(1, 2, 1, 1)
    W = np.float32([[1, 10], [100, 1000]]).reshape(2, 2, 1, 1)
    assert F.depthwise_convolution_2d(x, W).array.ravel().tolist() == [1, 100, 20, 2000]


def test_shift_moves_blocks_of_channels():
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3).repeat(11, axis=1)
    # Chainer 7.8.1: the middle of the image after each of the moves
    assert F.shift(x).array[0, :, 1, 1].tolist() == [9, 8, 7, 6, 1, 4, 3, 2, 5, 5, 5]
    assert F.shift(x, dilate=2).array[0, :, 1, 1].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 5, 5, 5]
    few = x[:, :4]
    np.testing.assert_array_equal(F.shift(few).array, few)


def test_a_wide_shift():
    x = np.arange(35, dtype=np.float32).reshape(1, 1, 5, 7).repeat(15, axis=1)
    # Chainer 7.8.1: what comes to the middle of the image, number 17
    middle = [32, 31, 30, 25, 24, 23, 18, 2, 16, 11, 10, 9, 4, 3, 17]
    assert F.shift(x, (5, 3)).array[0, :, 2, 3].tolist() == middle


def test_far_shifts_leave_zeros():
    x = np.ones((1, 9, 1, 1), np.float32)
    assert F.shift(x, dilate=5).array.ravel().tolist() == [0] * 8 + [1]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_many_images_are_worked_on_a_few_at_a_time(threads, groups, monkeypatch):
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((7, 4, 3, 4, 3)), rng.standard_normal((6, 4 // groups, 2, 1, 2))

    def run():
        vx, vW = Variable(x), Variable(W)
        y = F.convolution_3d(vx, vW, groups=groups)
        y.grad = np.cos(np.arange(y.size)).reshape(y.shape)
        y.backward()
        back = F.deconvolution_3d(y.array, W, groups=groups)
        return y.array, vx.grad, vW.grad, back.array

    whole = run()
    monkeypatch.setattr(parts, "CHUNK", 1)
    monkeypatch.setattr(parts, "workers", parts._Workers())
    parts.workers.count = threads
    for a, b in zip(run(), whole):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    if threads > 1:
        parts.workers.pool.shutdown()


def test_settings_that_are_not_given():
    """Chainer's."""
    rng = np.random.default_rng(1)
    for n, f, back in (
        (1, F.convolution_1d, F.deconvolution_1d),
        (3, F.convolution_3d, F.deconvolution_3d),
        (1, F.convolution_nd, F.deconvolution_nd),
        (2, F.convolution_nd, F.deconvolution_nd),
        (3, F.convolution_nd, F.deconvolution_nd),
    ):
        x, W = rng.standard_normal((1, 2, *(5,) * n)), rng.standard_normal((2, 2, *(2,) * n))
        given = {"stride": 1, "pad": 0, "dilate": 1, "groups": 1}
        np.testing.assert_array_equal(f(x, W).array, f(x, W, None, cover_all=False, **given).array)
        np.testing.assert_array_equal(back(x, W).array, back(x, W, None, outsize=None, **given).array)
        assert f(x, W).shape[2:] == (4,) * n
        assert back(x, W).shape[2:] == (6,) * n
        assert f(x, W, stride=2).shape[2:] == (2,) * n  # not reached by a window: the last element
    x, W = rng.standard_normal((1, 2, 4, 4)), rng.standard_normal((2, 2, 3, 3))
    given = {"stride": 1, "pad": 0, "dilate": 1, "cover_all": False}
    for y, same in (
        (F.dilated_convolution_2d(x, W), F.dilated_convolution_2d(x, W, None, **given)),
        (F.im2col(x, 3), F.im2col(x, 3, **given)),
    ):
        np.testing.assert_array_equal(y.array, same.array)
        assert y.shape[2:] == (2, 2)
    assert F.dilated_convolution_2d(x, W, stride=2).shape[2:] == F.im2col(x, 3, 2).shape[2:] == (1, 1)


def test_the_output_has_its_channels_last_in_memory():
    x = np.ones((2, 3, 4, 5, 6), np.float32)
    y = F.convolution_3d(x, np.ones((7, 3, 2, 2, 2), np.float32)).array
    assert y.transpose(0, 2, 3, 4, 1).flags.c_contiguous


def test_the_derivatives_are_each_others():
    """Third derivatives of the trilinear form are constant, fourth ones are zero."""
    rng = np.random.default_rng(0)
    x, W = Variable(rng.standard_normal((2, 2, 5))), Variable(rng.standard_normal((3, 2, 2)))
    y = F.convolution_1d(x, W, stride=2, pad=1)
    g = rng.standard_normal(y.shape)
    gx = grad(y, x, g, enable_double_backprop=True)[0]
    gxW = grad(F.sum(gx * x.array), W, enable_double_backprop=True)[0]
    np.testing.assert_allclose(F.sum(gxW * W.array).array, np.sum(y.array * g), rtol=1e-12)
    assert grad(F.sum(gxW), W) == [None]


WRONG = [
    (lambda: F.convolution_1d(zeros(2, 3), zeros(4, 3, 2)), "convolution_1d: expected x (N, C, 1 sizes), got x (2, 3)"),
    (
        lambda: F.convolution_3d(zeros(1, 2, 3, 3, 3), zeros(4, 3, 1, 1, 1)),
        "convolution_3d: expected x (N, C, *sizes) and W (out, C / groups, *ksize), got x (1, 2, 3, 3, 3), "
        "W (4, 3, 1, 1, 1), groups 1",
    ),
    (lambda: F.convolution_nd(zeros(1, 2, 3), zeros(4, 2, 1, 1)), "convolution_nd: expected W of 3 axes"),
    (lambda: F.convolution_nd(zeros(1, 4, 3), zeros(3, 2, 1), groups=2), "got x (1, 4, 3), W (3, 2, 1), groups 2"),
    (lambda: F.convolution_1d(zeros(1, 2, 3), zeros(4, 2, 5)), "convolution_1d: no window fits into x (1, 2, 3)"),
    (lambda: F.convolution_1d(zeros(1, 2, 3), zeros(4, 2, 1), zeros(3)), "expected b (4,), got b (3,)"),
    (lambda: F.convolution_1d(zeros(1, 2, 3), zeros(4, 2, 1), stride=0), "convolution_1d: stride must be 1 integers"),
    (
        lambda: F.deconvolution_1d(zeros(1, 2, 3), zeros(3, 2, 1)),
        "deconvolution_1d: expected x (N, C, *sizes) and W (C, out / groups, *ksize), got x (1, 2, 3)",
    ),
    (lambda: F.deconvolution_1d(zeros(1, 2, 3), zeros(2, 2, 1), zeros(3)), "expected b (2,), got b (3,)"),
    (lambda: F.deconvolution_1d(zeros(1, 2, 1), zeros(2, 2, 1), pad=1), "the result would have sizes (-1,)"),
    (lambda: F.dilated_convolution_2d(zeros(1, 2, 3), zeros(2, 2, 1, 1)), "dilated_convolution_2d: expected x"),
    (lambda: F.depthwise_convolution_2d(zeros(1, 2, 3, 3), zeros(2, 3, 1, 1)), "depthwise_convolution_2d: expected x"),
    (lambda: F.local_convolution_2d(zeros(1, 2, 3, 3), zeros(4, 2, 2, 2, 3, 3)), "there are (1, 1) windows"),
    (lambda: F.local_convolution_2d(zeros(1, 2, 3, 3), zeros(4, 1, 1, 3, 3, 3)), "expected W (out, oh, ow, C, kh, kw)"),
    (lambda: F.im2col(zeros(1, 2, 3), 2), "im2col: expected x (N, C, 2 sizes), got x (1, 2, 3)"),
    (lambda: F.shift(zeros(1, 9, 3, 3), 2), "shift: ksize must be odd, got 2"),
    (lambda: F.shift(zeros(1, 9, 3, 3), (3, 2)), "shift: ksize must be odd, got (3, 2)"),
    (lambda: F.shift(zeros(1, 9, 3, 3), (2, 3)), "shift: ksize must be odd, got (2, 3)"),
    (lambda: F.shift(zeros(1, 9, 3, 3), 0), "shift: ksize must be 2 integers of at least 1"),
    (lambda: F.shift(zeros(1, 9, 3, 3), dilate=0), "shift: dilate must be 2 integers of at least 1"),
    (lambda: F.shift(zeros(9, 3, 3)), "shift: expected x (N, C, 2 sizes)"),
    (lambda: F.im2col(zeros(1, 2, 3, 3), 0), "im2col: ksize must be 2 integers of at least 1"),
    (lambda: F.convolution_1d(zeros(1, 2, 3), zeros(4, 2, 1), dilate=0), "convolution_1d: dilate must be 1 integers"),
    (lambda: F.convolution_1d(zeros(1, 2, 3), zeros(4, 2, 1), groups=0), "expected x (N, C, *sizes) and W"),
    (lambda: F.convolution_nd(zeros(1, 2), zeros(4, 2)), "convolution_nd: expected x (N, C, 1 sizes)"),
    (lambda: F.deconvolution_nd(zeros(1, 2), zeros(4, 2)), "deconvolution_nd: expected x (N, C, 1 sizes)"),
    (lambda: F.depthwise_convolution_2d(zeros(2, 3, 3), zeros(2, 3, 1, 1)), "expected x (N, C, 2 sizes)"),
    (lambda: F.depthwise_convolution_2d(zeros(1, 2, 3, 3), zeros(2, 2, 1)), "depthwise_convolution_2d: expected x"),
    (lambda: F.depthwise_convolution_2d(zeros(1, 2, 3, 3), zeros(3, 2, 1, 1), zeros(3)), "expected b (6,), got b (3,)"),
    (lambda: F.local_convolution_2d(zeros(2, 3, 3), zeros(4, 1, 1, 2, 3, 3)), "local_convolution_2d: expected x (N, C"),
    (lambda: F.local_convolution_2d(zeros(1, 2, 3, 3), zeros(4, 1, 1, 2)), "expected W (out, oh, ow, C, kh, kw)"),
    (
        lambda: F.local_convolution_2d(zeros(1, 2, 3, 3), zeros(4, 1, 1, 2, 3, 3), zeros(4)),
        "local_convolution_2d: expected b (4, 1, 1), got b (4,)",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.convolution_1d(zeros(1, 2, 3, dtype=np.float64), zeros(4, 2, 1)), "x is float64 and W is float32"),
        (lambda: F.convolution_1d(zeros(1, 2, 3, dtype=np.uint8), zeros(4, 2, 1)), "x must be of floats, got uint8"),
        (lambda: F.convolution_1d(zeros(1, 2, 3), zeros(4, 2, 1), zeros(4, dtype=np.float64)), "b is float64"),
        (
            lambda: F.local_convolution_2d(zeros(1, 2, 1, 1), zeros(4, 1, 1, 2, 1, 1, dtype=np.float64)),
            "local_convolution_2d: x is float32 and W is float64",
        ),
    ],
)
def test_dtypes_must_agree(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()
