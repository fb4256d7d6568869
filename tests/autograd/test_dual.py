"""What ReLU is made of: the same values whatever the size, the dtype and the strides; sums of many halves."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, dual, grad
from rlcore.autograd import functions as F
from rlcore.autograd.dual import rectified, row_sum, scatter, sum_to, where_positive
from rlcore.rng import generator


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0, 3), (3, 4), (64, 64), (3, 5000), (70, 70, 70)])
def test_rectified(dtype, shape):
    x = np.asarray(generator(0).standard_normal(shape), dtype)
    for given in (x, x.T, x[::-1] if x.ndim else x):
        before = given.copy()
        y = rectified(given)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, np.where(given > 0, given, 0))
        np.testing.assert_array_equal(given, before)
    out = np.empty_like(x)
    assert rectified(x, out=out) is out


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_where_positive(dtype):
    y, g = np.array([-1, 0, 1e-7, 2], dtype), np.array([1, 2, -3, 4], dtype)
    given = g.copy()
    found = where_positive(g, y)
    assert found.dtype == dtype
    assert found.tolist() == where_positive(Variable(g), y).array.tolist() == [0, 0, -3, 4]
    assert g.tolist() == given.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(3,), (3, 5), (2, 3, 4), (3, 0), (0, 3)])
def test_row_sum(dtype, shape):
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for axis in range(-len(shape), len(shape)):
        y = row_sum(x, axis)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, x.sum(axis=axis, keepdims=True))


def test_as_many_ones_as_rows(monkeypatch):
    monkeypatch.setattr(dual, "_ONES", {})
    for dtype in (np.float32, np.float64):
        for n in (3, 0, 256, 300, 2, 301):
            ones = dual.ones_for(np.empty((n, 2), dtype))
            assert (ones.dtype, ones.tolist()) == (dtype, [1] * n)


class Waiting:
    """A vertex with memory for a gradient."""

    def __init__(self, memory):
        self.memory = memory

    def out(self, *dtype):
        return self.memory


def test_gradients_are_written_where_they_will_live():
    x, g = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([[1, 10], [100, 1000]])
    bias = np.empty(2, np.float32)
    assert dual.column_sum(g, Waiting(bias)) is bias
    assert bias.tolist() == [101, 1010]
    expected = (x.T @ g).T.tolist()
    weight = np.empty((3, 2), np.float32).T
    assert np.shares_memory(dual.product(x, g, Waiting(weight)), weight)
    assert weight.tolist() == expected
    rows = np.full((2, 3), np.nan, np.float32)  # BLAS cannot write into this
    assert dual.product(x, g, Waiting(rows)).tolist() == expected
    assert np.isnan(rows).all()


ONES = np.ones((3000, 2), np.float16)


def test_halves_are_added_up_as_singles():
    """One after the other, 1 + ... + 1 ends at 2048 in float16."""
    index = np.zeros(3000, int)
    for y, shape in (
        (sum_to(ONES, (2,)), (2,)),
        (sum_to(ONES, (1, 2)), (1, 2)),
        (sum_to(ONES[:, 0], ()), ()),
        (row_sum(ONES, 0), (1, 2)),
        (row_sum(np.ascontiguousarray(ONES.T), 1), (2, 1)),
        (scatter(ONES, index, (1, 2)), (1, 2)),
        (scatter(ONES, index, (20000, 2))[:1], (1, 2)),
    ):
        assert (y.shape, y.dtype) == (shape, np.float16)
        assert (np.asarray(y) == 3000).all()


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda b: ONES + b, (2,)),
        (lambda b: F.broadcast_to(b, (3000, 2)), (1, 2)),
        (lambda b: F.linear(ONES, np.zeros((2, 2), np.float16), b), (2,)),
        (lambda b: F.ensemble_linear(ONES, np.zeros((3, 2, 2), np.float16), b), (3, 2)),
        (lambda x: F.ensemble_linear(x, np.ones((3000, 1, 1), np.float16)), (1, 1)),
        (lambda x: F.tile(x, (3000, 1)), (1, 2)),
        (lambda x: F.repeat(x, 3000, axis=0), (1, 2)),
        (lambda x: x[np.zeros(3000, int)], (1, 2)),
        (lambda b: F.convolution_nd(ONES[:, None], np.zeros((1, 1, 2), np.float16), b), (1,)),
        (lambda b: F.deconvolution_nd(ONES[:, :, None], np.zeros((2, 1, 1), np.float16), b), (1,)),
    ],
)
@pytest.mark.parametrize("double", [False, True])
def test_gradients_of_many_halves(f, shape, double):
    x = Variable(np.zeros(shape, np.float16))
    g = grad(F.sum(f(x)), x, enable_double_backprop=double)[0]
    assert (g.shape, g.dtype) == (shape, np.float16)
    assert (g.array == 3000).all()
