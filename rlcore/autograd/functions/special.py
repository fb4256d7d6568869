"""Special functions, computed by SciPy: the extra rlcore[special]."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, sum_to, traced
from rlcore.autograd.function import Function
from rlcore.backend import xp_of

__all__ = [
    "digamma", "erf", "erfc", "erfcinv", "erfcx", "erfinv", "lgamma", "log_ndtr", "ndtr", "ndtri", "polygamma", "zeta",
]  # fmt: skip


def _scipy(name: str, *args: Any) -> Any:
    """What SciPy's function of this name gives, or CuPy's twin of it on a device."""
    try:
        if isinstance(args[-1], (np.ndarray, np.generic)):
            from scipy import special
        else:
            from cupyx.scipy import special
    except ImportError as error:
        raise ImportError(f'{name} needs SciPy; run: pip install "rlcore[special]" ({error})') from None
    return getattr(special, "gammaln" if name == "lgamma" else name)(*args)


def _as(x: Any, y: Any) -> Any:
    """y in the dtype of x: SciPy makes float32 of halves."""
    return y.astype(x.dtype, copy=False) if x.dtype.kind == "f" else y


def _compute(name: str, *args: Any) -> Any:
    return _as(args[-1], _scipy(name, *args))


class Erf(Function):
    saves = "x"

    def forward(self, x):
        return _compute("erf", x)

    def backward(self, gy, x):
        return gy * (2 / math.sqrt(math.pi)) * np.exp(-x * x)


def erf(x):
    """Error function, elementwise."""
    return Erf().apply(x)


class Erfc(Function):
    saves = "x"

    def forward(self, x):
        return _compute("erfc", x)

    def backward(self, gy, x):
        return gy * (-2 / math.sqrt(math.pi)) * np.exp(-x * x)


def erfc(x):
    """1 - erf(x), elementwise, exact for large x."""
    return Erfc().apply(x)


class Erfcx(Function):
    saves = "x y"

    def forward(self, x):
        return _compute("erfcx", x)

    def backward(self, gy, x, y):
        return gy * (2 * x * y - 2 / math.sqrt(math.pi))


def erfcx(x):
    """exp(x^2) erfc(x), elementwise."""
    return Erfcx().apply(x)


class Erfinv(Function):
    saves = "y"

    def forward(self, x):
        return _compute("erfinv", x)

    def backward(self, gy, y):
        return gy * (math.sqrt(math.pi) / 2) * np.exp(y * y)


def erfinv(x):
    """Inverse of erf on (-1, 1), elementwise."""
    return Erfinv().apply(x)


class Erfcinv(Function):
    saves = "y"

    def forward(self, x):
        return _compute("erfcinv", x)

    def backward(self, gy, y):
        return gy * (-math.sqrt(math.pi) / 2) * np.exp(y * y)


def erfcinv(x):
    """Inverse of erfc on (0, 2), elementwise."""
    return Erfcinv().apply(x)


class Ndtr(Function):
    saves = "x"

    def forward(self, x):
        return _compute("ndtr", x)

    def backward(self, gy, x):
        return gy * (1 / math.sqrt(2 * math.pi)) * np.exp(-0.5 * x * x)


def ndtr(x):
    """Distribution function of the standard normal, elementwise."""
    return Ndtr().apply(x)


class Ndtri(Function):
    saves = "y"

    def forward(self, x):
        return _compute("ndtri", x)

    def backward(self, gy, y):
        return gy * math.sqrt(2 * math.pi) * np.exp(0.5 * y * y)


def ndtri(x):
    """Inverse of ndtr on (0, 1), elementwise."""
    return Ndtri().apply(x)


class LogNdtr(Function):
    saves = "x"

    def forward(self, x):
        return _compute("log_ndtr", x)

    def backward(self, gy, x):
        return gy * (LogNdtrSlope().apply(x) if traced(x) else _log_ndtr_slope(x))


class LogNdtrSlope(Function):
    """h(x) = density / ndtr(x), whose own derivative is -h (x + h)."""

    saves = "x y"

    def forward(self, x):
        return _log_ndtr_slope(x)

    def backward(self, gy, x, y):
        return -gy * y * (x + y)


def _log_ndtr_slope(x: Any) -> Any:
    """Finite in both tails, where the density and ndtr underflow."""
    return _as(x, math.sqrt(2 / math.pi) / _scipy("erfcx", -math.sqrt(0.5) * x))


def log_ndtr(x):
    """Logarithm of ndtr, elementwise, exact for very negative x."""
    return LogNdtr().apply(x)


class Lgamma(Function):
    saves = "x"

    def forward(self, x):
        return _compute("lgamma", x)

    def backward(self, gy, x):
        return gy * (Digamma().apply(x) if traced(x) else _compute("digamma", x))


def lgamma(x):
    """log |gamma(x)|, elementwise."""
    return Lgamma().apply(x)


class Digamma(Function):
    saves = "x"

    def forward(self, x):
        return _compute("digamma", x)

    def backward(self, gy, x):
        return gy * (Zeta(2).apply(x) if traced(x) else _compute("zeta", 2, x))


def digamma(x):
    """Derivative of lgamma, elementwise."""
    return Digamma().apply(x)


class Polygamma(Function):
    saves = "n x"

    def __init__(self, n: Any):
        self.n = n

    def forward(self, x):
        return _compute("polygamma", self.n, x)

    def backward(self, gy, n, x):
        slope = Polygamma(n + 1).apply(x) if traced(x) else _compute("polygamma", n + 1, x)
        return sum_to(gy * slope, x.shape)


def polygamma(n, x):
    """n-th derivative of digamma, elementwise; n: an integer or integers, which get no gradient."""
    n = raw(n)
    if not isinstance(n, int) and (not hasattr(n, "dtype") or n.dtype.kind not in "iu"):
        raise TypeError(f"polygamma: n must be an integer or hold integers, got {getattr(n, 'dtype', n)}")
    return Polygamma(xp_of(raw(x)).asarray(n)).apply(x)


class Zeta(Function):
    saves = "s q"

    def __init__(self, s: Any):
        self.s = s

    def forward(self, q):
        return _compute("zeta", self.s, q)

    def backward(self, gy, s, q):
        slope = Zeta(s + 1).apply(q) if traced(q) else _compute("zeta", s + 1, q)
        return sum_to(gy * slope * (-s.astype(q.dtype) if hasattr(s, "astype") else -s), q.shape)


def zeta(x, q):
    """Hurwitz's zeta function: the sum over k >= 0 of (k + q)^-x, elementwise; x: a number or an array, no Variable."""
    if traced(x):
        raise TypeError("zeta: x has no gradient and cannot be a Variable; give its .array")
    return Zeta(x).apply(q)
