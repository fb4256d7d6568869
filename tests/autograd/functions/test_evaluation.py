"""Evaluation: constants, Chainer's conventions, messages."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.rng import generator
from tests.autograd import device

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
X4, T4 = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 3, 2), np.array([[0, 1], [-1, 2]])
BITS = np.array([[0, 0, 0], [1, 1, -1]])


@pytest.mark.parametrize(
    ("score", "expected"),  # Chainer 7.8.1, but for the weighted ones and explained_variance
    [
        (lambda: F.accuracy(Variable(X), np.array([2, 0])), 0.5),
        (lambda: F.accuracy(X, np.array([2, -1]), -1), 1),
        (lambda: F.accuracy(X, np.array([-1, -1]), -1), 0),
        (lambda: F.accuracy(X4, T4), 0.25),
        (lambda: F.accuracy(X4, T4, ignore_label=-1), 1 / 3),
        (lambda: F.accuracy(X[:, :, None, None], np.array([2, 0])), 0.5),
        (lambda: F.binary_accuracy(X, BITS), 1),
        (lambda: F.binary_accuracy(0 * X, BITS), 0.4),
        (lambda: F.binary_accuracy(X, np.full((2, 3), -1)), 0),
        (lambda: F.r2_score(X, X * X), -2.2870371341705322),
        (lambda: F.r2_score(X, X * X, multioutput="raw_values"), [-7.736111640930176, 0, 0.875]),
        (lambda: F.r2_score(X, 0 * X, multioutput="raw_values"), [0, 0, 0]),
        (lambda: F.r2_score(X[0], X[0] ** 2), -9.41964340209961),
        (lambda: F.r2_score(X, X), 1),
        (lambda: F.explained_variance(X + 7, X), 1),
        (lambda: F.explained_variance(X * 0.5, X), 0.75),
        (lambda: F.explained_variance(X, 0 * X), 0),
    ],
)
def test_values(score, expected):
    y = score()
    assert isinstance(y, Variable)
    assert not y.requires_grad
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.array, expected, rtol=1e-5)


def test_an_ignored_label_that_is_predicted_does_not_count():
    assert F.accuracy(X, np.array([2, 0]), ignore_label=2).item() == 0  # 2 is largest in both rows


def test_everything_may_be_a_variable():
    x, true, weight = Variable(X), Variable(X * X), Variable(np.ones(2, np.float32))
    assert F.accuracy(x, Variable(np.array([2, 0]))).item() == 0.5
    assert F.binary_accuracy(x, Variable(BITS)).item() == 1
    for score in (F.r2_score, F.explained_variance):
        assert score(x, true, weight).item() == pytest.approx(score(X, X * X).item(), rel=1e-6)


def test_halves_stay_halves():
    assert F.accuracy(X.astype("e"), np.array([2, 0])).dtype == np.float16


@pytest.mark.parametrize("score", [F.r2_score, F.explained_variance])
@pytest.mark.parametrize("columns", [(), (3,), (3, 2)])
def test_a_weight_of_two_is_a_row_twice(score, columns):
    rng = generator(0)
    pred, true = rng.standard_normal((2, 5, *columns))
    counts = np.array([1, 2, 0, 3, 1])
    twice = [np.repeat(a, counts, axis=0) for a in (pred, true)]
    for multioutput in ("uniform_average", "raw_values"):
        one = score(pred, true, sample_weight=counts.astype("d"), multioutput=multioutput)
        np.testing.assert_allclose(one.array, score(*twice, multioutput=multioutput).array, rtol=1e-12)
        ones = score(pred, true, sample_weight=np.ones(5), multioutput=multioutput)
        np.testing.assert_allclose(ones.array, score(pred, true, multioutput=multioutput).array, rtol=1e-12)


def test_a_baselines_explained_variance():
    rng = generator(1)
    true = rng.standard_normal(50)
    pred = 0.8 * true + 0.1 * rng.standard_normal(50) + 3
    expected = 1 - np.var(true - pred) / np.var(true)
    np.testing.assert_allclose(F.explained_variance(pred, true).array, expected, rtol=1e-12)


def test_on_a_device(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", device.module())
    x, bits, labels, t4 = map(device.Array, (X4, np.zeros((2, 3, 2), int), T4, X4 * X4))
    for y, host in (
        (F.accuracy(x, labels, -1), F.accuracy(X4, T4, -1)),
        (F.accuracy(x, labels), F.accuracy(X4, T4)),
        (F.binary_accuracy(x, bits), F.binary_accuracy(X4, bits.get())),
        (F.r2_score(x, t4), F.r2_score(X4, X4 * X4)),
        (
            F.explained_variance(x, t4, multioutput="raw_values"),
            F.explained_variance(X4, X4 * X4, multioutput="raw_values"),
        ),
    ):
        assert isinstance(y.array, device.Array)
        np.testing.assert_array_equal(y.array.get(), host.array)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.accuracy(X, X[:, 0]), TypeError, "accuracy: t must hold integers, got float32"),
        (lambda: F.accuracy(X, np.array([0, 1, 2])), ValueError, r"accuracy: .*\(2, 3\) and \(3,\)"),
        (lambda: F.accuracy(X[0], np.array([0, 1, 2])), ValueError, r"accuracy: .*\(3,\) and \(3,\)"),
        (lambda: F.accuracy(X4, BITS), ValueError, r"accuracy: .*\(2, 3, 2\) and \(2, 3\)"),
        (lambda: F.accuracy(np.ones((4, 3)), np.ones((2, 2), int)), ValueError, r"accuracy: .*\(4, 3\) and \(2, 2\)"),
        (lambda: F.binary_accuracy(X, X), TypeError, "binary_accuracy: t must hold integers"),
        (lambda: F.binary_accuracy(X, BITS[:1]), ValueError, r"binary_accuracy: .*\(2, 3\) and \(1, 3\)"),
        (lambda: F.r2_score(X, X[:1]), ValueError, r"r2_score: .*pred \(2, 3\) float32, true \(1, 3\)"),
        (lambda: F.r2_score(X, X, multioutput="variance_weighted"), ValueError, "r2_score: multioutput"),
        (lambda: F.r2_score(X, X, sample_weight=np.ones(3)), ValueError, r"r2_score: sample_weight must be \(2,\)"),
        (lambda: F.r2_score(X, X.astype("d")), TypeError, "r2_score: .*one dtype"),
        (lambda: F.explained_variance(X, X[:1]), ValueError, r"explained_variance: .*one shape, .*true \(1, 3\)"),
        (lambda: F.explained_variance(X, X.astype("d")), TypeError, "explained_variance: .*one dtype"),
        (lambda: F.explained_variance(X, X, multioutput="all"), ValueError, "explained_variance: multioutput"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
