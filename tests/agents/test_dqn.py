"""DQN: one update against plain loops in float64, exact values of small tasks, counting, and state."""

from dataclasses import fields, replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import DQN, QRDQN, CategoricalDQN, DoubleDQN, DQNConfig
from rlcore.autograd import Sequential
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import SGD
from rlcore.buffers import FrameReplay, Prioritized, Replay
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain, Forever
from rlcore.explorers import EpsilonGreedy, Schedule
from rlcore.harness import train
from rlcore.rng import generator
from rlcore.stream import Step
from tests.agents.loops import Fixed, check_moved, copied, descended, mixed_batch, network, numbers, outputs, weighted

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


def slow_update(weights, target_weights, batch, double, lr):
    """One step of gradient descent on the mean Huber loss, written out; gives the loss, the errors, the new weights."""
    loss, errors, rows = 0.0, [], []
    for k in range(6):
        obs, after, a = batch["obs"][k], batch["next_obs"][k], batch["action"][k]
        later, _ = outputs(target_weights, after)
        best = int(np.argmax(outputs(weights, after)[0] if double else later))
        error = outputs(weights, obs)[0][a] - (float(batch["reward"][k]) + float(batch["discount"][k]) * later[best])
        weight = float(batch["weight"][k]) / 6 if "weight" in batch else 1 / 6
        loss += weight * (0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5)
        slopes = [0.0, 0.0]
        slopes[a] = weight * max(-1.0, min(1.0, error))
        errors.append(error)
        rows.append((obs, slopes))
    return loss, errors, descended(weights, rows, lr)


@pytest.mark.parametrize("cls", [DQN, DoubleDQN])
@pytest.mark.parametrize("with_weights", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_an_update_is_the_papers(cls, with_weights, seed):
    rng, batch = generator(seed), mixed_batch(seed)
    if with_weights:
        batch = weighted(batch, seed)
    learner = cls(network(1), SGD(0.1), Fixed(batch), EpsilonGreedy(0.0, rng), SMALL, rng)
    for p, other in zip(learner.target.params(), network(2).params()):
        p.array = other.array
    weights, target = copied(learner.q), copied(learner.target)
    loss, errors, expected = slow_update(weights, target, batch, cls is DoubleDQN, 0.1)
    assert learner.learn(batch)["loss"] == pytest.approx(loss, rel=1e-5)
    check_moved(learner.q, weights, expected)
    for p, before in zip(learner.target.params(), target):
        np.testing.assert_array_equal(p.array, before)
    assert len(learner.replay.updates) == with_weights
    for row, error in learner.replay.updates:
        np.testing.assert_array_equal(row, batch["row"])
        np.testing.assert_allclose(np.abs(error), np.abs(errors), rtol=1e-4, atol=1e-5)


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


# options and spaces

MASKED = spaces.Dict(obs=VECTOR, action_mask=spaces.MultiBinary(3))
FAMILY = [DQN, DoubleDQN, CategoricalDQN, QRDQN]


def member(cls, seed=0, observation_space=VECTOR, action_space=TWO, **settings):
    """A small agent of the family."""
    names = {field.name for field in fields(cls.Config)}
    given = {f.name: getattr(SMALL, f.name) for f in fields(DQNConfig)} | {"n_atoms": 11, "n_quantiles": 7} | settings
    config = cls.Config(**{name: value for name, value in given.items() if name in names})
    return cls.from_spaces(observation_space, action_space, config, generator(seed))


def masked_rows(n, seed, shift=0):
    """Observations with masks, of which each allows one action or two."""
    mask = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]], np.int8)[(np.arange(n) + shift) % 3]
    return {"obs": numbers(seed, n, 3), "action_mask": mask}


@pytest.mark.parametrize("cls", FAMILY)
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_forbidden_actions_are_never_taken(cls, epsilon):
    learner = member(cls, observation_space=MASKED, action_space=spaces.Discrete(3, start=5), epsilon=epsilon)
    obs = masked_rows(300, 0)
    for policy in (learner.policy(), learner.policy(False, generator(1)), lambda obs: learner.act(obs)[0]):
        action = policy(obs) - 5
        assert (obs["action_mask"][np.arange(300), action] == 1).all()
        assert len(set(action.tolist())) == 3
    obs["action_mask"][7] = 0
    with pytest.raises(ValueError, match="stream 7 forbids every action"):
        learner.act(obs)


@pytest.mark.parametrize("cls", FAMILY)
def test_targets_are_of_allowed_actions(cls):
    """An update equals one after a network whose values of forbidden actions are low."""
    learner = member(cls, observation_space=MASKED, action_space=spaces.Discrete(3))
    obs, after = masked_rows(6, 0), masked_rows(6, 1, 1)
    batch = {**mixed_batch(0), "obs": obs, "next_obs": after}
    values = numbers(2, 6, 3)
    chosen = learner.best(batch, values)
    for k in range(6):
        allowed = [a for a in range(3) if after["action_mask"][k, a]]
        assert chosen[k] == max(allowed, key=lambda a: values[k, a])
    assert np.isfinite(learner.learn(batch)["loss"])


