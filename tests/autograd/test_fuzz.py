"""Random shapes, dtypes and strides for the functions that every model needs: 10,000 examples and more under `slow`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.gradient_check import check_backward
from rlcore.rng import generator

RTOL = {"d": 1e-12, "f": 2e-5, "e": 2e-2}


class Example(NamedTuple):
    """f on Variables against ref on float64 arrays, for float inputs of these shapes."""

    f: Callable[..., Any]
    ref: Callable[..., Any]
    shapes: list[tuple[int, ...]]
    positive: bool = False
    constant: bool = False  # has no gradient


CASES: dict[str, Callable[[Any], Example]] = {}


def case(function: Callable[[Any], Example]) -> Callable[[Any], Example]:
    CASES[function.__name__] = function
    return function


side = st.integers(0, 4)
some = st.integers(1, 4)
shape = st.lists(side, max_size=4).map(tuple)
full = st.lists(some, max_size=4).map(tuple)
solid = st.lists(some, min_size=1, max_size=4).map(tuple)
seed = st.integers(0, 2**32 - 1)


def unary(name: str, ref: Callable[..., Any], positive: bool = False, constant: bool = False) -> None:
    f = getattr(F, name)
    CASES[name] = lambda draw: Example(f, ref, [draw(shape)], positive, constant)


unary("relu", lambda x: np.where(x > 0, x, 0))
unary("tanh", lambda x: 1 - 2 / (np.exp(2 * x) + 1))
unary("sigmoid", lambda x: 1 / (1 + np.exp(-x)))
unary("softplus", lambda x: np.log(1 + np.exp(x)))
unary("absolute", lambda x: np.sqrt(x * x))
unary("exp", lambda x: np.e**x)
unary("log", lambda x: np.log2(x) / np.log2(np.e), positive=True)
unary("log1p", lambda x: np.log(1 + x), positive=True)
unary("sqrt", lambda x: x**0.5, positive=True)
unary("square", lambda x: x**2)
unary("arctanh", lambda x: 0.5 * (np.log1p(x / 2) - np.log1p(-x / 2)))
unary("expm1", lambda x: np.exp(x) - 1)
unary("sign", lambda x: x / abs(x), constant=True)
CASES["copy"] = lambda draw: Example(lambda x: F.copy(x, -1), lambda x: x, [draw(shape)])
unary("flatten", lambda x: x.reshape(-1))
CASES["arctanh"] = lambda draw: Example(
    lambda x: F.arctanh(x * 0.5), lambda x: 0.5 * (np.log1p(x / 2) - np.log1p(-x / 2)), [draw(shape)]
)


def axis_of(draw: Any, ndim: int) -> int:
    return draw(st.integers(-ndim, ndim - 1))


def axes_of(draw: Any, ndim: int) -> Any:
    kinds = [st.none()]
    if ndim:
        kinds += [st.integers(-ndim, ndim - 1), st.sets(st.integers(0, ndim - 1), min_size=1).map(tuple)]
    return draw(st.one_of(kinds))


def normalised(f: Callable[..., Any], ref: Callable[[Any], Any]) -> Callable[[Any], Example]:
    def make(draw: Any) -> Example:
        s = draw(solid)
        axis = axis_of(draw, len(s))

        def along(x: Any) -> Any:
            e = np.exp(x)
            return ref(e / e.sum(axis=axis, keepdims=True))

        return Example(lambda x: f(x, axis=axis), along, [s])

    return make


CASES["softmax"] = normalised(F.softmax, lambda p: p)
CASES["log_softmax"] = normalised(F.log_softmax, np.log)


@case
def broadcast(draw: Any) -> Example:
    shapes = draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3)).input_shapes
    return Example(lambda *xs: F.broadcast(*xs), lambda *xs: tuple(np.broadcast_arrays(*xs)), list(shapes))


@case
def broadcast_to(draw: Any) -> Example:
    narrow, wide = draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes
    to = np.broadcast_shapes(narrow, wide)
    return Example(lambda x: F.broadcast_to(x, to), lambda x: x + np.zeros(to), [narrow])


@case
def sum_to(draw: Any) -> Example:
    wide = draw(solid)
    keep = draw(st.integers(0, len(wide)))
    to = tuple([draw(st.sampled_from([1, n])) for n in wide[len(wide) - keep :]])

    def ref(x: Any) -> Any:
        x = x.sum(axis=tuple(range(x.ndim - len(to))))
        return x.sum(axis=tuple([i for i, n in enumerate(to) if n == 1]), keepdims=True)

    return Example(lambda x: F.sum_to(x, to), ref, [wide])


@case
def cast(draw: Any) -> Example:
    return Example(lambda x: F.cast(F.cast(x, np.float64), x.dtype), lambda x: x, [draw(shape)])


@case
def concat(draw: Any) -> Example:
    s = draw(solid)
    axis = axis_of(draw, len(s))
    sizes = draw(st.lists(side, min_size=1, max_size=3))
    shapes = [tuple([n if i == axis % len(s) else m for i, m in enumerate(s)]) for n in sizes]
    return Example(lambda *xs: F.concat(xs, axis=axis), lambda *xs: np.concatenate(xs, axis), shapes)


@case
def stack(draw: Any) -> Example:
    s, n = draw(shape), draw(some)
    axis = draw(st.integers(-len(s) - 1, len(s)))
    return Example(lambda *xs: F.stack(xs, axis=axis), lambda *xs: np.stack(xs, axis), [s] * n)


@case
def separate(draw: Any) -> Example:
    s = draw(solid)
    axis = axis_of(draw, len(s))
    return Example(lambda x: F.separate(x, axis=axis), lambda x: tuple(np.moveaxis(x, axis, 0)), [s])


@case
def split_axis(draw: Any) -> Example:
    s = draw(solid)
    axis = axis_of(draw, len(s))
    at = sorted(draw(st.lists(st.integers(0, s[axis]), min_size=1, max_size=3)))
    return Example(lambda x: F.split_axis(x, at, axis), lambda x: tuple(np.split(x, at, axis)), [s])


@case
def expand_dims(draw: Any) -> Example:
    s = draw(shape)
    axis = draw(st.integers(-len(s) - 1, len(s)))
    return Example(lambda x: F.expand_dims(x, axis), lambda x: np.expand_dims(x, axis), [s])


@case
def squeeze(draw: Any) -> Example:
    s = draw(st.lists(st.sampled_from([0, 1, 3]), max_size=4).map(tuple))
    return Example(F.squeeze, np.squeeze, [s])


@case
def reshape(draw: Any) -> Example:
    s = draw(full)
    parts = [p for n in s for p in ((2, n // 2) if n % 2 == 0 else (n,))]
    to = draw(st.permutations(parts))
    at = draw(st.integers(0, len(to) - 1)) if to else None
    to = tuple([-1 if i == at else n for i, n in enumerate(to)])
    return Example(lambda x: F.reshape(x, to), lambda x: np.ascontiguousarray(x).reshape(to), [s])


@case
def transpose(draw: Any) -> Example:
    s = draw(shape)
    axes = draw(st.none() | st.permutations(range(len(s))).map(tuple))
    return Example(lambda x: F.transpose(x, axes), lambda x: np.transpose(x, axes), [s])


@case
def get_item(draw: Any) -> Example:
    s = draw(solid)
    index = []
    for n in s[: draw(st.integers(0, len(s)))]:
        kinds = [
            st.integers(-n, n - 1),
            st.builds(slice, st.none() | st.integers(-n, n), st.none(), st.sampled_from([1, 2, -1])),
        ]
        index.append(draw(st.one_of(*kinds)))
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), None)
    if draw(st.booleans()) and len(index) < len(s):
        index.append(Ellipsis)
    elif not any(i is None for i in index) and draw(st.booleans()):
        index = [np.array(draw(st.lists(st.integers(-s[0], s[0] - 1), max_size=3)), np.int64)]
    index = tuple(index)
    return Example(lambda x: F.get_item(x, index), lambda x: x[index], [s])


@case
def select_item(draw: Any) -> Example:
    n, a = draw(side), draw(some)
    t = np.array(draw(st.lists(st.integers(0, a - 1), min_size=n, max_size=n)), draw(st.sampled_from("ilB")))
    return Example(lambda x: F.select_item(x, t), lambda x: np.array([x[i, k] for i, k in enumerate(t)]), [(n, a)])


@case
def where(draw: Any) -> Example:
    shapes = draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3)).input_shapes
    mask = generator(draw(seed)).random(shapes[2]) < 0.5
    return Example(
        lambda x, y: F.where(mask, x, y), lambda x, y: x * mask + y * ~np.asarray(mask), [shapes[0], shapes[1]]
    )


def binary(f: Callable[..., Any], ref: Callable[..., Any]) -> Callable[[Any], Example]:
    return lambda draw: Example(
        f, ref, list(draw(mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes)
    )


CASES["add"] = binary(F.add, lambda x, y: x - -y)
CASES["maximum"] = binary(F.maximum, lambda x, y: np.where(x > y, x, y))
CASES["minimum"] = binary(F.minimum, lambda x, y: np.where(x < y, x, y))


def alike(f: Callable[..., Any], ref: Callable[..., Any]) -> Callable[[Any], Example]:
    def make(draw: Any) -> Example:
        s = draw(solid)
        return Example(f, ref, [s, s])

    return make


CASES["squared_error"] = alike(F.squared_error, lambda x, t: (x - t) ** 2)
CASES["squared_difference"] = alike(F.squared_difference, lambda x, t: x * x - 2 * x * t + t * t)
CASES["mean_squared_error"] = alike(F.mean_squared_error, lambda x, t: np.mean((x - t) ** 2))


@case
def huber_loss(draw: Any) -> Example:
    s = (draw(some), draw(some))
    reduce, delta = draw(st.sampled_from(["no", "mean", "sum_along_second_axis"])), draw(st.sampled_from([0.25, 1.0]))

    def ref(x: Any, t: Any) -> Any:
        d = abs(x - t)
        y = np.where(d <= delta, 0.5 * d**2, delta * (d - 0.5 * delta))
        return {"no": y, "mean": y.mean(), "sum_along_second_axis": y.sum(1)}[reduce]

    return Example(lambda x, t: F.huber_loss(x, t, delta, reduce), ref, [s, s])


@case
def softmax_cross_entropy(draw: Any) -> Example:
    n, c = draw(some), draw(st.integers(2, 4))
    places = draw(st.lists(some, max_size=2).map(tuple))
    t = generator(draw(seed)).integers(-1, c, (n, *places)).astype(np.int32)
    reduce = draw(st.sampled_from(["mean", "no"]))

    def ref(x: Any) -> Any:
        p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        y = np.zeros(t.shape)
        for i in np.ndindex(t.shape):
            if t[i] >= 0:
                y[i] = -np.log(p[(i[0], t[i], *i[1:])])
        return y if reduce == "no" else y.sum() / max(1, (t >= 0).sum())

    return Example(lambda x: F.softmax_cross_entropy(x, t, reduce=reduce), ref, [(n, c, *places)])


@case
def linear(draw: Any) -> Example:
    n, i, o = draw(side), draw(some), draw(some)
    extra = draw(st.lists(some, max_size=1).map(tuple))
    k = i * math.prod(extra)
    with_bias = draw(st.booleans())

    def ref(x: Any, W: Any, b: Any = 0) -> Any:
        return np.einsum("ni,oi->no", x.reshape(n, k), W) + b

    return Example(F.linear, ref, [(n, i, *extra), (o, k), *([(o,)] if with_bias else [])])


@case
def convolution_2d(draw: Any) -> Example:
    n, c, o = draw(side), draw(some), draw(some)
    kh, kw, sy, sx = draw(some), draw(some), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    ph, pw = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    h, w = draw(st.integers(max(1, kh - 2 * ph), 6)), draw(st.integers(max(1, kw - 2 * pw), 6))

    def ref(x: Any, W: Any, b: Any) -> Any:
        x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        oh, ow = (x.shape[2] - kh) // sy + 1, (x.shape[3] - kw) // sx + 1
        y = np.zeros((n, o, oh, ow))
        for i in range(oh):
            for j in range(ow):
                patch = x[:, :, i * sy : i * sy + kh, j * sx : j * sx + kw]
                y[:, :, i, j] = np.einsum("nchw,ochw->no", patch, W) + b
        return y

    return Example(
        lambda x, W, b: F.convolution_2d(x, W, b, stride=(sy, sx), pad=(ph, pw)),
        ref,
        [(n, c, h, w), (o, c, kh, kw), (o,)],
    )


def reduction(f: Callable[..., Any], ref: Callable[..., Any]) -> Callable[[Any], Example]:
    def make(draw: Any) -> Example:
        s = draw(full)
        axis, keepdims = axes_of(draw, len(s)), draw(st.booleans())
        return Example(
            lambda x: f(x, axis=axis, keepdims=keepdims), lambda x: ref(x, axis=axis, keepdims=keepdims), [s]
        )

    return make


CASES["sum"] = reduction(F.sum, np.add.reduce)
CASES["average"] = reduction(F.average, np.mean)
CASES["mean"] = reduction(F.mean, np.mean)
CASES["max"] = reduction(F.max, np.maximum.reduce)
CASES["min"] = reduction(F.min, np.minimum.reduce)


@case
def logsumexp(draw: Any) -> Example:
    s = draw(full)
    axis = axes_of(draw, len(s))
    return Example(lambda x: F.logsumexp(x, axis=axis), lambda x: np.log(np.exp(x).sum(axis=axis)), [s])


def arg(f: Callable[..., Any], ref: Callable[..., Any]) -> Callable[[Any], Example]:
    def make(draw: Any) -> Example:
        s = draw(solid)
        axis = draw(st.none() | st.integers(-len(s), len(s) - 1))
        return Example(lambda x: f(x, axis=axis), lambda x: ref(x, axis=axis), [s], constant=True)

    return make


CASES["argmax"], CASES["argmin"] = arg(F.argmax, np.argmax), arg(F.argmin, np.argmin)


@case
def clip(draw: Any) -> Example:
    low, high = sorted(draw(st.tuples(st.floats(-1, 1), st.floats(-1, 1))))
    return Example(
        lambda x: F.clip(x, low, high), lambda x: np.where(x < low, low, np.where(x > high, high, x)), [draw(shape)]
    )


@case
def matmul(draw: Any) -> Example:
    signature = "(m?,n),(n,p?)->(m?,p?)"
    shapes = draw(mutually_broadcastable_shapes(signature=signature, max_dims=2, max_side=3)).input_shapes
    return Example(F.matmul, np.matmul, list(shapes))


@case
def gaussian(draw: Any) -> Example:
    s, n = draw(shape), draw(seed)

    def noise(dtype: Any) -> Any:
        return generator(n).standard_normal(s).astype(np.float16).astype(dtype)

    return Example(
        lambda m, v: F.gaussian(m, v, eps=noise(m.dtype)), lambda m, v: m + np.exp(v) ** 0.5 * noise("d"), [s, s]
    )


@case
def dropout(draw: Any) -> Example:
    s, ratio = draw(shape), draw(st.sampled_from([0.0, 0.25, 0.5]))
    mask = (generator(draw(seed)).random(s) >= ratio) / (1 - ratio)
    return Example(lambda x: F.dropout(x, ratio, mask=mask.astype(x.dtype)), lambda x: x * mask, [s])


@case
def layer_normalization(draw: Any) -> Example:
    n, d = draw(some), draw(st.integers(2, 5))

    def ref(x: Any, gamma: Any, beta: Any) -> Any:
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * gamma + beta

    return Example(F.layer_normalization, ref, [(n, d), (d,), (d,)])


LAYOUTS = ["plain", "strided", "reversed", "transposed"]


def laid(x: np.ndarray, layout: str) -> np.ndarray:
    """x in another memory layout, read-only."""
    if layout == "transposed":
        x = np.array(x, order="F")
    elif layout != "plain" and x.ndim:
        wide = np.full([2 * n for n in x.shape], np.nan, x.dtype)
        view = wide[tuple([slice(None, None, 2 if layout == "strided" else -2)] * x.ndim)]
        view[...] = x
        x = view
    x = x.view()
    x.flags.writeable = False
    return x


def several(y: Any) -> tuple[Any, ...]:
    return tuple(y) if isinstance(y, (list, tuple)) else (y,)


def numbers(example: Example, rng: np.random.Generator) -> list[np.ndarray]:
    """Float64 inputs, all different, in [0.3, 1) and exact in float16, with random signs: no ties, kinks or poles."""
    sizes = [math.prod(s) for s in example.shapes]
    values = 0.3125 + rng.permutation(1400)[: sum(sizes)] / 2048
    parts = np.split(values, np.cumsum(sizes)[:-1])
    signs = [1.0 if example.positive else rng.choice([-1.0, 1.0], n) for n in sizes]
    return [np.asarray((v * s).reshape(shape)) for v, s, shape in zip(parts, signs, example.shapes)]


def agree(a: Any, b: Any, tolerance: float) -> None:
    b = np.asarray(b)
    assert np.shape(a) == b.shape
    scale = max(1.0, float(abs(b).max(initial=0)))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def check(data: Any, name: str) -> None:
    example = CASES[name](data.draw)
    dtype = data.draw(st.sampled_from("dfe"))
    layouts = [data.draw(st.sampled_from(LAYOUTS)) for _ in example.shapes]
    rng = generator(data.draw(seed))
    exact = numbers(example, rng)
    xs = [laid(x.astype(dtype), layout) for x, layout in zip(exact, layouts)]
    variables = [Variable(x) for x in xs]
    with np.errstate(all="ignore"):
        ys, expected = several(example.f(*variables)), several(example.ref(*exact))
    assert len(ys) == len(expected)
    for y, e in zip(ys, expected):
        assert isinstance(y.array, np.ndarray)
        if not example.constant:
            assert y.dtype == dtype
        agree(y.array, e, RTOL[dtype])
    if example.constant or not any(y.requires_grad for y in ys):
        return
    gys = [np.asarray(rng.uniform(0.3, 1, y.shape)) for y in ys]
    gs = grad(list(ys), variables, [g.astype(dtype) for g in gys])
    doubles = [Variable(x) for x in exact]
    wanted = grad(list(several(example.f(*doubles))), doubles, gys)
    for g, w, x in zip(gs, wanted, xs):
        assert (g.shape, g.dtype) == (x.shape, x.dtype)
        agree(g.array, w.array, 4 * RTOL[dtype])
    check_backward(example.f, exact, gys, eps=1e-5, rtol=1e-6, atol=1e-6, rng=rng)


MUST = [
    "relu", "tanh", "sigmoid", "softmax", "log_softmax", "softplus", "broadcast", "broadcast_to", "cast", "concat",
    "expand_dims", "flatten", "get_item", "reshape", "select_item", "split_axis", "squeeze", "stack", "transpose",
    "where", "copy", "separate", "linear", "convolution_2d", "mean_squared_error", "huber_loss",
    "softmax_cross_entropy", "squared_error", "squared_difference", "add", "absolute", "average", "mean", "sum",
    "sum_to", "exp", "log", "log1p", "sqrt", "square", "matmul", "maximum", "minimum", "max", "min", "argmax", "argmin",
    "clip", "logsumexp", "arctanh", "expm1", "sign", "gaussian", "dropout", "layer_normalization",
]  # fmt: skip


def test_every_function_that_models_need_is_here():
    assert sorted(CASES) == sorted(MUST)
    assert set(MUST) <= set(F.__all__)


@pytest.mark.parametrize("name", MUST)
@settings(derandomize=True, max_examples=15, deadline=None, database=None)
@given(data=st.data())
def test_examples(name, data):
    check(data, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUST)
@settings(derandomize=True, max_examples=200, deadline=None, database=None)
@given(data=st.data())
def test_many_examples(name, data):  # 200 for each of 54 functions
    check(data, name)
