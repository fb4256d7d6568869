"""Losses: numbers by hand, gradients where they must be and must not, and the formula made of other ops."""

import numpy as np
import pytest

from rlcore.autograd import Variable, grad
from rlcore.autograd import functions as F
from rlcore.autograd.gradient_check import check_double_backward
from rlcore.losses import action_cross_entropy, actor_critic_loss, mean_of, ppo_loss, soft_policy_loss, squared_errors
from rlcore.rng import generator


def ppo(log_prob, entropy, value, old, advantage, old_value, target, clip_range=0.2, vf=None, ent=0.0, weight=0.0):
    batch = {"log_prob": old, "value": old_value, "return": target}
    return ppo_loss(
        log_prob, entropy, value, batch, advantage,
        clip_range=clip_range, clip_range_vf=vf, ent_coef=ent, vf_coef=weight,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.2),  # inside: the ratio times the advantage
        (1.5, 2.0, 2.4, 0.0),  # good, and likelier already than is rewarded
        (1.5, -2.0, -3.0, -3.0),  # bad, and too likely: nothing holds the correction
        (0.5, 2.0, 1.0, 1.0),  # good, and too unlikely
        (0.5, -2.0, -1.6, 0.0),  # bad, and unlikely enough
        (0.9, -2.0, -1.8, -1.8),
    ],
)
def test_the_six_cases_of_the_clipped_surrogate(ratio, advantage, value, slope):
    """Schulman et al. 2017, figure 1, with range 0.2; the derivative is by the logarithm of the probability."""
    log_prob, zero = Variable(np.log([ratio])), np.zeros(1)
    loss, stats = ppo(log_prob, zero, zero, zero, np.array([advantage]), zero, zero)
    loss.backward()
    assert loss.array == pytest.approx(-value)
    assert stats["policy_gradient_loss"] == pytest.approx(-value)
    assert log_prob.grad == pytest.approx([-slope])
    assert stats["clip_fraction"] == (abs(ratio - 1) > 0.2)
    assert stats["approx_kl"] == pytest.approx(ratio - 1 - np.log(ratio))


@pytest.mark.parametrize(
    ("value", "loss", "slope"),
    [(1.3, 0.49, -1.4), (1.9, 0.25, 0.0), (0.9, 1.21, -2.2), (0.2, 2.25, 0.0)],  # from 1, by at most 0.5, to 2
)
def test_values_that_are_clipped(value, loss, slope):
    v, zero = Variable(np.array([value])), np.zeros(1)
    total, stats = ppo(zero, zero, v, zero, zero, np.ones(1), np.array([2.0]), vf=0.5, weight=3.0)
    total.backward()
    assert stats["value_loss"] == pytest.approx(loss)
    assert total.array == pytest.approx(3 * loss)
    assert v.grad == pytest.approx([3 * slope])


