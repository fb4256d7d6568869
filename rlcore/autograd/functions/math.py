"""Arithmetic, elementwise functions, reductions and the matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import broadcast_to, raw, sum_to, weak
from rlcore.autograd.function import Function
from rlcore.backend import xp_of


def _shape(x: Any) -> tuple[int, ...]:
    return getattr(x, "shape", ())


class Identity(Function):
    def forward(self, x):
        return x

    def backward(self, gy):
        return gy


def identity(x):
    """x under another name: a fresh vertex."""
    return Identity().apply(x)


class Add(Function):
    def forward(self, x0, x1):
        self.s0, self.s1 = _shape(x0), _shape(x1)
        return x0 + x1

    def backward(self, gy):
        e0, e1 = self.edges
        return e0 and sum_to(gy, self.s0), e1 and sum_to(gy, self.s1)


class Sub(Function):
    def forward(self, x0, x1):
        self.s0, self.s1 = _shape(x0), _shape(x1)
        return x0 - x1

    def backward(self, gy):
        e0, e1 = self.edges
        return e0 and sum_to(gy, self.s0), e1 and sum_to(-gy, self.s1)


class Mul(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        return x0 * x1

    def backward(self, gy, x0, x1):
        e0, e1 = self.edges
        return e0 and sum_to(gy * x1, x0.shape), e1 and sum_to(gy * x0, x1.shape)


class Div(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        return x0 / x1

    def backward(self, gy, x0, x1):
        e0, e1 = self.edges
        g0 = gy / x1
        return e0 and sum_to(g0, x0.shape), e1 and sum_to(-g0 * (x0 / x1), x1.shape)


class Pow(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        return x0**x1

    def backward(self, gy, x0, x1):
        e0, e1 = self.edges
        less = x1 - 1 + 2 * (raw(x1) == 0)  # x ** 0 has the derivative 0, at 0 too
        return e0 and sum_to(gy * x1 * x0**less, x0.shape), e1 and sum_to(gy * x0**x1 * _log(x0), x1.shape)


def _log(x: Any) -> Any:
    return np.log(x) if isinstance(x, np.ndarray) or hasattr(x, "__array_ufunc__") else float(np.log(x))


class Neg(Function):
    def forward(self, x):
        return -x

    def backward(self, gy):
        return -gy


class Absolute(Function):
    saves = "x"

    def forward(self, x):
        return abs(x)

    def backward(self, gy, x):
        return gy * np.sign(raw(x))


def absolute(x):
    """Absolute value, elementwise; its gradient at 0 is 0."""
    return Absolute().apply(x)


class Square(Function):
    saves = "x"

    def forward(self, x):
        return x * x

    def backward(self, gy, x):
        return gy * (2 * x)


def square(x):
    """x squared, elementwise."""
    return Square().apply(x)


class Sqrt(Function):
    saves = "y"

    def forward(self, x):
        return np.sqrt(x)

    def backward(self, gy, y):
        return gy / (2 * y)


def sqrt(x):
    """Square root, elementwise."""
    return Sqrt().apply(x)


class Exp(Function):
    saves = "y"

    def forward(self, x):
        return np.exp(x)

    def backward(self, gy, y):
        return gy * y


def exp(x):
    """Exponential, elementwise."""
    return Exp().apply(x)


class Log(Function):
    saves = "x"

    def forward(self, x):
        return np.log(x)

    def backward(self, gy, x):
        return gy / x


def log(x):
    """Natural logarithm, elementwise."""
    return Log().apply(x)


class Maximum(Function):
    saves = "first"

    def forward(self, x0, x1):
        self.s0, self.s1 = _shape(x0), _shape(x1)
        self.first = x0 >= x1  # a tie gives all of the gradient to x0, as in Chainer
        return np.maximum(x0, x1)

    def backward(self, gy, first):
        e0, e1 = self.edges
        return e0 and sum_to(gy * first, self.s0), e1 and sum_to(gy * ~first, self.s1)


def maximum(x1, x2):
    """The larger of two, elementwise; where they are equal the gradient goes to x1."""
    return Maximum().apply(weak(x1), weak(x2))


class Minimum(Maximum):
    def forward(self, x0, x1):
        self.s0, self.s1 = _shape(x0), _shape(x1)
        self.first = x0 <= x1
        return np.minimum(x0, x1)


def minimum(x1, x2):
    """The smaller of two, elementwise; where they are equal the gradient goes to x1."""
    return Minimum().apply(weak(x1), weak(x2))


class Clip(Function):
    saves = "inside"

    def __init__(self, x_min: Any, x_max: Any):
        self.x_min, self.x_max = x_min, x_max

    def forward(self, x):
        self.inside = (x >= self.x_min) & (x <= self.x_max)
        return x.clip(self.x_min, self.x_max)

    def backward(self, gy, inside):
        return gy * inside


def clip(x, x_min, x_max):
    """x limited to [x_min, x_max]; the gradient passes on both closed bounds."""
    return Clip(weak(x_min), weak(x_max)).apply(x)


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple([a % ndim for a in axes])


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape of a reduction over axis with keepdims."""
    axes = _axes(axis, len(shape))
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


