"""Losses: numbers by hand, kinks, large arguments, messages."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
Y = X * X
A, B = np.ones((2, 3)), np.ones((2, 4))


def gradient(f, x):
    v = Variable(np.array(x, np.float64))
    F.sum(f(v)).backward()
    return v.grad.tolist()


@pytest.mark.parametrize(
    ("loss", "expected"),  # Chainer 7.8.1
    [
        (lambda: F.squared_difference(X, Y), [[4, 0.9216, 0.0576], [0.0256, 0.0576, 0]]),
        (lambda: F.absolute_error(X, Y), [[2, 0.96, 0.24], [0.16, 0.24, 0]]),
        (lambda: F.mean_absolute_error(X, Y), 0.6),
        (lambda: F.bernoulli_nll(Y, X), 4.497776985168457),
        (lambda: F.bernoulli_nll(Y, X, "mean"), 0.7496294975280762),
        (lambda: F.bernoulli_nll(Y, X[:1]), 4.377777099609375),
        (lambda: F.gaussian_nll(X, Y, Y), 8.030941009521484),
        (lambda: F.gaussian_nll(X, Y, Y, "mean"), 1.3384901285171509),
        (lambda: F.gaussian_nll(X, Y[:1], Y), 8.495615005493164),
        (lambda: F.gaussian_kl_divergence(X, Y), 2.1924219131469727),
        (lambda: F.gaussian_kl_divergence(X, Y, "mean"), 0.3654036521911621),
        (lambda: F.contrastive(X, Y, np.array([0, 1])), 0.0208),
        (lambda: F.triplet(X, Y, np.float32(0.9) * Y, reduce="no"), [0.6597281098365784, 0.1701279878616333]),
        (lambda: F.hinge(X, np.array([1, 1])), 3.0),
        (lambda: F.hinge(X, np.array([1, 1]), "L2"), 4.4),
        (lambda: F.hinge(X, np.array([1, 1]), reduce="no"), [[0, 1.6, 0.8], [1.2, 0.4, 2.0]]),
        (lambda: F.cross_covariance(X, Y[:, :2]), 0.12441602349281311),
        (lambda: F.cross_covariance(X, Y[:, :2], "no"), [[-0.288, 0]] * 3),
    ],
)
def test_values(loss, expected):
    y = loss()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.array, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: F.triplet(x, x, x),
        lambda x: F.hinge(x, np.zeros(0, int)),
        lambda x: F.cross_covariance(x, x),
    ],
)
def test_the_loss_of_no_rows_is_zero(loss):
    x = Variable(np.zeros((0, 2)))
    y = loss(x)
    assert y.item() == 0
    y.backward()
    assert x.grad.shape == (0, 2)


@pytest.mark.parametrize(
    "loss", [F.mean_absolute_error, F.mean_squared_error, lambda x, t: F.huber_loss(x, t, 1, "mean")]
)
def test_the_mean_over_nothing_is_nan(loss):
    x = Variable(np.zeros((0, 2)))
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        y = loss(x, x.array)
    assert np.isnan(y.array)
    y.backward()
    assert x.grad.shape == (0, 2)


def test_contrastive_labels_may_be_a_variable_and_points_the_same():
    same = np.ones((2, 2))
    y = F.contrastive(same, same, Variable(np.array([0, 1])), margin=2, reduce="no")
    assert y.array.tolist() == [2, 0]
    assert F.hinge(X, Variable(np.array([1, 1]))).item() == pytest.approx(3)


def test_slopes_at_the_kinks():
    assert gradient(lambda x: F.absolute_error(x, np.zeros(3)), [-2, 0, 2]) == [-1, 0, 1]
    assert gradient(lambda x: F.mean_absolute_error(x, np.zeros(2)), [0, 2]) == [0, 0.5]
    assert gradient(lambda x: F.hinge(x, np.array([0]), reduce="no"), [[1, -1, 0]]) == [[0, 0, 1]]
    same = np.ones((1, 2))
    assert gradient(lambda x: F.contrastive(x, same, np.array([0])), same) == [
        [0, 0]
    ]  # as far apart as can be in one place


def test_contrastive_at_a_distance_of_zero_has_finite_second_derivatives():
    x, same = Variable(np.ones((1, 2))), np.ones((1, 2))
    first = grad(F.contrastive(x, same, np.array([1])), x, enable_double_backprop=True)[0]
    assert grad(first, x, np.ones((1, 2)))[0].array.tolist() == [[1, 1]]


def test_bernoulli_nll_of_large_logits():
    x, y = np.array([0.0, 1, 0, 1]), np.array([1e4, 1e4, -1e4, -1e4])
    assert F.bernoulli_nll(x, y, "no").array.tolist() == [1e4, 0, 0, 1e4]
    assert gradient(lambda v: F.bernoulli_nll(x, v), y) == [1, 0, 0, -1]


def test_the_mean_of_halves_does_not_overflow():
    far, near = np.full(1000, 100, np.float16), np.zeros(1000, np.float16)
    assert F.mean_absolute_error(far, near).item() == 100
    assert F.mean_squared_error(far, near).item() == 10_000
    assert F.huber_loss(far, near, 150.0, "mean").item() == 5_000
    many = np.full(100_000, 2, np.float16)
    assert F.mean_squared_error(many, 0 * many).item() == 4
    assert F.huber_loss(many, 0 * many, 1.0, "mean").item() == 1.5
    assert F.mean_squared_error(many, 0 * many).dtype == np.float16
    assert F.hinge(np.full((5000, 1), -100, np.float16), np.zeros(5000, int)).item() == pytest.approx(101, rel=1e-2)
    with np.errstate(over="raise"):
        far, near = np.full((3000, 1), 8, np.float16), np.zeros((3000, 1), np.float16)
        assert F.triplet(far, near, far).item() == pytest.approx(64.2, rel=1e-2)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.absolute_error(A, B), ValueError, r"absolute_error: .*x0 \(2, 3\) float64, x1 \(2, 4\)"),
        (lambda: F.squared_difference(A, A[:1]), ValueError, r"squared_difference: .*x1 \(2, 3\) float64, x2 \(1, 3\)"),
        (lambda: F.mean_absolute_error(A, A.astype("f")), TypeError, "mean_absolute_error: .*one dtype"),
        (lambda: F.bernoulli_nll(A, A.astype("f")), TypeError, r"bernoulli_nll: .*x \(2, 3\) float64, y .*float32"),
        (
            lambda: F.bernoulli_nll(A, A, "all"),
            ValueError,
            "bernoulli_nll: reduce must be 'sum' or 'mean' or 'no', .*'all'",
        ),
        (lambda: F.gaussian_nll(A.astype("f"), A, A), TypeError, "gaussian_nll: .*x .*float32"),
        (lambda: F.gaussian_nll(A, A.astype("f"), A), TypeError, "gaussian_nll: .*mean .*float32"),
        (lambda: F.huber_loss(A, B, 1, "mean"), ValueError, "huber_loss: the two arguments must have one shape"),
        (lambda: F.huber_loss(A, A.astype("f"), 1, "mean"), TypeError, "huber_loss: the two arguments .* one dtype"),
        (lambda: F.contrastive(A, A.astype("f"), np.ones(2, int)), TypeError, "contrastive: .*one dtype"),
        (lambda: F.contrastive(A[None], A[None], np.ones(1, int)), ValueError, r"contrastive: .*x0 \(1, 2, 3\)"),
        (lambda: F.triplet(B, A, A), ValueError, r"triplet: .*one shape, .*anchor \(2, 4\)"),
        (lambda: F.triplet(A, B, A), ValueError, r"triplet: .*one shape, .*positive \(2, 4\)"),
        (lambda: F.triplet(A, A, A, 0), ValueError, "triplet: margin must be > 0"),
        (lambda: F.hinge(A[None], np.ones(1, int)), ValueError, r"hinge: .*x \(1, 2, 3\)"),
        (lambda: F.cross_covariance(A[0], A[0]), ValueError, r"cross_covariance: expected .*y \(3,\)"),
        (lambda: F.cross_covariance(A[None], A[:1]), ValueError, r"cross_covariance: expected .*y \(1, 2, 3\)"),
        (lambda: F.cross_covariance(A, A[..., None]), ValueError, r"cross_covariance: expected .*z \(2, 3, 1\)"),
        (lambda: F.cross_covariance(A, A.astype("f")), ValueError, "cross_covariance: expected .*z .*float32"),
        (lambda: F.gaussian_nll(A, A, A.astype("f")), TypeError, "gaussian_nll: .*ln_var .*float32"),
        (lambda: F.gaussian_kl_divergence(A, A.astype("f")), TypeError, "gaussian_kl_divergence: .*one dtype"),
        (lambda: F.contrastive(A, B, np.ones(2, int)), ValueError, r"contrastive: .*one shape, .*x1 \(2, 4\)"),
        (lambda: F.contrastive(A, A, np.ones(2)), ValueError, "contrastive: .*y .*float64"),
        (lambda: F.contrastive(A, A, np.ones(3, int)), ValueError, r"contrastive: .*y \(3,\)"),
        (lambda: F.contrastive(A, A, np.ones(2, int), 0), ValueError, "contrastive: margin must be > 0"),
        (lambda: F.contrastive(A, A, np.ones(2, int), 1, "sum"), ValueError, "contrastive: reduce .*'sum'"),
        (lambda: F.triplet(A, A, B), ValueError, r"triplet: .*one shape, .*negative \(2, 4\)"),
        (lambda: F.triplet(A[0], A[0], A[0]), ValueError, r"triplet: expected rows .*\(3,\)"),
        (lambda: F.triplet(A, A, A, -1), ValueError, "triplet: margin must be > 0"),
        (lambda: F.triplet(A, A, A, reduce="sum"), ValueError, "triplet: reduce .*'sum'"),
        (lambda: F.hinge(A, np.ones((2, 3), int)), ValueError, r"hinge: .*t \(2, 3\)"),
        (lambda: F.hinge(A, np.ones(2)), ValueError, "hinge: .*float64"),
        (lambda: F.hinge(A, np.array([0, 3])), IndexError, "hinge: index 3 is out of bounds"),
        (lambda: F.hinge(A, np.ones(2, int), "L3"), ValueError, "hinge: norm .*'L3'"),
        (lambda: F.hinge(A, np.ones(2, int), reduce="sum"), ValueError, "hinge: reduce .*'sum'"),
        (lambda: F.cross_covariance(A, A[:1]), ValueError, r"cross_covariance: .*z \(1, 3\)"),
        (lambda: F.cross_covariance(A, A, "sum"), ValueError, "cross_covariance: reduce .*'sum'"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
