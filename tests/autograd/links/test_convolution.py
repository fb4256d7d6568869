"""Convolution2D and Deconvolution2D: sizes, memory, options, errors."""

import numpy as np
import pytest

from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import HeNormal
from rlcore.rng import generator

X = generator(0).normal(size=(2, 4, 7, 8)).astype(np.float32)


@pytest.mark.parametrize("link", [L.Convolution2D(4, 6, 3), L.Convolution2D(None, 6, 3), L.Convolution2D(6, 3)])
def test_sizes_are_given_or_settled_by_the_first_call(link):
    assert link(X).shape == (2, 6, 5, 6)
    assert (link.W.shape, link.b.shape) == ((6, 4, 3, 3), (6,))
    assert not link.b.array.any()
    assert link(X).array.tobytes() == F.convolution_2d(X, link.W, link.b).array.tobytes()


def test_the_weight_lies_as_the_products_want_it():
    link = L.Convolution2D(4, 6, (3, 2))
    assert link.W.array.transpose(2, 3, 1, 0).flags.c_contiguous
    link.flatten()
    F.sum(link(X)).backward()
    assert link.W.array.transpose(2, 3, 1, 0).flags.c_contiguous
    assert np.shares_memory(link.W.grad, link.flat_grad)
    np.testing.assert_array_equal(link.flat_grad, link.join([link.W.grad, link.b.grad]))


def test_options_reach_the_function():
    link = L.Convolution2D(
        4, 6, 3, 2, 1, True, HeNormal(rng=generator(1)), dilate=(1, 2), groups=2, scale=0.5, relu=True
    )
    assert link.b is None
    assert link.W.shape == (6, 2, 3, 3)
    y = F.relu(F.convolution_2d(0.5 * X, link.W, None, 2, 1, dilate=(1, 2), groups=2))
    np.testing.assert_allclose(link(X).array, y.array, rtol=1e-5, atol=1e-6)


def test_frames_of_uint8():
    link = L.Convolution2D(None, 6, 3, scale=1 / 255)
    frames = generator(1).integers(0, 256, (2, 4, 7, 8), np.uint8)
    y = link(frames)
    z = F.convolution_2d(frames.astype(np.float32) / 255, link.W, link.b)
    np.testing.assert_allclose(y.array, z.array, rtol=1e-5, atol=1e-6)
    assert link.view()(frames).array.tobytes() == link(frames).array.tobytes()


def test_first_values():
    """Chainer 7.8.1: W of deviation sqrt(1 / fan in), the fan in of W's own axes (in / groups, kh, kw)."""
    for link, fan_in in ((L.Convolution2D(64, 64, 3, groups=4), 16 * 9), (L.Deconvolution2D(32, 64, 3), 64 * 9)):
        assert link.W.array.std() == pytest.approx(fan_in**-0.5, rel=0.05)
    assert (L.Convolution2D(1, 2, 3, initial_bias=0.5).b.array == 0.5).all()


@pytest.mark.parametrize("link", [L.Deconvolution2D(4, 6, 3, 2), L.Deconvolution2D(6, 3, stride=2)])
def test_deconvolution(link):
    assert link(X).shape == (2, 6, 15, 17)
    assert link.W.shape == (4, 6, 3, 3)
    assert link(X).array.tobytes() == F.deconvolution_2d(X, link.W, link.b, 2).array.tobytes()


def test_deconvolution_options():
    link = L.Deconvolution2D(4, 6, (3, 2), 2, 1, True, (14, 15), dilate=1, groups=2)
    assert link.W.shape == (4, 3, 3, 2)
    y = F.deconvolution_2d(X, link.W, None, 2, 1, (14, 15), groups=2)
    np.testing.assert_array_equal(link(X).array, y.array)


@pytest.mark.parametrize("cls", [L.Convolution2D, L.Deconvolution2D])
def test_a_copy_and_a_state(cls):
    link, twin = cls(4, 6, 3), cls(None, 6, 3)
    twin.load(link.state())
    assert twin(X).array.tobytes() == link(X).array.tobytes()
    assert link.copy()(X).array.tobytes() == link(X).array.tobytes()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: L.Convolution2D(3, None), "Convolution2D: channels must be positive integers and ksize given"),
        (lambda: L.Convolution2D(0, 4, 3), "got in_channels 0, out_channels 4, ksize 3"),
        (lambda: L.Deconvolution2D(4, 0, 3), "Deconvolution2D: channels must be positive"),
        (lambda: L.Convolution2D(4, 6, 3, groups=4), "groups must divide both channels"),
        (lambda: L.Convolution2D(4, 6, (3, 0)), "ksize must be 2 integers of at least 1"),
        (lambda: L.Convolution2D(6, 3)(X[0]), r"Convolution2D: expected x \(N, C, H, W\), got x \(4, 7, 8\)"),
        (lambda: L.Convolution2D(None, 6, 3, groups=3)(X), "C a multiple of 3"),
        (lambda: L.Convolution2D(3, 6, 3)(X), r"convolution_2d: .*x \(2, 4, 7, 8\), W \(6, 3, 3, 3\)"),
    ],
)
def test_bad_input(make, says):
    with pytest.raises(ValueError, match=says):
        make()
