"""debug_mode(): what it finds, how it tells, and that it finds nothing where nothing is wrong."""

from __future__ import annotations

import inspect
import threading
import warnings

import numpy as np
import pytest

from rlcore.autograd import Chain, ChainList, Function, Variable, debug_mode, grad, is_debug, optimizers, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.function_calls import at_work
from rlcore.autograd.parameter import Parameter
from tests.autograd.ops import OPS

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


class Body(Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(3, 4)
            self.l2 = L.Linear(4, 2)
            self.scale = Parameter(np.ones(2, np.float32))

    def forward(self, x):
        h = F.tanh(self.l1(x))
        y = self.l2(h)
        z = F.sqrt(y)  # the planted fault: y may be negative
        return z * self.scale


class Net(Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.body = Body()
            self.heads = ChainList(L.Linear(2, 1), L.Linear(2, 1))

    def forward(self, x):
        return self.heads[1](self.body(x))


def line_of(text, f=Body.forward):
    """file:line of the line of a function that has this text."""
    lines, first = inspect.getsourcelines(f)
    (at,) = [i for i, line in enumerate(lines) if text in line]
    return f"{__file__}:{first + at}"


def message(error, f, **named):
    with pytest.raises(error) as caught, debug_mode(**named):
        f()
    assert not at_work()
    return str(caught.value)


def test_a_planted_nan_names_op_link_and_line():
    net = Net()
    net.body.l2.b.array = np.float32([-9, 9])
    text = message(FloatingPointError, lambda: net(X))
    assert text == (
        f"sqrt: the output has 2 nan in 4 elements, in forward at {line_of('z = F.sqrt')} "
        "`z = F.sqrt(y)  # the planted fault: y may be negative`, in link /body (Body) of Net"
    )


def test_a_planted_nan_in_backward_names_the_line_of_forward():
    net = Net()
    net.body.l2.W.array = np.zeros((2, 4), np.float32)  # sqrt(0) is fine, its derivative is infinite
    loss = F.sum(net(X))
    with np.errstate(divide="ignore", invalid="ignore"):
        loss.backward()
    text = message(FloatingPointError, lambda: F.sum(net(X)).backward())
    assert text == (
        f"sqrt: the gradient of x has 4 inf in 4 elements, in backward; forward was at {line_of('z = F.sqrt')} "
        "`z = F.sqrt(y)  # the planted fault: y may be negative`, in link /body (Body) of Net"
    )
    text = message(FloatingPointError, lambda: F.sum(net(X)).backward(enable_double_backprop=True))
    assert "in backward of sqrt; forward was at " + line_of("z = F.sqrt") in text
    text = message(FloatingPointError, lambda: grad(F.sum(net(X)), net.body.l1.W))
    assert text.startswith("sqrt: the gradient of x has 4 inf")


def test_the_links_own_op_is_at_the_line_that_calls_the_link():
    net = Net()
    net.body.l2.W.array = np.full((2, 4), np.nan, np.float32)
    text = message(FloatingPointError, lambda: net(X))
    assert text.startswith(f"input W of linear already has 8 nan in 8 elements, in forward at {line_of('y = self.l2')}")
    assert text.endswith("in link /body/l2 (Linear) of Net")
    assert "in link / (Linear)" in message(FloatingPointError, lambda: net.body.l2(np.ones((1, 4), np.float32)))
    assert "in link /body/l2 (Linear) of Net" in message(FloatingPointError, lambda: net.view()(X))


def test_what_comes_in_is_told_apart():
    bad = np.float32([1, np.nan])
    assert message(FloatingPointError, lambda: F.concat([X[0], bad], 0)).startswith("input xs[1] of concat already has")
    x = Variable(np.ones(2, np.float32))
    y = F.tanh(x)
    y.grad = bad
    text = message(FloatingPointError, y.backward)
    assert text == "tanh: the output gradient already has 1 nan in 2 elements, in backward"


def test_infinities_may_pass():
    masked = np.float32([1, -np.inf])
    assert "1 inf in 2" in message(FloatingPointError, lambda: F.identity(masked))
    with debug_mode(inf=False):
        F.identity(masked)
        with debug_mode(), pytest.raises(FloatingPointError):  # the innermost counts
            F.identity(masked)
        with pytest.raises(FloatingPointError, match="1 nan in 2"):
            F.identity(np.float32([np.nan, np.inf]))


def test_numpys_warnings_are_silent_in_ops_only():
    with debug_mode(inf=False), warnings.catch_warnings():
        warnings.simplefilter("error")
        _ = 1 / Variable(np.zeros(2, np.float32))
        with pytest.raises(RuntimeWarning):
            _ = 1 / np.zeros(2)


def test_a_saved_array_that_was_changed():
    x = Variable(X)

    def forward():
        y = F.tanh(x)
        y.array[0, 0] = 0.5
        F.sum(y).backward()

    text = message(RuntimeError, forward)
    assert text.startswith("tanh: y, which it has saved, was changed between forward and backward; forward was at ")
    assert line_of("y = F.tanh", forward) in text
    layer, data = L.Linear(3, 1), X.copy()

    def reused():
        y = F.sum(layer(data))
        data[...] = 0
        y.backward()

    assert message(RuntimeError, reused).startswith("linear: x, which it has saved, was changed")


class Twice(Function):
    def forward(self, x):
        return x * 2

    def backward(self, gy):
        return gy * 2


def test_an_op_object_applied_twice():
    op = Twice()

    def both():
        y = op.apply(Variable(X))
        return op.apply(y)

    text = message(RuntimeError, both)
    assert text.startswith(f"twice: this op object is applied twice, first at {line_of('y = op.apply', both)}")
    assert f"Applied at {line_of('return op.apply', both)}" in text


class WrongShape(Twice):
    def backward(self, gy):
        return gy.sum(axis=0)


class WrongType(Twice):
    def backward(self, gy):
        return gy.astype(np.float64)


class TooFew(Twice):
    def forward(self, x, t):
        return x + t

    def backward(self, gy):
        return (gy,)


def test_the_number_of_gradients():
    text = message(ValueError, lambda: F.sum(TooFew().apply(Variable(X), Variable(X))).backward())
    assert text.startswith("too_few: backward gave 1 gradients for 2 inputs; forward was at")


def test_a_gradients_shape_and_dtype():
    text = message(ValueError, lambda: F.sum(WrongShape().apply(Variable(X))).backward())
    assert text.startswith("wrong_shape: the gradient of x has shape (3,), expected (2, 3); forward was at")
    text = message(TypeError, lambda: F.sum(WrongType().apply(Variable(X))).backward())
    assert text.startswith("wrong_type: the gradient of x is float64, expected float32; forward was at")


def test_inputs_of_two_dtypes_may_have_gradients_of_the_wider():
    x, y = Variable(X), Variable(X.astype(np.float64))
    with debug_mode():
        F.sum(x * y).backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)


def test_where_it_is_on():
    assert not is_debug()
    with debug_mode():
        assert is_debug()
        with debug_mode():
            assert is_debug()
        with debug_mode(False):
            assert not is_debug()
            F.tanh(np.float32([np.nan]))
        seen = []
        thread = threading.Thread(target=lambda: seen.append((is_debug(), F.tanh(np.float32([np.nan])).shape)))
        thread.start()
        thread.join()
        assert seen == [(False, (1,))]
        assert is_debug()
    with using_config("debug", True), pytest.raises(FloatingPointError):
        F.tanh(np.float32([np.nan]))
    assert not is_debug()


def test_training_is_the_same_with_it():
    def losses(on):
        model = Chain(l1=L.Linear(3, 4, initialW=0.1), l2=L.Linear(4, 1, initialW=0.2))
        optimizer = optimizers.Adam().setup(model)
        out = []
        with debug_mode(on):
            for _ in range(3):
                loss = F.mean_squared_error(model.l2(F.tanh(model.l1(X))), np.ones((2, 1), np.float32))
                model.cleargrads()
                loss.backward()
                optimizer.update()
                out.append(loss.item())
        return out

    assert losses(True) == losses(False)


@pytest.mark.parametrize("op", [op for op in OPS if not op.mean], ids=lambda op: op.name)
def test_no_op_of_the_table_is_suspect(op):
    xs = [Variable(x.astype(np.float32)) for x in op.inputs()]

    def total():
        ys = op(*xs)
        parts = [F.sum(y * y) for y in (ys if isinstance(ys, tuple) else [ys])]
        return sum(parts[1:], parts[0])

    with debug_mode(inf=False):
        total().backward()
        if op.orders > 1:
            firsts = [g for g in grad(total(), xs, enable_double_backprop=True) if g is not None]
            sums = [F.sum(g * g) for g in firsts]
            grad(sum(sums[1:], sums[0]), xs)
