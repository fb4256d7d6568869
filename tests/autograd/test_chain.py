"""Links made of links."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Chain, ChainList, Link, Parameter, Sequential, optimizers, parameter
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
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


def test_chain_words():
    model = Chain(a=linear(4, 3))
    model.add_link("b", linear(3, 2))
    assert [path for path, _ in model.namedlinks(skipself=True)] == ["/a", "/b"]
    with pytest.raises(AttributeError, match="Chain: there is an attribute 'b' already"):
        model.add_link("b", linear(3, 2))
    with pytest.raises(TypeError, match="Chain: c must be a link, got function"):
        model.add_link("c", F.relu)
    with pytest.raises(AttributeError, match="'Chain' object has no attribute 'c'"):
        model["c"]


def test_a_chainlist_is_changed_as_a_list_is():
    a, b, c, d = (linear(2, 2, seed) for seed in range(4))
    model = ChainList(a, b)
    model.insert(0, c)
    model.add_link(d)
    assert list(model) == [c, a, b, d]
    model[1] = d
    del model[3]
    assert list(model) == [c, d, b]
    assert model.index(b) == 2
    assert d in model
    assert a not in model
    assert model.pop() is b
    model += [a, b]
    model.reverse()
    assert list(model) == [b, a, d, c]
    assert model[1:3] == [a, d]
    assert model[-1] is c
    model[1:3] = [d]
    model.remove(c)
    assert list(model) == [b, d]
    assert [path for path, _ in model.namedparams()] == ["/0/W", "/0/b", "/1/W", "/1/b"]
    before = parameter.version
    model.clear()
    assert parameter.version > before
    assert len(model) == 0
    for put in (lambda: model.insert(0, 3), lambda: model.extend([3]), lambda: ChainList(3)):
        with pytest.raises(TypeError, match="ChainList: expected a link, got int"):
            put()
    model.append(a)
    with pytest.raises(TypeError, match="ChainList: expected a link, got int"):
        model[0] = 3
    with pytest.raises(TypeError, match="ChainList: expected a link, got int"):
        model[:] = [b, 3]
    assert list(model) == [a]


def test_an_optimizer_follows_a_list_that_changes():
    model = ChainList(linear(4, 4), linear(4, 4, 1))
    optimizer = optimizers.SGD(1.0).setup(model)
    for layers in (2, 3, 1):
        if layers == 3:
            model.append(linear(4, 4, 2))
        del model[layers:]
        before = [k.b.array.copy() for k in model]
        h = X
        for link in model:
            h = link(h)
        model.cleargrads()
        F.sum(h).backward()
        optimizer.update()
        assert all((k.b.array != b).any() for k, b in zip(model, before, strict=True))


def test_sequential_words():
    body = Sequential(linear(4, 3), F.relu)
    both = body + Sequential(F.tanh, linear(3, 2))
    assert list(both) == [*body, both[2], both[3]]
    assert both[2] is F.tanh
    assert len(body) == 2
    body += [F.tanh]
    assert len(body) == 3
    both.insert(1, linear(3, 3))
    assert both.count_by_layer_type("Linear") == 3
    assert both.count_by_layer_type(L.Linear) == 3
    assert both.count_by_layer_type("relu") == 1
    both.remove_by_layer_type("Linear")
    assert list(both) == [F.relu, F.tanh]
    both.remove(F.relu)
    assert both.index(F.tanh) == 0
    with pytest.raises(TypeError):
        both + F.relu


def test_sequential_hands_tuples_on():
    model = Sequential(lambda x, y: (x + y, x - y), lambda a, b: a * b)
    assert model(3, 2) == 5
    assert Sequential()(3) == 3
    assert Sequential(lambda x: [x], len)(3) == 1


def test_sequential_flattened_is_of_the_same_layers():
    a, b = linear(4, 3), linear(3, 3)
    model = Sequential(a, Sequential(F.relu, Sequential(b)), F.tanh)
    assert list(model.flattened()) == [a, F.relu, b, F.tanh]
    assert model.flatten() is model  # lays out memory
    assert np.shares_memory(model.flat, a.W.array)


def test_repeat():
    for link in (linear(4, 4), Sequential(linear(4, 4), F.relu)):
        model = link.repeat(3)
        assert type(model) is Sequential
        W = [k.W.array for k in model.links() if isinstance(k, L.Linear)]
        assert len(W) == 3
        assert not (W[0] == W[1]).all()
        assert not np.shares_memory(W[0], W[1])
        model = link.repeat(2, mode="copy")
        W = [k.W.array for k in model.links() if isinstance(k, L.Linear)]
        assert (W[0] == W[1]).all()
    assert len(linear(2, 2).repeat(0)) == 0
    with pytest.raises(ValueError, match="to share arrays use view"):
        linear(2, 2).repeat(2, mode="share")


class Sized(Link):
    def __init__(self, in_size, out_size=None, *, scale=1.0, rng=None):
        super().__init__()
        self.in_size, self.scale, self.rng, self.hidden = in_size, scale, rng, 3
        self.W = Parameter()


def test_in_words():
    class Net(Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.l1 = Sized(4)
                self.many = ChainList(Sized(None, scale=0.5))
                self.seq = Sequential(F.relu, Chain(), np.tanh)
                self.scale = Parameter(0, 3)

    assert repr(Net()) == (
        "Net(scale (3,),\n"
        "  (l1): Sized(in_size=4, scale=1.0, rng=None, W ?),\n"
        "  (many): ChainList(\n"
        "    (0): Sized(in_size=None, scale=0.5, rng=None, W ?),\n"
        "  ),\n"
        "  (seq): Sequential(\n"
        "    (0): relu,\n"
        "    (1): Chain(),\n"
        "    (2): tanh,\n"
        "  ),\n"
        ")"
    )
    assert repr(Link()) == "Link()"
    assert list(Sized(2).printable_specs) == [("in_size", 2), ("scale", 1.0), ("rng", None)]


def test_a_child_that_is_an_attribute_too_is_one_child():
    model = ChainList(linear(2, 2))
    model.first = model[0]
    assert list(model.children()) == [model[0]]
    assert [path for path, _ in model.namedparams()] == ["/0/W", "/0/b"]
