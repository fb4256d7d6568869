"""DQN: one update against plain loops in float64, exact values of small tasks, counting, and state."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import DQN, DoubleDQN, DQNConfig
from rlcore.autograd import Sequential
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import SGD
from rlcore.buffers import Replay
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain, Forever
from rlcore.explorers import EpsilonGreedy, Schedule
from rlcore.harness import train
from rlcore.rng import generator
from rlcore.stream import Step

SMALL = DQNConfig(
    learning_rate=Schedule(1e-2),
    buffer_size=1_000,
    learning_starts=20,
    batch_size=8,
    n_step=1,
    update_every=1,
    gradient_steps=1,
    target_update_interval=20,
    epsilon=Schedule(0.5),
    hidden=(8,),
)
VECTOR, TWO = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)


def agent(cls=DQN, config=SMALL, seed=0, observation_space=VECTOR, action_space=TWO):
    return cls.from_spaces(observation_space, action_space, config, generator(seed))


def step(obs, reward=0.0, terminated=False, truncated=False):
    n = len(obs)
    flag = np.full(n, terminated), np.full(n, truncated)
    return Step(obs, np.full(n, reward, np.float32), *flag, obs, np.ones(n, bool), {})


class Fixed:
    """A replay that gives one batch."""

    def __init__(self, batch):
        self.batch = batch

    def sample(self, n):
        return self.batch

    def __len__(self):
        return 1


def numbers(seed, *shape):
    return generator(seed).normal(size=shape).astype(np.float32)


def network(seed):
    model = Sequential(L.Linear(3, 4), F.tanh, L.Linear(4, 2))
    for k, p in enumerate(model.params()):
        p.array = numbers(seed * 10 + k, *p.shape)
    return model


def values(weights, obs):
    """Q(s, .) of the network by loops."""
    W1, b1, W2, b2 = weights
    hidden = [np.tanh(sum(W1[j, i] * obs[i] for i in range(3)) + b1[j]) for j in range(4)]
    return [sum(W2[a, j] * hidden[j] for j in range(4)) + b2[a] for a in range(2)], hidden


def slow_update(weights, target_weights, batch, double, lr):
    """One step of gradient descent on the mean Huber loss, written out; gives the loss and the new weights."""
    W1, b1, W2, b2 = (w.astype(np.float64) for w in weights)
    gradients, loss, n = [np.zeros_like(w) for w in (W1, b1, W2, b2)], 0.0, len(batch["reward"])
    for k in range(n):
        obs, successor, a = batch["obs"][k].astype(float), batch["next_obs"][k].astype(float), batch["action"][k]
        q, hidden = values((W1, b1, W2, b2), obs)
        later, _ = values([w.astype(np.float64) for w in target_weights], successor)
        best = int(np.argmax(values((W1, b1, W2, b2), successor)[0])) if double else int(np.argmax(later))
        error = q[a] - (float(batch["reward"][k]) + float(batch["discount"][k]) * later[best])
        loss += (0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5) / n
        g = max(-1.0, min(1.0, error)) / n
        gradients[3][a] += g
        for j in range(4):
            gradients[2][a, j] += g * hidden[j]
            back = g * W2[a, j] * (1 - hidden[j] ** 2)
            gradients[1][j] += back
            for i in range(3):
                gradients[0][j, i] += back * obs[i]
    return loss, [w - lr * g for w, g in zip((W1, b1, W2, b2), gradients)]


@pytest.mark.parametrize("cls", [DQN, DoubleDQN])
@pytest.mark.parametrize("seed", range(5))
def test_an_update_is_the_papers(cls, seed):
    rng = generator(seed)
    batch = {
        "obs": rng.normal(size=(6, 3)).astype(np.float32),
        "next_obs": rng.normal(size=(6, 3)).astype(np.float32),
        "action": rng.integers(0, 2, 6),
        "reward": rng.normal(scale=2, size=6).astype(np.float32),
        "discount": np.float32([0.99, 0, 0.99**3, 0.99, 0, 0.5]),  # terminal rows, n-step rows, ends cut short
    }
    learner = cls(network(1), SGD(0.1), Fixed(batch), EpsilonGreedy(0.0, rng), SMALL, rng)
    for p, other in zip(learner.target.params(), network(2).params()):
        p.array = other.array
    weights = [p.array.copy() for p in learner.q.params()]
    target = [p.array.copy() for p in learner.target.params()]
    loss, expected = slow_update(weights, target, batch, cls is DoubleDQN, 0.1)
    assert learner.learn(batch)["loss"] == pytest.approx(loss, rel=1e-5)
    for p, e, before in zip(learner.q.params(), expected, weights):
        np.testing.assert_allclose(p.array - before, e - before, rtol=1e-3, atol=1e-6)
    for p, before in zip(learner.target.params(), target):
        np.testing.assert_array_equal(p.array, before)


def test_the_target_is_copied_every_so_many_updates():
    learner = agent(config=replace(SMALL, target_update_interval=3))
    learner.observe(numbers(0, 1, 3), np.array([0]), step(numbers(1, 1, 3), 1.0, terminated=True), {})
    for k in range(1, 7):
        learner.learn(learner.replay.sample(8))
        assert (learner.target.flat == learner.q.flat).all() == (k % 3 == 0)


def test_a_soft_target_moves_by_tau():
    learner = agent(config=replace(SMALL, target_update_interval=1, tau=0.25))
    learner.observe(numbers(0, 1, 3), np.array([0]), step(numbers(1, 1, 3), 1.0, terminated=True), {})
    before = learner.target.flat.copy()
    learner.learn(learner.replay.sample(8))
    np.testing.assert_allclose(learner.target.flat, before + 0.25 * (learner.q.flat - before), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n_envs", [1, 4, 64])
@pytest.mark.parametrize(("every", "rounds"), [(1, 1), (8, 2), (100, 7)])
def test_updates_follow_rows_not_calls(n_envs, every, rounds):
    learner = agent(config=replace(SMALL, learning_starts=128, update_every=every, gradient_steps=rounds, batch_size=2))
    obs = np.zeros((n_envs, 3), np.float32)
    for _ in range(512 // n_envs):
        learner.observe(obs, np.zeros(n_envs, np.int64), step(obs), {})
        learner.update()
    assert learner.n_updates == (512 // every - 128 // every) * rounds
    assert learner.t == 512


def test_exploration_and_learning_rate_follow_their_schedules():
    config = replace(SMALL, epsilon=Schedule(1.0, 0.0, 100), learning_rate=Schedule(0.1, 0.0, 100), learning_starts=0)
    learner = agent(config=config)
    obs = numbers(0, 1, 3)
    stats = {}
    for _ in range(25):
        learner.observe(obs, np.array([0]), step(obs), {})
        stats = learner.update() or stats
    assert stats["rollout/exploration_rate"] == pytest.approx(0.75)
    assert stats["learning_rate"] == pytest.approx(0.075)
    many = np.repeat(obs, 4_000, 0)
    greedy = learner.policy()(many)
    assert (greedy == greedy[0]).all()
    actions, extra = learner.act(many)
    assert extra == {}
    assert (actions != greedy).mean() == pytest.approx(0.75 / 2, abs=0.03)
    assert (learner.policy(False, generator(1))(many) != greedy).mean() == pytest.approx(0.75 / 2, abs=0.03)


def fitted(make, gamma, steps=4_000, cls=DQN, n_step=1):
    """An agent with a table for a network, trained to the end."""
    env = SerialEnv(make, n_envs=2)
    config = replace(
        SMALL, gamma=gamma, hidden=(), n_step=n_step, batch_size=32, learning_rate=Schedule(0.05, 0.002, steps)
    )
    learner = agent(cls, config, 0, env.observation_space, env.action_space)
    train(learner, env, steps)
    return learner


@pytest.mark.parametrize("cls", [DQN, DoubleDQN])
@pytest.mark.parametrize("n_step", [1, 3])
def test_values_of_the_chain_are_exact(cls, n_step):
    learner = fitted(lambda: Chain(4, limit=50), 0.9, cls=cls, n_step=n_step)
    q = learner.q(np.eye(5, dtype=np.float32)[:4]).array
    np.testing.assert_allclose(q.max(1), [0.9**3, 0.9**2, 0.9, 1], atol=0.05 if n_step == 1 else 0.25)
    assert (q.argmax(1) == 1).all()


def test_a_time_limit_is_bootstrapped():
    """One state, reward 1, cut after 5 steps: 10 if the cut is bootstrapped, 3.57 if it is taken for an end."""
    learner = fitted(lambda: Forever(5), 0.9, steps=6_000)
    np.testing.assert_allclose(learner.q(np.ones((1, 1), np.float32)).array, 10, atol=0.3)


def run(seed=3, steps=300, learner=None, env=None, t=0):
    env = env or SerialEnv(lambda: Chain(4, limit=20), n_envs=3, seed=seed)
    learner = learner or agent(DQN, SMALL, seed, env.observation_space, env.action_space)
    return learner, env, train(learner, env, steps, t=t)


def test_one_seed_gives_one_run():
    one, two, other = run()[0], run()[0], run(seed=4)[0]
    np.testing.assert_array_equal(one.q.flat, two.q.flat)
    assert not np.array_equal(one.q.flat, other.q.flat)


def test_a_loaded_agent_goes_on_bit_for_bit():
    whole, _, _ = run(steps=600)
    first, env, t = run(steps=300)
    second, again, _ = run(seed=5, steps=0)
    second.load(first.state())
    again = SerialEnv(lambda: Chain(4, limit=20), n_envs=3, seed=3)
    again.load(env.state())
    run(steps=600, learner=second, env=again, t=t)
    np.testing.assert_array_equal(second.q.flat, whole.q.flat)
    np.testing.assert_array_equal(second.target.flat, whole.target.flat)
    for slot in ("m", "v"):
        np.testing.assert_array_equal(second.optimizer.state()[slot], whole.optimizer.state()[slot])
    assert second.state()["explorer"] == whole.state()["explorer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(hidden=(9,)), r"load: /0/W is \(8, 3\) float32 in the state and \(9, 3\) float32 here"),
        (dict(hidden=(8, 8)), "load: /2/W is missing from the state"),
        (dict(buffer_size=999), "capacity 1000, this replay 999"),
        (dict(n_step=2), "n_step 1, this replay 2"),
    ],
)
def test_the_state_of_another_network_or_replay_changes_nothing(change, message):
    given, other = agent(), agent(config=replace(SMALL, **change), seed=1)
    before = other.q.flat.copy()
    with pytest.raises(ValueError, match=message):
        other.load(given.state())
    np.testing.assert_array_equal(other.q.flat, before)
    np.testing.assert_array_equal(other.target.flat, before)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("explorer"), "differs in explorer"),
        (lambda s: s.update(t="x"), "t must be a whole number, got 'x'"),
        (lambda s: s["optimizer"].update(steps=[1]), "'steps' has 1 entries"),
        (lambda s: s["explorer"].update(rng={}), "random state is of None"),
    ],
)
def test_a_broken_state_changes_nothing(spoil, message):
    given, other = run()[0].state(), run(seed=9)[0]
    before, rows = other.q.flat.copy(), len(other.replay)
    spoil(given)
    with pytest.raises(ValueError, match=message):
        other.load(given)
    np.testing.assert_array_equal(other.q.flat, before)
    assert len(other.replay) == rows


def test_the_deterministic_policy_draws_nothing():
    learner = agent()
    before = learner.state()["rng"]
    learner.policy()(numbers(0, 5, 3))
    assert learner.state()["rng"] == before
    learner.policy(deterministic=False)(numbers(0, 5, 3))
    assert learner.state()["rng"] != before


@pytest.mark.parametrize("space", [VECTOR, spaces.MultiDiscrete([2, 2])])
def test_actions_must_be_discrete(space):
    with pytest.raises(ValueError, match="DQN needs a Discrete action space, got"):
        agent(action_space=space)


def test_observations_that_no_network_takes_are_refused():
    with pytest.raises(ValueError, match="expected observations of Box, Discrete"):
        agent(observation_space=spaces.Text(5))


@pytest.mark.parametrize(
    "space", [spaces.Discrete(5), spaces.Discrete(3, start=2), spaces.Box(0, 255, (2, 3), np.uint8), VECTOR]
)
def test_observations_of_each_kind_are_learned_from(space):
    learner = agent(observation_space=space)
    obs = np.stack([space.sample() for _ in range(4)])
    action, _ = learner.act(obs)
    assert action.shape == (4,)
    learner.observe(obs, action, step(obs, 1.0, terminated=True), {})
    learner.t = learner.due = 100
    assert np.isfinite(learner.update()["loss"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(batch_size=0), "batch_size must be at least 1, got 0"),
        (dict(gamma=1.5), r"gamma must be within \[0, 1\], got 1.5"),
        (dict(buffer_size=4), "buffer_size 4 is smaller than batch_size 8"),
        (dict(learning_starts=-1), "learning_starts must be at least 0, got -1"),
        (dict(max_grad_norm=0.0), "max_grad_norm must be above 0 and at most 1e\\+09, got 0"),
        (dict(hidden=(64, 0)), r"hidden\[1\] must be at least 1, got 0"),
        (dict(learning_rate=Schedule(-1.0)), r"learning_rate must be within \[0, 10\], got -1"),
        (dict(epsilon=Schedule(1.5)), r"epsilon must be within \[0, 1\], got 1.5"),
    ],
)
def test_a_config_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_an_agent_is_made_of_parts_that_can_be_given():
    rng = generator(0)
    replay = Replay(100, {"obs": ((3,), np.float32), "action": ((), np.int64)}, rng)
    learner = DQN(Sequential(L.Linear(None, 2)), SGD(0.1), replay, EpsilonGreedy(0.0, rng), SMALL, rng)
    obs = numbers(0, 2, 3)
    learner.act(obs)  # settles the size
    learner.observe(obs, np.array([0, 1]), step(obs, 1.0, terminated=True), {})
    learner.due = 1
    learner.update()
    assert learner.q.flat.size == learner.target.flat.size == 8
    np.testing.assert_allclose(learner.target.flat, learner.q.flat, atol=0.2)  # it began as the network, one step ago
