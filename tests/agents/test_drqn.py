"""DRQN and R2D2: updates against loops in float64, what is remembered of streams, and what leaks into no episode."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

from rlcore.agents.drqn import DRQN, DRQNConfig
from rlcore.agents.r2d2 import R2D2, R2D2Config
from rlcore.autograd.optimizers import SGD
from rlcore.bodies import Unchanged
from rlcore.envs import ForeignEnv, SerialEnv
from rlcore.envs.toy import HashChain
from rlcore.explorers import EpsilonGreedy, Schedule
from rlcore.harness import evaluate, train
from rlcore.networks import Recurrent
from rlcore.rng import generator
from rlcore.stream import Step
from tests.learning.tasks import Bandit, TMaze

VECTOR, TWO = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)
SETTINGS = dict(
    learning_rate=Schedule(1e-2), buffer_size=400, learning_starts=20, batch_size=4, sequence_length=5,
    update_every=4, gradient_steps=1, target_update_interval=20, epsilon=Schedule(0.3), hidden=(6,), lstm_hidden_size=4,
)  # fmt: skip
SMALL, SMALL_R2D2 = DRQNConfig(**SETTINGS), R2D2Config(**SETTINGS, burn_in=2, n_step=3)


def agent(cls=DRQN, seed=0, observation_space=VECTOR, action_space=TWO, **change):
    config = replace(SMALL_R2D2 if cls is R2D2 else SMALL, **change)
    return cls.from_spaces(observation_space, action_space, config, generator(seed))


def numbers(seed, *shape):
    return generator(seed).normal(size=shape).astype(np.float32)


def step(obs, reward=0.0, terminated=False, truncated=False, valid=True):
    n = len(obs)
    flags = [np.broadcast_to(flag, n).copy() for flag in (terminated, truncated, valid)]
    return Step(obs, np.full(n, reward, np.float32), *flags[:2], obs, flags[2], {})


# one update, by loops


def network(seed):
    model = Recurrent(Unchanged(), 1, 3, 2, 2)
    for k, p in enumerate(model.params()):
        p.array = numbers(seed * 10 + k, *p.shape)
    return model


def weights(model):
    parts = (model.lstm.W_x, model.lstm.W_h, model.lstm.b, model.head.W, model.head.b)
    return [p.array.astype(np.float64) for p in parts]


def stepped(w, x, h, c):
    """Action values and state after one step of one stream, by loops over units; the gates are i, f, a, o."""
    W_x, W_h, b, W, bias = w
    gates = [sum(W_x[k, i] * x[i] for i in range(3)) + sum(W_h[k, j] * h[j] for j in range(2)) + b[k] for k in range(8)]
    i, f, o = ([1 / (1 + np.exp(-gates[gate * 2 + j])) for j in range(2)] for gate in (0, 1, 3))
    c = [f[j] * c[j] + i[j] * np.tanh(gates[4 + j]) for j in range(2)]
    h = [o[j] * np.tanh(c[j]) for j in range(2)]
    return [sum(W[a, j] * h[j] for j in range(2)) + bias[a] for a in range(2)], h, c


def unrolled(w, xs, h, c):
    values = []
    for x in xs:
        q, h, c = stepped(w, x, h, c)
        values.append(q)
    return values, h, c


def squeezed(x, eps):
    return np.sign(x) * (np.sqrt(abs(x) + 1) - 1) + eps * x


def stretched(y, eps):
    """The x with squeezed(x) = y, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if squeezed(middle, eps) < abs(y) else (low, middle)
    return np.sign(y) * (low + high) / 2


def slow_goals(w, target, sequence, config, double, eps):
    """The states to begin with, and for each row that is learned from the action and what its value should be."""
    obs, b = sequence["obs"], len(sequence["early"])
    h, c = sequence["h"] if config.stored_state else (np.zeros(2), np.zeros(2))
    starts = []
    for model in (w, target):
        starts.append(unrolled(model, sequence["early"], h, c)[1:] if b else (h, c))
    online, later = unrolled(w, obs, *starts[0])[0], unrolled(target, obs, *starts[1])[0]
    goals = []
    for t in range(len(obs) - 1):
        total, factor, k = 0.0, 1.0, t
        while k < min(t + config.n_step, len(obs) - 1):
            total += factor * sequence["reward"][k]
            factor *= sequence["discount"][k]
            k += 1
        best = int(np.argmax(online[k] if double else later[k]))
        value = later[k][best] if eps is None else stretched(later[k][best], eps)
        goal = total + factor * value
        goals.append(goal if eps is None else squeezed(goal, eps))
    return starts[0], goals


