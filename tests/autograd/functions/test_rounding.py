"""Steps: values at the steps, no gradient, and the remainder's."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable
from rlcore.autograd import functions as F

X = np.float32([-1.5, -0.0, 1.5, 2.5])


@pytest.mark.parametrize(
    ("f", "ufunc", "expected"),  # Chainer 7.8.1
    [
        (F.sign, np.sign, [-1, 0, 1, 1]),
        (F.floor, np.floor, [-2, 0, 1, 2]),
        (F.ceil, np.ceil, [-1, 0, 2, 3]),
        (F.fix, np.trunc, [-1, 0, 1, 2]),
    ],
)
def test_steps_are_constants(f, ufunc, expected):
    for y in (f(X), f(Variable(X)), ufunc(Variable(X))):
        assert y.array.tolist() == expected
        assert y.dtype == np.float32
        assert not y.requires_grad
    assert f(np.array(-1.5)).array.shape == ()
    with pytest.raises(TypeError, match=f"{f.__name__}: .*x list"):
        f(["a"])


def test_floor_division():
    x = Variable(X)
    for y, expected in (
        (x // 2, [-1, 0, 0, 1]),
        (2 // (x + 3), [1, 0, 0, 0]),
        (x // (x[::-1] + 0.25), [-1, 0, 6, -2]),
        (X // x[2:3], [-1, 0, 1, 1]),
    ):
        np.testing.assert_array_equal(y.array, expected)
        assert y.dtype == np.float32
        assert not y.requires_grad


def test_remainder():
    """Chainer 7.8.1 has the same values and gradients, but for a broadcast divisor, which it refuses."""
    x, y = Variable(np.float32([-1.5, 0, 1.5, 2.5])), Variable(np.float32([2, 1, 1, -0.75]))
    z = F.fmod(x, y)
    assert z.array.tolist() == [-1.5, 0, 0.5, 0.25]
    F.sum(z).backward()
    assert x.grad.tolist() == [1, 1, 1, 1]
    assert y.grad.tolist() == [0, 0, -1, 3]
    one = Variable(np.array([0.5]))
    F.sum(F.fmod(x.array.astype(float), one)).backward()
    assert one.grad.tolist() == [-5]  # the quotients are -3, 0, 3 and 5


def test_the_quotient_of_a_remainder_is_exact():
    """1 / 0.1 rounds to 10, and yet 1 is 9 times 0.1 (a little more than a tenth) and a rest."""
    y = Variable(np.array(0.1))
    z = F.fmod(np.array(1.0), y)
    assert z.item() > 0.09
    z.backward()
    assert y.grad == -9
    y = Variable(np.array(0.7))  # (2.5 - the rest) / 0.7 is just below 3
    F.fmod(np.array(2.5), y).backward()
    assert y.grad == -3