@pytest.mark.parametrize("cls", FAMILY)
def test_a_mask_of_no_action_is_for_ends_alone(cls):
    learner = member(cls, observation_space=MASKED, action_space=spaces.Discrete(3))
    batch = {**mixed_batch(0), "obs": masked_rows(6, 0), "next_obs": masked_rows(6, 1)}
    batch["next_obs"]["action_mask"][[1, 4]] = 0  # whose discount is 0
    assert np.isfinite(learner.learn(batch)["loss"])
    batch["next_obs"]["action_mask"][0] = 0
    before = learner.q.flat.copy()
    with pytest.raises(ValueError, match="an episode goes on, or is cut, forbids every action"):
        learner.learn(batch)
    np.testing.assert_array_equal(learner.q.flat, before)


@pytest.mark.parametrize("cls", FAMILY)
def test_actions_that_start_elsewhere_are_the_same_actions(cls):
    one, two = (member(cls, action_space=spaces.Discrete(2, start=start)) for start in (0, -3))
    obs = numbers(0, 5, 3)
    np.testing.assert_array_equal(one.act(obs)[0] - 3, two.act(obs)[0])
    np.testing.assert_array_equal(one.policy()(obs) - 3, two.policy()(obs))
    batch = mixed_batch(0)
    one.learn(batch)
    two.learn({**batch, "action": batch["action"] - 3})
    np.testing.assert_array_equal(one.q.flat, two.q.flat)


NESTED = spaces.Dict(a=VECTOR, b=spaces.Tuple((spaces.Discrete(3, start=1), spaces.Box(0, 5, (2, 2), np.int64))))


@pytest.mark.parametrize("cls", FAMILY)
@pytest.mark.parametrize("options", [{}, {"prioritized": True, "dueling": True}, {"noisy": True}], ids=str)
def test_nested_observations_are_learned_from(cls, options):
    learner = member(cls, observation_space=NESTED, **options)
    obs = {
        "a": numbers(0, 4, 3),
        "b": (np.array([1, 2, 3, 1]), generator(0).integers(0, 6, (4, 2, 2))),
    }
    for k in range(3):
        action, _ = learner.act(obs)
        learner.observe(obs, action, step(obs["a"], 1.0, terminated=k == 2)._replace(obs=obs, final_obs=obs), {})
    learner.t = learner.due = 100
    assert np.isfinite(learner.update()["loss"])
    assert learner.n_updates == 100


def test_noise_is_drawn_for_each_act_and_each_learning_pass_by_generators_of_their_own():
    learner = member(DQN, noisy=True, epsilon=None)
    assert learner.config.exploration == Schedule(0.0)
    assert member(DQN, noisy=True, epsilon=0.1).config.exploration == Schedule(0.1)
    state = learner.state()["noise"]
    learner.act(numbers(0, 1, 3))
    acted = learner.state()["noise"]
    assert acted["acting"] != state["acting"]
    assert acted["learning"] == state["learning"]
    obs = numbers(0, 400, 3)
    batch = mixed_batch(0)
    losses = {learner.loss(batch)[0].array.item() for _ in range(5)}
    assert len(losses) == 5
    assert learner.state()["noise"]["acting"] == acted["acting"]
    before = learner.state()["noise"], learner.state()["rng"]
    first = learner.policy()(obs)
    np.testing.assert_array_equal(first, learner.policy()(obs))
    assert (learner.state()["noise"], learner.state()["rng"]) == before
    np.testing.assert_array_equal(first, learner.mean_q(obs).array.argmax(axis=1))
    policy = learner.policy(deterministic=False, rng=generator(5))
    assert any((policy(obs) != policy(obs)).any() for _ in range(10))
    assert learner.state()["noise"] == before[0]


def test_a_noisy_target_draws_noise_too_and_sigmas_are_learned():
    learner = member(DQN, noisy=True)
    batch = mixed_batch(0)
    one, two = (learner.target_q(batch["obs"]).array for _ in range(2))
    assert not np.array_equal(one, two)
    sigma = next(p for path, p in learner.q.namedparams() if path.endswith("sigma_W"))
    before = sigma.array.copy()
    learner.learn(batch)
    assert (sigma.array != before).any()


