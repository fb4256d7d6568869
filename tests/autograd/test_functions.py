"""What every row of `ops.OPS` must pass, broadcasting, edge values, and proof that the checks bite."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from rlcore.autograd import Function, Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.function import UFUNCS
from rlcore.autograd.functions.connection import LinearRelu
from rlcore.autograd.gradient_check import check_backward, check_double_backward, numerical_grad
from rlcore.rng import generator
from tests.autograd.ops import CONSTANT, OPS, Op


def each(wanted):
    return pytest.mark.parametrize("op", [op for op in OPS if wanted(op)], ids=lambda op: op.name)


EACH = each(lambda op: True)


def tolerance_of(op: Op, dtype: str) -> float:
    return {"d": 1e-12, "f": 1e-5, "e": op.half}[dtype]


def several(y):
    return y if isinstance(y, tuple) else (y,)


def weights(op: Op, ys) -> list[np.ndarray]:
    rng = op.rng()
    return [np.asarray(rng.uniform(0.3, 1.0, y.shape) * rng.choice([-1.0, 1.0], y.shape)) for y in several(ys)]


def run(op: Op, xs):
    """Outputs, and gradients of the inputs for the row's own output gradients, which are read-only."""
    variables = [Variable(x) for x in xs]
    ys = several(op(*variables))
    for i, (y, w) in enumerate(zip(ys, weights(op, ys))):
        g = w.astype(y.dtype)
        g.flags.writeable = False
        y.grad = g
        y.backward(retain_graph=i + 1 < len(ys))
    return [y.array for y in ys], [v.grad for v in variables]


# the registry is whole


def test_every_function_has_a_row():
    assert {f"F.{name}" for name in F.__all__} == {op.covers for op in OPS if op.covers.startswith("F.")} | CONSTANT


def test_every_ufunc_has_a_row():
    assert {f"numpy.{u.__name__}" for u in UFUNCS} == {op.covers for op in OPS if op.covers.startswith("numpy.")}


NO_OPS = {
    "array", "node", "data", "shape", "ndim", "size", "dtype", "xp", "requires_grad", "creator", "item", "grad",
    "grad_var", "name", "_name", "addgrad", "copydata", "cleargrad", "backward", "unchain",
    "unchain_backward", "__init__", "__len__", "__repr__", "__array_ufunc__", "__array_function__",
    "__array_priority__", "__array__", "__bool__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__",
    "__hash__", "__doc__", "__slots__", "__module__", "__annotations__", "__annotate_func__", "__annotations_cache__",
    "__static_attributes__", "__firstlineno__",
}  # fmt: skip


def test_every_operator_and_method_has_a_row():
    named = {f"Variable.{name}" for name in vars(Variable) if name not in NO_OPS}
    assert named == {op.covers for op in OPS if op.covers.startswith("Variable.")}


def test_names_of_rows_are_unique():
    assert len({op.name for op in OPS}) == len(OPS)


# from each row


@EACH
@pytest.mark.parametrize("dtype", "dfe")
def test_forward(op, dtype):
    xs = [x.astype(dtype) for x in op.inputs()]
    ys, expected = several(op(*map(Variable, xs))), several(op.expected(*[x.astype(np.float64) for x in xs]))
    assert len(ys) == len(expected)
    for y, e in zip(ys, expected):
        assert isinstance(y, Variable)
        assert isinstance(y.array, np.ndarray)
        assert y.shape == np.shape(e)
        if op.covers not in ("F.cast", "Variable.astype"):
            assert y.dtype == dtype
        tolerance = tolerance_of(op, dtype)
        np.testing.assert_allclose(y.array, e, rtol=tolerance, atol=tolerance)


@EACH
def test_arrays_give_a_constant(op):
    for y in several(op(*op.inputs())):
        assert (
            isinstance(y, np.ndarray | np.generic)
            if "Variable." in op.name or "numpy." in op.name
            else not y.requires_grad
        )


@EACH
def test_first_and_second_gradient(op):
    xs, rng = op.inputs(), op.rng()
    gys = weights(op, op(*map(Variable, xs)))
    check_backward(op, xs, gys, rtol=1e-7, atol=1e-8, rng=rng)
    check_double_backward(op, xs, gys, [rng.uniform(0.3, 1, x.shape) for x in xs], rtol=1e-6, atol=1e-7, rng=rng)
    variables = [Variable(x) for x in xs]
    ys = list(several(op(*variables)))
    plain, traced = (grad(ys, variables, gys, enable_double_backprop=double) for double in (False, True))
    for a, b in zip(plain, traced):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-13, atol=1e-15)


