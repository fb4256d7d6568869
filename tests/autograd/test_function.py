"""The life of a graph: recording, the way back, using up, cutting, interrupts, threads, memory."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rlcore.autograd import (
    Function,
    Link,
    Parameter,
    Sequential,
    Variable,
    force_backprop_mode,
    grad,
    no_backprop_mode,
    optimizers,
    using_config,
)
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.function import Slot, name_of
from rlcore.autograd.functions.activation import Tanh
from rlcore.autograd.functions.connection import Linear
from rlcore.autograd.functions.loss import MeanSquaredError
from rlcore.autograd.initializers import LeCunNormal
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.rng import generator


def leaf(*values, dtype=np.float64) -> Variable:
    return Variable(np.array(values, dtype))


def net(seed=0, dtype=np.float32, sizes=(4, 8, 2)) -> Sequential:
    rng = generator(seed)
    layers = []
    with using_config("dtype", dtype):
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [L.Linear(n_in, n_out, initialW=LeCunNormal(rng=rng)), F.tanh]
    return Sequential(*layers[:-1])


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def vertices(y: Variable) -> list:
    found, stack = [], [y.node]
    while stack:
        v = stack.pop()
        if v is not None and all(v is not f for f in found):
            found.append(v)
            stack.extend(v.edges)
    return found


# memory


def test_a_thousand_updates_leave_no_garbage(no_collector):
    model, x, t = net(), np.ones((3, 4), np.float32), np.zeros(3, np.float32)
    optimizer = optimizers.Adam().setup(model)
    optimizer.add_hook(GradientClipping(1.0))

    def step():
        q = F.select_item(model(x), np.array([0, 1, 0]))
        a, b = F.split_axis(model(x), 2, 1)
        loss = F.huber_loss(q, t, 1.0, "mean") + F.mean(a * b + F.max(a))
        model.cleargrads()
        loss.backward()
        optimizer.update()

    step()
    gc.collect()
    for _ in range(1000):
        step()
    assert gc.collect() == 0


def test_every_vertex_dies_with_the_loss(no_collector):
    x = leaf(1.0, 2.0)
    a, b = F.split_axis(F.tanh(x) * x, 2, 0)
    loss = F.sum(a * b + F.exp(a))
    ops = [weakref.ref(v) for v in vertices(loss) if isinstance(v, Function)]
    slots = sum(isinstance(o, Slot) for o in gc.get_objects())
    assert len(ops) == 7
    del a, b, loss
    assert [ref() for ref in ops] == [None] * 7
    assert slots - sum(isinstance(o, Slot) for o in gc.get_objects()) == 2


@pytest.mark.parametrize("how", ["backward", "retain_graph", "retain_grad", "grad", "double grad", "error"])
def test_every_vertex_dies_after_a_pass(no_collector, how):
    model, x = net(), Variable(np.ones((3, 4), np.float32))
    gc.collect()
    y = model(x)
    loss = F.mean_squared_error(y, np.zeros_like(y.array))
    ops = [weakref.ref(v) for v in vertices(loss) if isinstance(v, Function)]
    if how == "grad":
        grad(loss, x)
    elif how == "double grad":
        g = grad(F.sum(grad(loss, x, enable_double_backprop=True)[0]), x)
        del g
    elif how == "error":
        with pytest.raises(ValueError, match="needs a gradient first"):
            y.backward()
    else:
        loss.backward(**{} if how == "backward" else {how: True})
    del y, loss
    assert [ref() for ref in ops] == [None] * len(ops)
    assert gc.collect() == 0


def test_a_differentiable_gradient_lives_until_cleargrads(no_collector):
    x = leaf(0.5)
    square = x * x
    op = weakref.ref(square.node)
    F.sum(square * x).backward(enable_double_backprop=True)
    del square
    assert op() is not None  # the gradient knows the graph, the leaf knows the gradient
    second = x.grad_var
    x.cleargrad()
    F.sum(second).backward()
    assert x.grad.tolist() == [3.0]
    x.cleargrad()
    del second
    assert op() is None
    assert gc.collect() == 0


def test_arrays_saved_are_freed_as_backward_passes():
    x = leaf(1.0)
    y = F.exp(x)
    saved = weakref.ref(y.array)
    z = F.sum(y)
    del y
    assert saved() is not None
    z.backward()
    assert saved() is None


def test_no_mask_stays_on_an_op():
    x = leaf(1.0, -2.0)
    for y in (
        F.maximum(x, 0.0),
        F.clip(x, 0, 1),
        F.max(x),
        F.where(x.array > 0, x, x),
        x[np.array([0, 1])],
        x[np.array([True, False])],
    ):
        op = y.node
        F.sum(y).backward()
        assert [k for k, v in vars(op).items() if isinstance(v, np.ndarray)] == []


def test_an_unneeded_array_dies_with_its_handle():
    y = leaf(1.0, 2.0) + 1
    array = weakref.ref(y.array)
    z = y + 1
    del y
    assert array() is None  # a sum saves nothing
    assert z.requires_grad


# using up and retaining


def test_a_used_up_graph_raises():
    x = leaf(2.0)
    y = F.sum(x * x)
    y.backward()
    with pytest.raises(RuntimeError, match="used up; pass retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match="used this graph up"):
        grad(y, x)
    assert x.grad.tolist() == [4.0]


def test_a_branch_used_up_raises_and_leaves_no_waiting_gradient():
    x = leaf(2.0)
    shared = x * x
    a, b = F.sum(shared), F.sum(shared * 3)
    a.backward()
    with pytest.raises(RuntimeError, match="used up"):
        b.backward()
    assert [v.g for v in vertices(b)[:-1]] == [None, None, None]


def test_retain_graph_accumulates():
    x = leaf(2.0)
    y = F.sum(x * x)
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]


def test_retain_grad_keeps_intermediate_gradients():
    x = leaf(2.0, 3.0)
    y = x * x
    a, b = F.split_axis(y, 2, 0)
    z = F.sum(a * b)
    z.backward(retain_grad=True)
    for v, expected in ((z, 1.0), (a, [9.0]), (b, [4.0]), (y, [9.0, 4.0]), (x, [36.0, 24.0])):
        assert isinstance(v.grad, np.ndarray)
        assert v.grad.tolist() == expected
    y.cleargrad()
    assert y.grad is None


def test_retained_gradients_under_double_backprop():
    x = leaf(2.0, 3.0)
    y = x * x
    F.sum(y * y).backward(retain_grad=True, enable_double_backprop=True)
    assert isinstance(y.grad, np.ndarray)
    assert y.grad.tolist() == [8, 18]
    assert grad(F.sum(x.grad_var), x)[0].array.tolist() == [48, 108]


def test_retaining_gradients_uses_the_graph_up():
    y = F.sum(leaf(2.0) ** 2)
    y.backward(retain_grad=True)
    with pytest.raises(RuntimeError, match="used up"):
        y.backward(retain_grad=True)


@pytest.mark.parametrize("double", [False, True])
def test_backward_from_a_leaf(double):
    x = leaf(2.0)
    x.backward(enable_double_backprop=double)
    assert x.grad.tolist() == x.grad_var.array.tolist() == [1]


def test_retained_gradients_of_scalars_are_arrays():
    x = Variable(np.array(2.0))
    y = x * x
    z = F.exp(y) * 2
    z.backward(retain_grad=True)
    assert isinstance(y.grad, np.ndarray)
    np.testing.assert_allclose(y.grad, 2 * np.exp(4))


def test_intermediate_gradients_are_not_kept_without():
    x = leaf(2.0)
    y = x * x
    F.sum(y).backward(retain_graph=True)
    assert y.grad is None
    F.sum(y).backward()
    assert y.grad is None


def test_loss_scale():
    x = leaf(2.0, dtype=np.float32)
    F.sum(x * x).backward(loss_scale=8.0)
    assert x.grad.tolist() == [32.0]
    assert x.grad.dtype == np.float32


def test_gradients_of_backward_with_and_without_double_backprop_add_up():
    x = leaf(2.0)
    F.sum(x * x).backward(enable_double_backprop=True)
    F.sum(x * x * x).backward()
    assert x.grad.tolist() == [16.0]
    assert x.grad_var.array.tolist() == [16.0]


def test_assigning_a_gradient_forgets_the_old_ones_graph():
    x = leaf(2.0)
    F.sum(x * x).backward(enable_double_backprop=True)
    x.grad = np.array([7.0])
    assert x.grad_var.array.tolist() == [7.0]


def test_double_backprop_records_also_under_no_backprop_mode():
    x = leaf(2.0)
    y = F.sum(x * x * x)
    with no_backprop_mode():
        g = grad(y, x, enable_double_backprop=True)[0]
        y.backward(enable_double_backprop=True)
    assert g.requires_grad
    assert x.grad_var.requires_grad


# shapes of graphs


def test_a_long_chain():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    g = grad(y, x, enable_double_backprop=True)[0]
    assert g.array.tolist() == [1.0]
    y.backward()
    assert x.grad.tolist() == [1.0]
    del y, g


def test_a_long_chain_dies_without_a_pass():
    y = leaf(1.0)
    for _ in range(20_000):
        y = F.tanh(y)
    del y


def test_fan_out():
    x = leaf(2.0)
    y = x * x
    z = y
    for _ in range(99):
        z = z + y
    F.sum(z).backward()
    assert x.grad.tolist() == [400.0]


def test_a_diamond_of_unequal_arms():
    x = leaf(2.0)
    y = x * 3
    long = y
    for _ in range(10):
        long = long + 1
    F.sum(long * y).backward()  # (3x + 10) 3x
    assert x.grad.tolist() == [(2 * 9 * 2.0) + 30]


def test_diamonds_in_a_row_cost_no_exponential_time():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = (y + y) * 0.5
    F.sum(y).backward()
    assert x.grad.tolist() == [1.0]


@pytest.mark.parametrize("seed", range(10))
def test_random_graphs_against_forward_mode(seed):
    """50 vertices; every value carries its derivative by the chain rule, in plain floats."""
    rng = generator(seed)
    inputs = [leaf(v) for v in rng.uniform(0.5, 1, 3)]
    values = [(v, v.array[0], np.eye(3)[i]) for i, v in enumerate(inputs)]
    for _ in range(50):
        (a, va, da), (b, vb, db) = (values[rng.integers(max(0, len(values) - 12), len(values))] for _ in range(2))
        kind = rng.integers(6)
        if kind == 0:
            new = (a + b) * 0.5, (va + vb) * 0.5, (da + db) * 0.5
        elif kind == 1:
            new = a * b, va * vb, va * db + vb * da
        elif kind == 2:
            new = a - 2 * b, va - 2 * vb, da - 2 * db
        elif kind == 3:
            new = F.tanh(a), np.tanh(va), da * (1 - np.tanh(va) ** 2)
        elif kind == 4:
            part = F.split_axis(F.concat([a, b], 0), 2, 0)[1]
            new = part, vb, db
        else:
            new = F.exp(-a), np.exp(-va), -da * np.exp(-va)
        values.append(new)
    y, value, derivative = values[-1]
    for v, dv, dd in values[-5:-1]:
        y, value, derivative = y + v, value + dv, derivative + dd
    np.testing.assert_allclose(y.array[0], value, rtol=1e-12)
    by_grad = [0.0 if g is None else g.array[0] for g in grad(F.sum(y), inputs)]
    traced = [0.0 if g is None else g.array[0] for g in grad(F.sum(y), inputs, enable_double_backprop=True)]
    F.sum(y).backward()
    for gs in (by_grad, traced, [0.0 if v.grad is None else v.grad[0] for v in inputs]):
        np.testing.assert_allclose(gs, derivative, rtol=1e-9, atol=1e-12)


def test_the_first_layers_input_gradient_is_not_computed(monkeypatch):
    model, asked = net(), []
    right = Linear.backward
    monkeypatch.setattr(
        Linear, "backward", lambda self, *a: asked.append([e is not None for e in self.edges]) or right(self, *a)
    )
    F.sum(model(np.ones((1, 4), np.float32))).backward()
    assert asked == [[True, True, True], [False, True, True]]


def test_one_gradient_array_given_to_two_inputs_is_not_shared():
    x, y = leaf(1.0), leaf(2.0)
    z = x + y
    F.sum(z).backward()
    F.sum(x * 2).backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([3.0], [1.0])
    assert not np.shares_memory(x.grad, y.grad)


# truncated backpropagation


def recurrent(w, cut):
    """h <- tanh(w h + 1) four times, cut behind h number `cut`."""
    h = Variable(np.array([0.0]))
    hs = []
    for k in range(4):
        h = F.tanh(w * h + 1)
        hs.append(h)
        if k == cut:
            h.unchain_backward()
    return hs


def test_unchain_backward_is_exact_at_the_cut():
    w = leaf(0.7)
    hs = recurrent(w, cut=1)
    F.sum(hs[-1]).backward()
    start = hs[1].array.copy()
    again = leaf(0.7)
    h = Variable(start)
    for _ in range(2):
        h = F.tanh(again * h + 1)
    F.sum(h).backward()
    assert w.grad.tolist() == again.grad.tolist()


@pytest.mark.parametrize("double", [False, True])
def test_after_the_cut_nothing_reaches_the_leaves(double):
    w = leaf(0.7)
    hs = recurrent(w, cut=3)
    F.sum(hs[-1] * 2).backward(enable_double_backprop=double)
    assert w.grad is None
    assert grad(F.sum(hs[-1] * 2), w) == [None]
    assert grad(F.sum(hs[-1] * 2), hs[-1])[0].array.tolist() == [2.0]
    assert hs[-1].creator is None


def test_every_handle_sees_the_cut(no_collector):
    w = leaf(0.7)
    a = w * 2
    b = F.exp(a)
    other = F.sum(a * 5)
    a.unchain_backward()
    F.sum(b).backward()
    other.backward()
    assert w.grad is None


def test_the_cut_frees_what_lies_behind(no_collector):
    w = leaf(0.7)
    early = F.exp(w)
    op, array = weakref.ref(early.node), weakref.ref(early.array)
    h = F.exp(early * 2)
    del early
    h.unchain_backward()
    assert op() is None
    assert array() is None


def test_the_cut_frees_what_was_saved(no_collector):
    w, h = leaf(0.7), np.array([3.0])
    factor = weakref.ref(h)
    h = w * h
    assert factor() is not None
    h.unchain_backward()
    assert factor() is None


def test_unchain_cuts_one_variable_only(no_collector):
    w = leaf(0.7)
    a = F.exp(w)
    b, c = a * 2, a * 3
    b.unchain()
    assert b.creator is None
    assert b.requires_grad
    F.sum(F.exp(b) + c).backward()
    np.testing.assert_allclose(w.grad, 3 * np.exp(0.7), rtol=1e-12)
    w.unchain()
    (w * 1).backward()
    np.testing.assert_allclose(w.grad, 3 * np.exp(0.7) + 1, rtol=1e-12)
    first, second = F.split_axis(F.concat([w, w], 0), 2, 0)
    assert first.creator is second.creator
    assert first.creator.label == "split_axis"
    first.unchain()
    assert first.creator is None
    w.cleargrad()
    F.sum(first * 5 + second * 7).backward()
    assert w.grad.tolist() == [7]
    Variable(np.zeros(2), requires_grad=False).unchain()


@pytest.mark.parametrize("k", [1, 3])
def test_truncated_backpropagation_reaches_k_steps_back(k):
    w, h, n = leaf(0.7), Variable(np.array([0.1])), 7
    starts = []
    for t in range(n):
        if t % k == 0:
            h.unchain_backward()
            starts.append(h.array)
        h = F.tanh(w * h + 0.1)
    F.sum(h).backward()
    again = leaf(0.7)
    h = Variable(starts[-1])
    for _ in range((n - 1) % k + 1):
        h = F.tanh(again * h + 0.1)
    F.sum(h).backward()
    assert w.grad.tolist() == again.grad.tolist()


# interrupts and errors


def test_ctrl_c_in_backward_leaves_no_waiting_gradient(monkeypatch):
    model, x = net(sizes=(4, 8, 8, 2)), np.ones((3, 4), np.float32)
    expected = net(sizes=(4, 8, 8, 2))
    F.sum(expected(x) + F.max(expected(x))).backward()

    def interrupted(self, gy, y):
        raise KeyboardInterrupt

    loss = F.sum(model(x) + F.max(model(x)))
    with monkeypatch.context() as patched:
        patched.setattr(Tanh, "backward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loss.backward()
    assert [v.g for v in vertices(loss) if v.order] == [None] * sum(v.order != 0 for v in vertices(loss))
    model.cleargrads()
    F.sum(model(x) + F.max(model(x))).backward()
    assert all((p.grad == q.grad).all() for p, q in zip(model.params(), expected.params()))


def test_an_interrupted_retained_graph_can_be_walked_again(monkeypatch):
    x = leaf(0.5)
    y = F.tanh(x) * F.exp(x)
    z = F.sum(y + F.tanh(y))
    with monkeypatch.context() as patched:
        patched.setattr(Tanh, "backward", lambda self, gy, y: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            z.backward(retain_graph=True)
    x.cleargrad()
    z.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, grad(z, x)[0].array)


def test_an_interrupted_grad_restores_the_edges(monkeypatch):
    x = leaf(0.5)
    z = F.sum(F.tanh(x * x) * x)
    edges = [v.edges for v in vertices(z)]
    for double in (False, True):
        with monkeypatch.context() as patched:
            patched.setattr(Tanh, "backward", lambda self, gy, y: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                grad(z, x, enable_double_backprop=double)
        assert [v.edges for v in vertices(z)] == edges
    z.backward()
    t = np.tanh(0.25)
    np.testing.assert_allclose(x.grad, [t + 0.5 * (1 - t * t)], rtol=1e-14)


# recording


def test_modes_nest_and_end_with_errors():
    x = leaf(1.0)
    with no_backprop_mode():
        assert not (x * 2).requires_grad
        with force_backprop_mode():
            assert (x * 2).requires_grad
        with using_config("enable_backprop", True):
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    with pytest.raises(KeyError), no_backprop_mode():
        raise KeyError
    assert (x * 2).requires_grad


def test_nothing_recorded_says_why():
    with no_backprop_mode():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="no graph"):
        y.backward()


def test_constants_make_no_graph():
    y = F.tanh(np.ones(2)) * 2
    assert y.node is None
    assert y.creator is None


def test_names_of_ops():
    assert name_of(MeanSquaredError()) == "mean_squared_error"
    assert name_of(Tanh()) == "tanh"


@pytest.mark.fault(48)
def test_threads_with_own_graphs_equal_serial():
    def work(seed):
        model, x = net(seed, np.float64), generator(seed).standard_normal((5, 4))
        optimizer, seen = optimizers.Adam().setup(model), []
        for _ in range(200):
            if seed % 2:
                with no_backprop_mode():
                    y = model(x)
                    seen.append((float(y.array.sum()), y.requires_grad))
            loss = F.mean_squared_error(model(x), x[:, :2])
            model.cleargrads()
            loss.backward()
            optimizer.update()
        return seen, model.flat.copy()

    serial, results = [work(seed) for seed in range(8)], [None] * 8
    start = threading.Barrier(8)

    def threaded(seed):
        start.wait()
        results[seed] = work(seed)

    threads = [threading.Thread(target=threaded, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (seen, flat), (other, twin) in zip(serial, results):
        assert seen == other
        assert not any(recorded for _, recorded in seen)
        np.testing.assert_array_equal(flat, twin)


@pytest.mark.fault(48)
def test_convolutions_in_threads_equal_serial():
    """Which work in blocks of memory that are used again and again."""

    def work(seed):
        rng = generator(seed)
        x, W = (Variable(rng.standard_normal(shape).astype(np.float32)) for shape in ((8, 4, 32, 32), (8, 4, 3, 3)))
        gradients = []
        for _ in range(10):
            x.cleargrad(), W.cleargrad()
            F.sum(F.convolution_2d(x, W, stride=1, pad=1) ** 2).backward()
            gradients.append((x.grad.tobytes(), W.grad.tobytes()))
        return gradients

    serial = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == serial


@pytest.mark.fault(48)
def test_a_mode_belongs_to_its_thread():
    seen, inside = [], threading.Event()

    def other():
        inside.wait()
        seen.append((leaf(1.0) * 2).requires_grad)

    thread = threading.Thread(target=other)
    thread.start()
    with no_backprop_mode():
        inside.set()
        thread.join()
    assert seen == [True]


def test_the_same_graph_gives_the_same_bits():
    model, x = net(), generator(1).standard_normal((5, 4)).astype(np.float32)

    def once():
        model.cleargrads()
        F.mean_squared_error(model(x), np.zeros((5, 2), np.float32)).backward()
        return b"".join(p.grad.tobytes() for p in model.params())

    assert len({once() for _ in range(100)}) == 1


# a parameter changed between forward and backward


def change_by_update(model):
    for p in model.params():
        p.grad = np.ones_like(p.array)
    optimizers.SGD().setup(model).update()


CHANGES = {
    "update": change_by_update,
    "load": lambda model: model.load(net(1).state()),
    "copyparams": lambda model: model.copyparams(net(1)),
    "soft_copyparams": lambda model: model.soft_copyparams(net(1), 0.5),
    "assignment": lambda model: setattr(model[0].W, "array", np.ones_like(model[0].W.array)),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("way", ["backward", "double", "grad", "grad of the input"])
def test_a_parameter_changed_since_the_forward_pass_raises(how, way):
    model, x = net(), Variable(np.ones((1, 4), np.float32))
    loss = F.sum(model(x))
    CHANGES[how](model)
    ask = {
        "backward": loss.backward,
        "double": lambda: loss.backward(enable_double_backprop=True),
        "grad": lambda: grad(loss, [x, *model.params()]),
        "grad of the input": lambda: grad(loss, x),
    }
    with pytest.raises(RuntimeError, match=r"parameter was changed .* run the forward pass again"):
        ask[way]()
    F.sum(model(x)).backward()


@pytest.mark.parametrize("how", CHANGES)
def test_a_change_before_the_forward_pass_is_fine(how):
    model, x = net(), np.ones((1, 4), np.float32)
    CHANGES[how](model)
    model.cleargrads()
    F.sum(model(x)).backward()
    assert all(p.grad is not None for p in model.params())


def test_laying_out_between_forward_and_backward_is_no_change():
    model, x = net(), np.ones((1, 4), np.float32)
    expected = net()
    F.sum(expected(x)).backward()
    loss = F.sum(model(x))
    assert model.flat.size == 58
    loss.backward()
    for p, q in zip(model.params(), expected.params()):
        np.testing.assert_array_equal(p.grad, q.grad)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, W, b: F.linear(W, W),
        lambda x, W, b: F.linear(x, W[:, :3], b) * F.layer_normalization(x, b, b),
        lambda x, W, b: F.gru_scan(x[None, :, :1], None, x[:, :1], x[:, :1], b, b)[0],
    ],
)
def test_a_parameter_may_be_two_inputs_of_an_op(f):
    """Each gradient would be written where the parameter's gradient lives."""
    rng = generator(0)
    x, W, b = (rng.standard_normal(shape) for shape in ((3, 3), (3, 3), (3,)))
    link = Link()
    link.W, link.b = Parameter(W, order=(1, 0)), Parameter(b)
    free = Variable(W), Variable(b)
    weights = None
    link.flatten()
    for ws in ((link.W, link.b), free):
        y = f(x, *ws)
        weights = rng.standard_normal(y.shape) if weights is None else weights
        F.sum(y * weights).backward()
    for p, v in zip((link.W, link.b), free):
        if v.grad is not None:
            np.testing.assert_allclose(p.grad, v.grad, rtol=1e-12)
            assert np.shares_memory(p.grad, link.flat_grad)
