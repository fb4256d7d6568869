"""Matrices: values by hand, singular ones, halves, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F

M = np.array([[1.0, 2], [2, 5]])
SINGULAR = np.array([[1.0, 2], [2, 4]])


def gradient(f, a, gy=None):
    v = Variable(a)
    y = f(v)
    y.grad = np.ones(y.shape) if gy is None else gy
    y.backward()
    return y.array.tolist(), v.grad.tolist()


def close(got, expected):
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-13, atol=1e-13)


def test_values_and_gradients_of_chainer():
    """Chainer 7.8.1."""
    close(gradient(F.det, M), (1, [[5, -2], [-2, 1]]))
    close(gradient(F.batch_det, M[None]), ([1], [[[5, -2], [-2, 1]]]))
    close(gradient(F.inv, M), ([[5, -2], [-2, 1]], [[-9, 3], [3, -1]]))
    close(gradient(F.batch_inv, M[None]), ([[[5, -2], [-2, 1]]], [[[-9, 3], [3, -1]]]))
    a = np.array([[4.0, 2], [2, 5]])
    close(gradient(F.cholesky, a), ([[2, 0], [1, 2]], [[0.1875, 0.125], [0.125, 0.25]]))
    close(gradient(F.cholesky, a, np.array([[1.0, 7], [2, 3]])), ([[2, 0], [1, 2]], [[0.1875, 0.125], [0.125, 0.75]]))
    a[0, 1] = 7  # not read
    close(gradient(F.cholesky, a), ([[2, 0], [1, 2]], [[0.1875, 0.125], [0.125, 0.25]]))


@pytest.mark.parametrize("f", [F.det, F.inv, F.cholesky])
def test_halves(f):
    v = Variable(M.astype(np.float16))
    y = f(v)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.array, f(M).array, rtol=1e-2)
    F.sum(y).backward()
    assert v.grad.dtype == np.float16


def test_singular_matrices():
    v = Variable(SINGULAR)
    y = F.det(v)
    assert y.item() == 0
    with pytest.raises(ValueError, match=r"det: the gradient needs inverses, and a matrix in a \(2, 2\) is singular"):
        y.backward()
    with pytest.raises(ValueError, match=r"inv: Singular matrix \(got a \(2, 2\) float64\)"):
        F.inv(SINGULAR)
    with pytest.raises(ValueError, match=r"inv: Singular matrix \(got a \(2, 2, 2\) float64\)"):
        F.batch_inv(np.stack([M, SINGULAR]))
    with pytest.raises(ValueError, match="cholesky: Matrix is not positive definite"):
        F.cholesky(-M)


def test_matrices_of_no_rows():
    none = np.zeros((0, 0))
    assert gradient(F.det, none) == (1, [])
    assert gradient(F.inv, none) == ([], [])
    assert gradient(F.cholesky, none) == ([], [])
    assert F.batch_det(np.zeros((0, 2, 2))).array.tolist() == []


@pytest.mark.parametrize("f", [F.det, F.inv, F.batch_det, F.batch_inv, F.cholesky])
@pytest.mark.parametrize("shape", [(2, 3), (2,), (2, 2, 3), (2, 2, 2, 3)])
def test_shapes_that_are_refused(f, shape):
    with pytest.raises(ValueError, match=rf"{f.__name__}: expected .*square .*got shape \({shape[0]},"):
        f(np.ones(shape))


def test_stacks_and_matrices_are_told_apart():
    with pytest.raises(ValueError, match=r"^inv: expected a square matrix, got shape \(1, 2, 2\)"):
        F.inv(M[None])
    with pytest.raises(ValueError, match=r"batch_inv: expected a stack \(N, n, n\)"):
        F.batch_inv(M)


@pytest.mark.parametrize(
    ("a", "b", "trans", "shape"),  # Chainer 7.8.1
    [
        ((3,), (3,), (False, False), ()),
        ((3,), (3,), (True, True), ()),
        ((2, 3), (3,), (False, True), (2,)),
        ((3,), (3, 2), (True, False), (2,)),
        ((3,), (2, 3), (False, True), (2,)),
        ((5, 2, 3), (3, 4), (False, False), (5, 2, 4)),
        ((5, 3, 2), (1, 3, 4), (True, False), (5, 2, 4)),
        ((6, 5, 2, 3), (3, 4), (False, False), (6, 5, 2, 4)),
        ((2, 3), (5, 4, 3), (False, True), (5, 2, 4)),
    ],
)
def test_shapes_of_matrix_products(a, b, trans, shape):
    va, vb = Variable(np.ones(a)), Variable(np.ones(b))
    y = F.matmul(va, vb, *trans)
    assert y.shape == shape
    F.sum(y).backward()
    assert (va.grad.shape, vb.grad.shape) == (a, b)


@pytest.mark.parametrize(
    ("a", "b", "trans", "shape"),  # Chainer 7.8.1
    [
        ((5, 2, 3), (5, 3, 4), (False, False), (5, 2, 4)),
        ((5, 3), (5, 3), (True, False), (5, 1, 1)),
        ((5, 3), (5, 4), (False, True), (5, 3, 4)),
        ((5, 2, 3), (5, 3), (False, False), (5, 2, 1)),
        ((5, 3), (5, 1, 4), (False, False), (5, 3, 4)),
        ((5, 3, 2), (5, 3, 4), (True, False), (5, 2, 4)),
    ],
)
def test_shapes_of_batched_products(a, b, trans, shape):
    assert F.batch_matmul(np.ones(a), np.ones(b), *trans).shape == shape


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: F.matmul(np.ones((2, 3)), np.ones((2, 3)), transa=True, transb=True), r"matmul: .*a \(2, 3\) float64"),
        (lambda: F.matmul(np.array(1.0), np.ones((2, 3))), r"matmul: .*a \(\) float64"),
        (lambda: F.batch_matmul(np.ones((5, 3)), np.ones((5, 3))), r"matmul: .*a \(5, 3, 1\)"),
        (lambda: F.batch_matmul(np.ones((5, 2, 2, 3)), np.ones((5, 3))), r"batch_matmul: .*\(5, 2, 2, 3\)"),
        (lambda: F.batch_matmul(np.ones((5, 3)), np.ones((5, 1, 3, 1))), r"batch_matmul: .*\(5, 1, 3, 1\)"),
        (lambda: F.batch_matmul(np.ones((5, 3)), np.ones(5)), r"batch_matmul: .*two or three axes.*\(5,\)"),
        (lambda: F.batch_matmul(np.ones(5), np.ones((5, 3))), r"batch_matmul: .*two or three axes.*\(5,\)"),
    ],
)
def test_products_that_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_the_second_derivative_of_a_determinant():
    """det = ad - bc: the gradient is (d, -c, -b, a), and that of d a is (d, 0, 0, a)."""
    v = Variable(M)
    g = grad(F.det(v), v, enable_double_backprop=True)[0]
    np.testing.assert_allclose(grad(g[0, 0] * g[1, 1], v)[0].array, [[5, 0], [0, 1]], rtol=1e-13, atol=1e-13)