@each(lambda op: op.orders > 2)
def test_third_gradient(op):
    xs, rng = op.inputs(), op.rng()
    gys = weights(op, op(*map(Variable, xs)))

    def first(*inputs):
        vs = [v * 1 if v.requires_grad else Variable(v.array) for v in inputs]
        ys = several(op(*vs))  # a gradient that depends on the output, so that backward's own derivatives are asked for
        gs = grad(list(ys), vs, [gy * y * y for gy, y in zip(gys, ys)], enable_double_backprop=True)
        return tuple([v * 0 if g is None else g for v, g in zip(vs, gs)])

    seeds = [[rng.uniform(0.3, 1, x.shape) for x in xs] for _ in range(2)]
    check_double_backward(first, xs, *seeds, rtol=1e-5, atol=1e-6, rng=rng)


@each(lambda op: sum(x.size for x in op.inputs()) <= 64)
def test_jacobian(op):
    """Every element of the Jacobian by grad() against differences of the NumPy expression."""
    xs = [x.copy() for x in op.inputs()]
    variables = [Variable(x) for x in xs]
    ys = several(op(*variables))
    for k, y in enumerate(ys):
        for i in np.ndindex(y.shape):
            unit = np.zeros(y.shape)
            unit[i] = 1
            analytic = grad(y, variables, unit)
            numeric = numerical_grad(lambda k=k: np.asarray(several(op.expected(*xs))[k]), xs, [unit], eps=1e-5)
            for a, n in zip(analytic, numeric):
                np.testing.assert_allclose(0 * n if a is None else a.array, n, rtol=1e-6, atol=1e-8)


@EACH
@pytest.mark.parametrize("dtype", "dfe")
def test_a_gradient_is_of_its_inputs_shape_and_dtype(op, dtype):
    xs = [x.astype(dtype) for x in op.inputs()]
    gs, exact = run(op, xs)[1], run(op, [x.astype(np.float64) for x in xs])[1]
    for g, e, x in zip(gs, exact, xs):
        assert (g.shape, g.dtype, type(g)) == (x.shape, x.dtype, np.ndarray)
        tolerance = 10 * tolerance_of(op, dtype)
        np.testing.assert_allclose(g, e, rtol=tolerance, atol=tolerance)
    passing = [F.identity(Variable(x)) for x in xs]  # not leaves, which would cast
    ys = several(op(*passing))
    for y, w in zip(ys, weights(op, ys)):
        y.grad = w.astype(y.dtype)
        y.backward(retain_graph=True, retain_grad=True)
    for v in passing:
        assert (v.grad.shape, v.grad.dtype) == (v.shape, v.dtype)


@EACH
@pytest.mark.parametrize("layout", ["strided", "reversed", "transposed", "broadcast", "unaligned"])
def test_layout_does_not_matter(op, layout):
    def laid(x):
        if layout == "unaligned":
            view = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
            view[...] = x
            return view
        if layout == "transposed":
            return np.asfortranarray(x)
        if layout == "broadcast":  # strides of 0
            return np.broadcast_to(x.ravel()[:1].reshape((1,) * x.ndim), x.shape)
        wide = np.full([2 * n for n in x.shape], np.nan)
        view = wide[tuple([slice(None, None, 2 if layout == "strided" else -2)] * x.ndim)]
        view[...] = x
        return view

    xs = op.inputs()
    if layout == "broadcast" and op.ties:
        pytest.skip("all elements tie")
    twins = [laid(x) for x in xs]
    for mine, other in zip(run(op, twins), run(op, [np.ascontiguousarray(x).reshape(x.shape) for x in twins])):
        for a, b in zip(mine, other):
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15)


@each(lambda op: op.empty)
def test_zero_size(op):
    xs = op.inputs([tuple([0 if n == 3 else n for n in shape]) for shape in op.shapes])
    assert any(x.size == 0 for x in xs) or not any(3 in shape for shape in op.shapes)
    with np.errstate(all="ignore"):  # a mean over nothing is nan
        ys, gs = run(op, xs)
        expected = ys if op.mean else several(op.expected(*xs))
    for y, e in zip(ys, expected):
        assert y.shape == np.shape(e)
        np.testing.assert_allclose(y, e, rtol=1e-12)
    assert [g.shape for g in gs] == [x.shape for x in xs]
    for g in gs:
        assert np.isfinite(g).all() or op.mean


@pytest.mark.parametrize("f", [F.average, F.mean, lambda x: x.mean()])
def test_a_mean_over_nothing_is_nan(f):
    x = Variable(np.zeros((0, 2)))
    with np.errstate(invalid="ignore"), pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        y = f(x)
    assert np.isnan(y.array)
    y.backward()
    assert x.grad.shape == (0, 2)


@pytest.mark.parametrize("f", [F.max, F.min])
def test_no_largest_among_nothing(f):
    with pytest.raises(ValueError, match=f"{f.__name__}.*zero-size"):
        f(np.zeros((0, 2)))


