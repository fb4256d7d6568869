"""Operators and methods of Variable, and NumPy's functions."""

from __future__ import annotations

import numpy as np

from tests.autograd.ops.row import A34, V4, Op

OPS = [
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
        host=True,
    ),
    Op(
        "Variable.dot",
        lambda a: a.dot(np.arange(4, dtype=a.dtype)),
        lambda a: np.einsum("ij,j->i", a, np.arange(4.0)),
        [A34],
        host=True,
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
    Op("Variable.mean", lambda x: x.mean(axis=1), lambda x: x @ np.full(4, 0.25), [A34], mean=True),
    Op("Variable.astype", lambda x: x.astype(np.float64), lambda x: x, [A34], scalar=True),
    Op("numpy.add", lambda x: np.add(np.ones(4, x.dtype), x), lambda x: x + 1, [A34], host=True),
    Op("numpy.subtract", lambda x: np.subtract(np.ones(4, x.dtype), x), lambda x: 1 - x, [A34], host=True),
    Op(
        "numpy.multiply",
        lambda x: np.multiply(np.full((2, 1, 1), 3, x.dtype), x),
        lambda x: np.stack([3 * x, 3 * x]),
        [A34],
        host=True,
    ),
    Op("numpy.divide", lambda x: np.divide(np.ones(4, x.dtype), x), lambda x: x**-1.0, [A34], host=True),
    Op("numpy.power", np.power, lambda x, y: np.exp(y * np.log(x)), [A34, V4], positive=True, scalar=True),
    Op("numpy.negative", np.negative, lambda x: 0 - x, [A34], scalar=True),
    Op("numpy.absolute", np.absolute, lambda x: x * np.sign(x), [A34], scalar=True),
    Op("numpy.square", np.square, lambda x: x * x, [A34], scalar=True),
    Op("numpy.sqrt", np.sqrt, lambda x: x**0.5, [A34], positive=True, scalar=True),
    Op("numpy.exp", np.exp, lambda x: np.e**x, [A34], scalar=True),
    Op("numpy.log", np.log, lambda x: np.log2(x) * np.log(2), [A34], positive=True, scalar=True),
    Op("numpy.maximum", np.maximum, lambda x, y: np.where(x > y, x, y), [A34, V4], scalar=True, ties=True),
    Op("numpy.minimum", np.minimum, lambda x, y: np.where(x < y, x, y), [A34, V4], scalar=True, ties=True),
    Op("numpy.matmul", np.matmul, lambda a, b: np.einsum("ij,jk->ik", a, b), [(2, 3), (3, 4)]),
    Op("numpy.tanh", np.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1), [A34], scalar=True),
]
