"""Rows of `functions/special.py`: SciPy's functions, against Python's and against series."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.row import A34, Op

BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6]  # B_2, B_4 ...
ORDERS = np.array([1, 2, 3, 1])


def vectorized(f):
    return np.vectorize(f, otypes=[float])


def hurwitz(s, q, head=12):
    """zeta(s, q) by Euler and Maclaurin."""
    total = sum((q + k) ** -s for k in range(head))
    end = q + head
    total = total + end ** (1 - s) / (s - 1) + end**-s / 2
    rising = s * end ** (-s - 1)
    for j, bernoulli in enumerate(BERNOULLI, 1):
        total = total + bernoulli / math.factorial(2 * j) * rising
        rising = rising * (s + 2 * j - 1) * (s + 2 * j) * end**-2
    return total


def psi(x):
    """digamma by its recurrence up to x + 12 and the asymptotic series there."""
    end = x + 12
    series = sum(b / (2 * j) * end ** (-2 * j) for j, b in enumerate(BERNOULLI, 1))
    return np.log(end) - 0.5 / end - series - sum(1 / (x + k) for k in range(12))


def polygamma(n, x):
    sign_and_factorial = vectorized(lambda n: -((-1) ** n) * math.factorial(int(n)))(n)
    return sign_and_factorial * hurwitz(n + 1.0, x)


def quantile(x):
    return vectorized(NormalDist().inv_cdf)(x)


def row(name, f, ref, **named):
    return Op(name, f, ref, [A34], scalar=True, **named)


OPS = [
    row("F.erf", F.erf, vectorized(math.erf)),
    row("F.erfc", F.erfc, vectorized(math.erfc)),
    row("F.erfcx", F.erfcx, vectorized(lambda x: math.exp(x * x) * math.erfc(x))),
    row("F.erfinv", lambda x: F.erfinv(0.7 * x), lambda x: quantile((0.7 * x + 1) / 2) / math.sqrt(2)),
    row("F.erfcinv", F.erfcinv, lambda x: -quantile(x / 2) / math.sqrt(2), positive=True),
    row("F.ndtr", F.ndtr, vectorized(NormalDist().cdf)),
    row("F.ndtri", lambda x: F.ndtri(0.7 * x), lambda x: quantile(0.7 * x), positive=True),
    row("F.log_ndtr", F.log_ndtr, vectorized(lambda x: math.log(math.erfc(-x / math.sqrt(2)) / 2))),
    row("F.lgamma", F.lgamma, vectorized(math.lgamma), positive=True),
    row("F.digamma", F.digamma, psi, positive=True),
    row("F.polygamma", lambda x: F.polygamma(2, x), lambda x: polygamma(2, x), positive=True),
    row("F.polygamma 0", lambda x: F.polygamma(0, x), psi, positive=True),
    Op(
        "F.polygamma orders",
        lambda x, n: F.polygamma(n, x),
        lambda x, n: polygamma(n, x),
        [(2, 1)],
        (ORDERS,),
        positive=True,
    ),
    row("F.zeta", lambda q: F.zeta(2.5, q), lambda q: hurwitz(2.5, q), positive=True),
    Op(
        "F.zeta exponents",
        lambda q, x: F.zeta(x, q),
        lambda q, x: hurwitz(x, q),
        [(3, 1)],
        (ORDERS + 1.0,),
        positive=True,
    ),
]
