"""Links of activations."""

import numpy as np
import pytest

from rlcore.autograd import functions as F
from rlcore.autograd import links as L


def shapes(link):
    return {path: p.shape for path, p in link.namedparams()}


def test_prelu():
    x = np.float32([[-1, 0, 2]])
    one, each = L.PReLU(), L.PReLU((3,), init=0.5)
    assert (shapes(one), shapes(each)) == ({"/W": ()}, {"/W": (3,)})
    assert one(x).array.tolist() == [[-0.25, 0, 2]]
    y = each(x)
    assert y.array.tolist() == [[-0.5, 0, 2]]
    F.sum(y).backward()
    assert each.W.grad.tolist() == [-1, 0, 0]
    F.sum(one(x)).backward()
    assert one.W.grad.tolist() == -1


def test_swish_settles_its_shape_at_the_first_call():
    link = L.Swish(None, beta_init=2.0)
    x = np.ones((2, 3, 4), np.float32)
    np.testing.assert_allclose(link.view()(x).array, 1 / (1 + np.exp(-2.0)), rtol=1e-6)
    assert shapes(link) == {"/beta": (3, 4)}
    assert L.Swish(3)(x).shape == x.shape


def test_maxout():
    W, b = np.arange(24.0, dtype="f").reshape(2, 4, 3), np.arange(8.0, dtype="f").reshape(2, 4)
    link = L.Maxout(3, 2, 4, initialW=W, initial_bias=b)
    y = link(np.ones((2, 3), np.float32))
    assert y.array.tolist() == [[33, 73], [33, 73]]  # Chainer 7.8.1
    F.sum(y).backward()
    assert link.linear.b.grad.tolist() == [0, 0, 0, 2, 0, 0, 0, 2]
    lazy = L.Maxout(None, 2, 4, initial_bias=None)
    assert lazy(np.ones((5, 3), np.float32)).shape == (5, 2)
    assert shapes(lazy) == {"/linear/W": (8, 3)}
    with pytest.raises(ValueError, match="Maxout: sizes must be positive, got out_size 2, pool_size 0"):
        L.Maxout(3, 2, 0)
