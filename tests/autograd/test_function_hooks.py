"""Function hooks: called around every op, in their thread only, and gone afterwards."""

from __future__ import annotations

import io
import threading
import tracemalloc

import numpy as np
import pytest

from rlcore.autograd import Chain, Function, Variable, function_calls, grad
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.function_hooks import FunctionHook, MemoryHook, PrintHook, TimerHook
from tests.autograd import device

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


class Log(FunctionHook):
    """Chainer's four methods and what they were called with."""

    def __init__(self):
        self.calls = []

    def added(self, function):
        self.calls.append("added")

    def deleted(self, function):
        self.calls.append("deleted")

    def forward_preprocess(self, function, in_data):
        self.calls.append(("forward before", function.label, shapes(in_data)))

    def forward_postprocess(self, function, in_data):
        self.calls.append(("forward after", function.label, shapes(in_data)))

    def backward_preprocess(self, function, in_data, out_grad):
        self.calls.append(("backward before", function.label, shapes(in_data), shapes(out_grad)))

    def backward_postprocess(self, function, in_data, out_grad):
        self.calls.append(("backward after", function.label, shapes(in_data), shapes(out_grad)))


def shapes(arrays):
    assert isinstance(arrays, tuple)
    assert not any(isinstance(a, Variable) for a in arrays)
    return [getattr(a, "shape", a) for a in arrays]


@pytest.fixture(autouse=True)
def _no_trace():
    assert not function_calls.SWAP.wrapped()
    yield
    assert not function_calls.SWAP.wrapped()
    assert function_calls.at_work() == ()


def test_chainers_four_methods():
    x = Variable(X)
    with Log() as hook:
        F.sum(F.tanh(x)).backward()
    assert hook.calls == [
        "added",
        ("forward before", "tanh", [(2, 3)]),
        ("forward after", "tanh", [(2, 3)]),
        ("forward before", "sum", [(2, 3)]),
        ("forward after", "sum", [(2, 3)]),
        ("backward before", "sum", [None], [()]),
        ("backward after", "sum", [None], [()]),
        ("backward before", "tanh", [None], [(2, 3)]),
        ("backward after", "tanh", [None], [(2, 3)]),
        "deleted",
    ]
    F.sum(F.tanh(x)).backward()
    assert len(hook.calls) == 10


def test_several_outputs():
    x = Variable(X)
    with Log() as hook:
        a, b = F.split_axis(x, [1], 1)
        F.sum(b).backward()
    assert ("backward before", "split_axis", [None], [None, (2, 2)]) in hook.calls
    assert a.shape == (2, 1)


def test_backward_of_a_graph_made_before():
    y = F.sum(F.tanh(Variable(X)))
    with Log() as hook:
        y.backward()
    assert [call[:2] for call in hook.calls[1:-1:2]] == [("backward before", "sum"), ("backward before", "tanh")]


def test_double_backprop_through_a_text_and_through_a_composite():
    x = Variable(X)
    y = F.sum(F.swish(F.tanh(x), np.ones(3, np.float32)))
    assert F.swish(x, np.ones(3, np.float32)).creator.composite is not None
    with Log() as hook:
        (g,) = grad([y], [x], enable_double_backprop=True)
    for when in ("backward before", "backward after"):
        gone = [call[1] for call in hook.calls if call[0] == when]
        assert gone.count("tanh") == 1
        assert gone.count("swish") == 1
    np.testing.assert_allclose(g.array, grad([y], [x])[0].array, rtol=1e-5)


def test_an_op_made_within_the_block():
    with Log() as hook:

        class Double(Function):
            def forward(self, x):
                return x * 2

            def backward(self, gy):
                return gy * 2

        class Again(Double):
            def backward(self, gy):
                return super().backward(gy)

        F.sum(Again().apply(Double().apply(Variable(X)))).backward()
    seen = [call[:2] for call in hook.calls[1:-1]]
    for label in ("double", "again"):
        for when in ("forward before", "forward after", "backward before", "backward after"):
            assert seen.count((when, label)) == 1


def test_hooks_nest_and_come_off_after_an_error():
    outer, inner = Log(), Log()
    with pytest.raises(ValueError, match="axis"), outer, inner:
        F.sum(F.tanh(X), axis=5)
    assert [call[:2] for call in outer.calls[1:-1]] == [
        ("forward before", "tanh"), ("forward after", "tanh"), ("forward before", "sum")
    ]  # fmt: skip
    assert inner.calls == outer.calls
    with outer, pytest.raises(ValueError, match="at work already"), outer:
        pass