@each(lambda op: op.scalar)
def test_scalars(op):
    xs = op.inputs([()] * len(op.shapes))
    ys, gs = run(op, xs)
    for y, e in zip(ys, several(op.expected(*xs))):
        assert isinstance(y, np.ndarray)
        np.testing.assert_allclose(y, e, rtol=1e-12)
    assert [(g.shape, type(g)) for g in gs] == [((), np.ndarray)] * len(gs)
    check_backward(op, xs, weights(op, op(*map(Variable, xs))), rng=op.rng())


@each(lambda op: len(op.shapes) > 1)
def test_gradients_of_some_inputs_only(op):
    """A constant among the inputs, under backward(), grad() and double backprop."""
    xs = op.inputs()
    whole = run(op, xs)[1]
    for i in range(len(xs)):
        v = Variable(xs[i])
        mixed = [v if j == i else x for j, x in enumerate(xs)]
        y = op(*mixed)
        w = weights(op, y)
        for double in (False, True):
            g = grad(y, v, w, enable_double_backprop=double)[0]
            np.testing.assert_allclose(g.array, whole[i], rtol=1e-13)
        for y_, w_ in zip(several(y), w):
            y_.grad = w_
            y_.backward(enable_double_backprop=True)
        np.testing.assert_allclose(v.grad, whole[i], rtol=1e-13)
        rng = op.rng()
        check_double_backward(
            lambda u, i=i: op(*[u if j == i else x for j, x in enumerate(xs)]),
            [xs[i]],
            w,
            [rng.uniform(0.3, 1, v.shape)],
            rng=rng,
        )


SHARED = {"TransposeSequence", "Lstm"}  # the gradients of their inputs come in one piece


@each(lambda op: len(op.shapes) > 1)
def test_no_gradient_is_computed_for_a_constant(op, monkeypatch):
    """A view of the output's gradient costs nothing."""
    xs = op.inputs()
    for i in range(len(xs)):
        ys = several(op(*[Variable(x) if j == i else x for j, x in enumerate(xs)]))
        with monkeypatch.context() as patched:
            for cls in set().union(*map(ops_of, ys)):

                def watched(self, gy, *saved, right=cls.backward):
                    gs = right(self, gy, *saved)
                    for e, g in zip(self.edges, (gs,) if len(self.edges) == 1 else gs):
                        assert e or g is None or np.shares_memory(g, gy) or type(self).__name__ in SHARED
                    return gs

                patched.setattr(cls, "backward", watched)
            for y, w in zip(ys, weights(op, ys)):
                if y.requires_grad:
                    y.grad = w
                    y.backward(retain_graph=True)


# broadcasting

BINARY = {
    "add": (operator.add, lambda x, y: (x * 0 + 1, y * 0 + 1)),
    "sub": (operator.sub, lambda x, y: (x * 0 + 1, y * 0 - 1)),
    "mul": (operator.mul, lambda x, y: (y, x)),
    "truediv": (operator.truediv, lambda x, y: (1 / y, -x / y**2)),
    "pow": (operator.pow, lambda x, y: (y * x ** (y - 1), np.log(x) * x**y)),
    "maximum": (F.maximum, lambda x, y: (x > y, x < y)),
    "minimum": (F.minimum, lambda x, y: (x < y, x > y)),
}


@pytest.mark.parametrize("name", BINARY)
@settings(derandomize=True, max_examples=40, deadline=None, database=None)
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=3), seed=st.integers(0, 99))
def test_broadcasting(name, shapes, seed):
    f, partials = BINARY[name]
    rng = generator(seed)
    xs = [np.asarray(rng.uniform(0.3, 1, shape)) for shape in shapes.input_shapes]
    variables = [Variable(x) for x in xs]
    y = f(*variables)
    assert y.shape == shapes.result_shape
    gy = np.asarray(rng.standard_normal(y.shape))
    y.grad = gy
    y.backward()
    wide = np.broadcast_arrays(*xs)
    for x, v, partial in zip(xs, variables, partials(*wide)):
        where = np.broadcast_to(np.arange(x.size).reshape(x.shape), y.shape).ravel()
        expected = np.bincount(where, (gy * partial).ravel(), x.size).reshape(x.shape)  # each output goes to its input
        assert v.grad.shape == x.shape
        np.testing.assert_allclose(v.grad, expected, rtol=1e-12, atol=1e-12)


@settings(derandomize=True, max_examples=60, deadline=None, database=None)
@given(shapes=mutually_broadcastable_shapes(signature="(m?,n),(n,p?)->(m?,p?)", max_dims=2, max_side=3))
def test_broadcasting_of_the_matrix_product(shapes):
    rng = generator(0)
    xs = [rng.standard_normal(shape) for shape in shapes.input_shapes]
    gy = rng.standard_normal(shapes.result_shape)
    check_backward(F.matmul, xs, gy, rng=rng)
    check_double_backward(F.matmul, xs, gy, [rng.standard_normal(x.shape) for x in xs], rng=rng)


