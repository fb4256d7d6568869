"""Repeated indices and bad ones: what the rows of `ops/indexing.py` cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.autograd.dual import scatter
from rlcore.rng import generator

A34 = np.arange(12.0).reshape(3, 4)


def test_what_is_taken_twice_receives_both_gradients():
    for axis, index, expected in (
        (1, [[0, 0, 3], [1, 1, 1], [2, -2, 0]], [[2, 0, 0, 1], [0, 3, 0, 0], [1, 0, 2, 0]]),
        (0, [[1, 1, 1, 1], [1, 0, 1, 0]], [[0, 1, 0, 1], [2, 1, 2, 1], [0, 0, 0, 0]]),
        (None, [5, 5, 5, -1], [[0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]]),
    ):
        x = Variable(A34)
        F.sum(F.take_along_axis(x, np.array(index), axis)).backward()
        assert x.grad.tolist() == expected


def test_broadcasting_is_numpys_and_its_gradient_adds_up():
    rng = generator(0)
    for shape, index_shape, axis in (
        ((3, 4), (1, 1), 1),
        ((3, 4), (1, 5), 1),
        ((1, 4), (3, 1), 1),
        ((1, 4), (3, 5), -1),
        ((2, 1, 5), (1, 3, 1), -1),
        ((2, 3, 4), (2, 1, 4), 1),
        ((2, 3, 4), (1, 1, 4), 1),
        ((2, 3, 4), (2, 3, 1), -1),
        ((3, 4), (1, 4), -2),
        ((2, 1, 5), (2, 3, 1), -1),
    ):
        x, index = Variable(rng.standard_normal(shape)), rng.integers(0, shape[axis], index_shape)
        y = F.take_along_axis(x, index, axis)
        expected = np.take_along_axis(x.array, index, axis)
        np.testing.assert_array_equal(y.array, expected)
        F.sum(y).backward()
        counts = np.zeros(shape)
        for one in np.take_along_axis(np.arange(x.size).reshape(shape), index, axis).ravel():
            counts.ravel()[one] += 1
        np.testing.assert_array_equal(x.grad, counts)


def test_indices_may_be_a_variable():
    index = Variable(np.array([[2], [0], [1]]))
    assert F.take_along_axis(Variable(A34), index, 1).array.tolist() == [[2], [4], [9]]
    assert F.gather(A34, 1, index).array.tolist() == [[2], [4], [9]]
    x, rows = Variable(A34), Variable(np.array([2, 0, 1]))
    assert F.take_along_axis(x, Variable(np.array([[2], [0]])), None).array.tolist() == [2, 0]
    assert F.get_item(x, rows).array.tolist() == A34[[2, 0, 1]].tolist()
    assert F.get_item(x, (rows, 1)).array.tolist() == [9, 1, 5]
    assert F.permutate(x, rows, -2).array.tolist() == A34[[2, 0, 1]].tolist()
    assert F.where(Variable(A34 > 5), x, 0.0).array.sum() == 51
    for index in (rows, (rows, slice(None))):
        assert F.scatter_add(x, index, np.ones((3, 4))).array.tolist() == (A34 + 1).tolist()


@pytest.mark.parametrize("n", [255, 256, 257, 300])
def test_one_of_each_of_many_rows(n):
    x, t = Variable(np.arange(2.0 * n).reshape(n, 2)), np.arange(n) % 2
    y = F.select_item(x, t)
    assert y.array.tolist() == [2 * i + i % 2 for i in range(n)]
    F.sum(y).backward()
    assert x.grad.tolist() == np.eye(2)[t].tolist()


@pytest.mark.parametrize("dtype", "efd")
def test_a_large_scatter_adds_up_as_a_small_one(dtype):
    """One axis at a time, from 257 elements on; integers, so that every order of adding gives the same."""
    rng = generator(1)
    for shape, index, part in (
        ((8, 100), rng.integers(-8, 8, 20), (20, 100)),
        ((30, 20), (slice(None), rng.integers(0, 20, 40)), (30, 40)),
        ((30, 20), (rng.integers(0, 30, 300), rng.integers(0, 20, 300)), (300,)),
        ((30, 20, 2), (rng.integers(0, 30, (50, 1)), slice(1, 20, 3)), (50, 1, 7, 2)),
        ((5000, 2), rng.integers(0, 5000, 200), (200, 2)),
    ):
        g = rng.integers(1, 4, part).astype(dtype)
        expected = np.zeros(shape)
        for where, value in zip(np.arange(expected.size).reshape(shape)[index].ravel(), g.ravel()):
            expected.ravel()[where] += value
        for laid in (g, np.asfortranarray(g)):
            out = scatter(laid, index, shape)
            assert out.dtype == g.dtype
            np.testing.assert_array_equal(out, expected)


def test_a_permutation_and_its_inverse():
    order = np.array([2, 0, 1])
    there = F.permutate(A34, order)
    assert there.array.tolist() == A34[order].tolist()
    assert F.permutate(there, order, inv=True).array.tolist() == A34.tolist()
    assert F.permutate(there, np.array([-1, 0, -2]), inv=True).array.tolist() == A34.tolist()


def test_where_keeps_out_what_is_not_chosen():
    """0 * inf is nan: the forward pass selects, and the other side gets a gradient of 0."""
    x, mask = Variable(np.array([1.0, np.inf, np.nan])), np.array([True, False, False])
    y = F.where(mask, x, 0.0)
    F.sum(y).backward()
    assert y.array.tolist() == [1, 0, 0]
    assert x.grad.tolist() == [1, 0, 0]


def test_where_takes_numbers_of_numpy_for_numbers():
    assert F.where(np.array([True, False]), np.ones(2, np.float32), np.float64(2)).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: F.select_item(A34[None], np.zeros(1, int)),
            ValueError,
            r"select_item: expected x \(N, A\) .*\(1, 3, 4\)",
        ),
        (lambda: F.take_along_axis(A34, np.zeros((3, 1)), 1), TypeError, "take_along_axis: indices must be integers"),
        (
            lambda: F.take_along_axis(A34, np.zeros(3, int), 1),
            ValueError,
            r"take_along_axis: .*x \(3, 4\).*indices \(3,\)",
        ),
        (lambda: F.take_along_axis(A34, np.zeros((3, 1), int), 2), ValueError, "take_along_axis: .*axis 2"),
        (
            lambda: F.take_along_axis(A34, np.full((3, 1), 4), 1),
            IndexError,
            "take_along_axis: index 4 is out of bounds",
        ),
        (lambda: F.take_along_axis(A34, np.zeros((2, 1), int), 1), IndexError, r"take_along_axis: .*indices \(2, 1\)"),
        (lambda: F.permutate(A34, np.array([0, 1])), ValueError, r"permutate: .*indices \(2,\)"),
        (lambda: F.permutate(A34, np.array([0.0, 1, 2])), ValueError, "permutate: .*float64"),
        (lambda: F.permutate(A34, np.array([0, 1, 2]), axis=2), ValueError, "permutate: .*axis 2"),
        (lambda: F.scatter_add(A34, 0, np.ones(3)), ValueError, r"scatter_add: a\[slices\] is \(4,\) .*b \(3,\)"),
        (lambda: F.scatter_add(A34, 0, np.ones(4, np.float32)), ValueError, "scatter_add: .*float64, b .*float32"),
        (lambda: F.scatter_add(A34, 3, np.ones(4)), IndexError, "scatter_add: index 3 is out of bounds"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