def test_an_ops_own_error_is_as_without_a_hook():
    with Log(), pytest.raises(ValueError, match=r"linear: .*x \(2, 3\)"):
        F.linear(X, np.ones((2, 2), np.float32))


def test_a_hook_belongs_to_its_thread():
    inside, leave = threading.Event(), threading.Event()
    theirs = Log()

    def work():
        with theirs:
            inside.set()
            leave.wait(10)
            F.sum(F.tanh(Variable(X))).backward()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    assert function_calls.SWAP.wrapped()
    F.tanh(X)
    with Log() as mine:
        F.tanh(X)
    assert function_calls.SWAP.wrapped()
    leave.set()
    thread.join()
    assert [call[:2] for call in mine.calls[1:-1]] == [("forward before", "tanh"), ("forward after", "tanh")]
    assert len(theirs.calls) == 10


def test_timer():
    model = Chain(l1=L.Linear(3, 4))
    with TimerHook() as hook:
        for _ in range(3):
            F.sum(F.relu(model.l1(X))).backward()
    table = hook.summary()
    assert {label: row["occurrence"] for label, row in table.items()} == {"linear": 6, "relu": 6, "sum": 6}
    for row in table.values():
        assert 0 < row["forward"] < row["elapsed_time"]
        assert row["forward"] + row["backward"] == pytest.approx(row["elapsed_time"])
    assert hook.total_time() == pytest.approx(sum(row["elapsed_time"] for row in table.values()))
    file = io.StringIO()
    hook.print_report("ms", file)
    first, *rows = file.getvalue().splitlines()
    assert first.split() == ["FunctionName", "ElapsedTime", "Forward", "Backward", "Occurrence"]
    assert sorted(row.split()[0] for row in rows) == ["linear", "relu", "sum"]
    assert all(row.split()[1].endswith("ms") and row.split()[-1] == "6" for row in rows)
    hook.print_report(file=file)
    with pytest.raises(ValueError, match="unit must be auto or one of sec, ms, us, ns, got 'h'"):
        hook.print_report("h")


def test_memory():
    x = Variable(np.ones(100_000, np.float32))
    with MemoryHook() as hook:
        y = F.tanh(x)
    row = hook.summary()["tanh"]
    assert 400_000 <= row["used_bytes"] < 410_000
    assert row["used_bytes"] <= row["peak_bytes"] < 410_000
    assert row["occurrence"] == 1
    assert hook.total_used_bytes() == row["used_bytes"]
    assert not tracemalloc.is_tracing()
    y.grad = np.ones_like(x.array)
    with hook:
        y.backward()
    assert hook.summary()["tanh"]["occurrence"] == 2
    file = io.StringIO()
    hook.print_report("KB", file)
    assert file.getvalue().splitlines()[1].split()[1].endswith("KB")
    tracemalloc.start()
    with hook:
        pass
    assert tracemalloc.is_tracing()
    tracemalloc.stop()


def test_print():
    file = io.StringIO()
    with PrintHook(file=file):
        F.sum(Variable(np.float32([1, 3])) * 2).backward()
    assert file.getvalue().splitlines() == [
        "function mul",
        "input data",
        "- shape (2,), dtype float32, mean 2, std 1",
        "- 2",
        "function sum",
        "input data",
        "- shape (2,), dtype float32, mean 4, std 2",
        "function sum",
        "input data",
        "- (not saved)",
        "output gradient",
        "- shape (), dtype float32, mean 1, std 0",
        "function mul",
        "input data",
        "- shape (2,), dtype float32, mean 2, std 1",
        "- 2",
        "output gradient",
        "- shape (2,), dtype float32, mean 1, std 0",
    ]


def test_timer_waits_for_a_device(monkeypatch):
    waits = []

    class Device:
        def synchronize(self):
            waits.append(1)

    cupy = device.module()
    cupy.cuda = type("cuda", (), {"Device": Device})
    monkeypatch.setitem(__import__("sys").modules, "cupy", cupy)
    with TimerHook():
        F.tanh(device.Array(X))
    assert len(waits) == 2


def test_a_hook_that_refuses_to_begin_is_not_at_work():
    class Refuses(Log):
        def added(self, function):
            raise RuntimeError("no")

    hook = Refuses()
    with pytest.raises(RuntimeError, match="no"), hook:
        pass
    F.tanh(X)
    assert hook.calls == []
    assert function_calls.SWAP.users == 0
