"""grad(): against hand numbers, finite differences, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Function, Parameter, Variable, backward, grad
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.functions.math import Exp, Mul
from rlcore.rng import generator
from tests.autograd.test_function import leaf, net, vertices


def test_hand_numbers():
    x, y = leaf(2.0, 3.0), leaf(5.0)
    gx, gy = grad(F.sum(x * x * y), [x, y])
    assert gx.array.tolist() == [20.0, 30.0]
    assert gy.array.tolist() == [13.0]
    assert not gx.requires_grad


def test_touches_no_grad_and_uses_nothing_up():
    x, w = leaf(2.0), Parameter(np.array([3.0]))
    w.grad = np.array([7.0])
    y = F.sum(F.exp(x * w))
    saved = [v.saved for v in vertices(y) if v.order]
    for double in (False, True):
        first = grad(y, [x, w], enable_double_backprop=double)
        second = grad(y, [x, w], enable_double_backprop=double)
        assert [a.array.tolist() for a in first] == [b.array.tolist() for b in second]
        assert x.grad is None
        assert w.grad.tolist() == [7.0]
        assert all(v.saved is s for v, s in zip([v for v in vertices(y) if v.order], saved))
        assert all(v.g is None for v in vertices(y) if v.order)
    y.backward()


def test_no_path_is_none():
    x, other, n = leaf(2.0), leaf(1.0), Variable(np.array([1]))
    y = F.sum(x * 2)
    assert grad(y, [other, n, Variable(np.ones(1), requires_grad=False)]) == [None, None, None]
    assert grad(F.sum(other), [x, other])[0] is None
    assert grad(Variable(np.ones(1), requires_grad=False), x) == [None]


def test_visits_only_what_lies_between(monkeypatch):
    x, w = leaf(2.0), leaf(3.0)
    y = F.sum(F.tanh(x) * F.exp(w))

    def refuse(*_):
        raise AssertionError("visited")

    monkeypatch.setattr(Exp, "backward", refuse)
    asked = []
    right = Mul.backward
    monkeypatch.setattr(
        Mul, "backward", lambda self, *a: asked.append([e is not None for e in self.edges]) or right(self, *a)
    )
    for double in (False, True):
        np.testing.assert_allclose(grad(y, x, enable_double_backprop=double)[0].array, np.exp(3) / np.cosh(2) ** 2)
    assert asked == [[True, False]] * 2


def test_intermediate_inputs():
    x = leaf(2.0)
    y = x * x
    z = F.sum(F.exp(y) * y)
    gz, gy, gx = grad(z, [z, y, x])
    assert gz.array.tolist() == 1.0
    np.testing.assert_allclose(gy.array, [5 * np.exp(4)])
    np.testing.assert_allclose(gx.array, [20 * np.exp(4)])
    second = grad(grad(z, y, enable_double_backprop=True)[0], y)[0]
    np.testing.assert_allclose(second.array, [6 * np.exp(4)])


def test_several_outputs_and_their_weights():
    x = leaf(2.0, 3.0)
    a, b = x * x, x * x * x
    assert grad([a, b], x, [np.array([1.0, 0.5]), None])[0].array.tolist() == [4 + 12, 3 + 27]
    assert grad([a, a], x)[0].array.tolist() == [8, 12]
    assert grad([a, F.sum(a)], [a])[0].array.tolist() == [2, 2]  # one output on the way of the other
    assert [g.array.tolist() for g in grad(a, [x, x])] == [[4, 6], [4, 6]]


def test_outputs_of_one_op():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = F.split_axis(x * x, 2, 0)
    assert grad(F.sum(b), x)[0].array.tolist() == [0, 0, 6, 8]
    assert grad([a, b], x, [np.array([1.0, 2.0]), np.array([3.0, 4.0])])[0].array.tolist() == [2, 8, 18, 32]
    assert grad(F.sum(a * b), [a, b])[0].array.tolist() == [9, 16]
    second = grad(F.sum(grad(F.sum(a * b), x, enable_double_backprop=True)[0]), x)[0]
    assert second.array.tolist() == [2 * 9 + 4 * 3, 2 * 16 + 4 * 8, 2 * 1 + 4 * 3, 2 * 4 + 4 * 8]


def test_one_variable_given_twice():
    x = leaf(3.0)
    y = Mul().apply(x, x)
    g = grad(y, x, enable_double_backprop=True)[0]
    assert g.array.tolist() == [6.0]
    assert grad(g, x)[0].array.tolist() == [2.0]
    y.backward()
    assert x.grad.tolist() == [6.0]


def test_five_derivatives():
    x = leaf(0.5)
    g = F.exp(x * 2) * x
    for n in range(1, 6):
        g = grad(g, x, enable_double_backprop=True)[0]
        np.testing.assert_allclose(g.array, [np.exp(1) * (2**n * 0.5 + n * 2 ** (n - 1))], rtol=1e-12)


def test_second_derivatives_by_backward():
    x = leaf(0.5, 2.0)
    F.sum(x**3).backward(enable_double_backprop=True)
    g = x.grad_var
    x.cleargrad()
    F.sum(g * g).backward()
    np.testing.assert_allclose(x.grad, 36 * x.array**3)


def test_gradient_of_a_gradient_with_respect_to_its_weights():
    x, w = leaf(0.5, 2.0), leaf(1.0, 3.0)
    g = grad(x**2, x, w, enable_double_backprop=True)[0]
    assert grad(F.sum(g), [x, w])[1].array.tolist() == [1.0, 4.0]
    assert grad(F.sum(g), x)[0].array.tolist() == [2.0, 6.0]
    plain = grad(x**2, x, w)[0]
    assert plain.array.tolist() == g.array.tolist()
    assert not plain.requires_grad


class FirstOnly(Function):
    """No gradient for the second input, and one of the third's shape whether it is asked for or not."""

    def forward(self, x0, x1, x2):
        return x0 + x1 + x2

    def backward(self, gy):
        return gy * 2, None, gy * 3


