"""The C51 projection and the quantile Huber loss: numbers by hand, properties, messages."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.functions import reinforcement
from rlcore.rng import generator
from tests.autograd.ops.reinforcement import pairs, project

Z = np.array([-1.0, 0, 1])


@pytest.mark.parametrize(
    ("reward", "discount", "expected"),
    [
        (0.0, 1.0, [0.2, 0.3, 0.5]),  # nothing moves
        (1.0, 1.0, [0, 0.2, 0.8]),  # one atom up, the last one kept
        (-5.0, 1.0, [1, 0, 0]),  # all below
        (5.0, 0.5, [0, 0, 1]),  # all above
        (0.25, 0.0, [0, 0.75, 0.25]),  # terminated: the reward alone
        (1.0, 0.0, [0, 0, 1]),  # on the last atom
        (0.0, 0.5, [0.1, 0.65, 0.25]),
    ],
)
def test_the_projection_by_hand(reward, discount, expected):
    p = np.array([[0.2, 0.3, 0.5]])
    y = F.categorical_projection(p, np.array([reward]), np.array([discount]), Z)
    np.testing.assert_allclose(y.array, [expected], atol=1e-15)
    np.testing.assert_array_equal(F.categorical_projection(p, np.array([reward]), discount, Z).array, y.array)


@pytest.mark.parametrize(("dtype", "tolerance"), [("f", 2e-6), ("d", 1e-14)])
def test_mass_and_mean_are_kept_and_algorithm_1_is_met(dtype, tolerance):
    rng, atoms = generator(0), np.linspace(-10, 10, 51)
    p = rng.dirichlet(np.ones(51), 64)
    reward, discount = rng.uniform(-30, 30, 64), 0.99 * (rng.random(64) < 0.8)
    reward[:32] *= 0.01
    y = F.categorical_projection(*[a.astype(dtype) for a in (p, reward, discount, atoms)])
    assert y.dtype == dtype
    assert (y.array >= 0).all()
    np.testing.assert_allclose(y.array.sum(1), 1, rtol=tolerance)
    np.testing.assert_allclose(y.array, project(p, reward, discount, atoms), atol=tolerance)
    inside = abs(reward) + discount * 10 <= 10
    assert 5 < inside.sum() < 60
    means = reward + discount * (p @ atoms)
    np.testing.assert_allclose((y.array @ atoms)[inside], means[inside], atol=20 * tolerance)


def test_a_reward_that_is_not_a_number_spoils_its_own_row_and_no_index():
    p = np.array([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]])
    y = F.categorical_projection(p, np.array([0.0, np.nan]), 1.0, Z).array
    np.testing.assert_allclose(y[0], p[0])
    assert np.isnan(y[1]).any()


def test_a_gradient_for_the_probabilities_alone():
    p, reward = Variable(np.array([[0.2, 0.3, 0.5]])), Variable(np.array([0.5]))
    F.sum(F.categorical_projection(p, reward, 1.0, Z) * np.array([0.0, 1, 3])).backward()
    assert p.grad.tolist() == [[0.5, 2, 3]]
    assert reward.grad is None


def test_the_quantile_huber_loss_by_hand():
    q, t = Variable(np.array([[0.0, 2.0]])), Variable(np.array([[0.5, 3.5]]))
    y = F.quantile_huber_loss(q, t)
    # d = 0.5, 3.5 at tau = 1/4 and -1.5, 1.5 at tau = 3/4; huber: 0.125, 3, 1, 1
    assert y.item() == (0.25 * (0.125 + 3) + 0.25 * 1 + 0.75 * 1) / 2
    y.backward()
    assert q.grad.tolist() == [[-(0.25 * 0.5 + 0.25) / 2, (0.25 - 0.75) / 2]]
    assert t.grad.tolist() == [[(0.25 * 0.5 - 0.25) / 2, (0.25 + 0.75) / 2]]


@pytest.mark.parametrize("delta", [0, 0.1, 1.0, 2.5])
def test_reductions_of_pairs(delta):
    rng = generator(1)
    q, t, taus = rng.standard_normal((5, 7)), rng.standard_normal((5, 3)), rng.random((5, 7))
    each = pairs(q, t, taus, delta)
    np.testing.assert_allclose(F.quantile_huber_loss(q, t, taus, delta, "no").array, each, rtol=1e-12, atol=1e-15)
    rows = F.quantile_huber_loss(q, t, taus, delta, "sum_along_second_axis").array
    np.testing.assert_allclose(rows, each.sum(1).mean(1), rtol=1e-12)
    np.testing.assert_allclose(F.quantile_huber_loss(q, t, taus, delta).array, rows.mean(), rtol=1e-12)


def test_rows_do_not_depend_on_how_many_are_computed_at_once(monkeypatch):
    rng = generator(3)
    q, t, taus = rng.standard_normal((7, 5)), rng.standard_normal((7, 4)), rng.random((7, 5))

    def run(fractions):
        a, b = Variable(q), Variable(t)
        y = F.quantile_huber_loss(a, b, fractions, reduce="sum_along_second_axis")
        F.sum(y).backward()
        return y.array, a.grad, b.grad

    whole = [run(f) for f in (None, taus)]
    monkeypatch.setattr(reinforcement, "CACHED", 45)  # two rows
    for before, f in zip(whole, (None, taus)):
        for one, two in zip(before, run(f)):
            np.testing.assert_allclose(one, two, rtol=1e-14, atol=1e-16)


def test_the_minimum_is_at_the_quantiles():
    """Gradient descent on quantile regression finds the quantiles of 0, 1, ... 99."""
    q, t = np.zeros((1, 4)), np.arange(100.0)[None]
    for step in 40 * 0.98 ** np.arange(400):
        v = Variable(q)
        F.quantile_huber_loss(v, t, delta=0).backward()
        q = q - step * v.grad
    np.testing.assert_allclose(q, [[12, 37, 62, 87]], atol=1)


def test_the_gradient_at_zero_is_zero():
    for delta in (0, 1.0):
        q = Variable(np.ones((1, 2)))
        F.quantile_huber_loss(q, np.ones((1, 2)), delta=delta).backward()
        assert q.grad.tolist() == [[0, 0]]


def test_what_has_no_gradient_may_be_a_variable():
    p = Variable(np.array([[0.2, 0.8]]))
    y = F.categorical_projection(p, *map(Variable, (np.array([0.5]), np.array([0.0]), np.array([-1.0, 1]))))
    np.testing.assert_allclose(y.array, [[0.25, 0.75]], rtol=1e-15)
    q, t, taus = np.zeros((1, 2)), np.ones((1, 1)), np.array([0.25, 0.75])
    assert F.quantile_huber_loss(q, t, Variable(taus)).item() == F.quantile_huber_loss(q, t, taus).item() == 0.5


@pytest.mark.parametrize(("n", "m"), [(3, 0), (0, 3)])
def test_no_quantiles_and_no_targets(n, m):
    q, t = Variable(np.ones((2, n))), Variable(np.ones((2, m)))
    y = F.quantile_huber_loss(q, t)
    assert y.item() == 0
    for double in (False, True):
        gq, gt = grad(y, [q, t], enable_double_backprop=double)
        assert (gq.shape, gt.shape) == ((2, n), (2, m))
        assert not gq.array.any()
        assert not gt.array.any()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: F.quantile_huber_loss(np.ones(2), np.ones((2, 3))),
            ValueError,
            r"quantile_huber_loss: .*got \(2,\) and",
        ),
        (
            lambda: F.categorical_projection(np.ones((2, 3)), np.ones((2, 1)), 1.0, Z),
            ValueError,
            r"categorical_projection: .*reward \(B,\).*got \(2, 3\), \(2, 1\), \(\) and \(3,\)",
        ),
        (lambda: F.categorical_projection(np.ones((2, 3)), np.ones(2), np.ones(3), Z), ValueError, "discount"),
        (lambda: F.categorical_projection(np.ones((2, 3)), np.ones(2), 1.0, Z[:2]), ValueError, r"atoms \(N,\)"),
        (lambda: F.categorical_projection(np.ones(3), np.ones(2), 1.0, Z), ValueError, "categorical_projection"),
        (lambda: F.categorical_projection(np.ones((2, 1)), np.ones(2), 1.0, Z[:1]), ValueError, "N at least 2"),
        (
            lambda: F.quantile_huber_loss(np.ones((2, 3)), np.ones(2)),
            ValueError,
            r"quantile_huber_loss: .*got \(2, 3\) and \(2,\)",
        ),
        (lambda: F.quantile_huber_loss(np.ones((2, 3)), np.ones((3, 2))), ValueError, "quantile_huber_loss: expected"),
        (
            lambda: F.quantile_huber_loss(np.ones((2, 3)), np.ones((2, 2), "f")),
            TypeError,
            "quantile_huber_loss: .*dtype",
        ),
        (lambda: F.quantile_huber_loss(np.ones((2, 3)), np.ones((2, 2)), np.ones(2)), ValueError, r"taus .*\(3,\)"),
        (lambda: F.quantile_huber_loss(np.ones((2, 3)), np.ones((2, 2)), delta=-1), ValueError, "delta must be >= 0"),
        (lambda: F.quantile_huber_loss(np.ones((2, 3)), np.ones((2, 2)), reduce="sum"), ValueError, "reduce .*'sum'"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
