"""Functions of steps: rounding, signs and remainders."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import operands, raw, shape_of, sum_to, weak
from rlcore.autograd.function import UFUNCS, Function

__all__ = ["ceil", "fix", "floor", "fmod", "sign"]


class Sign(Function):
    def forward(self, x):
        return np.sign(x)


def sign(x):
    """-1, 0 or 1 by the sign of x, elementwise; a constant, as its derivative is 0."""
    return Sign().apply(raw(x))


class Floor(Function):
    def forward(self, x):
        return np.floor(x)


def floor(x):
    """The largest integer not above x, elementwise; a constant, as its derivative is 0."""
    return Floor().apply(raw(x))


class Ceil(Function):
    def forward(self, x):
        return np.ceil(x)


def ceil(x):
    """The smallest integer not below x, elementwise; a constant, as its derivative is 0."""
    return Ceil().apply(raw(x))


class Fix(Function):
    def forward(self, x):
        return np.trunc(x)


def fix(x):
    """x rounded towards 0, elementwise; a constant, as its derivative is 0."""
    return Fix().apply(raw(x))


class FloorDivide(Function):
    def forward(self, x0, x1):
        return x0 // x1


def floor_divide(x0, x1):
    """x0 // x1, elementwise; a constant, as its derivative is 0."""
    return FloorDivide().apply(weak(raw(x0)), weak(raw(x1)))


class Fmod(Function):
    saves = "x divisor y"

    def forward(self, x, divisor):
        return np.fmod(x, divisor)

    def backward(self, gy, x, divisor, y):
        ex, ed = self.edges
        gx = ex and sum_to(gy, shape_of(x))
        if ed is None:
            return gx, None
        return gx, sum_to(gy * -np.rint((raw(x) - raw(y)) / raw(divisor)), divisor.shape)


def fmod(x, divisor):
    """Remainder of x / divisor with the sign of x, elementwise."""
    return Fmod().apply(*operands(x, divisor))


class _Step:
    """An op of steps as the meaning of NumPy's ufunc on Variables: its result is a constant."""

    def __init__(self, op: type[Function]):
        self.op = op

    def __call__(self) -> _Step:
        return self

    def apply(self, *xs: Any) -> Any:
        return self.op().apply(*map(raw, xs))


UFUNCS.update({
    np.sign: _Step(Sign), np.floor: _Step(Floor), np.ceil: _Step(Ceil), np.trunc: _Step(Fix),
    np.floor_divide: _Step(FloorDivide), np.fmod: Fmod,
})  # fmt: skip