def test_an_input_that_gets_no_gradient_and_one_that_needs_none():
    x0, x1 = leaf(1.0), leaf(2.0)
    for double in (False, True):
        y = FirstOnly().apply(x0 * 1, x1 * 1, np.ones(1))
        g0, g1 = grad(y, [x0, x1], enable_double_backprop=double)
        assert (g0.array.tolist(), g1) == ([2], None)
        x0.cleargrad()
        y.backward(enable_double_backprop=double)
        assert (x0.grad.tolist(), x1.grad) == ([2], None)


def test_diamonds_in_a_row_cost_no_exponential_time():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = (y + y) * 0.5
    for double in (False, True):
        assert grad(y, x, enable_double_backprop=double)[0].array.tolist() == [1]


@pytest.mark.parametrize("as_variable", [False, True])
def test_hessian_vector_product_of_a_network(as_variable):
    """Against central differences of the gradient, in float64; the input is an array, as in training, or a Variable."""
    rng = generator(0)
    model, x, t = net(0, np.float64, (4, 6, 5, 2)), rng.standard_normal((7, 4)), rng.standard_normal((7, 2))
    data = Variable(x) if as_variable else x
    params = list(model.params())
    direction = model.split(rng.standard_normal(model.flat.size))

    def loss():
        return F.mean_squared_error(F.softmax(model(data)), t) + F.mean(F.huber_loss(model(data), t, 0.5))

    gs = grad(loss(), params, enable_double_backprop=True)
    product = grad(sum([F.sum(g * d) for g, d in zip(gs, direction)], start=0.0), params)
    start, eps = model.flat.copy(), 1e-5

    def at(step):
        model.flat[...] = start + step * model.join(direction)
        return model.join([g.array for g in grad(loss(), params)])

    np.testing.assert_allclose(
        model.join([p.array for p in product]), (at(eps) - at(-eps)) / (2 * eps), rtol=1e-6, atol=1e-8
    )


