"""TD3: its three changes to DDPG, and updates against loops in float64."""

import numpy as np
import pytest

from rlcore.agents import TD3
from rlcore.autograd.optimizers import SGD
from rlcore.rng import generator
from tests.agents import control
from tests.agents.control import agent, batch

RATE = 0.05


@pytest.mark.parametrize("seed", range(3))
def test_two_updates_are_the_papers(seed):
    learner = agent(TD3, tau=0.1, target_policy_noise=0.4, target_noise_clip=0.3, hidden=(4,))
    for name, descent in learner.descend.items():
        descent.optimizer = learner.optimizers[name] = SGD(RATE).setup(descent.model)
    for p in [*learner.target_critic.params(), *learner.target_actor.params()]:
        p.array = p.array * 0.8
    links = learner.actor, learner.critic, learner.target_actor, learner.target_critic
    pi, q, target_pi, target_q = map(control.floats, links)
    noise = generator(0)
    noise.bit_generator.state = learner.rngs["learning"].bit_generator.state
    before = q
    for k in range(2):
        data = batch(10 * seed + k)
        smoothing = np.clip(0.4 * noise.standard_normal((control.N, 2), np.float32).astype(float), -0.3, 0.3)
        goals = []
        for i in range(control.N):
            action = np.clip(control.mean_action(target_pi, data["next_obs"][i]) + smoothing[i], -1, 1)
            goals.append(
                data["reward"][i] + data["discount"][i] * min(control.q_values(target_q, data["next_obs"][i], action))
            )
        loss, q = control.descended(lambda w: control.critic_loss(w, data, goals), q, RATE)  # noqa: B023  at once
        stats = learner.learn(data)
        assert stats["critic_loss"] == pytest.approx(loss, rel=1e-4)
        assert ("actor_loss" in stats) == (k == 1)

    def actor_loss(w):
        actions = [control.mean_action(w, obs) for obs in data["obs"]]
        return -sum(control.q_values(q, o, a)[0] for o, a in zip(data["obs"], actions)) / control.N

    loss, new_pi = control.descended(actor_loss, pi, RATE)
    assert stats["actor_loss"] == pytest.approx(loss, rel=1e-4)
    control.close(learner.actor, pi, new_pi)
    control.close(learner.critic, before, q)
    control.close(learner.target_actor, target_pi, control.moved(target_pi, new_pi, 0.1))
    control.close(learner.target_critic, target_q, control.moved(target_q, q, 0.1))


@pytest.mark.parametrize("delay", [1, 3])
def test_actor_and_targets_learn_once_in_so_many_updates(delay):
    learner, changes = agent(TD3, policy_delay=delay), []
    links = learner.actor, learner.target_actor, learner.target_critic
    for k in range(6):
        before = [link.flat.copy() for link in links]
        learner.learn(batch(k))
        changed = {not np.array_equal(link.flat, b) for link, b in zip(links, before)}
        assert len(changed) == 1
        changes += changed
    assert changes == [(k + 1) % delay == 0 for k in range(6)]


def test_noise_on_the_actions_of_successors_is_clipped_and_stays_in_the_box():
    learner = agent(TD3, target_policy_noise=5.0, target_noise_clip=0.25)
    obs = generator(0).normal(size=(2_000, 3)).astype(np.float32)
    plain, noisy = learner.target_actor(obs).array, learner.next_action(obs)
    moved = noisy - plain
    assert abs(moved).max() == pytest.approx(0.25, abs=1e-6)
    assert abs(noisy).max() <= 1
    free = abs(plain) < 0.7
    assert np.mean(abs(abs(moved[free]) - 0.25) < 1e-6) > 0.9
    assert moved[free].mean() == pytest.approx(0, abs=0.02)


def test_there_are_two_critics_that_begin_apart():
    first, second = agent(TD3).critic.layers[0].W.array
    assert not np.array_equal(first, second)
    fresh = TD3.from_spaces(control.SEEN, control.BOX, TD3.Config(hidden=(4,), buffer_size=300), generator(0))
    first, second = fresh.critic.layers[0].W.array
    assert not np.array_equal(first, second)
    assert abs(fresh.critic.layers[0].W.array).max() <= 1 / np.sqrt(5)
