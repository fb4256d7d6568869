"""One case or more for each distribution: parameters, a value to take the density at, and SciPy's twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from rlcore import distributions as D


class Case(NamedTuple):
    """make: parameters to distribution; twin: the same in SciPy; x: values at which densities are compared."""

    name: str
    make: Callable[..., D.Distribution]
    parameters: list[np.ndarray]
    twin: Callable[..., Any]
    x: np.ndarray
    reparameterised: bool = True

    def __call__(self, dtype: Any = np.float64) -> D.Distribution:
        return self.make(*[p.astype(dtype) for p in self.parameters])


LOC, SCALE = np.array([0.3, -1.2, 4.0]), np.array([0.5, 2.0, 0.1])
P = np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
A, B = np.array([0.7, 2.0, 5.0]), np.array([1.5, 0.6, 3.0])


CASES = [
    Case("Normal", D.Normal, [LOC, SCALE], stats.norm, np.array([0.0, -2.0, 4.1])),
    Case(
        "Normal log_scale",
        lambda m, s: D.Normal(m, log_scale=s),
        [LOC, np.log(SCALE)],
        lambda m, s: stats.norm(m, np.exp(s)),
        np.array([0.0, -2.0, 4.1]),
    ),
    Case("Laplace", D.Laplace, [LOC, SCALE], stats.laplace, np.array([0.0, -2.0, 4.1])),
    Case(
        "Uniform",
        lambda a, b: D.Uniform(low=a, high=b),
        [LOC, LOC + SCALE],
        lambda a, b: stats.uniform(a, b - a),
        np.array([0.4, 0.7, 4.05]),
    ),
    Case(
        "Uniform loc scale",
        lambda a, b: D.Uniform(loc=a, scale=b),
        [LOC, SCALE],
        stats.uniform,
        np.array([0.4, 0.7, 4.05]),
    ),
    Case(
        "Gamma",
        D.Gamma,
        [A, B],
        lambda k, t: stats.gamma(k, scale=t),
        np.array([0.3, 1.0, 20.0]),
        reparameterised=False,
    ),
    Case("Beta", D.Beta, [A, B], stats.beta, np.array([0.3, 0.9, 0.5]), reparameterised=False),
    Case("Bernoulli", D.Bernoulli, [P[0]], stats.bernoulli, np.array([1, 0, 1]), reparameterised=False),
    Case(
        "Bernoulli logit",
        lambda logit: D.Bernoulli(logit=logit),
        [LOC],
        lambda logit: stats.bernoulli(1 / (1 + np.exp(-logit))),
        np.array([1, 0, 0]),
        reparameterised=False,
    ),
]
