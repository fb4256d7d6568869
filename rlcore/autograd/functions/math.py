"""Arithmetic and elementwise functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, shape_of, sum_to, weak
from rlcore.autograd.function import UFUNCS, Function

__all__ = [
    "absolute",
    "clip",
    "exp",
    "identity",
    "log",
    "maximum",
    "minimum",
    "sqrt",
    "square",
]


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
        self.s0, self.s1 = shape_of(x0), shape_of(x1)
        return x0 + x1

    def backward(self, gy):
        e0, e1 = self.edges
        return e0 and sum_to(gy, self.s0), e1 and sum_to(gy, self.s1)


class Sub(Function):
    def forward(self, x0, x1):
        self.s0, self.s1 = shape_of(x0), shape_of(x1)
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
        self.s0, self.s1 = shape_of(x0), shape_of(x1)
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
        self.s0, self.s1 = shape_of(x0), shape_of(x1)
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


UFUNCS.update({
    np.add: Add, np.subtract: Sub, np.multiply: Mul, np.true_divide: Div, np.power: Pow, np.negative: Neg,
    np.absolute: Absolute, np.square: Square, np.sqrt: Sqrt, np.exp: Exp, np.log: Log, np.maximum: Maximum,
    np.minimum: Minimum,
})  # fmt: skip
