"""Stack: a Sequential whose dense layers are one vertex."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Sequential, Variable, function_hooks, grad
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.link_calls import LinkHook
from rlcore.autograd.links.stack import Run

X = np.random.default_rng(0).standard_normal((5, 4), dtype=np.float32)


def layers():
    return L.Linear(4, 6, relu=True), L.Linear(6, 6), F.tanh, L.Linear(6, 6, nobias=True), F.relu, L.Linear(6, 3)


class Called(LinkHook):
    """The links that were called, in the order in which they were done."""

    def __init__(self):
        self.links = []

    def forward_postprocess(self, args):
        self.links.append(args.link)


def pair(*parts):
    """The same layers, one after the other and at once."""
    plain = Sequential(*parts)
    stack = L.Stack(*plain.copy())
    stack.copyparams(plain)
    return plain, stack


def compare(plain, stack, x):
    """Values and all gradients, those of x included."""
    x, y = Variable(x), Variable(x.copy())
    out, same = plain(x), stack(y)
    np.testing.assert_array_equal(out.array, same.array)
    plain.cleargrads()
    stack.cleargrads()
    out.grad = np.cos(out.array)
    same.grad = out.grad.copy()
    out.backward()
    same.backward()
    for p, q in zip([x, *plain.params()], [y, *stack.params()], strict=True):
        np.testing.assert_allclose(p.grad, q.grad, rtol=1e-5, atol=1e-6)


def test_values_and_gradients_are_a_sequentials():
    plain, stack = pair(*layers())
    compare(plain, stack, X)
    stack.flatten()  # gradients go where they live now
    compare(plain, stack, X)
    assert type(stack(X).node).__name__ == "Layers"
    assert [path for path, _ in stack.namedparams()] == [path for path, _ in plain.namedparams()]


def test_gradients_add_up():
    _, stack = pair(*layers())
    stack.flatten()
    stack.cleargrads()
    for _ in range(2):
        F.sum(stack(X)).backward()
    twice = stack.flat_grad.copy()
    stack.cleargrads()
    F.sum(stack(X)).backward()
    np.testing.assert_allclose(twice, 2 * stack.flat_grad, rtol=1e-5)


def test_large_layers():
    plain, stack = pair(L.Linear(512, 600, relu=True), L.Linear(600, 2))
    compare(plain, stack, np.random.default_rng(1).standard_normal((8, 512), dtype=np.float32))


def test_second_derivatives():
    plain, stack = pair(L.Linear(4, 6), F.tanh, L.Linear(6, 3))
    found = []
    for model in (plain, stack):
        params = list(model.params())
        first = grad(F.sum(F.square(model(X))), params, enable_double_backprop=True)
        found.append(grad(sum([F.sum(F.square(g)) for g in first[1:]], F.sum(F.square(first[0]))), params))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-4, atol=1e-5)


def test_a_view_is_constant_and_lets_gradients_through():
    _, stack = pair(*layers())
    view = stack.view()
    assert not view(X).requires_grad
    np.testing.assert_array_equal(view(X).array, stack(X).array)
    x = Variable(X)
    F.sum(view(x)).backward()
    assert x.grad.shape == X.shape
    assert all(p.grad is None for p in stack.params())
    stack[0].W.array = np.zeros((6, 4), np.float32)
    np.testing.assert_array_equal(view(X).array, stack(X).array)


def test_what_else_is_between_stays_as_it_is():
    plain, stack = pair(F.relu, L.Linear(None, 6), lambda x: 2 * x, F.tanh, L.Linear(6, 3), F.relu)
    assert not any(isinstance(part, Run) for part in stack._planned()[:2])  # its size is not known yet
    plain(X)
    stack.copyparams(plain)
    compare(plain, stack, X)
    assert [isinstance(part, Run) for part in stack._planned()] == [False, True, False, False, True]


def test_a_layer_that_comes_twice():
    shared = L.Linear(4, 4)
    plain, stack = Sequential(shared, F.tanh, shared), L.Stack(shared, F.tanh, shared)
    shared.flatten()
    found = []
    for model in (plain, stack):
        model.cleargrads()
        F.sum(model(X)).backward()
        found.append(shared.flat_grad.copy())
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_what_changes_is_seen():
    _, stack = pair(*layers())
    stack(X)
    stack.append(F.tanh)
    assert abs(stack(X).array).max() < 1
    stack.pop(0)
    assert stack(np.ones((2, 6), np.float32)).shape == (2, 3)


def test_hooks_see_each_layer():
    _, stack = pair(*layers())
    stack(X)
    seen = []

    class Names(function_hooks.FunctionHook):
        def forward_postprocess(self, function, in_data):
            seen.append(function.label)

    with Names():
        stack(X)
    assert seen == ["linear_relu", "linear", "tanh", "linear", "relu", "linear"]
    every, one = Called(), Called()
    with every:
        stack(X)
    assert every.links == [*(stack[i] for i in (0, 1, 3, 5)), stack]
    stack[0].add_hook(one)
    stack(X)
    stack[0].delete_hook(one.name)
    stack(X)
    assert one.links == [stack[0]]


@pytest.mark.parametrize("x", [X[:, :3], X.astype(np.float64), np.zeros((5, 2, 3), np.float32)])
def test_errors_are_a_linears(x):
    plain, stack = pair(*layers())
    with pytest.raises((TypeError, ValueError)) as expected:
        plain(x)
    with pytest.raises(expected.type) as got:
        stack(x)
    assert str(got.value) == str(expected.value)
