"""Draws, log_probs and entropies on a stand-in for CuPy, equal to those on the host."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore import distributions as D
from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.rng import generator
from tests.autograd import device

A = np.array([[0.3, -1.2, 0.5], [0.1, 0.4, -0.7]])
MASK = np.array([[True, False, True], [True, True, True]])
MAKE = {
    "normal": lambda put: D.Independent(D.Normal(Variable(put(A)), log_scale=Variable(put(-A)))),
    "laplace": lambda put: D.Laplace(Variable(put(A)), Variable(put(A * A))),
    "uniform": lambda put: D.Uniform(low=Variable(put(A)), high=Variable(put(A + 1))),
    "categorical": lambda put: D.Categorical(logit=Variable(put(A)), mask=put(MASK)),
    "multi-categorical": lambda put: D.MultiCategorical(Variable(put(A)), [1, 2]),
    "bernoulli": lambda put: D.Bernoulli(logit=Variable(put(A))),
    "squashed": lambda put: D.SquashedGaussian(Variable(put(A)), log_scale=Variable(put(-A)), low=put(A[0] - 5)),
}


@pytest.mark.parametrize("name", MAKE)
def test_a_distribution_runs_on_a_device(name, monkeypatch):
    device.install(monkeypatch)
    host, there = MAKE[name](np.asarray), MAKE[name](device.Array)
    x, y = host.sample(rng=generator(0)).array, there.sample(rng=generator(0)).array
    assert isinstance(y, device.Array)
    np.testing.assert_allclose(y.hidden, x, rtol=1e-12)
    np.testing.assert_allclose(there.log_prob(y).array.hidden, host.log_prob(x).array, rtol=1e-12)
    np.testing.assert_array_equal(there.mode.array.hidden, host.mode.array)
    F.sum(there.log_prob(y)).backward()
    if name != "squashed":
        np.testing.assert_allclose(there.entropy.array.hidden, host.entropy.array, rtol=1e-12)