# edge values


def gradient(f, *values):
    variables = [Variable(np.array(v, np.float64)) for v in values]
    F.sum(f(*variables)).backward()
    gs = [v.grad.tolist() for v in variables]
    return gs[0] if len(gs) == 1 else gs


def test_subgradients_at_kinks():
    assert gradient(F.relu, [-1.0, 0.0, 1.0]) == [0, 0, 1]
    assert gradient(F.absolute, [-2.0, 0.0, 2.0]) == [-1, 0, 1]
    assert gradient(lambda x: F.clip(x, 0, 1), [-0.5, 0, 0.5, 1, 1.5]) == [0, 1, 1, 1, 0]
    assert gradient(F.maximum, [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == [[0, 1, 1], [1, 0, 0]]
    assert gradient(F.minimum, [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == [[1, 1, 0], [0, 0, 1]]
    assert gradient(lambda x: F.max(x, axis=0), [2.0, 1.0, 2.0]) == [1, 0, 1]
    assert gradient(F.min, [2.0, 1.0, 1.0]) == [0, 1, 1]
    assert gradient(lambda x: F.huber_loss(x, np.zeros(3), 1.0, "no"), [-1.0, 0.5, 2.0]) == [-1, 0.5, 1]


def test_large_arguments_stay_finite():
    big = np.array([[1e4, -1e4, 0.0]])
    np.testing.assert_array_equal(F.sigmoid(big).array, [[1, 0, 0.5]])
    np.testing.assert_array_equal(F.softmax(big).array, [[1, 0, 0]])
    np.testing.assert_array_equal(F.log_softmax(big).array, [[0, -2e4, -1e4]])
    np.testing.assert_array_equal(F.tanh(big).array, [[1, -1, 0]])
    np.testing.assert_array_equal(gradient(F.log_softmax, big.tolist()), [[-2, 1, 1]])


def test_powers_at_zero():
    assert gradient(lambda x: x**2, [0.0]) == [0]
    assert gradient(lambda x: x**1, [0.0]) == [1]
    assert gradient(lambda x: x**0, [0.0, 2.0]) == [0, 0]


def test_the_mean_of_halves_does_not_overflow():
    assert F.average(Variable(np.full(1000, 100, np.float16))).item() == 100


def test_argmax_and_argmin():
    x = Variable(np.array([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]]))
    for f, flat, rows in ((F.argmax, 1, [1, 0]), (F.argmin, 5, [0, 2])):
        assert f(x).item() == flat
        assert f(x).shape == ()
        assert f(x, axis=1).array.tolist() == rows
        assert f(x, axis=1).dtype == np.int32
        assert not f(x, axis=1).requires_grad


# bad input: one clear message that names op and argument


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: F.linear(np.ones((2, 3)), np.ones((4, 5))),
            ValueError,
            r"linear: .*x \(2, 3\) float64, W \(4, 5\) float64",
        ),
        (
            lambda: F.linear(np.ones((2, 3)), np.ones((4, 3), "f")),
            TypeError,
            r"linear: x is float64 and W is float32; cast x",
        ),
        (lambda: F.linear(np.ones((2, 3)), np.ones((4, 3)), np.ones(1)), ValueError, r"linear: .*b \(1,\)"),
        (lambda: F.linear(np.ones((2, 3)), np.ones((4, 3)), np.ones((2, 4))), ValueError, r"linear: .*b \(2, 4\)"),
        (lambda: F.linear(np.ones((2, 3), "f"), np.ones((4, 3), "f"), np.ones(4)), TypeError, r"linear: .*b .*float64"),
        (lambda: F.linear(np.ones(3), np.ones((4, 3))), ValueError, r"linear: .*\(3,\)"),
        (lambda: F.linear(np.ones((2, 3)), np.ones((4, 3)), n_batch_axes=2), ValueError, "linear: n_batch_axes"),
        (
            lambda: F.mean_squared_error(np.ones((2, 1)), np.ones(2)),
            ValueError,
            r"mean_squared_error: .*\(2, 1\) and \(2,\)",
        ),
        (lambda: F.squared_error(np.ones(2), np.ones((1, 2))), ValueError, r"squared_error: .*one shape"),
        (
            lambda: F.huber_loss(np.ones((2, 1)), np.ones(2), 1.0),
            ValueError,
            r"huber_loss: .*x \(2, 1\) float64, t \(2,\)",
        ),
        (lambda: F.huber_loss(np.ones(2, "f"), np.ones(2), 1.0), TypeError, "huber_loss: .*one dtype"),
        (lambda: F.huber_loss(np.ones(2), np.ones(2), 1.0, "sum"), ValueError, "huber_loss: reduce .*'sum'"),
        (lambda: F.select_item(np.ones((2, 3)), np.zeros((2, 1), int)), ValueError, r"select_item: .*\(2, 1\)"),
        (lambda: F.select_item(np.ones((2, 3)), np.zeros(2)), TypeError, "select_item: t must hold integers"),
        (lambda: F.select_item(np.ones((2, 3)), np.array([0, 3])), IndexError, r"select_item: .*\(got x \(2, 3\)"),
        (lambda: F.where(np.ones(2), np.ones(2), np.ones(2)), TypeError, "where: condition must be bool"),
        (lambda: F.reshape(np.ones((2, 3)), (4,)), ValueError, r"reshape: .*x \(2, 3\)"),
        (lambda: F.squeeze(np.ones((2, 3)), 1), ValueError, "squeeze: axis 1 .* length 3"),
        (lambda: F.squeeze(np.ones((1, 3)), 2), ValueError, "squeeze: .*axis 2"),
        (lambda: F.expand_dims(np.ones((1, 3)), 7), ValueError, "expand_dims: .*axis 7"),
        (lambda: F.expand_dims(np.ones((1, 3)), -4), ValueError, "expand_dims: .*axis -4"),
        (lambda: F.sum(np.ones((1, 3)), 2), ValueError, "sum: .*axis 2"),
        (lambda: F.split_axis(np.ones((4, 3)), 3, 0), ValueError, "split_axis: axis 0 of length 4"),
        (lambda: F.split_axis(np.ones((4, 3)), 3, 2), (ValueError, IndexError), "split_axis: .*axis 2"),
        (lambda: F.sum_to(np.ones((2, 3)), (3, 2)), ValueError, r"sum_to: .*\(2, 3\)"),
        (lambda: F.sum_to(np.ones(4), (2, 2)), ValueError, r"sum_to: .*\(4,\)"),
        (lambda: F.broadcast_to(np.ones((2, 3)), (2, 4)), ValueError, r"broadcast_to: .*x \(2, 3\)"),
        (lambda: F.broadcast_to(np.ones((1, 3)), (3,)), ValueError, r"broadcast_to: .*x \(1, 3\)"),
        (lambda: F.concat([np.ones((2, 3)), np.ones((3, 3))]), ValueError, r"concat: .*\(2, 3\).*\(3, 3\)"),
        (lambda: F.matmul(np.ones((2, 3)), np.ones((2, 3))), ValueError, r"matmul: .*a \(2, 3\) float64, b \(2, 3\)"),
        (lambda: F.average(np.ones((2, 3)), 1, np.ones(2)), ValueError, r"average: weights \(2,\)"),
        (lambda: Variable(np.ones(2)) + np.ones(3), ValueError, r"add: .*x0 \(2,\) float64, x1 \(3,\) float64"),
        (lambda: Variable(np.ones(2)) + "a", TypeError, r"add: .*x1 str"),
        (lambda: Variable(np.ones((2, 3)))[2], IndexError, r"get_item: .*x \(2, 3\)"),
        (lambda: F.relu([1.0, 2.0]), TypeError, "relu: .*x list"),
        (lambda: F.sum([1.0, 2.0]), TypeError, "sum: .*x list"),
        (lambda: np.heaviside(Variable(np.ones(2)), 1), TypeError, "numpy.heaviside of a Variable is not an op"),
        (lambda: np.add.reduce(Variable(np.ones(2))), TypeError, "numpy.add of a Variable"),
        (lambda: np.add(Variable(np.ones(2)), 1, out=np.ones(2)), TypeError, "numpy.add of a Variable"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match) as caught:
        call()
    assert caught.value.__cause__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("indices", [[-1], [2, 9], [3, 1]])
def test_odd_indices_are_refused(indices):
    with pytest.raises(ValueError, match="split_axis: indices must rise from 0 to 5"):
        F.split_axis(np.arange(10.0).reshape(2, 5), indices, 1)


# dtypes


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, c: x + c, lambda x, c: c - x, lambda x, c: c * x, lambda x, c: x / c, lambda x, c: x**c,
        lambda x, c: c**x,
        lambda x, c: np.maximum(c, x), lambda x, c: F.maximum(x, c), lambda x, c: F.minimum(c, x),
        lambda x, c: F.clip(x, -c, c), lambda x, c: F.huber_loss(x, x * 0, c),
        lambda x, c: F.huber_loss(x, x * 0, c, "mean"), lambda x, c: F.add(c, x), lambda x, c: F.maximum(c, x),
        lambda x, c: F.minimum(x, c),
        lambda x, c: F.arctan2(c, x), lambda x, c: F.arctan2(x, c), lambda x, c: F.fmod(c, x),
        lambda x, c: F.fmod(x, c), lambda x, c: c // x, lambda x, c: x // c,
        lambda x, c: F.linear_interpolate(c, x, x), lambda x, c: F.linear_interpolate(x, c, x),
        lambda x, c: F.linear_interpolate(x, x, c), lambda x, c: F.where(x.array > 0, c, x),
        lambda x, c: F.where(x.array > 0, x, c), lambda x, c: F.clipped_relu(x, c),
        lambda x, c: F.leaky_relu(x, c), lambda x, c: F.elu(x, c), lambda x, c: F.softplus(x, c),
    ],
)  # fmt: skip
def test_numpys_scalars_widen_nothing(f, dtype):
    for scalar in (np.float64(2), np.int64(2), 2, 2.0):
        x = F.identity(Variable(np.full((1, 2), 0.5, dtype)))
        y = f(x, scalar)
        assert y.dtype == dtype
        if y.requires_grad:
            F.sum(y).backward(retain_grad=True)
            assert x.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int64, np.int8, np.uint8, bool])
