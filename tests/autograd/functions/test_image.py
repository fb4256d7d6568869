"""Pixels by number: what the rows of `ops/image.py` cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import functions as F

RAMP = np.arange(12.0).reshape(1, 1, 3, 4)


def test_depth_and_space():
    """Chainer 7.8.1's order of channels and pixels."""
    spread = F.depth2space(np.arange(16.0).reshape(1, 8, 1, 2), 2)
    assert spread.array.tolist() == [[[[0, 4, 1, 5], [8, 12, 9, 13]], [[2, 6, 3, 7], [10, 14, 11, 15]]]]
    np.testing.assert_array_equal(F.space2depth(spread, 2).array.ravel(), np.arange(16))


def test_linear_interpolation():
    """Chainer 7.8.1."""
    assert F.resize_images(RAMP, (5, 2)).array.tolist() == [[[[0, 3], [2, 5], [4, 7], [6, 9], [8, 11]]]]
    np.testing.assert_allclose(
        F.resize_images(RAMP, (5, 2), align_corners=False).array,
        [[[[0.5, 2.5], [2.1, 4.1], [4.5, 6.5], [6.9, 8.9], [8.5, 10.5]]]],
        rtol=1e-14,
    )
    assert F.resize_images(RAMP, (1, 1)).array.tolist() == [[[[0]]]]
    assert F.resize_images(RAMP, (1, 1), align_corners=False).array.tolist() == [[[[5.5]]]]


@pytest.mark.parametrize("align_corners", [True, False])
def test_the_pixel_at_or_before(align_corners):
    """Chainer 7.8.1: align_corners makes no difference."""
    y = F.resize_images(np.arange(20.0).reshape(1, 1, 4, 5), (7, 3), mode="nearest", align_corners=align_corners)
    rows = [[0, 1, 3], [0, 1, 3], [5, 6, 8], [5, 6, 8], [10, 11, 13], [10, 11, 13], [15, 16, 18]]
    assert y.array.tolist() == [[rows]]


def test_squares_of_one_pixel_and_images_without_channels():
    for f in (F.depth2space, F.space2depth):
        assert f(RAMP, 1).array.tolist() == RAMP.tolist()
    assert F.resize_images(RAMP[:, :0], (2, 2)).shape == (1, 0, 2, 2)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_the_same_size_is_the_same_image(mode, align_corners):
    y = F.resize_images(RAMP.astype("f"), (3, 4), mode=mode, align_corners=align_corners)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.array, RAMP)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.depth2space(np.ones((4, 2, 2)), 2), ValueError, r"depth2space: expected images .*\(4, 2, 2\)"),
        (lambda: F.depth2space(np.ones((1, 6, 2, 2)), 2), ValueError, "depth2space: 6 channels do not divide by .* 4"),
        (lambda: F.depth2space(np.ones((1, 6, 2, 2)), 0), ValueError, r"depth2space: .* r \* r = 0"),
        (lambda: F.depth2space(np.ones((1, 6, 2, 2)), -1), ValueError, r"depth2space: .* r \* r = 1"),
        (lambda: F.space2depth(np.ones((1, 6, 2, 2)), 0), ValueError, "space2depth: .* r = 0"),
        (lambda: F.space2depth(np.ones((1, 6, 2, 2)), -1), ValueError, "space2depth: .* r = -1"),
        (lambda: F.space2depth(np.ones((1, 6, 2, 3)), 2), ValueError, "space2depth: 2 x 3 pixels .* r = 2"),
        (
            lambda: F.space2depth(np.ones((1, 6, 3, 2)), 2),
            ValueError,
            "space2depth: 3 x 2 pixels do not divide by r = 2",
        ),
        (lambda: F.resize_images(np.ones((3, 4)), (2, 2)), ValueError, r"resize_images: .*\(3, 4\)"),
        (lambda: F.resize_images(RAMP, (2, 2, 2)), ValueError, r"resize_images: output_shape .*\(2, 2, 2\)"),
        (lambda: F.resize_images(RAMP, (2, 0)), ValueError, r"resize_images: output_shape .*\(2, 0\)"),
        (lambda: F.resize_images(RAMP, (2, 2), mode="cubic"), ValueError, "resize_images: mode .*'cubic'"),
        (lambda: F.resize_images(RAMP.astype("B"), (2, 2)), TypeError, "resize_images: .*floats, got uint8"),
        (lambda: F.resize_images(RAMP[:, :, :0], (2, 2)), ValueError, "resize_images: .*no pixels"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