def test_gradient_penalty():
    """The gradient of |df/dx|^2 with respect to the weights of a line is 2 w."""
    line = L.Linear(3, 1, initialW=np.array([[1.0, -2.0, 3.0]]), initial_bias=np.zeros(1))
    x = Variable(np.ones((1, 3)))
    g = grad(line(x), x, np.ones((1, 1)), enable_double_backprop=True)[0]
    F.sum(g * g).backward()
    assert line.W.grad.tolist() == [[2, -4, 6]]


def test_gradients_of_laid_out_parameters_have_their_own_memory():
    model, x = net(), np.ones((2, 4), np.float32)
    F.sum(model(x)).backward()
    flat_grad = model.flat_grad.copy()
    gs = grad(F.sum(model(x) * 2), list(model.params()))
    for g, p in zip(gs, model.params()):
        assert not np.shares_memory(g.array, model.flat_grad)
        np.testing.assert_allclose(g.array, 2 * p.grad, rtol=1e-5)
    np.testing.assert_array_equal(model.flat_grad, flat_grad)


def test_fresh_laid_out_parameters_are_left_without_gradient():
    model, x = net(), np.ones((2, 4), np.float32)
    before = model.flatten()[0].W.node.slot.copy()
    assert grad(F.sum(model(x)), model[0].W)[0] is not None
    assert model[0].W.grad is None
    np.testing.assert_array_equal(model[0].W.node.slot, before)


def test_dtype_is_the_inputs():
    x = leaf(1.0, dtype=np.float32)
    y = F.sum(x * leaf(2.0))
    assert y.dtype == np.float64
    for double in (False, True):
        assert grad(y, x, enable_double_backprop=double)[0].dtype == np.float32


def test_bad_arguments():
    x = leaf(1.0, 2.0)
    y = x * 2
    with pytest.raises(TypeError, match="grad: inputs must be Variables, got ndarray"):
        grad(y, x.array)
    with pytest.raises(TypeError, match="grad: outputs must be Variables, got float"):
        grad(1.0, x)
    with pytest.raises(ValueError, match=r"grad: grad_outputs has shape \(3,\) for an output of shape \(2,\)"):
        grad(y, x, np.ones(3))
    with pytest.raises(ValueError, match="grad: 1 outputs but 2 grad_outputs"):
        grad([y], x, [np.ones(2), np.ones(2)])


def test_backward_from_several_outputs_in_one_pass():
    """The numbers of Chainer 7.8.1 for exp(x), its sum and its double."""
    x = leaf(1.0, 2.0, dtype=np.float32)
    h = F.exp(x)
    backward([F.sum(h), h * 2], [None, np.float32([1, 0])])
    np.testing.assert_allclose(x.grad, [8.154846, 7.3890557], rtol=1e-6)
    x.cleargrad()
    y = x * 2
    y.grad = np.float32([1, 0])
    backward([F.sum(x * x), y, Variable(np.array(1))])
    assert x.grad.tolist() == [4, 4]
    assert x.grad.dtype == np.float32
    x.cleargrad()
    backward((F.sum(x**3),), enable_double_backprop=True)
    g = x.grad_var
    x.cleargrad()
    F.sum(g).backward()
    assert x.grad.tolist() == [6, 12]
    for wrong, error, match in (
        (lambda: backward([x, F.sum(x)]), ValueError, r"backward: a Variable of shape \(2,\) needs a gradient first"),
        (lambda: backward([F.sum(x)], [1.0, 2.0]), ValueError, "backward: 1 outputs but 2 grad_outputs"),
        (lambda: backward([F.sum(x)], [np.ones(2)]), ValueError, r"backward: grad_outputs has shape \(2,\)"),
        (lambda: backward([x.array]), TypeError, "backward: outputs must be Variables, got ndarray"),
        (lambda: backward([]), ValueError, "backward: expected one output or more, got none"),
        (lambda: backward([Variable(np.array(1))]), RuntimeError, "backward: this Variable has no graph"),
    ):
        x.cleargrad()
        with pytest.raises(error, match=match):
            wrong()
        assert x.grad is None