def test_constant_arrays_widen_nothing(dtype, kind):
    """In Chainer 7.8.1 too an array takes the dtype of the Variable that it is added to."""
    x, c = Variable(np.array([0.5, 2], dtype)), np.array([1, 1], kind)
    for y, expected in (
        (x + c, [1.5, 3]), (c + x, [1.5, 3]), (x - c, [-0.5, 1]), (c - x, [0.5, -1]), (x * c, [0.5, 2]),
        (c * x, [0.5, 2]), (x / c, [0.5, 2]), (c / x, [2, 0.5]), (x**c, [0.5, 2]), (c**x, [1, 1]), (x // c, [0, 2]),
        (c // x, [2, 0]), (x @ c, 2.5), (c @ x, 2.5), (x * c[1], [0.5, 2]), (x * c[:1].reshape(()), [0.5, 2]),
    ):  # fmt: skip
        assert (y.dtype, y.array.tolist()) == (dtype, expected)
    assert (Variable(np.array([1, 2])) * np.float32([0.5, 1])).array.tolist() == [0.5, 2]  # integers are promoted
    assert (x * np.array([1j, 2])).dtype.kind == "c"


def test_arrays_on_the_left_are_ours():
    x, a = Variable(np.float32([1, 2])), np.float32([3, 4])
    for y, expected in (
        (a + x, [4, 6]),
        (a - x, [2, 2]),
        (a * x, [3, 8]),
        (a / x, [3, 2]),
        (a**x, [3, 16]),
        (a @ x, 11),
    ):
        assert isinstance(y, Variable)
        assert y.dtype == np.float32
        assert y.array.tolist() == expected


def test_mixed_dtypes_promote_and_gradients_come_back_in_each_ones_own():
    x, y = Variable(np.float32([1, 2])), Variable(np.float64([3, 4]))
    z = F.sum(x * y)
    assert z.dtype == np.float64
    z.backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert [g.dtype for g in grad(F.sum(x * y), [x, y])] == [np.float32, np.float64]


def test_a_cast_to_integers_has_no_gradient():
    x = Variable(np.array([1.5, 2.5]))
    assert not F.cast(x, np.int64).requires_grad
    y = F.sum(F.cast(F.cast(x, np.float32), np.float64) * 2)
    y.backward()
    assert x.grad.tolist() == [2, 2]


# the checks bite


class Cube(Function):
    saves = "x"

    def forward(self, x):
        return x**3

    def backward(self, gy, x):
        return gy * (3 * x * x)


class WrongSign(Cube):
    def backward(self, gy, x):
        return -super().backward(gy, x)


class WrongFactor(Cube):
    def backward(self, gy, x):
        return gy * (3.01 * x * x)


class LostSum(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        return x0 * x1

    def backward(self, gy, x0, x1):
        return gy * x1, gy * x0


class ConstantSlope(Function):
    """The first derivative is right; the second is 0, for the slope counts as a constant."""

    saves = "slope"

    def forward(self, x):
        self.slope = 3 * x * x
        return x**3

    def backward(self, gy, slope):
        return gy * slope


class WithComposite(Function):
    saves = "x slope"

    def forward(self, x):
        self.slope = 3 * x * x
        return x**3

    def backward(self, gy, x, slope):
        return gy * slope

    def composite(self, x):
        return x * x * x


class WrongComposite(WithComposite):
    """The formula of another op, consistent in itself."""

    def composite(self, x):
        return x * x * x * 1.5


class TwoInputsWithComposite(Function):
    saves = "x0 x1 e"

    def forward(self, x0, x1):
        self.e = np.exp(x0 * x1)
        return self.e

    def backward(self, gy, x0, x1, e):
        e0, e1 = self.edges
        return e0 and gy * e * x1, e1 and gy * e * x0

    def composite(self, x0, x1):
        return F.exp(x0 * x1)


class TwoOutputsWithComposite(Function):
    saves = "x s"
    many = True

    def forward(self, x):
        self.s = np.cos(x)
        return np.sin(x), x * x

    def backward(self, gys, x, s):
        g = 0
        if gys[0] is not None:
            g = g + gys[0] * s
        return g if gys[1] is None else g + gys[1] * (2 * x)

    def composite(self, x):
        z = F.tanh(x)
        return z * (1 - z * z) ** -0.5 * 0 + sine(x), x * x


class WithoutComposite(WithComposite):
    composite = False


class SavesOutputs(Function):
    saves = "y1 y0"
    many = True

    def forward(self, x):
        return np.exp(x), np.exp(2 * x)

    def backward(self, gys, y1, y0):
        parts = [g * d for g, d in ((gys[0], y0), (gys[1], 2 * y1)) if g is not None]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class Norm(Function):
    saves = "xs"

    def forward(self, *xs):
        return sum(x * x for x in xs)

    def backward(self, gy, *xs):
        return tuple([2 * gy * x for x in xs])


def sine(x):
    return Sine().apply(x)


class Sine(Function):
    saves = "x"

    def forward(self, x):
        return np.sin(raw(x))

    def backward(self, gy, x):
        return gy * Cosine().apply(x) if isinstance(x, Variable) else gy * np.cos(x)


class Cosine(Function):
    saves = "x"

    def forward(self, x):
        return np.cos(x)

    def backward(self, gy, x):
        return -gy * sine(x) if isinstance(x, Variable) else -gy * np.sin(x)


def raw(x):
    return x.array if isinstance(x, Variable) else x


X, Y, GY = np.array([[0.4, -0.7], [0.9, 0.5]]), np.array([0.3, 0.8]), np.array([[1.0, 0.7], [-0.6, 0.4]])


def first_and_second(f, *xs, gy=GY):
    rng = generator(3)
    check_backward(f, xs, gy, rng=rng)
    check_double_backward(f, xs, gy, [rng.uniform(0.3, 1, x.shape) for x in xs], rng=rng)


def test_a_right_op_passes():
    first_and_second(lambda x: Cube().apply(x), X)


@pytest.mark.parametrize("spoiled", [WrongSign, WrongFactor])
def test_a_wrong_gradient_is_caught(spoiled):
    with pytest.raises(AssertionError, match="along a random direction"):
        check_backward(lambda x: spoiled().apply(x), X, GY, rng=generator(3))


def test_a_lost_broadcast_sum_is_caught():
    with pytest.raises(ValueError, match=r"a gradient of shape \(2, 2\) for an input of shape \(2,\)"):
        check_backward(lambda x, y: LostSum().apply(x, y), (X, Y), GY, rng=generator(3))


def test_a_spoiled_second_derivative_is_caught():
    def f(x):
        return ConstantSlope().apply(x)

    check_backward(f, X, GY, rng=generator(3))
    with pytest.raises(AssertionError, match="along a random direction"):
        check_double_backward(f, X, GY, X, rng=generator(3))


def test_a_composite_of_another_formula_is_caught():
    with pytest.raises(AssertionError):
        check_double_backward(lambda x: WrongComposite().apply(x), X, GY, X, rng=generator(3))


def test_a_composite_keeps_partial_derivatives_partial():
    """One Variable given twice, and one input that is made of the other."""
    x = Variable(np.array([0.5, -0.3]))
    for y, slope in (
        (TwoInputsWithComposite().apply(x, x), 2 * x.array * np.exp(x.array**2)),
        (TwoInputsWithComposite().apply(x, x * 2), 4 * x.array * np.exp(2 * x.array**2)),
    ):
        for double in (False, True):
            g = grad(y, x, np.ones(2), enable_double_backprop=double)[0]
            np.testing.assert_allclose(g.array, slope, rtol=1e-14)


def test_gradients_reach_an_output_from_outside_and_from_its_own_backward():
    """y0 = e^x, y1 = e^2x: the derivative of (dy0/dx) y0 y1 = e^4x."""
    x = Variable(np.array([0.5, -0.3]))
    y0, y1 = SavesOutputs().apply(x)
    g = grad(y0, x, np.ones(2), enable_double_backprop=True)[0]
    np.testing.assert_allclose(grad(F.sum(g * y0 * y1), x)[0].array, 4 * np.exp(4 * x.array), rtol=1e-13)


def test_a_fused_backward_with_a_composite_passes():
    first_and_second(lambda x: WithComposite().apply(x), X)
    first_and_second(lambda x, y: TwoInputsWithComposite().apply(x, y), X, np.abs(X.T))
    first_and_second(lambda x: TwoInputsWithComposite().apply(x, x), X)
    first_and_second(lambda x: TwoInputsWithComposite().apply(Y, x), X.ravel()[:2], gy=GY[0])


def test_a_composite_of_several_outputs_passes():
    first_and_second(lambda x: TwoOutputsWithComposite().apply(x), X, gy=(GY, GY.T))
    for k in (0, 1):
        first_and_second(lambda x, k=k: TwoOutputsWithComposite().apply(x)[k], X)


def test_saved_outputs_of_several_pass():
    first_and_second(lambda x: SavesOutputs().apply(x), X, gy=(GY, GY.T))
    for k in (0, 1):
        first_and_second(lambda x, k=k: SavesOutputs().apply(x)[k], X)


def test_each_of_several_outputs_is_an_array():
    x = Variable(np.array(0.5))
    ys = SavesOutputs().apply(x)
    assert [(type(y.array), y.shape) for y in ys] == [(np.ndarray, ())] * 2
    (ys[0] * ys[1]).backward()
    np.testing.assert_allclose(x.grad, 3 * np.exp(1.5), rtol=1e-14)


def test_inputs_without_names_cannot_be_saved():
    with pytest.raises(TypeError, match=r"Norm: .*xs"):
        Norm().apply(X, X.T)


def test_no_composite_is_said():
    x = Variable(X)
    y = WithoutComposite().apply(x)
    F.sum(y).backward(retain_graph=True)
    np.testing.assert_allclose(x.grad, 3 * X * X)
    for ask in (
        lambda: grad(y, x, GY, enable_double_backprop=True),
        lambda: F.sum(y).backward(enable_double_backprop=True),
    ):
        with pytest.raises(ValueError, match="without_composite has no second derivative"):
            ask()


def test_a_composite_needs_all_inputs_saved():
    class Forgets(Function):
        saves = "x0"

        def forward(self, x0, x1):
            return x0 * x1

        def composite(self, x0, x1):
            return x0 * x1

    with pytest.raises(TypeError, match="Forgets: an op with a composite must save all its inputs"):
        Forgets().apply(Variable(X), X)


def test_a_subclass_that_saves_something_else_is_asked_for_it():
    """Whichever class is used first."""

    class Parent(Function):
        saves = "x"

        def forward(self, x):
            return np.exp(x)

        def backward(self, gy, x):
            return gy * np.exp(x)

    class Child(Parent):
        saves = "y"

        def backward(self, gy, y):
            return gy * y

    class Wider(Parent):
        saves = "y"

        def forward(self, x, factor):
            return factor * np.exp(x)

        def backward(self, gy, y):
            return gy * y, None

    first_and_second(lambda x: Parent().apply(x), X)
    first_and_second(lambda x: Child().apply(x), X)
    first_and_second(lambda x: Wider().apply(x, 2.0), X)


def ops_of(y) -> set[type]:
    """The classes of all ops behind y."""
    found, stack = set(), [v.node for v in several(y)]
    while stack:
        vertex = stack.pop()
        if vertex is not None:
            stack.extend(vertex.edges)
            if isinstance(vertex, Function):
                found.add(type(vertex))
    return found


@EACH
def test_a_spoiled_backward_fails_its_row(op, monkeypatch):
    """Every op that a row goes through, with 1.01 times its gradient, is caught by the row's own check."""
    xs = op.inputs()
    y = op(*map(Variable, xs))
    for cls in ops_of(y):
        with monkeypatch.context() as patched:

            def spoiled(self, *args, right=cls.backward):
                gs = right(self, *args)
                if isinstance(gs, tuple | list):
                    return [None if g is None else g * 1.01 for g in gs]
                return gs * 1.01

            patched.setattr(cls, "backward", spoiled)
            with pytest.raises(AssertionError, match="along a random direction"):
                check_backward(op, xs, weights(op, y), rng=op.rng())


@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_relu_in_one_vertex(bias):
    rng = generator(5)
    x, W, b = (rng.uniform(0.3, 1, s) * rng.choice([-1, 1], s) for s in ((5, 4), (3, 4), (3,)))
    inputs = (x, W, b) if bias else (x, W)

    def fused(*inputs):
        return LinearRelu().apply(*inputs)

    np.testing.assert_array_equal(fused(*inputs).array, F.relu(F.linear(*inputs)).array)
    check_backward(fused, inputs, np.ones((5, 3)), rng=rng)
    check_double_backward(fused, inputs, np.ones((5, 3)), inputs, rng=rng)
    one, two = [Variable(a) for a in inputs], [Variable(a) for a in inputs]
    F.sum(fused(*one) ** 2).backward()
    F.sum(F.relu(F.linear(*two)) ** 2).backward()
    for v, w in zip(one, two):
        np.testing.assert_array_equal(v.grad, w.grad)