def slow_loss(w, sequences, begun, rows):
    """The weighted mean Huber loss, and the absolute errors of each sequence."""
    loss, errors = 0.0, []
    for sequence, (start, goals) in zip(sequences, begun):
        values = unrolled(w, sequence["obs"], *start)[0]
        errors.append([abs(goals[t] - values[t][sequence["action"][t]]) for t in range(len(goals))])
        loss += sequence["weight"] * sum(0.5 * e * e if e <= 1 else e - 0.5 for e in errors[-1]) / rows
    return loss, errors


def sequences(seed, steps, b):
    """Four: whole; ended by a terminal state; cut short; and one whose episode begins within what is burnt in."""
    rng = generator(seed)
    found = []
    for kind, length in (("whole", steps), ("terminal", 3), ("cut", 2), ("begun", steps)):
        early = 1 if kind == "begun" and b else b
        discount = np.full(length, 0.9)
        if kind == "terminal":
            discount[-1] = 0
        state = np.zeros((2, 2)) if kind == "begun" else rng.normal(size=(2, 2))
        found.append({
            "early": rng.normal(size=(early, 3)), "obs": rng.normal(size=(length + 1, 3)), "h": state,
            "action": rng.integers(0, 2, length), "reward": rng.normal(scale=3, size=length), "discount": discount,
            "weight": rng.uniform(0.5, 1),
        })  # fmt: skip
    return found


def batch_of(found, steps, b):
    """The sequences as a replay gives them."""
    n = len(found)
    batch = {
        "obs": np.zeros((b + steps + 1, n, 3), np.float32), "reset": np.zeros((b + steps + 1, n), bool),
        "action": np.full((steps, n), 7), "reward": np.zeros((steps, n), np.float32),
        "discount": np.ones((steps, n), np.float32), "mask": np.zeros((steps, n), bool),
        "h": tuple(np.float32([s["h"][k] for s in found]) for k in range(2)),
        "weight": np.float32([s["weight"] for s in found]), "row": np.arange(n),
    }  # fmt: skip
    for i, s in enumerate(found):
        missing = b - len(s["early"])
        seen = [*s["early"], *s["obs"]]
        seen = [*[seen[0]] * missing, *seen]  # what rests repeats itself
        batch["obs"][:, i] = [*seen, *[seen[-1]] * (b + steps + 1 - len(seen))]
        if missing:
            batch["reset"][missing, i] = True
        length = len(s["obs"]) - 1
        batch["mask"][:length, i] = True
        for name in ("action", "reward", "discount"):
            batch[name][:length, i] = s[name]
    if not b:
        del batch["reset"]
    return batch


class Fixed:
    """A replay that takes note of priorities."""

    def update(self, row, error):
        self.row, self.error = row, error


CASES = [
    (DRQN, dict(n_step=1)),
    (DRQN, dict(n_step=2, stored_state=False)),
    (DRQN, dict(burn_in=2)),
    (R2D2, dict(n_step=2, burn_in=2)),
    (R2D2, dict(n_step=10, burn_in=0, rescale_eps=0.1, eta=0.4)),
]