@pytest.mark.parametrize("vf", [None, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_ppo_is_its_formula(seed, vf):
    """Its parts, its gradient and its second gradient."""
    numbers = generator(seed).normal(size=(7, 50)) * 0.3
    old, advantage, old_value, target = numbers[3:]
    ours, theirs = ([Variable(x) for x in numbers[:3]] for _ in range(2))
    loss, stats = ppo(*ours, old, advantage, old_value, target, vf=vf, ent=0.1, weight=0.5)
    log_prob, entropy, value = theirs
    ratio = F.exp(log_prob - old)
    policy = -F.average(F.minimum(ratio * advantage, F.clip(ratio, 0.8, 1.2) * advantage))
    moved = value if vf is None else old_value + F.clip(value - old_value, -vf, vf)
    formula = policy - 0.1 * F.average(entropy) + 0.5 * F.average(F.square(moved - target))
    assert loss.array == pytest.approx(formula.array)
    assert stats["entropy_loss"] == pytest.approx(-numbers[1].mean())
    assert stats["loss"] == loss.array
    one, two = (grad([y], v, enable_double_backprop=True) for y, v in ((loss, ours), (formula, theirs)))
    plain = grad([ppo(*ours, old, advantage, old_value, target, vf=vf, ent=0.1, weight=0.5)[0]], ours)
    for a, b, c in zip(one, two, plain):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(c.array, b.array, rtol=1e-12, atol=1e-15)
        assert np.abs(a.array).max() > 1e-4
    for k in (0, 2):
        (a,), (b,) = (grad([F.sum(g[k] * advantage)], [v[k]]) for g, v in ((one, ours), (two, theirs)))
        np.testing.assert_allclose(a.array, b.array, rtol=1e-12, atol=1e-15)


def test_the_actor_critic_loss_by_hand():
    """Two rows: -(-1 * 2 + -3 * -4) / 2, entropies 0.5 and 1.5, errors 1 and -3."""
    log_prob, entropy, value = (Variable(np.array(x)) for x in ([-1.0, -3.0], [0.5, 1.5], [2.0, 1.0]))
    loss, parts = actor_critic_loss(log_prob, entropy, value, np.array([2.0, -4.0]), np.array([1.0, 4.0]), 0.1, 0.5)
    assert {name: float(x) for name, x in parts.items()} == {"policy_loss": -5, "value_loss": 5, "entropy_loss": -1}
    assert loss.array == pytest.approx(-5 + 0.1 * -1 + 0.5 * 5)
    loss.backward()
    np.testing.assert_allclose(log_prob.grad, [-1, 2])
    np.testing.assert_allclose(entropy.grad, [-0.05, -0.05])
    np.testing.assert_allclose(value.grad, [0.5, -1.5])


@pytest.mark.parametrize("ent_coef", [0.0, 0.3])
def test_the_actor_critic_loss_is_its_formula(ent_coef):
    rng = generator(0)
    columns, again = ([Variable(x) for x in rng.normal(size=(3, 50))] for rng in (generator(1), generator(1)))
    advantage, target = rng.normal(size=(2, 50))
    loss, _ = actor_critic_loss(*columns, advantage, target, ent_coef, 0.7)
    log_prob, entropy, value = again
    formula = F.average(-log_prob * advantage - ent_coef * entropy + 0.7 * F.square(value - target))
    assert loss.array == pytest.approx(formula.array)
    one = grad([loss], columns, enable_double_backprop=True)
    two = grad([formula], again, enable_double_backprop=True)
    for a, b in zip(one, two):
        np.testing.assert_allclose(0 if a is None else a.array, b.array, rtol=1e-12, atol=1e-15)
    (a,), (b,) = grad([F.sum(one[2] * target)], columns[2:]), grad([F.sum(two[2] * target)], again[2:])
    np.testing.assert_allclose(a.array, b.array, rtol=1e-12)


@pytest.mark.parametrize(("weight", "expected"), [(None, 4.5), (np.array([1.0, 0.5]), 3.5)])
def test_squared_errors_of_two_critics_by_hand(weight, expected):
    """Errors 1 and 3 of the first transition, 2 and -2 of the second: (1 + 9 + 4 + 4) / 4 without weights."""
    q, goal = Variable(np.array([[2.0, 1.0], [4.0, -3.0]])), np.array([1.0, -1.0])
    errors = np.array([[1.0, 2.0], [3.0, -2.0]])
    w = np.ones(2) if weight is None else weight
    loss = squared_errors(q, goal, weight)
    loss.backward()
    assert loss.array == pytest.approx(expected)
    np.testing.assert_allclose(q.grad, w * errors / 2)


def test_the_soft_policy_loss_by_hand():
    """0.5 * log_prob less the lesser value: (0.5 - 2 - 1 - 3) / 2."""
    log_prob, q = Variable(np.array([1.0, -2.0])), Variable(np.array([[2.0, 5.0], [4.0, 3.0]]))
    loss = soft_policy_loss(log_prob, q, np.array([0.5]))
    loss.backward()
    assert loss.array == pytest.approx(-2.75)
    np.testing.assert_allclose(log_prob.grad, [0.25, 0.25])
    np.testing.assert_allclose(q.grad, [[-0.5, 0], [0, -0.5]])


@pytest.mark.parametrize("weight", [None, generator(5).uniform(size=6)])
def test_second_derivatives_of_losses_of_control(weight):
    """Through the formulas made of other ops, against differences."""
    rng = generator(0)
    q, goal, log_prob, alpha = rng.normal(size=(2, 6)), rng.normal(size=6), rng.normal(size=6), np.array([0.3])

    def both(x, y):
        return squared_errors(x, goal, weight) * 2 + F.square(soft_policy_loss(y, x, alpha))

    check_double_backward(both, (q, log_prob), np.array(1.5), [rng.normal(size=(2, 6)), rng.normal(size=6)], rng=rng)


@pytest.mark.parametrize("seed", range(3))
def test_the_cross_entropy_of_actions_is_its_formula(seed):
    rng = generator(seed)
    logits, action = rng.normal(size=(5, 3, 4)) * 3, rng.integers(0, 3, 5)
    target = rng.random((5, 4))
    target /= target.sum(axis=1, keepdims=True)
    x, again = Variable(logits), Variable(logits.copy())
    losses = action_cross_entropy(x, action, target)
    for i in range(5):
        row = logits[i, action[i]]
        log_total = np.log(sum(np.exp(v) for v in row))
        assert losses.array[i] == pytest.approx(-sum(t * (v - log_total) for t, v in zip(target[i], row)))
    formula = -F.sum(F.log_softmax(F.get_item(again, (np.arange(5), action))) * target, axis=1)
    weights = rng.normal(size=5)
    (one,), (two,) = (
        grad([F.sum(y * weights)], [v], enable_double_backprop=True) for y, v in ((losses, x), (formula, again))
    )
    np.testing.assert_allclose(one.array, two.array, rtol=1e-10, atol=1e-12)
    others = np.ones((5, 3), bool)
    others[np.arange(5), action] = False
    assert (one.array[others] == 0).all()
    direction = rng.normal(size=one.shape)
    (one,), (two,) = grad([F.sum(one * direction)], [x]), grad([F.sum(two * direction)], [again])
    np.testing.assert_allclose(one.array, two.array, rtol=1e-10, atol=1e-12)


def test_the_cross_entropy_of_actions_bears_large_logits():
    logits = Variable(np.float32([[[1e4, 0, -1e4]]]))
    loss = action_cross_entropy(logits, np.array([0]), np.float32([[0.5, 0.5, 0]]))
    loss.backward()
    assert loss.array.tolist() == [5_000]
    assert logits.grad.tolist() == [[[0.5, -0.5, 0]]]


def test_a_mean_of_losses_has_the_weights_of_its_batch():
    losses = np.float32([1, 2, 6])
    assert mean_of(losses, {}).array == 3
    assert mean_of(losses, {"weight": np.float32([1, 0.5, 0.25])}).array == pytest.approx(3.5 / 3)
