"""Links made of links."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Chain, ChainList, Sequential
from rlcore.autograd import functions as F
from tests.autograd.test_link import X, linear


def test_chain_of_keywords():
    model = Chain(a=linear(4, 3), b=linear(3, 2))
    assert model["a"] is model.a
    assert [path for path, _ in model.namedparams()] == ["/a/W", "/a/b", "/b/W", "/b/b"]


def test_a_chainlist_is_searched_a_list_is_not():
    model = Chain(many=ChainList(linear(4, 3), Chain(deep=linear(3, 2))))
    model.plain = [linear(4, 3)]
    assert [path for path, _ in model.namedparams()] == ["/many/0/W", "/many/0/b", "/many/1/deep/W", "/many/1/deep/b"]
    assert len(model.many) == 2
    first, second = model.many
    assert (first, second) == (model.many[0], model.many[1])
    with pytest.raises(TypeError, match="ChainList: expected a link, got function"):
        model.many.append(F.relu)


def test_sequential_calls_in_turn():
    model = Sequential(linear(4, 3), F.relu, lambda x: x * 2)
    model.append(linear(3, 1, 1))
    expected = np.maximum(X @ model[0].W.array.T, 0) * 2 @ model[3].W.array.T
    np.testing.assert_allclose(model(X).array, expected, rtol=1e-6)
    assert [path for path, _ in model.namedparams()] == ["/0/W", "/0/b", "/3/W", "/3/b"]
    with pytest.raises(TypeError, match="Sequential: a layer must be a link or a function, got int"):
        model.append(3)


def test_a_view_in_a_list():
    model = ChainList(linear(4, 3), linear(3, 2))
    view = model.view()
    assert not view[1](view[0](X)).requires_grad
    assert model[1](model[0](X)).requires_grad