@pytest.mark.parametrize(("cls", "change"), CASES)
@pytest.mark.parametrize("seed", range(2))
def test_an_update_is_the_papers(cls, change, seed):
    config = replace(SMALL_R2D2 if cls is R2D2 else SMALL, max_grad_norm=1e6, **change)
    b, steps, double = config.burn_in, 4, cls is R2D2
    eps = config.rescale_eps if double else None
    found = sequences(seed, steps, b)
    for s in found if config.stored_state else ():
        s["h"] = s["h"].astype(np.float32)
    if not double:
        for s in found:
            s["weight"] = 1.0
    batch, rows = batch_of(found, steps, b), sum(len(s["reward"]) for s in found)
    if not double:
        del batch["weight"]
    replay = Fixed()
    learner = cls(network(1), SGD(0.1), replay, EpsilonGreedy(0.0, generator(0)), config, generator(0))
    for p, other in zip(learner.target.params(), network(2).params()):
        p.array = other.array
    w = weights(learner.q)
    begun = [slow_goals(w, weights(learner.target), s, config, double, eps) for s in found]
    loss, errors = slow_loss(w, found, begun, rows)
    assert learner.learn(batch)["loss"] == pytest.approx(loss, rel=1e-4)
    for array, before, after in zip(w, weights(network(1)), weights(learner.q)):
        for at in np.ndindex(array.shape):  # states and goals of the beginning are held: no gradient goes there
            ends = []
            for sign in (1, -1):
                array[at] = before[at] + sign * 1e-5
                ends.append(slow_loss(w, found, begun, rows)[0])
            array[at] = before[at]
            assert after[at] - before[at] == pytest.approx(-0.1 * (ends[0] - ends[1]) / 2e-5, rel=2e-3, abs=2e-6)
    if double:
        mixed = [config.eta * max(e) + (1 - config.eta) * sum(e) / len(e) for e in errors]
        np.testing.assert_allclose(replay.error, mixed, rtol=1e-4)
        assert replay.row is batch["row"]


# what is remembered


@pytest.mark.parametrize("cls", [DRQN, R2D2])
def test_the_state_before_a_step_goes_out_and_what_is_over_is_forgotten(cls):
    learner, obs = agent(cls), numbers(0, 4, 3)
    action, extra = learner.act(obs)
    assert not np.any(extra["h"])
    after = [h.array for h in learner.q(obs, extra["h"])[1]]
    learner.observe(obs, action, step(obs, 0.0, *np.bool_([[0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0]])), extra)
    assert not np.any(extra["h"])  # what was given away stays as it was
    _, extra = learner.act(obs)
    for h, known in zip(extra["h"], after):
        np.testing.assert_array_equal(h[0], known[0])
        assert h[0].any()
        assert not h[1:].any()


def test_another_number_of_streams_is_refused_and_changes_nothing():
    learner, obs = agent(), numbers(0, 3, 3)
    learner.act(obs)
    before = [h.copy() for h in learner.remembered.h]
    with pytest.raises(ValueError, match="observations of 2 streams, but the recurrent state is that of 3: go on with"):
        learner.act(obs[:2])
    np.testing.assert_array_equal(learner.remembered.h, before)
    other = agent()
    other.load(learner.state())
    with pytest.raises(ValueError, match="of 2 streams, but the recurrent state is that of 3"):
        other.act(obs[:2])


def test_a_state_of_another_network_is_refused():
    one, two = agent(), agent(lstm_hidden_size=5)
    one.act(numbers(0, 3, 3))
    with pytest.raises(ValueError, match=r"state: column h/0: expected float32 \(3, 5\), got float32 \(3, 4\)"):
        two.remembered.check(one.remembered.state())
    with pytest.raises(ValueError, match="a recurrent state of 1 arrays, expected 2"):
        two.remembered.check({"h": [np.zeros((3, 5), np.float32)]})
    with pytest.raises(ValueError, match="a recurrent state has h, this one c, h"):
        two.remembered.check({"h": [], "c": []})


class Hashes(gymnasium.Wrapper):
    """HashChain's observations as floats, which tell of the episode too."""

    observation_space = spaces.Box(0, 1, (4,), np.float32)

    def __init__(self):
        super().__init__(HashChain())

    def reset(self, **named):
        return self.seen(self.env.reset(**named)[0]), {}

    def step(self, action):
        obs, *rest = self.env.step(action)
        return self.seen(obs), *rest

    def seen(self, obs):
        return np.float32([part for n in obs for part in (int(n) >> 16, int(n) & 65535)]) / 65536


ENVS = {
    "ours": lambda: SerialEnv(Hashes, 3, seed=3),
    "rows that are no transitions": lambda: ForeignEnv(
        VectorWrapper(SyncVectorEnv([Hashes] * 3, autoreset_mode=AutoresetMode.NEXT_STEP)), seed=3
    ),
}


