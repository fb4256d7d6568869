import re

import numpy as np
import pytest

from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.rng import generator


def normal(*shape):
    return generator(0).standard_normal(shape).astype(np.float32)


X1, X2, X3 = normal(2, 4, 7), normal(2, 4, 7, 5), normal(2, 4, 3, 4, 5)

LINKS = [
    (L.Convolution1D(4, 6, 3, 2, 1), X1, (6, 4, 3), lambda x, W, b: F.convolution_1d(x, W, b, 2, 1)),
    (
        L.Convolution1D(None, 6, 3, cover_all=True, stride=3, dilate=2, groups=2),
        X1,
        (6, 2, 3),
        lambda x, W, b: F.convolution_1d(x, W, b, 3, 0, True, 2, 2),
    ),
    (L.Convolution3D(4, 6, (1, 2, 3)), X3, (6, 4, 1, 2, 3), F.convolution_3d),
    (L.ConvolutionND(2, 4, 6, 3, pad=(1, 0)), X2, (6, 4, 3, 3), lambda x, W, b: F.convolution_nd(x, W, b, 1, (1, 0))),
    (L.ConvolutionND(3, 6, 2), X3, (6, 4, 2, 2, 2), F.convolution_3d),
    (L.Deconvolution1D(4, 6, 3, 2, 1), X1, (4, 6, 3), lambda x, W, b: F.deconvolution_1d(x, W, b, 2, 1)),
    (
        L.Deconvolution1D(None, 6, 3, stride=2, outsize=16, groups=2),
        X1,
        (4, 3, 3),
        lambda x, W, b: F.deconvolution_1d(x, W, b, 2, 0, 16, 1, 2),
    ),
    (L.Deconvolution3D(4, 2, 2, dilate=2), X3, (4, 2, 2, 2, 2), lambda x, W, b: F.deconvolution_3d(x, W, b, dilate=2)),
    (L.DeconvolutionND(2, 6, 2), X2, (4, 6, 2, 2), F.deconvolution_nd),
    (
        L.DepthwiseConvolution2D(None, 3, 2, pad=1),
        X2,
        (3, 4, 2, 2),
        lambda x, W, b: F.depthwise_convolution_2d(x, W, b, 1, 1),
    ),
    (
        L.DilatedConvolution2D(4, 6, 2, 1, 1, 2),
        X2,
        (6, 4, 2, 2),
        lambda x, W, b: F.dilated_convolution_2d(x, W, b, 1, 1, 2),
    ),
    (L.DilatedConvolution2D(6, 2), X2, (6, 4, 2, 2), F.dilated_convolution_2d),
    (
        L.LocalConvolution2D(4, 3, (7, 5), 3, stride=2),
        X2,
        (3, 3, 2, 4, 3, 3),
        lambda x, W, b: F.local_convolution_2d(x, W, b, 2),
    ),
    (L.LocalConvolution2D(None, 3, ksize=2), X2, (3, 6, 4, 4, 2, 2), F.local_convolution_2d),
]


@pytest.mark.parametrize(("link", "x", "shape", "f"), LINKS)
def test_a_link_is_its_function(link, x, shape, f):
    link = link.copy()
    y = link(x)
    assert link.W.shape == shape
    assert not link.b.array.any()
    link.b.array = normal(*link.b.shape)
    np.testing.assert_allclose(link(x).array, f(x, link.W, link.b).array, rtol=1e-6, atol=1e-6)
    assert (link(x).array != y.array).any()
    F.sum(link(x)).backward()
    link.flatten()
    for p in link.params():
        assert p.grad.shape == p.shape


@pytest.mark.parametrize(
    "make",
    [
        lambda W: L.Convolution1D(4, 64, 3, nobias=True, initialW=W),
        lambda W: L.Deconvolution3D(4, 64, 3, nobias=True, initialW=W),
        lambda W: L.DepthwiseConvolution2D(30, 64, 3, nobias=True, initialW=W),
        lambda W: L.LocalConvolution2D(3, 64, 7, 3, nobias=True, initialW=W),
    ],
)
def test_weights_are_le_cun_normal(make):
    """Chainer 7.8.1: the fan in is the product of all axes but the first."""
    W = make(None).W.array
    np.testing.assert_allclose(W.std(), (W.size / len(W)) ** -0.5, rtol=0.1)
    assert (make(2).W.array == 2).all()
    assert make(None).b is None


def test_a_weight_lies_in_memory_as_the_products_want_it():
    W = L.Convolution3D(2, 3, (4, 5, 6)).W.array
    assert W.transpose(2, 3, 4, 1, 0).flags.c_contiguous


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: L.Convolution1D(4, 6, 3, groups=4),
            "Convolution1D: groups must divide both channels, got in_channels 4",
        ),
        (lambda: L.ConvolutionND(2, 4, 0, 3), "ConvolutionND: channels must be positive"),
        (lambda: L.Convolution3D(4, 6, (3, 3)), "Convolution3D: ksize must be 3 integers of at least 1, got (3, 3)"),
        (lambda: L.Convolution1D(None, 6, 3)(X2), "Convolution1D: expected x (N, C, 1 sizes), got x (2, 4, 7, 5)"),
        (lambda: L.Convolution1D(None, 6, 3, groups=3)(X1), "(N, C, 1 sizes), C a multiple of 3, got x (2, 4, 7)"),
        (lambda: L.Convolution1D(3, 6, 3)(X1), "got x (2, 4, 7), W (6, 3, 3), groups 1"),
        (lambda: L.DepthwiseConvolution2D(None, 6, 3)(X1), "DepthwiseConvolution2D: expected x (N, C, H, W)"),
        (
            lambda: L.LocalConvolution2D(None, 6, ksize=8)(X2),
            "LocalConvolution2D: no window (8, 8) fits into size (7, 5)",
        ),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
