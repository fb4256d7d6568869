"""The checks themselves, on functions whose derivatives are known (that they bite is shown in test_functions)."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.autograd.gradient_check import check_backward, check_double_backward, numerical_grad
from rlcore.rng import generator


def test_numerical_grad_by_hand():
    x, y = np.array([1.0, 2.0]), np.array([[3.0]])
    gs = numerical_grad(lambda: (x * y, x**2), [x, y], [np.array([[1.0, 2.0]]), np.array([1.0, 0.5])])
    np.testing.assert_allclose(gs[0], [3 + 2, 6 + 2], rtol=1e-9)
    np.testing.assert_allclose(gs[1], [[1 + 4]], rtol=1e-9)
    assert (x.tolist(), y.tolist()) == ([1, 2], [[3]])
    scalar = np.array(2.0)
    np.testing.assert_allclose(numerical_grad(lambda: scalar**2, [scalar], [np.array(1.0)])[0], 4, rtol=1e-9)


def test_half_precision_is_checked_in_double():
    x = np.array([0.5, -0.25], np.float16)
    check_backward(F.tanh, x, np.ones(2, np.float16), atol=1e-3, rtol=1e-2, rng=generator(0))


def test_several_inputs_and_outputs():
    x, y = np.array([0.5, 2.0]), np.array([1.5, 0.3])
    check_backward(lambda x, y: (x * y, F.exp(x)), (x, y), (x, y), rng=generator(0))
    check_double_backward(lambda x, y: (x * y, F.exp(x)), (x, y), (x, y), (y, x), rng=generator(0))


def test_a_missing_gradient_is_caught():
    x = np.array([0.5, 2.0])
    with pytest.raises(AssertionError, match="along a random direction"):
        check_backward(lambda a, b: a * Variable(b.array, requires_grad=False), (x, x), x, rng=generator(0))


def test_nan_is_caught():
    with np.errstate(all="ignore"), pytest.raises(AssertionError):
        check_backward(F.log, np.array([-1.0]), np.ones(1), rng=generator(0))


def test_an_unused_input_is_fine():
    x = np.array([0.5, 2.0])
    check_double_backward(lambda a, b: a * a, (x, x), x, (x, x), rng=generator(0))
