"""Actors, critics and actions within the unit box: shapes, densities, gradients by a second formula."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.autograd import Variable
from rlcore.autograd import functions as F
from rlcore.autograd.gradient_check import check_backward
from rlcore.continuous import LOG_STD, GaussianActor, SquashedDraw, UnitBox, actor, critics
from rlcore.distributions import SquashedGaussian
from rlcore.rng import generator

SEEN, BOX = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(np.float32([-2, 0]), np.float32([1, 4]))


def test_actions_of_a_box_by_hand():
    box = UnitBox(BOX, "SAC")
    unit = np.float32([[-1, -1], [1, 1], [0, 0], [0.5, -0.5]])
    np.testing.assert_array_equal(box.to_env(unit), np.float32([[-2, 0], [1, 4], [-0.5, 2], [0.25, 1]]))


def test_rounding_leads_out_of_no_box():
    low = generator(0).uniform(-1e3, 1e3, 2_000).astype(np.float32)
    space = spaces.Box(low, low + generator(1).uniform(0, 1, 2_000).astype(np.float32))
    for sign in (-1, 1):
        assert space.contains(UnitBox(space, "SAC").to_env(np.full((1, 2_000), sign, np.float32))[0])
    huge = spaces.Box(np.float32([-3e38]), np.float32([3e38]))
    assert UnitBox(huge, "SAC").to_env(np.float32([[1]]))[0, 0] == np.float32(3e38)


@pytest.mark.parametrize("log_std", [-3.0, 0.0, 1.0])
@pytest.mark.parametrize("loc", [-1.0, 0.3, 2.0])
def test_the_density_of_draws_integrates_to_one(loc, log_std):
    noise = np.linspace(-6, 6, 100_001)[:, None]
    action, log_prob = SquashedDraw().apply(np.broadcast_to([loc, log_std], (100_001, 2)), noise)
    assert np.trapezoid(np.exp(log_prob.array), action.array[:, 0]) == pytest.approx(1, abs=1e-5)


def by_other_ops(out, noise):
    """What SquashedDraw gives, by distributions and plain ops."""
    loc, log_scale = F.split_axis(out, 2, axis=1)
    log_scale = F.clip(log_scale, *LOG_STD)
    u = loc + F.exp(log_scale) * noise
    base = -0.5 * (noise * noise) - log_scale - 0.5 * np.log(2 * np.pi)
    return F.tanh(u), F.sum(base - F.log(1 - F.square(F.tanh(u))), axis=1)


@pytest.mark.parametrize("which", ["both", "action", "log_prob"])
def test_a_draw_and_its_gradients(which):
    rng = generator(0)
    out, noise = rng.normal(size=(7, 6)), rng.normal(size=(7, 3))
    out[0, 3:] = 3, -25, 2  # beyond the limits, and on one
    g_action = rng.normal(size=(7, 3)) * (which != "log_prob")
    g_log_prob = rng.normal(size=7) * (which != "action")
    results = []
    for f in (by_other_ops, lambda out, noise: SquashedDraw().apply(out, noise)):
        x = Variable(out.copy())
        action, log_prob = f(x, noise)
        parts = [F.sum(action * g_action)] * (which != "log_prob") + [F.sum(log_prob * g_log_prob)] * (
            which != "action"
        )
        sum(parts[1:], parts[0]).backward()
        results.append((action.array, log_prob.array, x.grad))
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def test_a_draws_gradient_by_differences():
    rng = generator(0)
    out, noise, gs = rng.normal(size=(4, 4)), rng.normal(size=(4, 2)), (rng.normal(size=(4, 2)), rng.normal(size=4))
    check_backward(lambda x: SquashedDraw().apply(x, noise), out, gs, rng=rng)


def test_a_draw_is_finite_where_tanh_has_reached_one():
    out = np.float32([[40, -40, 0, 0]])
    x = Variable(out)
    action, log_prob = SquashedDraw().apply(x, np.float32([[0, 0]]))
    np.testing.assert_array_equal(action.array, np.float32([[1, -1]]))
    assert log_prob.array[0] == pytest.approx(2 * (80 - 2 * np.log(2) - 0.5 * np.log(2 * np.pi)), rel=1e-5)
    F.sum(log_prob).backward()
    np.testing.assert_allclose(x.grad, [[2, -2, -1, -1]])


def test_a_draw_is_of_the_distribution():
    pi = actor(SEEN, (8,), 2, generator(0), GaussianActor)
    obs = generator(1).normal(size=(5, 3)).astype(np.float32)
    action, log_prob = pi.draw(obs, generator(2))
    given = pi(obs)
    assert isinstance(given, SquashedGaussian)
    np.testing.assert_allclose(given.log_prob(action.array).array, log_prob.array, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(given.rsample(rng=generator(2)).array, action.array)
    np.testing.assert_allclose(np.tanh(pi.raw(obs).array), given.mode.array, rtol=1e-6)


def test_critics_are_plain_networks_side_by_side():
    q = critics(SEEN, (5, 4), 2, 3, generator(0))
    obs, action = (generator(k).normal(size=(6, n)).astype(np.float32) for k, n in ((1, 3), (2, 2)))
    values = q(obs, action).array
    assert values.shape == (3, 6)
    for k in range(3):
        x = np.concatenate((obs, action), 1)
        for i, layer in enumerate(q.layers):
            x = x @ layer.W.array[k].T + layer.b.array[k]
            x = np.maximum(x, 0) if i < 2 else x
        np.testing.assert_allclose(values[k], x[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(q.first(obs, action).array, values[0], rtol=1e-5, atol=1e-6)
    assert len({w.tobytes() for w in q.layers[0].W.array}) == 3


@pytest.mark.parametrize("way", ["all", "first"])
def test_an_actors_loss_reaches_no_critic(way):
    pi, q = actor(SEEN, (8,), 2, generator(0)), critics(SEEN, (8,), 2, 2, generator(1))
    obs = generator(1).normal(size=(5, 3)).astype(np.float32)
    view = q.view()
    F.sum(view(obs, pi(obs)) if way == "all" else view.first(obs, pi(obs))).backward()
    assert all(p.grad is not None for p in pi.params())
    assert all(p.grad is None for p in q.params())
