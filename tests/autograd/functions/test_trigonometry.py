"""Angles: quadrants, and the ends of the domains."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F


def test_quadrants():
    y, x = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, -1, 1])
    np.testing.assert_allclose(F.arctan2(y, x).array * 4 / np.pi, [1, 3, -3, -1], rtol=1e-15)
    np.testing.assert_allclose(F.arctan2(1.0, x).array * 4 / np.pi, [1, 3, 3, 1], rtol=1e-15)
    v = Variable(np.float32([2]))
    assert F.arctan2(v, 1).dtype == np.float32


def test_slopes_by_hand():
    for f, x, slope in (
        (F.sin, 0.0, 1), (F.cos, 0.0, 0), (F.tan, np.pi / 4, 2), (F.arcsin, 0.6, 1.25), (F.arccos, 0.6, -1.25),
        (F.arctan, 2.0, 0.2), (F.sinh, 0.0, 1), (F.cosh, 0.0, 0), (F.arctanh, 0.6, 1.5625),
    ):  # fmt: skip
        v = Variable(np.array(x))
        f(v).backward()
        np.testing.assert_allclose(v.grad, slope, rtol=1e-15)


def test_slopes_near_the_ends_of_the_domain():
    """1 - x^2 has a relative error of 1e-16 / (1 - x) there, (1 - x)(1 + x) has none."""
    x = Variable(np.array(1 - 2.0**-40))
    F.arctanh(x).backward()
    np.testing.assert_allclose(x.grad, 2.0**39 / (1 - 2.0**-41), rtol=1e-15)


@pytest.mark.parametrize("f", [F.arcsin, F.arccos, F.arctanh])
def test_outside_the_domain_is_nan(f):
    with pytest.warns(RuntimeWarning, match="invalid value"):
        y = f(np.array([2.0]))
    assert np.isnan(y.array).all()
