"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

import numpy as np

from rlcore.autograd.dual import operands, shape_of, sum_to
from rlcore.autograd.function import UFUNCS, Function

__all__ = ["arccos", "arcsin", "arctan", "arctan2", "arctanh", "cos", "cosh", "sin", "sinh", "tan"]


class Sin(Function):
    saves = "x"

    def forward(self, x):
        return np.sin(x)

    def backward(self, gy, x):
        return gy * np.cos(x)


def sin(x):
    """Sine, elementwise."""
    return Sin().apply(x)


class Cos(Function):
    saves = "x"

    def forward(self, x):
        return np.cos(x)

    def backward(self, gy, x):
        return -gy * np.sin(x)


def cos(x):
    """Cosine, elementwise."""
    return Cos().apply(x)


class Tan(Function):
    saves = "y"

    def forward(self, x):
        return np.tan(x)

    def backward(self, gy, y):
        return gy * (1 + y * y)


def tan(x):
    """Tangent, elementwise."""
    return Tan().apply(x)


class Arcsin(Function):
    saves = "x"

    def forward(self, x):
        return np.arcsin(x)

    def backward(self, gy, x):
        return gy / np.sqrt((1 - x) * (1 + x))


def arcsin(x):
    """Inverse sine in [-pi/2, pi/2], elementwise."""
    return Arcsin().apply(x)


class Arccos(Function):
    saves = "x"

    def forward(self, x):
        return np.arccos(x)

    def backward(self, gy, x):
        return -gy / np.sqrt((1 - x) * (1 + x))


def arccos(x):
    """Inverse cosine in [0, pi], elementwise."""
    return Arccos().apply(x)


class Arctan(Function):
    saves = "x"

    def forward(self, x):
        return np.arctan(x)

    def backward(self, gy, x):
        return gy / (1 + x * x)


def arctan(x):
    """Inverse tangent in [-pi/2, pi/2], elementwise."""
    return Arctan().apply(x)


class Arctan2(Function):
    saves = "x1 x2"

    def forward(self, x1, x2):
        return np.arctan2(x1, x2)

    def backward(self, gy, x1, x2):
        e1, e2 = self.edges
        g = gy / (x1 * x1 + x2 * x2)
        return e1 and sum_to(g * x2, shape_of(x1)), e2 and sum_to(-g * x1, shape_of(x2))


def arctan2(x1, x2):
    """Angle in [-pi, pi] of the point with ordinate x1 and abscissa x2, elementwise."""
    return Arctan2().apply(*operands(x1, x2))


class Sinh(Function):
    saves = "x"

    def forward(self, x):
        return np.sinh(x)

    def backward(self, gy, x):
        return gy * np.cosh(x)


def sinh(x):
    """Hyperbolic sine, elementwise."""
    return Sinh().apply(x)


class Cosh(Function):
    saves = "x"

    def forward(self, x):
        return np.cosh(x)

    def backward(self, gy, x):
        return gy * np.sinh(x)


def cosh(x):
    """Hyperbolic cosine, elementwise."""
    return Cosh().apply(x)


class Arctanh(Function):
    saves = "x"

    def forward(self, x):
        return np.arctanh(x)

    def backward(self, gy, x):
        return gy / ((1 - x) * (1 + x))  # 1 - x^2 would lose half of its digits near 1


def arctanh(x):
    """Inverse hyperbolic tangent, elementwise."""
    return Arctanh().apply(x)


UFUNCS.update({
    np.sin: Sin, np.cos: Cos, np.tan: Tan, np.arcsin: Arcsin, np.arccos: Arccos, np.arctan: Arctan,
    np.arctan2: Arctan2, np.sinh: Sinh, np.cosh: Cosh, np.arctanh: Arctanh,
})  # fmt: skip