@pytest.mark.parametrize("cls", [DRQN, R2D2])
@pytest.mark.parametrize("kind", ENVS)
def test_no_state_leaks_from_one_episode_into_another(cls, kind):
    """Each state that was remembered, and each that the replay gives, is that after the episode's own observations."""
    env = ENVS[kind]()
    learner = agent(cls, 0, env.observation_space, env.action_space, learning_starts=10_000, buffer_size=1000)
    q, played, states, invalid, obs = learner.q.view(), [[] for _ in range(3)], {}, 0, env.reset()
    for _ in range(150):
        action, extra = learner.act(obs)
        step = env.step(action)
        for i in range(3):
            if step.valid[i]:
                played[i].append(obs[i].copy())
                before = played[i][:-1]
                own = [np.zeros((1, 4))] * 2
                if before:
                    own = [h.array for h in q(np.array(before)[:, None])[1]]
                np.testing.assert_allclose([h[i] for h in extra["h"]], np.concatenate(own), rtol=1e-4, atol=1e-6)
                states[obs[i].tobytes()] = own
            if step.ended[i] or not step.valid[i]:
                played[i] = []
        invalid += (~step.valid).sum()
        learner.observe(obs, action, step, extra)
        obs = step.obs
    assert (invalid > 0) == (kind != "ours")
    b = learner.config.burn_in
    for _ in range(20):
        batch = learner.replay.sample(8)
        mask = batch["mask"]
        rows = np.concatenate((np.ones((b + 1, 8), bool), mask))  # observations of these are of one episode
        episode = np.where(rows[..., None], batch["obs"][..., :2], batch["obs"][0, :, :2])
        assert (episode == batch["obs"][0, :, :2]).all()
        starts, h, target_h, reset = learner.burnt_in(batch)
        np.testing.assert_allclose(h, target_h)  # the target network is still the same
        for i in range(8):
            if reset is None or not reset[0, i]:
                known = states[starts[0, i].tobytes()]
                np.testing.assert_allclose([part[i] for part in h], np.concatenate(known), rtol=1e-4, atol=1e-6)
            else:
                assert not np.any(states[starts[0, i].tobytes()])


def test_the_truncated_bootstrap_from_what_they_saw_last():
    """Of an episode cut after one step the goal is the reward, and gamma times the value of what was seen last."""
    learner = agent(sequence_length=1, batch_size=1)
    first, last, new = (numbers(k, 1, 3) for k in range(3))
    action, extra = learner.act(first)
    cut = step(new, 2.0, truncated=True)._replace(final_obs=last)
    learner.observe(first, action, cut, extra)
    batch = learner.replay.sample(1)
    obs, _, target_h, reset = learner.burnt_in(batch)
    values = learner.target_q(obs, target_h, reset)[0].array
    expected = learner.q(np.stack([first, last]))[0].array[1, 0].max()
    assert learner.goal(obs, batch, values, values).item() == pytest.approx(2 + 0.99 * expected, rel=1e-5)


# policies


def test_a_policy_keeps_a_state_of_its_own():
    learner, obs = agent(), numbers(0, 5, 2, 3)
    learner.act(obs[0])
    remembered, t = [h.copy() for h in learner.remembered.h], learner.t
    policy = learner.policy()
    for x in obs:
        policy(x)
    np.testing.assert_array_equal(learner.remembered.h, remembered)
    assert learner.t == t
    np.testing.assert_allclose(policy.state, [h.array for h in learner.q(obs)[1]], rtol=1e-5, atol=1e-6)
    policy.reset(np.array([True, False]))
    assert not np.any([h[0] for h in policy.state])
    assert np.all([h[1] for h in policy.state])
    with pytest.raises(ValueError, match=r"reset takes a mask of the 2 streams, \(2,\), got \(1,\)"):
        policy.reset(np.ones(1, bool))
    with pytest.raises(ValueError, match="observations of 1 streams, but the recurrent state is that of 2"):
        policy(obs[0, :1])
    policy.reset()
    policy(obs[0, :1])


def test_a_stochastic_policy_explores():
    learner, obs = agent(epsilon=Schedule(1.0)), numbers(0, 200, 3)
    assert set(learner.policy(False, generator(0))(obs).tolist()) == {0, 1}
    assert agent(epsilon=Schedule(0.0)).policy(False)(obs).tolist() == agent().policy()(obs).tolist()


