"""SAC: one update against loops in float64, targets by hand, the temperature, settings, spaces."""

import math

import numpy as np
import pytest

from rlcore.agents.sac import SAC, SACConfig
from rlcore.autograd.optimizers import SGD
from rlcore.rng import generator
from tests.agents import control
from tests.agents.control import agent, batch, fill

RATE = 0.05


def by_hand(learner):
    """Plain gradient descent instead of Adam."""
    for name, descent in learner.descend.items():
        descent.optimizer = learner.optimizers[name] = SGD(RATE).setup(descent.model)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("coef", ["auto_0.3", 0.2])
@pytest.mark.parametrize("seed", range(2))
def test_an_update_is_the_papers(seed, coef, weights):
    learner, data = agent(SAC, ent_coef=coef, tau=0.1, target_entropy=-1.5), batch(seed, weights)
    by_hand(learner)
    for p in learner.target_critic.params():
        p.array = p.array * 0.8
    pi, q, target = (control.floats(link) for link in (learner.actor, learner.critic, learner.target_critic))
    noise = generator(0)
    noise.bit_generator.state = learner.rngs["learning"].bit_generator.state
    first, second = (noise.standard_normal((control.N, 2), np.float32).astype(float) for _ in range(2))
    stats = learner.learn(data)

    alpha, goals, log_probs = (0.3 if coef == "auto_0.3" else coef), [], []
    for i in range(control.N):
        action, log_prob = control.drawn(pi, data["next_obs"][i], first[i])
        soft = min(control.q_values(target, data["next_obs"][i], action)) - alpha * log_prob
        goals.append(data["reward"][i] + data["discount"][i] * soft)
    loss, new_q = control.descended(lambda w: control.critic_loss(w, data, goals), q, RATE)
    assert stats["critic_loss"] == pytest.approx(loss, rel=1e-4)
    control.close(learner.critic, q, new_q)

    def actor_loss(w):
        total = 0.0
        for i in range(control.N):
            action, log_prob = control.drawn(w, data["obs"][i], second[i])
            total += alpha * log_prob - min(control.q_values(new_q, data["obs"][i], action))
            log_probs.append(log_prob)
        return total / control.N

    actor_loss(pi)
    entropy = -np.mean(log_probs)
    loss, new_pi = control.descended(actor_loss, pi, RATE)
    assert stats["actor_loss"] == pytest.approx(loss, rel=1e-4)
    control.close(learner.actor, pi, new_pi)
    control.close(learner.target_critic, target, control.moved(target, new_q, 0.1))
    assert stats["ent_coef"] == pytest.approx(alpha)
    if learner.learned:
        assert stats["ent_coef_loss"] == pytest.approx(math.log(0.3) * (entropy + 1.5), rel=1e-4)
        expected = math.log(0.3) - RATE * (entropy + 1.5)
        assert learner.temperature.log.array[0] == pytest.approx(expected, rel=1e-5)


def test_a_target_is_the_lesser_value_and_the_entropy_where_no_end_was():
    learner = agent(SAC, ent_coef=0.1)
    given = {}
    learner.acting_actor.draw = lambda obs, rng: (np.zeros((6, 2), np.float32), Fixed(np.full(6, -1.5, np.float32)))
    learner.target_q = lambda obs, action: Fixed(np.float32([[3, 1, 3, 1, 3, 1], [1, 3, 1, 3, 1, 3]]))
    learner.learn_critic = lambda data, value: given.update(goal=data["reward"] + data["discount"] * value) or {}
    data = {**batch(0), "reward": np.float32([2] * 6), "discount": np.float32([0.5, 0, 0.5, 0.25, 0, 1])}
    assert learner.learn(data) == {}
    np.testing.assert_allclose(given["goal"], [2.575, 2, 2.575, 2.2875, 2, 3.15], rtol=1e-6)


class Fixed:
    def __init__(self, array):
        self.array = array


