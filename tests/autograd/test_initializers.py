"""Initial values: deviations and bounds by hand, reproducible draws, dtypes."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import rlcore.rng
from rlcore.autograd import Parameter, initializers, using_config
from rlcore.autograd.initializers import (
    Constant,
    DownsamplingConvFilter,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LeCunNormal,
    LeCunUniform,
    NaN,
    Normal,
    One,
    Orthogonal,
    Uniform,
    UpsamplingDeconvFilter,
    Zero,
    as_initializer,
    generate_array,
    get_fans,
)
from rlcore.rng import generator

SHAPE = (50, 30, 5, 2)  # fan in 300, fan out 500


def draw(make, shape=SHAPE, **named):
    out = np.empty(shape, np.float64)
    make(rng=generator(0), **named)(out)
    return out


def test_fans():
    assert get_fans((3, 4)) == (4, 3)
    assert get_fans(SHAPE) == (300, 500)
    with pytest.raises(ValueError, match=r"at least two axes, got shape \(3,\)"):
        get_fans((3,))


@pytest.mark.parametrize(
    ("make", "deviation"),
    [
        (Normal, 0.05),
        (LeCunNormal, 1 / math.sqrt(300)),
        (GlorotNormal, math.sqrt(2 / 800)),
        (HeNormal, math.sqrt(2 / 300)),
    ],
)
def test_normal_deviations(make, deviation):
    for scale in (1.0, 3.0):
        x = draw(make, scale=0.05 * scale if make is Normal else scale)
        assert abs(x.std() / (deviation * scale) - 1) < 0.02  # 15,000 draws: 3.5 standard errors
        assert abs(x.mean()) < 0.03 * deviation * scale
        assert abs(x).max() > 3 * deviation * scale


@pytest.mark.parametrize(
    ("make", "bound"),
    [
        (Uniform, 0.05),
        (LeCunUniform, math.sqrt(3 / 300)),
        (GlorotUniform, math.sqrt(6 / 800)),
        (HeUniform, math.sqrt(6 / 300)),
    ],
)
def test_uniform_bounds(make, bound):
    for scale in (1.0, 3.0):
        x = draw(make, scale=0.05 * scale if make is Uniform else scale)
        assert 0.999 * bound * scale < abs(x).max() <= bound * scale
        assert abs(x.std() / (bound * scale / math.sqrt(3)) - 1) < 0.02
        assert abs(x.mean()) < 0.03 * bound * scale


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4), (4, 2, 3)])
def test_orthogonal(shape):
    W = draw(Orthogonal, shape, scale=2.0).reshape(shape[0], -1)
    small = W @ W.T if W.shape[0] <= W.shape[1] else W.T @ W
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_orthogonal_is_uniform_over_signs():
    signs = [np.sign(draw_one) for seed in range(200) for draw_one in [one_by_one(seed)]]
    assert 60 < signs.count(1.0) < 140


def one_by_one(seed):
    out = np.empty((1, 1))
    Orthogonal(rng=generator(seed))(out)
    return out.item()


def test_fan_out():
    x = draw(HeNormal, fan_option="fan_out")
    assert abs(x.std() / math.sqrt(2 / 500) - 1) < 0.02
    with pytest.raises(ValueError, match="HeNormal: fan_option must be 'fan_in' or 'fan_out', got 'out'"):
        HeNormal(fan_option="out")


@pytest.mark.parametrize(
    ("mode", "allowed"),
    [("auto", "wide tall square"), ("projection", "wide square"), ("embedding", "tall square"), ("basis", "square")],
)
def test_orthogonal_modes(mode, allowed):
    """As in Chainer 7.8.1: rows count outputs, columns inputs."""
    for name, shape in {"wide": (2, 3), "tall": (3, 2), "square": (4, 2, 2)}.items():
        if name in allowed.split():
            draw(Orthogonal, shape, mode=mode)
        else:
            with pytest.raises(ValueError, match=rf"Orthogonal: no {mode} has shape \({shape[0]}, {shape[1]}\)"):
                draw(Orthogonal, shape, mode=mode)


def test_orthogonal_edges():
    assert abs(draw(Orthogonal, ())) == 1.1
    with pytest.raises(ValueError, match=r"Orthogonal: an array of shape \(0, 3\) has no elements"):
        draw(Orthogonal, (0, 3))
    with pytest.raises(ValueError, match="Orthogonal: mode must be auto, projection, embedding or basis, got 'rows'"):
        Orthogonal(mode="rows")


def filled(make, shape):
    out = np.empty(shape)
    make(out)
    return out


def test_identity():
    np.testing.assert_array_equal(filled(Identity(2.5), (3, 3)), 2.5 * np.eye(3))
    for shape in ((2, 3), (2,), (2, 2, 2)):
        with pytest.raises(ValueError, match="Identity: expected a square matrix"):
            filled(Identity(), shape)


def test_sampling_filters():
    """Figures of Chainer 7.8.1."""
    square = np.array([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
    up, down = filled(UpsamplingDeconvFilter(), (2, 2, 3, 3)), filled(DownsamplingConvFilter(), (2, 2, 3, 3))
    for c in (0, 1):
        np.testing.assert_array_equal(up[c, c], square)
        np.testing.assert_array_equal(down[c, c], square / 4)
        assert not up[c, 1 - c].any()
    np.testing.assert_array_equal(filled(UpsamplingDeconvFilter(), (2, 1, 4)), [[[0.25, 0.75, 0.75, 0.25]]] * 2)
    line = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_array_equal(filled(DownsamplingConvFilter(), (1, 1, 4, 4))[0, 0], np.outer(line, line) / 4)


@pytest.mark.parametrize("shape", [(2, 3, 3, 3), (2, 2, 3, 4), (2, 2)])
def test_a_sampling_filter_needs_its_shape(shape):
    with pytest.raises(ValueError, match=r"UpsamplingDeconvFilter: expected shape \(C, C or 1, k, ...\)"):
        filled(UpsamplingDeconvFilter(), shape)
    with pytest.raises(ValueError, match="DownsamplingConvFilter: interpolation must be 'linear', got 'cubic'"):
        DownsamplingConvFilter("cubic")


def test_generate_array():
    array = generate_array(Constant(3, dtype=np.float64), (2, 3), np)
    assert (array.shape, array.dtype, array.tolist()) == ((2, 3), np.float64, [[3] * 3] * 2)
    assert generate_array(None, (2, 3)).dtype == np.float32
    with pytest.raises(ValueError, match="generate_array: dtype is float32, the initializer's is float64"):
        generate_array(Constant(3, dtype=np.float64), (2, 3), np, np.float32)


def test_a_function_is_an_initializer():
    def ramp(array):
        array[...] = np.arange(array.size).reshape(array.shape)

    assert Parameter(ramp, (2, 2)).array.tolist() == [[0, 1], [2, 3]]


def test_constants():
    for make, value in ((Constant(2.5), 2.5), (Zero(), 0), (One(), 1)):
        assert filled(make, (2, 2)).tolist() == [[value] * 2] * 2
    assert np.isnan(filled(NaN(), (2, 2))).all()


def test_the_same_generator_state_draws_the_same():
    for make in (LeCunNormal, HeUniform, Orthogonal):
        np.testing.assert_array_equal(draw(make, (3, 4)), draw(make, (3, 4)))
    rng = generator(0)
    first = HeNormal(rng=rng)
    a, b = np.empty((3, 4)), np.empty((3, 4))
    first(a)
    first(b)
    assert (a != b).all()


def test_without_a_generator_the_librarys_own_draws():
    rlcore.rng.seed(11)
    a = Parameter(HeNormal(), (3, 4)).array.copy()
    rlcore.rng.seed(11)
    np.testing.assert_array_equal(Parameter(HeNormal(), (3, 4)).array, a)
    np.testing.assert_array_equal(Parameter(HeNormal(rng=generator(11)), (3, 4)).array, a)
    assert (Parameter(HeNormal(), (3, 4)).array != a).all()


def test_a_copied_initializer_does_not_draw_the_same_again():
    first = HeNormal(rng=generator(0))
    a, b = np.empty((3, 4)), np.empty((3, 4))
    copy.deepcopy(first)(a)
    first(b)
    assert (a != b).all()


def test_dtypes():
    assert Parameter(LeCunNormal(), (2, 3)).dtype == np.float32
    assert Parameter(LeCunNormal(dtype=np.float64), (2, 3)).dtype == np.float64
    assert Parameter(None, (2, 3)).dtype == np.float32
    with using_config("dtype", np.float64):
        assert Parameter(None, (2, 3)).dtype == np.float64
        assert Parameter(0, 2).dtype == np.float64


def test_as_initializer():
    given = HeNormal()
    assert as_initializer(given) is given
    assert isinstance(as_initializer(None), LeCunNormal)
    assert as_initializer(3).fill_value == 3
    for scalar in (np.float32(3), np.float64(3), np.int64(3)):
        assert as_initializer(scalar).fill_value == 3
    with pytest.raises(TypeError, match="expected an Initializer, a number, an array or None, got list"):
        as_initializer([1.0])
    assert initializers.LeCunNormal is LeCunNormal
