"""One row for each public function, operator, method and NumPy ufunc: what `test_functions.py` checks it against."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlcore.autograd import functions as F
from rlcore.rng import generator


class Op(NamedTuple):
    """name: the public name, then what sets this row apart; ref: the same in NumPy; shapes: of the float inputs.

    Magnitudes lie in [0.3, 1], away from kinks and poles. empty: an axis of length 3 may have length 0; scalar: the op
    takes 0-d inputs.
    """

    name: str
    f: Callable[..., Any]
    ref: Callable[..., Any]
    shapes: list[tuple[int, ...]]
    positive: bool = False
    empty: bool = True
    scalar: bool = False

    @property
    def covers(self) -> str:
        return self.name.split(" ")[0]

    def rng(self) -> np.random.Generator:
        return generator(zlib.crc32(self.name.encode()))

    def inputs(self, shapes: list[tuple[int, ...]] | None = None) -> list[np.ndarray]:
        """Read-only float64 arrays, the same at every call."""
        rng, out = self.rng(), []
        for shape in self.shapes if shapes is None else shapes:
            sign = 1.0 if self.positive else rng.choice([-1.0, 1.0], shape)
            out.append(np.asarray(rng.uniform(0.3, 1.0, shape) * sign))
            out[-1].flags.writeable = False
        return out


def _softmax(x, axis):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def _huber(x, t, delta):
    d = x - t
    return np.where(abs(d) <= delta, 0.5 * d**2, delta * (abs(d) - 0.5 * delta))


A34, B34, V4, ROWS = (3, 4), (3, 4), (4,), np.array([2, 0, 2])
MASK = np.array([True, False, True, False])

OPS = [
    # activations
    Op("F.relu", F.relu, lambda x: np.where(x > 0, x, 0), [A34], scalar=True),
    Op("F.tanh", F.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1), [A34], scalar=True),
    Op("F.sigmoid", F.sigmoid, lambda x: 1 / (1 + np.exp(-x)), [A34], scalar=True),
    Op("F.softmax", F.softmax, lambda x: _softmax(x, 1), [A34]),
    Op("F.softmax axis=0", lambda x: F.softmax(x, axis=0), lambda x: _softmax(x, 0), [(2, 3)]),
    Op("F.log_softmax", F.log_softmax, lambda x: np.log(_softmax(x, 1)), [A34]),
    Op("F.log_softmax axis=-1", lambda x: F.log_softmax(x, -1), lambda x: np.log(_softmax(x, -1)), [(2, 3, 4)]),
    # shapes
    Op("F.reshape", lambda x: F.reshape(x, (2, -1)), lambda x: np.reshape(x, (2, 6)), [A34], empty=False),
    Op("F.flatten", F.flatten, np.ravel, [A34]),
    Op("F.expand_dims", lambda x: F.expand_dims(x, 1), lambda x: x[:, None], [A34]),
    Op("F.expand_dims axis=-1", lambda x: F.expand_dims(x, -1), lambda x: x[..., None], [A34], scalar=True),
    Op("F.squeeze", F.squeeze, lambda x: x[0, :, 0], [(1, 3, 1)]),
    Op("F.squeeze axis=-1", lambda x: F.squeeze(x, -1), lambda x: x[..., 0], [(1, 3, 1)]),
    Op("F.squeeze axis=(0, 2)", lambda x: F.squeeze(x, (0, 2)), lambda x: x[0, :, 0], [(1, 3, 1)]),
    Op("F.transpose", F.transpose, lambda x: np.einsum("ijk->kji", x), [(2, 3, 4)]),
    Op("F.transpose axes", lambda x: F.transpose(x, (1, -1, 0)), lambda x: np.einsum("ijk->jki", x), [(2, 3, 4)]),
    Op(
        "F.broadcast_to",
        lambda x: F.broadcast_to(x, (5, 3, 4)),
        lambda x: x + np.zeros((5, 3, 4)),
        [(3, 1)],
        empty=False,
    ),
    Op("F.sum_to", lambda x: F.sum_to(x, (3, 1)), lambda x: x.sum(0).sum(1)[:, None], [(5, 3, 4)], empty=False),
    Op("F.cast", lambda x: F.cast(x, np.float64), lambda x: x, [A34], scalar=True),
    Op(
        "F.get_item slice",
        lambda x: F.get_item(x, (slice(None), None, slice(3, 0, -2))),
        lambda x: x[:, None, 3:0:-2],
        [A34],
    ),
    Op(
        "F.get_item repeated", lambda x: F.get_item(x, ROWS), lambda x: np.stack([x[2], x[0], x[2]]), [A34], empty=False
    ),
    Op(
        "F.get_item mask",
        lambda x: F.get_item(x, (slice(None), MASK)),
        lambda x: np.stack([x[:, 0], x[:, 2]], 1),
        [A34],
    ),
    Op(
        "F.get_item pairs",
        lambda x: F.get_item(x, ([0, 0, 2], [1, 1, 3])),
        lambda x: x[[0, 0, 2], [1, 1, 3]],
        [A34],
        empty=False,
    ),
    Op("F.select_item", lambda x: F.select_item(x, ROWS), lambda x: np.choose(ROWS, x.T), [(3, 4)], empty=False),
    Op("F.where", lambda x, y: F.where(MASK, x, y), lambda x, y: x * MASK + y * ~MASK, [A34, V4]),
    Op("F.concat", lambda x, y: F.concat([x, y]), lambda x, y: np.hstack([x, y]), [A34, (3, 2)]),
    Op("F.concat axis=-2", lambda x, y: F.concat([x, y], axis=-2), lambda x, y: np.vstack([x, y]), [A34, (2, 4)]),
    Op("F.concat of one", lambda x: F.concat([x], axis=0), lambda x: x, [A34]),
    Op("F.stack", lambda x, y: F.stack([x, y]), lambda x, y: np.array([x, y]), [A34, B34], scalar=True),
    Op("F.stack axis=-1", lambda x, y: F.stack([x, y], axis=-1), lambda x, y: np.dstack([x, y]), [A34, B34]),
    Op("F.split_axis", lambda x: F.split_axis(x, 2, 1), lambda x: (x[:, :2], x[:, 2:]), [A34]),
    Op("F.split_axis at", lambda x: F.split_axis(x, [1, 3], 1), lambda x: (x[:, :1], x[:, 1:3], x[:, 3:]), [A34]),
    Op("F.split_axis one part used", lambda x: F.split_axis(x, [1, 3], 1)[1] ** 3, lambda x: x[:, 1:3] ** 3, [A34]),
    Op("F.split_axis alone", lambda x: F.split_axis(x, 1, 0, force_tuple=False), lambda x: x, [A34]),
    # weights and losses
    Op("F.linear", F.linear, lambda x, W, b: np.einsum("ni,oi->no", x, W) + b, [(3, 4), (2, 4), (2,)]),
    Op("F.linear nobias", F.linear, lambda x, W: np.einsum("ni,oi->no", x, W), [(3, 4), (2, 4)]),
    Op(
        "F.linear flattens", F.linear, lambda x, W: np.einsum("nij,oij->no", x, W.reshape(4, 2, 2)), [(3, 2, 2), (4, 4)]
    ),
    Op(
        "F.linear n_batch_axes=2",
        lambda x, W, b: F.linear(x, W, b, 2),
        lambda x, W, b: x @ W.T + b,
        [(3, 5, 4), (2, 4), (2,)],
    ),
    Op("F.squared_error", F.squared_error, lambda x, t: (x - t) ** 2, [A34, B34], scalar=True),
    Op("F.mean_squared_error", F.mean_squared_error, lambda x, t: np.mean((x - t) ** 2), [A34, B34], scalar=True),
    Op("F.huber_loss", lambda x, t: F.huber_loss(x, t, 0.5), lambda x, t: _huber(x, t, 0.5).sum(1), [A34, B34]),
    Op(
        "F.huber_loss no",
        lambda x, t: F.huber_loss(x, t, 0.5, "no"),
        lambda x, t: _huber(x, t, 0.5),
        [A34, B34],
        scalar=True,
    ),
    Op(
        "F.huber_loss mean",
        lambda x, t: F.huber_loss(x, t, 0.7, "mean"),
        lambda x, t: _huber(x, t, 0.7).mean(),
        [A34, B34],
        scalar=True,
    ),
    # elementwise
    Op("F.identity", F.identity, lambda x: x, [A34], scalar=True),
    Op("F.absolute", F.absolute, lambda x: np.sqrt(x**2), [A34], scalar=True),
    Op("F.square", F.square, lambda x: x**2, [A34], scalar=True),
    Op("F.sqrt", F.sqrt, lambda x: x**0.5, [A34], positive=True, scalar=True),
    Op("F.exp", F.exp, lambda x: np.e**x, [A34], scalar=True),
    Op("F.log", F.log, lambda x: np.log2(x) * np.log(2), [A34], positive=True, scalar=True),
    Op("F.maximum", F.maximum, lambda x, y: np.where(x > y, x, y), [A34, V4], scalar=True),
    Op("F.maximum scalar", lambda x: F.maximum(x, 0.1), lambda x: np.where(x > 0.1, x, 0.1), [A34], scalar=True),
    Op("F.minimum", F.minimum, lambda x, y: np.where(x < y, x, y), [V4, A34], scalar=True),
    Op("F.minimum scalar", lambda x: F.minimum(0.1, x), lambda x: np.where(x < 0.1, x, 0.1), [A34], scalar=True),
    Op(
        "F.clip",
        lambda x: F.clip(x, -0.6, 0.5),
        lambda x: np.where(x < -0.6, -0.6, np.where(x > 0.5, 0.5, x)),
        [A34],
        scalar=True,
    ),
    # reductions and products
    Op("F.sum", F.sum, lambda x: x.ravel() @ np.ones(x.size), [A34], scalar=True),
    Op("F.sum axis=-2", lambda x: F.sum(x, -2), lambda x: np.einsum("ijk->ik", x), [(2, 3, 4)]),
    Op("F.sum axes", lambda x: F.sum(x, (0, 2)), lambda x: np.einsum("ijk->j", x), [(2, 3, 4)]),
    Op("F.sum keepdims", lambda x: F.sum(x, 1, keepdims=True), lambda x: x @ np.ones((4, 1)), [A34]),
    Op("F.sum all keepdims", lambda x: F.sum(x, keepdims=True), lambda x: np.einsum("ij->", x)[None, None], [A34]),
    Op("F.average", F.average, lambda x: np.einsum("ij->", x) / 12, [A34], empty=False),
    Op("F.average axis", lambda x: F.average(x, (0, -1)), lambda x: np.einsum("ijk->j", x) / 8, [(2, 3, 4)]),
    Op("F.average keepdims", lambda x: F.average(x, 1, keepdims=True), lambda x: x @ np.full((4, 1), 0.25), [A34]),
    Op("F.average weights", lambda x, w: F.average(x, 1, w * w), lambda x, w: np.average(x, 1, w * w), [A34, V4]),
    Op(
        "F.average all weights",
        lambda x, w: F.average(x, 1, w * w),
        lambda x, w: (x * w**2).sum(1) / (w**2).sum(1),
        [A34, A34],
    ),
    Op("F.mean", lambda x: F.mean(x, 1), lambda x: x @ np.full(4, 0.25), [A34]),
    Op("F.max", F.max, lambda x: np.sort(x.ravel())[-1], [A34], empty=False, scalar=True),
    Op("F.max axis", lambda x: F.max(x, 1), lambda x: np.sort(x, 1)[:, -1], [A34]),
    Op(
        "F.max axes keepdims",
        lambda x: F.max(x, (0, -1), True),
        lambda x: np.maximum.reduce(x, (0, 2))[None, :, None],
        [(2, 3, 4)],
    ),
    Op("F.min", F.min, lambda x: np.sort(x.ravel())[0], [A34], empty=False, scalar=True),
    Op("F.min axis", lambda x: F.min(x, -1), lambda x: np.sort(x, 1)[:, 0], [A34]),
    Op("F.matmul", F.matmul, lambda a, b: np.einsum("ij,jk->ik", a, b), [(2, 3), (3, 4)]),
    Op("F.matmul stacks", F.matmul, lambda a, b: np.einsum("nij,mnjk->mnik", a, b), [(2, 3, 4), (2, 2, 4, 2)]),
    Op("F.matmul stack by matrix", F.matmul, lambda a, b: np.einsum("nij,jk->nik", a, b), [(2, 3, 4), (4, 5)]),
    Op("F.matmul matrix by vector", F.matmul, lambda a, b: np.einsum("nij,j->ni", a, b), [(2, 3, 4), (4,)]),
    Op("F.matmul vector by matrix", F.matmul, lambda a, b: np.einsum("j,njk->nk", a, b), [(4,), (3, 4, 2)]),
    Op("F.matmul vectors", F.matmul, lambda a, b: np.einsum("i,i->", a, b), [(3,), (3,)]),
    Op(
        "F.matmul trans",
        lambda a, b: F.matmul(a, b, True, True),
        lambda a, b: np.einsum("ji,kj->ik", a, b),
        [(4, 3), (2, 4)],
    ),
    # operators and methods
    Op("Variable.__add__", lambda x, y: x + y, np.add, [A34, (2, 1, 4)], scalar=True),
    Op("Variable.__add__ scalar", lambda x: x + 2, lambda x: 2 + x, [A34], scalar=True),
    Op("Variable.__radd__", lambda x: 2.5 + x, lambda x: x + 2.5, [A34], scalar=True),
    Op("Variable.__sub__", lambda x, y: x - y, np.subtract, [V4, A34], scalar=True),
    Op("Variable.__rsub__", lambda x: 2 - x, lambda x: -x + 2, [A34], scalar=True),
    Op("Variable.__mul__", lambda x, y: x * y, np.multiply, [A34, (3, 1)], scalar=True),
    Op("Variable.__mul__ with itself", lambda x: x * x * x, lambda x: x**3, [A34], scalar=True),
    Op("Variable.__rmul__", lambda x: 3 * x, lambda x: x + x + x, [A34], scalar=True),
    Op("Variable.__truediv__", lambda x, y: x / y, np.divide, [A34, V4], scalar=True),
    Op("Variable.__truediv__ scalar", lambda x: x / 4, lambda x: 0.25 * x, [A34], scalar=True),
    Op("Variable.__rtruediv__", lambda x: 2 / x, lambda x: 2 * x**-1.0, [A34], scalar=True),
    Op(
        "Variable.__pow__", lambda x, y: x**y, lambda x, y: np.exp(y * np.log(x)), [A34, V4], positive=True, scalar=True
    ),
    Op("Variable.__pow__ 3", lambda x: x**3, lambda x: x * x * x, [A34], scalar=True),
    Op("Variable.__pow__ -1.5", lambda x: x**-1.5, lambda x: 1 / (x * np.sqrt(x)), [A34], positive=True, scalar=True),
    Op("Variable.__rpow__", lambda x: 2.0**x, lambda x: np.exp2(x), [A34], scalar=True),
    Op("Variable.__matmul__", lambda a, b: a @ b, lambda a, b: np.einsum("ij,jk->ik", a, b), [(4, 3), (3, 2)]),
    Op(
        "Variable.__rmatmul__",
        lambda b: np.arange(8.0, dtype=b.dtype).reshape(2, 4) @ b,
        lambda b: np.arange(8.0).reshape(2, 4).dot(b),
        [(4, 3)],
    ),
    Op(
        "Variable.dot",
        lambda a: a.dot(np.arange(4, dtype=a.dtype)),
        lambda a: np.einsum("ij,j->i", a, np.arange(4.0)),
        [A34],
    ),
    Op("Variable.__neg__", lambda x: -x, lambda x: 0 - x, [A34], scalar=True),
    Op("Variable.__abs__", abs, lambda x: x * np.sign(x), [A34], scalar=True),
    Op("Variable.__getitem__", lambda x: x[1:, ..., 0], lambda x: np.array([x[1, 0], x[2, 0]]), [A34], empty=False),
    Op("Variable.__getitem__ number", lambda x: x[np.int64(2)][-1], lambda x: np.asarray(x[2, 3]), [A34], empty=False),
    Op("Variable.T", lambda x: x.T, lambda x: np.einsum("ij->ji", x), [A34], scalar=False),
    Op("Variable.reshape", lambda x: x.reshape(4, -1), lambda x: np.ravel(x).reshape(4, 3), [A34], empty=False),
    Op("Variable.reshape tuple", lambda x: x.reshape((2, 6)), lambda x: np.ravel(x).reshape(2, 6), [A34], empty=False),
    Op("Variable.transpose", lambda x: x.transpose(2, 0, 1), lambda x: np.einsum("ijk->kij", x), [(2, 3, 4)]),
    Op("Variable.transpose tuple", lambda x: x.transpose((2, 0, 1)), lambda x: np.einsum("ijk->kij", x), [(2, 3, 4)]),
    Op("Variable.transpose all", lambda x: x.transpose(), lambda x: np.einsum("ijk->kji", x), [(2, 3, 4)]),
    Op("Variable.sum", lambda x: x.sum(axis=0, keepdims=True), lambda x: np.ones((1, len(x))) @ x, [A34]),
    Op("Variable.mean", lambda x: x.mean(axis=1), lambda x: x @ np.full(4, 0.25), [A34]),
    Op("Variable.astype", lambda x: x.astype(np.float64), lambda x: x, [A34], scalar=True),
    # NumPy's functions
    Op("numpy.add", lambda x: np.add(np.ones(4, x.dtype), x), lambda x: x + 1, [A34]),
    Op("numpy.subtract", lambda x: np.subtract(np.ones(4, x.dtype), x), lambda x: 1 - x, [A34]),
    Op(
        "numpy.multiply",
        lambda x: np.multiply(np.full((2, 1, 1), 3, x.dtype), x),
        lambda x: np.stack([3 * x, 3 * x]),
        [A34],
    ),
    Op("numpy.divide", lambda x: np.divide(np.ones(4, x.dtype), x), lambda x: x**-1.0, [A34]),
    Op("numpy.power", np.power, lambda x, y: np.exp(y * np.log(x)), [A34, V4], positive=True, scalar=True),
    Op("numpy.negative", np.negative, lambda x: 0 - x, [A34], scalar=True),
    Op("numpy.absolute", np.absolute, lambda x: x * np.sign(x), [A34], scalar=True),
    Op("numpy.square", np.square, lambda x: x * x, [A34], scalar=True),
    Op("numpy.sqrt", np.sqrt, lambda x: x**0.5, [A34], positive=True, scalar=True),
    Op("numpy.exp", np.exp, lambda x: np.e**x, [A34], scalar=True),
    Op("numpy.log", np.log, lambda x: np.log2(x) * np.log(2), [A34], positive=True, scalar=True),
    Op("numpy.maximum", np.maximum, lambda x, y: np.where(x > y, x, y), [A34, V4], scalar=True),
    Op("numpy.minimum", np.minimum, lambda x, y: np.where(x < y, x, y), [A34, V4], scalar=True),
    Op("numpy.matmul", np.matmul, lambda a, b: np.einsum("ij,jk->ik", a, b), [(2, 3), (3, 4)]),
    Op("numpy.tanh", np.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1), [A34], scalar=True),
]
CONSTANT = {"F.argmax", "F.argmin"}  # no gradient, and tests of their own