class Sum(Function):
    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        self.shape = x.shape
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, gy):
        if self.axis is not None and not self.keepdims:
            gy = gy.reshape(_kept(self.shape, self.axis))
        return broadcast_to(gy, self.shape)


def sum(x, axis=None, keepdims=False):
    """Sum over axis (an int, a tuple, or None for all)."""
    return Sum(axis, keepdims).apply(x)


class Average(Function):
    """The plain mean: the weighted one is put together from other ops."""

    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        self.shape = x.shape
        y = x.mean(axis=self.axis, keepdims=self.keepdims)
        self.n = x.size // (y.size or 1)
        return y

    def backward(self, gy):
        if self.axis is not None and not self.keepdims:
            gy = gy.reshape(_kept(self.shape, self.axis))
        return broadcast_to(gy * (1 / (self.n or 1)), self.shape)


def average(x, axis=None, weights=None, keepdims=False):
    """Mean over axis, weighted if weights (of x's shape, or of one axis) are given."""
    if weights is None:
        return Average(axis, keepdims).apply(x)
    if _shape(weights) != _shape(x):
        if not isinstance(axis, int) or len(weights.shape) != 1 or weights.shape[0] != x.shape[axis]:
            raise ValueError(
                f"average: weights {_shape(weights)} must have the shape of x {_shape(x)} or of its axis {axis}"
            )
        shape = [1] * x.ndim
        shape[axis] = -1
        weights = weights.reshape(shape)
        total = sum(weights)
    else:
        total = sum(weights, axis, keepdims)
    return sum(x * weights, axis, keepdims) / total


mean = average


class Max(Function):
    saves = "top"
    reduce = "max"

    def __init__(self, axis: Any, keepdims: bool):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        y = getattr(x, self.reduce)(axis=self.axis, keepdims=True)
        self.shape, self.top = x.shape, x == y  # every tied element gets the whole gradient, as in Chainer
        return y if self.keepdims else y.reshape(_dropped(x.shape, self.axis))

    def backward(self, gy, top):
        return broadcast_to(gy.reshape(_kept(self.shape, self.axis)), self.shape) * top


def _dropped(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    axes = _axes(axis, len(shape))
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def max(x, axis=None, keepdims=False):
    """Largest element over axis; every tied element gets the whole gradient."""
    return Max(axis, keepdims).apply(x)


class Min(Max):
    reduce = "min"


def min(x, axis=None, keepdims=False):
    """Smallest element over axis; every tied element gets the whole gradient."""
    return Min(axis, keepdims).apply(x)


class Matmul(Function):
    saves = "a b"

    def forward(self, a, b):
        return a @ b

    def backward(self, gy, a, b):
        ea, eb = self.edges
        if a.ndim == 1 or b.ndim == 1:  # as matrices of one row or column
            rows, columns = a.reshape(1, -1) if a.ndim == 1 else a, b.reshape(-1, 1) if b.ndim == 1 else b
            gy = gy.reshape(*gy.shape[: gy.ndim - (a.ndim > 1) - (b.ndim > 1)], rows.shape[-2], columns.shape[-1])
        else:
            rows, columns = a, b
        return (
            ea and sum_to(gy @ _swapped(columns), rows.shape).reshape(a.shape),
            eb and sum_to(_swapped(rows) @ gy, columns.shape).reshape(b.shape),
        )


def _swapped(x: Any) -> Any:
    return x.transpose(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)


def matmul(a, b, transa=False, transb=False):
    """Matrix product by NumPy's rules for stacks; transa, transb swap an operand's last two axes first."""
    from rlcore.autograd.functions.array import transpose

    def swapped(x: Any) -> Any:
        return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)) if x.ndim > 1 else x

    return Matmul().apply(swapped(a) if transa else a, swapped(b) if transb else b)


def argmax(x, axis=None):
    """Index of the largest element over axis, without a gradient."""
    array = raw(x)
    return _constant(xp_of(array).asarray(array.argmax(axis=axis)).astype(np.int32))


def argmin(x, axis=None):
    """Index of the smallest element over axis, without a gradient."""
    array = raw(x)
    return _constant(xp_of(array).asarray(array.argmin(axis=axis)).astype(np.int32))


def _constant(array: Any) -> Any:
    from rlcore.autograd.variable import handle

    return handle(array, None)


def _tanh() -> Function:
    from rlcore.autograd.functions.activation import Tanh

    return Tanh()


UFUNCS: dict[Any, Any] = {  # what NumPy's functions are on a Variable
    np.add: Add, np.subtract: Sub, np.multiply: Mul, np.true_divide: Div, np.power: Pow,
    np.negative: Neg, np.absolute: Absolute, np.square: Square, np.sqrt: Sqrt, np.exp: Exp, np.log: Log,
    np.maximum: Maximum, np.minimum: Minimum, np.matmul: Matmul, np.tanh: _tanh,
}  # fmt: skip