@pytest.mark.parametrize(
    ("space", "share", "shared"),
    [
        (spaces.Box(0, 255, (4, 40, 44), np.uint8), None, True),
        (spaces.Box(0, 255, (2, 40, 44), np.uint8), None, True),
        (spaces.Box(0, 255, (4, 40, 44), np.uint8), False, False),
        (spaces.Box(0, 255, (3, 40, 44), np.uint8), None, False),  # colours
        (spaces.Box(0, 255, (3, 40, 44), np.uint8), True, True),
        (spaces.Box(0, 255, (1, 40, 44), np.uint8), None, False),
        (spaces.Box(0, 255, (40, 44, 4), np.uint8), None, False),
        (spaces.Box(0, 1, (4, 40, 44), np.float32), None, False),
        (spaces.Dict(a=spaces.Box(0, 255, (4, 40, 44), np.uint8)), None, False),
        (spaces.Tuple((TWO, TWO)), None, False),
        (VECTOR, None, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("prioritized", [False, True])
def test_frames_of_stacks_are_kept_once(space, share, shared, prioritized):
    settings = dict(observation_space=space, share_frames=share, prioritized=prioritized, buffer_size=100)
    replay = member(DQN, **settings).replay
    assert isinstance(replay, FrameReplay) == shared
    assert isinstance(replay, Prioritized) == prioritized


def test_frames_are_learned_from():
    class Frames(gymnasium.Env):
        observation_space, action_space = spaces.Box(0, 255, (2, 36, 36), np.uint8), TWO

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.t, self.stack = 0, np.zeros((2, 36, 36), np.uint8)
            return self.stack, {}

        def step(self, action):
            self.t += 1
            self.stack = np.stack((self.stack[1], np.full((36, 36), self.t, np.uint8)))
            return self.stack, 1.0, self.t == 5, False, {}

    env = SerialEnv(Frames, 2, seed=0)
    learner = member(DQN, observation_space=env.observation_space, prioritized=True, buffer_size=50, n_step=3)
    train(learner, env, 60)
    assert learner.n_updates == 40
    batch = learner.replay.sample(32)
    newest, older = batch["obs"][:, 1, 0, 0].astype(int), batch["obs"][:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal(older, np.maximum(newest - 1, 0))
    np.testing.assert_array_equal(batch["next_obs"][:, 1, 0, 0], np.minimum(newest + 3, 5))


@pytest.mark.parametrize("cls", FAMILY)
def test_priorities_follow_the_errors(cls):
    learner = member(cls, prioritized=True, priority_alpha=1.0)
    assert isinstance(learner.replay, Prioritized)
    obs = np.eye(3, dtype=np.float32)
    for k in range(20):
        reward = np.float32([0, 0, 8 * (k % 2)])
        learner.observe(obs, np.zeros(3, np.int64), step(obs, terminated=True)._replace(reward=reward), {})
    learner.due = 60
    learner.update()
    drawn = learner.replay.sample(200)["obs"].argmax(axis=1)
    assert np.count_nonzero(drawn == 2) > 120  # whose errors cannot vanish


@pytest.mark.parametrize("masked", [False, True])
def test_acting_gives_new_transitions_their_priorities(masked):
    space = spaces.Dict({"obs": VECTOR, "action_mask": spaces.MultiBinary(2)}) if masked else VECTOR
    config = replace(SMALL, prioritized=True, acting_priorities=True, epsilon=Schedule(0.9), n_step=2, gamma=0.5)
    dqn = agent(config=config, observation_space=space)
    obs = np.random.default_rng(0).random((6, 3, 3), np.float32)
    mask = np.ones((3, 2), np.int8)
    mask[1, 0] = 0
    seen, actions = [], []
    for t in range(5):
        before, after = ({"obs": o, "action_mask": mask} if masked else o for o in obs[t : t + 2])
        action, extra = dqn.act(before)
        seen.append(dqn.q(before).array)
        actions.append(action)
        np.testing.assert_array_equal(extra["acting_q"], seen[-1][np.arange(3), action])
        dqn.observe(before, action, step(obs[t + 1], 1.0)._replace(obs=after, final_obs=after), extra)
    dqn.replay._write_back()
    p = dqn.replay._tree.leaves[:9].reshape(3, 3) ** (1 / config.priority_alpha) - dqn.replay.eps
    for t in range(3):
        for i in range(3):
            best = seen[t + 2][i][mask[i] > 0].max() if masked else seen[t + 2][i].max()
            np.testing.assert_allclose(p[t, i], abs(1 + 0.5 + 0.25 * best - seen[t][i][actions[t][i]]), rtol=1e-4)


def test_acting_priorities_are_those_of_dqn_alone():
    for cls in (CategoricalDQN, QRDQN):
        with pytest.raises(ValueError, match="leave acting_priorities out"):
            cls.Config(prioritized=True, acting_priorities=True)
    with pytest.raises(ValueError, match="it needs prioritized"):
        DQNConfig(acting_priorities=True)
    assert agent().act(np.zeros((1, 3), np.float32))[1] == {}