@pytest.mark.parametrize(("target", "sign"), [(5.0, 1), (-50.0, -1)])
def test_the_temperature_pushes_the_entropy_to_its_target_from_both_sides(target, sign):
    """The entropy of two numbers within [-1, 1] is at most 1.39 nats, and that of this actor not below -50."""
    learner = agent(SAC, target_entropy=target)
    before = learner.temperature.log.array.copy()
    for _ in range(3):
        learner.learn(batch(0))
    assert np.sign(learner.temperature.log.array - before) == sign


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_a_target_that_stays_and_one_that_is_copied_are_exact(tau):
    learner = agent(SAC, tau=tau)
    before = learner.target_critic.flat.copy()
    learner.learn(batch(1))
    expected = learner.critic.flat if tau else before
    np.testing.assert_array_equal(learner.target_critic.flat, expected)
    assert not np.array_equal(learner.critic.flat, before)


def test_the_target_is_moved_every_so_many_updates():
    learner = agent(SAC, target_update_interval=3, tau=1.0)
    for k in range(1, 7):
        learner.learn(batch(k))
        assert np.array_equal(learner.target_critic.flat, learner.critic.flat) == (k % 3 == 0)


def test_a_temperature_that_is_given_stays():
    learner = agent(SAC, ent_coef=0.25)
    for k in range(3):
        assert learner.learn(batch(k))["ent_coef"] == 0.25
    assert not learner.learned
    assert "temperature" not in learner.state()
    assert "temperature" not in learner.optimizers


@pytest.mark.parametrize(
    ("given", "coef", "learned"),
    [("auto", 1.0, True), ("auto_0.1", 0.1, True), (0.2, 0.2, False), ("0.2", 0.2, False), (0, 0.0, False)],
)
def test_kinds_of_temperatures(given, coef, learned):
    assert SACConfig(ent_coef=given).first_ent_coef() == (coef, learned)


@pytest.mark.parametrize("given", ["automatic", "auto_", "auto_x", "auto_0", "auto_-1", -0.1, "nan", 1e9, "auto_inf"])
def test_a_temperature_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match=r"ent_coef must be .*, got"):
        SACConfig(ent_coef=given)


def test_the_entropy_to_reach():
    assert SACConfig().goal_entropy(3) == -3
    assert SACConfig(target_entropy=-0.5).goal_entropy(3) == -0.5
    assert SACConfig(target_entropy="2").goal_entropy(3) == 2
    for wrong in ("x", "nan", math.inf):
        with pytest.raises(ValueError, match="target_entropy must be"):
            SACConfig(target_entropy=wrong)
    for wrong in (True, [1.0], None):
        with pytest.raises(TypeError, match="target_entropy"):
            SACConfig(target_entropy=wrong)


def shares_below(unit, learner, obs):
    """Half of the draws are below the squashed mean, 84 % below the mean and a deviation."""
    out = np.array(control.network(control.floats(learner.actor), obs))
    for deviations, share in ((0, 0.5), (1, 0.8413)):
        below = (unit < np.tanh(out[:2] + deviations * np.exp(out[2:]))).mean(0)
        np.testing.assert_allclose(below, share, atol=0.015)


def test_its_deterministic_policy_is_the_squashed_mean_and_the_other_one_draws():
    learner = agent(SAC)
    obs = generator(1).normal(size=(5, 3)).astype(np.float32)
    unit = np.array([control.mean_action(control.floats(learner.actor), o)[:2] for o in obs])
    np.testing.assert_allclose(learner.policy()(obs), [-0.5, 2] + unit * [1.5, 2], rtol=1e-5, atol=1e-6)
    many = np.repeat(obs[:1], 20_000, 0)
    shares_below((learner.policy(False, generator(2))(many) - [-0.5, 2]) / [1.5, 2], learner, obs[0])
    own = learner.state()["rngs"]["policy"]
    learner.policy(False)(obs)
    assert learner.state()["rngs"]["policy"] != own


def test_acting_draws_from_the_policy_once_learning_has_started():
    learner = agent(SAC, learning_starts=4)
    fill(learner, 4)
    many = np.zeros((20_000, 3), np.float32)
    unit = learner.act(many)[1]["action"]
    shares_below(unit, learner, many[0])
