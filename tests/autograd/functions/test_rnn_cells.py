"""LSTM cells: numbers by hand, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.rng import generator

C, X = np.zeros((4, 2)), np.zeros((4, 8))


def test_one_unit_by_hand():
    """Gates a, i, f, o of 0, 100, 0, 0: a is 0 and f 1/2, so c halves; o is 1/2."""
    c, h = F.lstm(np.array([[1.0]]), np.array([[0.0, 100.0, 0.0, 0.0]]))
    np.testing.assert_allclose(c.array, [[0.5]])
    np.testing.assert_allclose(h.array, [[0.5 * np.tanh(0.5)]])
    c, h = F.lstm(np.array([[1.0]]), np.array([[50.0, 0.0, -1e4, 1e4]]))  # a 1, i 1/2, f 0, o 1
    np.testing.assert_allclose((c.array, h.array), ([[0.5]], [[np.tanh(0.5)]]))


def test_rows_that_ended_keep_their_cell():
    c_prev = Variable(np.arange(6.0).reshape(3, 2))
    c, h = F.lstm(c_prev, np.zeros((1, 8)))
    assert (c.shape, h.shape) == ((3, 2), (1, 2))
    np.testing.assert_array_equal(c.array[1:], c_prev.array[1:])
    F.sum(c).backward()
    np.testing.assert_allclose(c_prev.grad, [[0.5, 0.5], [1, 1], [1, 1]])


@pytest.mark.parametrize(
    ("c", "x", "error", "message"),
    [
        (C, X[:, :6], ValueError, r"lstm: expected x \(N, 4H\) and c_prev \(N or more rows, H\), got x \(4, 6\)"),
        (C[:, :1], X[:, :6], ValueError, r"got x \(4, 6\) and c_prev \(4, 1\)"),
        (C, X[:, :4], ValueError, r"got x \(4, 4\) and c_prev \(4, 2\)"),
        (C[:2], X, ValueError, r"got x \(4, 8\) and c_prev \(2, 2\)"),
        (C, X[0], ValueError, r"got x \(8,\)"),
        (C, X[..., None], ValueError, r"got x \(4, 8, 1\)"),
        (C, X.astype("f"), TypeError, r"lstm: x is float32 and c_prev is float64; they must have one dtype"),
    ],
)  # fmt: skip
def test_bad_input(c, x, error, message):
    with pytest.raises(error, match=message):
        F.lstm(c, x)


@pytest.mark.parametrize("units", [1, 3, 5])
def test_any_number_of_units_by_numpy(units):
    rng = generator(units)
    c_prev, x = rng.standard_normal((2, units)), rng.standard_normal((2, 4 * units))
    a, i, f, o = x.reshape(2, units, 4).transpose(2, 0, 1)
    c = np.tanh(a) / (1 + np.exp(-i)) + c_prev / (1 + np.exp(-f))
    h = np.tanh(c) / (1 + np.exp(-o))
    for found in (F.lstm(c_prev, x), F.slstm(c_prev, 0 * c_prev, x, x * 0)):
        np.testing.assert_allclose(found[0].array, c, rtol=1e-12)
        np.testing.assert_allclose(found[1].array, h, rtol=1e-12)


def test_bad_input_of_slstm():
    with pytest.raises(ValueError, match=r"slstm: expected x1 \(N, 4H\) and c_prev1"):
        F.slstm(C, C, X[:, :4], X)
    with pytest.raises(TypeError, match="slstm: x1 is float32 and c_prev1 is float64"):
        F.slstm(C, C, X.astype("f"), X)
    with pytest.raises(ValueError, match=r"slstm: expected x2 \(N, 4H\) and c_prev2"):
        F.slstm(C, C, X, X[:, :4])
    with pytest.raises(ValueError, match=r"slstm: c_prev1, c_prev2, x1 and x2 must have as many rows"):
        F.slstm(C, C, X[:2], X)
