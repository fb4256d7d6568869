"""What ReLU is made of: the same values whatever the size, the dtype and the strides."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd.dual import rectified, where_positive
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
