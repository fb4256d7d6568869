"""Schedules: figures of Chainer's trainer extensions, and exact resumption."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd.optimizers import SGD, AdaBound, AdaDelta, Adam, MomentumSGD
from rlcore.autograd.optimizers.schedules import (
    ExponentialShift,
    InverseShift,
    LinearShift,
    MultistepShift,
    PolynomialShift,
    SlowStart,
    StepShift,
    WarmupShift,
)
from tests.autograd.test_optimizers import chain

# the attribute at the start and after 1, 2, ... 8 calls of the extension of this name in Chainer 7.8.1
CHAINERS = [
    (ExponentialShift(0.9, 1.0, 0.5), [1, 0.9, 0.81, 0.729, 0.6561, 0.59049, 0.531441, 0.5, 0.5]),
    (ExponentialShift(1.1, 0.1, 0.14), [0.1, 0.11, 0.121, 0.1331, 0.14, 0.14]),
    (ExponentialShift(0.9, -1.0, -0.5), [-1, -0.9, -0.81, -0.729, -0.6561, -0.59049, -0.531441, -0.5, -0.5]),
    (InverseShift(0.1, 0.75, 1.0), [1, 0.931012444622, 0.872195949493, 0.821376901825, 0.776969504241]),
    (InverseShift(0.1, -0.5, 1.0, 1.1), [1, 1.04880884817, 1.09544511501, 1.1, 1.1]),
    (LinearShift((1.0, 0.0), (2, 6)), [1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0]),
    (MultistepShift(0.1, [2, 4], 1.0), [1, 1, 0.1, 0.1, 0.01, 0.01, 0.01]),
    (PolynomialShift(0.5, 8, 1.0), [1, 0.935414346693, 0.866025403784, 0.790569415042, 0.707106781187]),
    (PolynomialShift(2.0, 8, 1.0, 0.3), [1, 0.765625, 0.5625, 0.390625, 0.3, 0.3, 0.3, 0.3]),
    (StepShift(0.5, 3, 1.0, 0.4), [1, 1, 1, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4]),
    (WarmupShift(0.1, 4, 1.0), [0.1, 0.325, 0.55, 0.775, 1, 1, 1]),
]


@pytest.mark.parametrize(("schedule", "figures"), CHAINERS, ids=lambda v: type(v).__name__)
def test_figures_of_chainer(schedule, figures):
    np.testing.assert_allclose([schedule(t) for t in range(len(figures))], figures, rtol=1e-11)


def test_a_slow_start():
    schedule = SlowStart(10, 12.8)  # 40, 30, 15 and 5 epochs of 10 updates
    at = [0, 399, 400, 699, 700, 849, 850, 899]
    shares = [0.5, 0.5, 0.075, 0.075, 0.01, 0.01, 0.001, 0.001]
    np.testing.assert_allclose([schedule(t) for t in at], 12.8 * np.array(shares))


def test_ends():
    assert PolynomialShift(2.0, 8, 1.0, 0.3)(8) == PolynomialShift(2.0, 8, 1.0, 0.3)(20) == 0.3
    assert PolynomialShift(2.0, 8, 1.0)(9) == 0
    assert PolynomialShift(-1.0, 8, 1.0, 3.0)(8) == 3.0
    with pytest.raises(ValueError, match="ExponentialShift: rate must not be negative, got -1"):
        ExponentialShift(-1, 1.0)


def rates(optimizer, model, n):
    seen = []
    for _ in range(n):
        model.a.grad = np.array([1.0])
        before = model.a.array.copy()
        optimizer.update()
        seen.append((before - model.a.array).item())
    return seen


def test_a_schedule_is_a_learning_rate():
    model = chain([0.0])
    optimizer = SGD(LinearShift((1.0, 0.0), (0, 4))).setup(model)
    assert optimizer.lr == 1.0
    np.testing.assert_allclose(rates(optimizer, model, 5), [1, 0.75, 0.5, 0.25, 0])
    optimizer.lr = 0.5
    np.testing.assert_allclose(rates(optimizer, model, 2), [0.5, 0.5])
    optimizer.lr = lambda t: t
    np.testing.assert_allclose(rates(optimizer, model, 2), [7, 8])
    assert (optimizer.lr, optimizer.learning_rate) == (9, 9)


def test_chainers_word_takes_a_schedule():
    optimizer = Adam(alpha=StepShift(0.5, 3, 1.0))
    assert optimizer.alpha == optimizer.lr == 1.0
    optimizer.t = 3
    assert optimizer.alpha == 0.5


def test_a_schedule_resumes_where_it_was():
    runs = []
    for interrupted in (False, True):
        model = chain([0.0])
        optimizer = MomentumSGD(ExponentialShift(0.9, 1.0)).setup(model)
        rates(optimizer, model, 3)
        if interrupted:
            state, values = optimizer.state(), model.flat.copy()
            model = chain([0.0])
            model.a.array = values
            optimizer = MomentumSGD(ExponentialShift(0.9, 1.0)).setup(model)
            optimizer.load(state)
        rates(optimizer, model, 3)
        runs.append(model.flat.copy())
    np.testing.assert_array_equal(*runs)


def test_bounds_follow_alpha():
    """AdaBound's final_lr shrinks with alpha, as in Chainer: at alpha 0 nothing moves."""
    model = chain([0.0])
    optimizer = AdaBound(LinearShift((0.1, 0.0), (0, 2)), final_lr=0.5).setup(model)
    steps = rates(optimizer, model, 3)
    assert steps[0] > 0
    assert steps[2] == 0


def test_adadelta_takes_a_factor():
    steps = []
    for factor in (1.0, 0.5):
        model = chain([0.0])
        optimizer = AdaDelta().setup(model)
        optimizer.lr = factor
        steps.append(rates(optimizer, model, 3))
    np.testing.assert_allclose(np.array(steps[0]) / 2, steps[1], rtol=1e-12)
