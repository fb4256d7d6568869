"""forget: the same numbers as without it, less kept, and what it says when it cannot."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import rlcore.rng
from rlcore.autograd import Chain, Function, Variable, config, debug_mode, grad, no_backprop_mode, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.link_hooks import SpectralNormalization
from rlcore.rng import generator

X = np.linspace(-1, 1, 6).reshape(2, 3)


class Net(Chain):
    def __init__(self):
        super().__init__()
        self.l1 = L.Linear(3, 4, initialW=generator(0).standard_normal((4, 3)))
        self.l2 = L.Linear(4, 3, initialW=generator(1).standard_normal((3, 4)))

    def block(self, x):
        return F.tanh(self.l2(F.tanh(self.l1(x))))

    def forward(self, x, forget):
        for _ in range(2):  # the second block uses what the first depends on
            x = F.forget(self.block, x) if forget else self.block(x)
        return x


def both(f):
    """Whatever f(model, forget) returns, without and with forget, is equal."""
    with using_config("dtype", np.float64):
        expected, got = (f(Net(), forget) for forget in (False, True))
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-14)
    return got


@pytest.mark.parametrize("constant", [False, True])
def test_gradients_of_inputs_and_of_parameters_in_the_closure(constant):
    def run(model, forget):
        x = Variable(X, requires_grad=not constant)
        y = model(x, forget)
        F.sum(y * y).backward()
        return [y.array, *([] if constant else [x.grad]), *[p.grad for p in model.params()]]

    assert len(both(run)) == 5 + (not constant)


def test_grad_touches_nothing_and_sees_the_closure():
    def run(model, forget):
        x = Variable(X)
        loss = F.sum(model(x, forget) ** 2)
        gs = grad([loss], [x, *model.params()])
        assert all(p.grad is None for p in model.params())
        return [g.array for g in gs]

    both(run)


def test_second_derivatives():
    def run(model, forget):
        inputs = [Variable(X), *model.params()]
        loss = F.sum(model(inputs[0], forget) ** 2)
        gs = grad([loss], inputs, enable_double_backprop=True)
        seconds = grad([F.sum(F.sin(gs[0])) + F.sum(gs[1] ** 2) + F.sum(gs[3])], inputs)
        return [g.array for g in seconds]

    both(run)


def test_another_variable_in_the_closure():
    def run(model, forget):
        x, scale = Variable(X), Variable(np.float64([1, 2, 3]))
        h = F.exp(scale)

        def func(x):
            return F.tanh(x * h) * scale, x + 1

        a, b = F.forget(func, x) if forget else func(x)
        F.sum(a * b).backward()
        return [x.grad, scale.grad]

    both(run)


def test_one_output_used_and_an_input_given_back():
    x = Variable(X)
    a, b, c = F.forget(lambda x: (x, F.tanh(x), F.exp(x)), x)
    F.sum(b * 2).backward()
    np.testing.assert_allclose(x.grad, 2 * (1 - np.tanh(X) ** 2))
    assert a.shape == c.shape == (2, 3)
    x.cleargrad()
    a, b = F.forget(lambda x: (x, F.tanh(x)), x)
    F.sum(a * 2 + b).backward()
    np.testing.assert_allclose(x.grad, 2 + (1 - np.tanh(X) ** 2))


def test_nothing_is_kept_in_between():
    kept = []

    def func(x):
        y = F.exp(x)
        kept.append(weakref.ref(y.array))
        return F.tanh(y)

    x = Variable(X)
    gc.disable()
    try:
        y = F.forget(func, x)
        assert kept[0]() is None
        F.sum(y).backward()
        assert len(kept) == 2
        assert kept[1]() is None
    finally:
        gc.enable()


def test_the_same_random_numbers_twice():
    def noisy(x):
        return x * rlcore.rng.default().standard_normal(x.shape)

    rlcore.rng.seed(3)
    x = Variable(X)
    y = F.forget(noisy, x)
    after = rlcore.rng.state_of(rlcore.rng.default())
    drawn = y.array / X
    rlcore.rng.default().standard_normal(5)
    before = rlcore.rng.state_of(rlcore.rng.default())
    F.sum(y).backward()
    np.testing.assert_allclose(x.grad, drawn)
    assert rlcore.rng.state_of(rlcore.rng.default()) == before
    rlcore.rng.seed(3)
    noisy(Variable(X))
    assert rlcore.rng.state_of(rlcore.rng.default()) == after


def test_the_mode_of_the_first_run():
    seen = []

    def func(x):
        seen.append((config.train, config.in_recomputing))
        return F.tanh(x)

    with using_config("train", False):
        y = F.forget(func, Variable(X))
    F.sum(y).backward()
    assert seen == [(False, False), (False, True)]
    assert not config.in_recomputing


def test_batch_normalisation_moves_its_statistics_once():
    one, two = (L.BatchNormalization(3, dtype=np.float64) for _ in range(2))
    x, y = Variable(X), Variable(X)
    F.sum(F.tanh(F.forget(one, x))).backward()
    F.sum(F.tanh(two(y))).backward()
    np.testing.assert_array_equal(one.avg_mean, two.avg_mean)
    np.testing.assert_array_equal(one.avg_var, two.avg_var)
    assert (one.avg_mean != 0).all()
    np.testing.assert_allclose(one.gamma.grad, two.gamma.grad, rtol=1e-12)
    np.testing.assert_allclose(x.grad, y.grad, rtol=1e-12)


def test_spectral_normalisation_iterates_once():
    W = generator(0).standard_normal((4, 3))
    one, two = (L.Linear(3, 4, initialW=W, nobias=True).add_hook(SpectralNormalization(rng=generator(1))) for _ in "ab")
    F.sum(F.forget(one, X) ** 3).backward()
    F.sum(two(X) ** 3).backward()
    np.testing.assert_array_equal(one.W_u, two.W_u)
    np.testing.assert_allclose(one.W.grad, two.W.grad, rtol=1e-12)


def test_an_error_in_the_second_run_leaves_no_trace():
    runs = []

    def func(x):
        runs.append(1)
        if len(runs) == 2:
            rlcore.rng.default().random()
            raise KeyError
        return F.tanh(x)

    y = F.forget(func, Variable(X))
    before = rlcore.rng.state_of(rlcore.rng.default())
    with pytest.raises(KeyError):
        F.sum(y).backward()
    assert not config.in_recomputing
    assert rlcore.rng.state_of(rlcore.rng.default()) == before


def test_a_parameter_that_changed_is_noticed():
    with using_config("dtype", np.float64):
        model = Net()
    y = F.sum(model(X, True))
    model.l1.W.array = model.l1.W.array * 2
    with pytest.raises(RuntimeError, match="a parameter was changed"):
        y.backward()


def test_arrays_and_no_graph():
    calls = []

    def func(x):
        calls.append(type(x))
        return F.tanh(x)

    y = F.forget(func, X)
    assert calls == [Variable]
    assert not y.requires_grad
    with no_backprop_mode():
        assert not F.forget(func, Variable(X)).requires_grad
    assert len(calls) == 2


def test_inside_of_each_other():
    x = Variable(X)
    F.sum(F.forget(lambda x: F.tanh(F.forget(F.exp, x)), x)).backward()
    np.testing.assert_allclose(x.grad, np.exp(X) * (1 - np.tanh(np.exp(X)) ** 2))


def test_a_cut_inside():
    x, w = Variable(X), Variable(np.ones(3))

    def func(x):
        h = w * 2
        h.unchain()
        return x * h

    F.sum(F.forget(func, x)).backward()
    np.testing.assert_allclose(x.grad, 2 * np.ones_like(X))
    assert w.grad is None


def test_in_debug_mode_the_op_inside_is_named():
    def func(x):
        return F.sqrt(x)

    with debug_mode(), pytest.raises(FloatingPointError, match=r"sqrt: the output has 2 nan .*`return F.sqrt\(x\)`"):
        F.forget(func, Variable(np.float32([-1, -2, 3])))
    with debug_mode(), pytest.raises(FloatingPointError, match=r"sqrt: the gradient of x has 1 inf .*`return F.sqrt"):
        F.sum(F.forget(func, Variable(np.float32([0, 1])))).backward()


def test_bad_functions():
    with pytest.raises(TypeError, match="forget: func must return a Variable or a tuple of Variables, got ndarray"):
        F.forget(lambda x: x.array, Variable(X))
    runs = []

    def growing(x):
        runs.append(1)
        return F.concat([x] * len(runs), 0)

    y = F.forget(growing, Variable(X))
    with pytest.raises(ValueError, match=r"forget: output 0 of .* had shape \(2, 3\), the second time \(4, 3\)"):
        F.sum(y).backward()

    class NoSecond(Function):
        composite = False

        def forward(self, x):
            return x * 2

        def backward(self, gy):
            return gy * 2

    x = Variable(X)
    with pytest.raises(ValueError, match="no_second has no second derivative"):
        grad([F.sum(F.forget(lambda x: NoSecond().apply(x), x))], [x], enable_double_backprop=True)


def test_another_thread_draws_on_while_it_is_computed_again():
    drawn = []

    def block(x):
        if config.in_recomputing:
            thread = threading.Thread(target=lambda: drawn.append(rlcore.rng.default().random()))
            thread.start()
            thread.join()
        return F.dropout(x)

    rlcore.rng.seed(0)
    y = F.sum(F.forget(block, Variable(X)))
    later = generator(0)
    rlcore.rng.restore(later, rlcore.rng.state_of(rlcore.rng.default()))
    y.backward()
    assert [*drawn, rlcore.rng.default().random()] == later.random(2).tolist()
