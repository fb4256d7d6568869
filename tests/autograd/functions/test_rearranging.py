"""Borders, repetitions and strides: what the rows of `ops/rearranging.py` cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F

A34 = np.arange(12.0).reshape(3, 4)


def test_as_strided_is_numpys_for_an_array_in_c_order():
    for shape, strides, offset in (
        ((2, 2), (2, 1), 1),
        ((3, 3), (3, 1), 0),
        ((2, 3, 2), (4, 1, 1), 2),
        ((5,), (0,), 7),
    ):
        expected = np.lib.stride_tricks.as_strided(A34.ravel()[offset:], shape, [8 * s for s in strides])
        np.testing.assert_array_equal(F.as_strided(A34, shape, strides, offset).array, expected)


def test_as_strided_adds_up_what_is_read_twice():
    x = Variable(np.arange(4.0))
    F.sum(F.as_strided(x, (3, 2), (1, 1))).backward()
    assert x.grad.tolist() == [1, 2, 2, 1]


def test_as_strided_of_no_elements():
    assert F.as_strided(np.ones(3), (0, 3), (9, 9)).shape == (0, 3)


def test_diagonals_outside_are_empty():
    for offset in (4, 9, -3, -9):
        assert F.diagonal(A34, offset).shape == np.diagonal(A34, offset).shape == (0,)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("width", [2, (1, 3), ((1, 2), (0, 3)), ((2, 1),)])
def test_pad_is_numpys(mode, width):
    np.testing.assert_array_equal(F.pad(A34, width, mode).array, np.pad(A34, width, mode))
    np.testing.assert_array_equal(
        F.pad(A34, width, "constant", constant_values=3).array, np.pad(A34, width, constant_values=3)
    )


def test_the_gradient_of_a_repeated_border_adds_up():
    x = Variable(np.arange(6.0).reshape(2, 3))
    F.sum(F.pad(x, ((0, 0), (1, 1)), "edge")).backward()
    assert x.grad.tolist() == [[2, 1, 2], [2, 1, 2]]  # Chainer 7.8.1 says 1 everywhere, which is wrong


def test_repeat_and_tile_none_at_all():
    x = Variable(A34)
    y = F.repeat(x, 0, axis=1)
    assert y.shape == (3, 0)
    F.sum(y).backward()
    assert x.grad.tolist() == np.zeros((3, 4)).tolist()
    assert F.tile(A34, 0).shape == (3, 0)
    assert F.repeat(A34[0], [2], 0).array.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.flip(A34, 2), ValueError, r"flip: axis 2 .*\(3, 4\)"),
        (lambda: F.fliplr(np.ones(3)), ValueError, "flip: axis 1"),
        (lambda: F.diagonal(A34, 0, 0, -2), ValueError, "diagonal: axis1 and axis2 must differ"),
        (lambda: F.diagonal(np.ones(3)), ValueError, "diagonal: axis 1"),
        (lambda: F.as_strided(A34, (2,), (1, 1)), ValueError, "as_strided: .* of one length"),
        (lambda: F.as_strided(A34, (2, 7), (6, 1)), ValueError, r"as_strided: .*elements 0 to 12, .*\(3, 4\) has 12"),
        (lambda: F.as_strided(A34, (2,), (-1,)), ValueError, "as_strided: .*elements -1 to 0"),
        (lambda: F.as_strided(np.ones(1), (2,), (1,)), ValueError, "as_strided: .*elements 0 to 1, .* has 1"),
        (lambda: F.repeat(A34, (1, -1, 2), axis=0), ValueError, r"repeat: .*\(1, -1, 2\)"),
        (lambda: F.repeat(A34, -1), ValueError, "repeat: repeats must be one number >= 0"),
        (lambda: F.repeat(A34, (1, 2), axis=1), ValueError, r"repeat: .*4 elements of axis 1 .*\(1, 2\)"),
        (lambda: F.tile(A34, (2, -1)), ValueError, "tile: reps must be >= 0"),
        (lambda: F.pad(A34, -1, "constant"), ValueError, "pad: pad_width must be a number >= 0"),
        (lambda: F.pad(A34, (-1, 1), "edge"), ValueError, r"pad: pad_width .*\(-1, 1\)"),
        (lambda: F.pad(A34, ((1, 1), (1, -1)), "edge"), ValueError, "pad: pad_width"),
        (lambda: F.pad(A34, 1, "edge", constant_values=0), ValueError, "pad: expected mode .*constant_values"),
        (lambda: F.pad(A34, ((1, 1),) * 3, "edge"), ValueError, "pad: pad_width"),
        (lambda: F.pad(A34, 1, "mean"), ValueError, "pad: expected mode .*'mean'"),
        (lambda: F.pad(A34, 1, "reflect", reflect_type="odd"), ValueError, "pad: expected mode .*reflect_type"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