def test_an_evaluation_leaves_training_as_it_is():
    def trained(evaluates):
        env = SerialEnv(lambda: TMaze(4, spread=2), 3, seed=0)
        learner = agent(observation_space=env.observation_space)
        t = 0
        for _ in range(4):
            t = train(learner, env, t + 60, t=t)
            if evaluates:
                evaluate(learner.policy(), SerialEnv(lambda: TMaze(4, spread=2), 2, seed=1), 5)
        return learner

    one, two = trained(False), trained(True)
    np.testing.assert_array_equal(one.q.flat, two.q.flat)
    np.testing.assert_array_equal(one.remembered.h, two.remembered.h)


# spaces and settings


@pytest.mark.parametrize("cls", [DRQN, R2D2])
@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=2),
        spaces.Box(0, 255, (36, 40, 3), np.uint8),
        spaces.Dict(a=VECTOR, b=spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 5, (2, 2), np.int64)))),
        spaces.Tuple((spaces.Discrete(3), VECTOR)),
        spaces.Dict(obs=spaces.Box(0, 255, (1, 36, 36), np.uint8), action_mask=spaces.MultiBinary(2)),
    ],
    ids=["integers", "images", "nested", "tuples", "masked images"],
)
def test_observations_of_each_kind_are_learned_from(cls, space):
    class Drawn(gymnasium.Env):
        observation_space, action_space = space, spaces.Discrete(2, start=5)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            space.seed(seed)
            return self.seen(), {}

        def step(self, action):
            assert action in self.action_space
            return self.seen(), 1.0, self.np_random.random() < 0.1, self.np_random.random() < 0.1, {}

        def seen(self):
            obs = space.sample()
            if "action_mask" in (space.keys() if isinstance(space, spaces.Dict) else ()):
                obs["action_mask"][:] = 1
            return obs

    env = SerialEnv(Drawn, 2, seed=0)
    learner = agent(cls, 0, space, env.action_space, learning_starts=24)
    train(learner, env, 32)
    assert learner.n_updates == 2


def test_forbidden_actions_are_never_taken_nor_bootstrapped_from():
    env = SerialEnv(Bandit, 4, seed=0)  # which raises where one is
    learner = agent(observation_space=env.observation_space, action_space=env.action_space, epsilon=Schedule(0.5))
    train(learner, env, 200)
    values, obs = numbers(0, 2, 1, 5), {"action_mask": np.int8([[[1, 1, 1, 1, 1]], [[0, 1, 0, 1, 0]]])}
    batch = {"mask": np.ones((1, 1), bool), "discount": np.full((1, 1), 0.9), "reward": np.zeros((1, 1))}
    values[1, 0, 2] = 9  # the largest, and forbidden
    best = max(values[1, 0, 1], values[1, 0, 3])
    assert learner.goal(obs, batch, values, values).item() == pytest.approx(0.9 * best)
    obs["action_mask"][1] = 0
    with pytest.raises(ValueError, match="in which an episode goes on, or is cut, forbids every action"):
        learner.goal(obs, batch, values, values)
    learner.goal(obs, {**batch, "discount": np.zeros((1, 1))}, values, values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(sequence_length=0), "sequence_length must be at least 1, got 0"),
        (dict(burn_in=-1), "burn_in must be at least 0, got -1"),
        (dict(buffer_size=12, burn_in=4), r"buffer_size 12 is smaller than 13, .* sequence_length 5 and burn_in 4"),
        (dict(lstm_hidden_size=0), "lstm_hidden_size must be at least 1, got 0"),
        (dict(eta=1.5), r"eta must be within \[0, 1\], got 1.5"),
    ],
)
def test_a_config_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL_R2D2, **{**dict(burn_in=0), **change})


@pytest.mark.parametrize("cls", [DRQN, R2D2])
def test_spaces_that_it_cannot_handle_are_named(cls):
    with pytest.raises(ValueError, match=f"{cls.__name__} needs a Discrete action space, got Box"):
        agent(cls, action_space=VECTOR)
    with pytest.raises(ValueError, match="expected observations of Box, Discrete"):
        agent(cls, observation_space=spaces.Text(5))


def test_stored_states_can_be_left_out():
    """Then sequences begin with zeros, whatever was remembered."""
    learner = agent(stored_state=False)
    batch = batch_of(sequences(0, 4, 0), 4, 0)
    _, h, target_h, reset = learner.burnt_in(batch)
    assert not np.any(h)
    assert h[0].shape == target_h[0].shape == (4, 4)
    assert reset is None
