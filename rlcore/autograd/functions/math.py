"""Arithmetic, powers and logarithms, elementwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import operands, raw, shape_of, sum_to, weak
from rlcore.autograd.function import UFUNCS, Function

__all__ = [
    "absolute",
    "add",
    "bias",
    "clip",
    "exp",
    "expm1",
    "identity",
    "linear_interpolate",
    "log",
    "log10",
    "log1p",
    "log2",
    "maximum",
    "minimum",
    "rsqrt",
    "scale",
    "sqrt",
    "square",
]


class Identity(Function):
    def forward(self, x):
        return x

    def backward(self, gy):
        return gy


def identity(*inputs):
    """The input under another name, a fresh vertex; a tuple for several."""
    return Identity().apply(inputs[0]) if len(inputs) == 1 else tuple([Identity().apply(x) for x in inputs])


class Add(Function):
    def forward(self, x0, x1):
        self.s0, self.s1 = shape_of(x0), shape_of(x1)
        return x0 + x1

    def backward(self, gy):
        e0, e1 = self.edges
        return e0 and sum_to(gy, self.s0), e1 and sum_to(gy, self.s1)


def add(*xs):
    """Sum of one or more arrays and numbers, elementwise."""
    if not xs:
        raise TypeError("add: expected one argument or more, got none")
    if len(xs) == 1:
        return identity(xs[0])
    y = xs[0]
    for x in xs[1:]:
        y = Add().apply(*operands(y, x))
    return y


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
        less = x1 - (raw(x1) != 0)  # x ** 0 has the derivative 0, at 0 too
        return e0 and sum_to(gy * x1 * x0**less, x0.shape), e1 and sum_to(gy * x0**x1 * _log(x0), x1.shape)


def _log(x: Any) -> Any:
    return np.log(x) if hasattr(x, "__array_ufunc__") else float(np.log(x))


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


class Rsqrt(Function):
    saves = "x y"

    def forward(self, x):
        return 1 / np.sqrt(x)

    def backward(self, gy, x, y):
        return gy * (-0.5 * y / x)


def rsqrt(x):
    """1 / sqrt(x), elementwise."""
    return Rsqrt().apply(x)


class Exp(Function):
    saves = "y"

    def forward(self, x):
        return np.exp(x)

    def backward(self, gy, y):
        return gy * y


def exp(x):
    """Exponential, elementwise."""
    return Exp().apply(x)


class Expm1(Function):
    saves = "y"

    def forward(self, x):
        return np.expm1(x)

    def backward(self, gy, y):
        return gy * (y + 1)


def expm1(x):
    """exp(x) - 1, elementwise, exact for small x."""
    return Expm1().apply(x)


class Log(Function):
    saves = "x"

    def forward(self, x):
        return np.log(x)

    def backward(self, gy, x):
        return gy / x


def log(x):
    """Natural logarithm, elementwise."""
    return Log().apply(x)


class Log1p(Function):
    saves = "x"

    def forward(self, x):
        return np.log1p(x)

    def backward(self, gy, x):
        return gy / (x + 1)


def log1p(x):
    """log(1 + x), elementwise, exact for small x."""
    return Log1p().apply(x)


class Log2(Function):
    saves = "x"

    def forward(self, x):
        return np.log2(x)

    def backward(self, gy, x):
        return gy * (1 / math.log(2)) / x


def log2(x):
    """Logarithm to base 2, elementwise."""
    return Log2().apply(x)


class Log10(Function):
    saves = "x"

    def forward(self, x):
        return np.log10(x)

    def backward(self, gy, x):
        return gy * (1 / math.log(10)) / x


def log10(x):
    """Logarithm to base 10, elementwise."""
    return Log10().apply(x)


class Maximum(Function):
    saves = "x0 x1"

    def forward(self, x0, x1):
        return np.maximum(x0, x1)

    def backward(self, gy, x0, x1):
        return self.parted(gy, x0, x1, raw(x0) >= raw(x1))  # a tie gives all of the gradient to x0, as in Chainer

    def parted(self, gy, x0, x1, first):
        e0, e1 = self.edges
        return e0 and sum_to(gy * first, x0.shape), e1 and sum_to(gy * ~first, x1.shape)


def maximum(x1, x2):
    """The larger of two, elementwise; where they are equal the gradient goes to x1."""
    return Maximum().apply(*operands(x1, x2))


class Minimum(Maximum):
    def forward(self, x0, x1):
        return np.minimum(x0, x1)

    def backward(self, gy, x0, x1):
        return self.parted(gy, x0, x1, raw(x0) <= raw(x1))


def minimum(x1, x2):
    """The smaller of two, elementwise; where they are equal the gradient goes to x1."""
    return Minimum().apply(*operands(x1, x2))


class Clip(Function):
    saves = "x y"

    def __init__(self, x_min: Any, x_max: Any):
        self.x_min, self.x_max = x_min, x_max

    def forward(self, x):
        return x.clip(self.x_min, self.x_max)

    def backward(self, gy, x, y):
        return gy * (raw(x) == raw(y))


def clip(x, x_min, x_max):
    """x limited to [x_min, x_max], None for no bound; the gradient passes on both closed bounds.

    ValueError if both are None, or numbers in the wrong order.
    """
    if x_min is None or x_max is None:
        if x_min is x_max:
            raise ValueError("clip: x_min and x_max are both None; give one of them")
    elif shape_of(x_min) == shape_of(x_max) == () and x_min > x_max:
        raise ValueError(f"clip: x_min {x_min} is above x_max {x_max}")
    return Clip(weak(x_min), weak(x_max)).apply(x)


def linear_interpolate(p, x, y):
    """p x + (1 - p) y, elementwise."""
    x, y = operands(x, y)
    p, x = operands(p, x)
    p, y = operands(p, y)
    return Add().apply(Mul().apply(p, x), Mul().apply(Sub().apply(1, p), y))


def bias(x, y, axis=1):
    """x + y, where the axes of y are those of x from `axis` on."""
    return Add().apply(*_from_axis("bias", x, y, axis))


def scale(x, y, axis=1):
    """x * y, where the axes of y are those of x from `axis` on."""
    return Mul().apply(*_from_axis("scale", x, y, axis))


def _from_axis(name: str, x: Any, y: Any, axis: int) -> tuple[Any, Any]:
    """x, and y with axes of length 1 behind it, so that its own begin at x's `axis`; operands as of an operator."""
    behind = x.ndim - axis - y.ndim
    fits = axis >= 0 and behind >= 0 and all(m in (1, n) for m, n in zip(y.shape, x.shape[axis:]))
    if not fits:
        raise ValueError(f"{name}: y of shape {y.shape} does not fit x of shape {x.shape} from axis {axis} on")
    x, y = operands(x, y)
    return x, y.reshape(y.shape + (1,) * behind) if behind else y


UFUNCS.update({
    np.add: Add, np.subtract: Sub, np.multiply: Mul, np.true_divide: Div, np.power: Pow, np.negative: Neg,
    np.positive: Identity, np.absolute: Absolute, np.square: Square, np.sqrt: Sqrt, np.exp: Exp, np.expm1: Expm1,
    np.log: Log, np.log1p: Log1p, np.log2: Log2, np.log10: Log10, np.maximum: Maximum, np.minimum: Minimum,
})  # fmt: skip
