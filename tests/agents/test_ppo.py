"""PPO: one update against plain loops in float64, every kind of space, counting, faults, and state."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import actor_critic
from rlcore.agents import PPO, PPOConfig
from rlcore.agents.base import rows_of
from rlcore.autograd.optimizers import SGD
from rlcore.buffers import Rollout
from rlcore.explorers import Schedule
from rlcore.rng import generator
from rlcore.stream import Step
from rlcore.tree import map_, named_leaves
from tests.envs.worlds import through_a_file

SMALL = PPOConfig(n_steps=8, batch_size=8, n_epochs=3, learning_rate=Schedule(1e-2), hidden=(8,), ent_coef=0.01)
VECTOR, THREE = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(3)


def agent(config=SMALL, seed=0, observation_space=VECTOR, action_space=THREE):
    return PPO.from_spaces(observation_space, action_space, config, generator(seed))


def batch_of(space, n, rng):
    """n observations, no more like each other than samples are."""
    shapes = rows_of(space)
    if isinstance(space, spaces.Dict):
        out = {k: batch_of(part, n, rng) for k, part in space.spaces.items()}
        if "action_mask" in out:
            out["action_mask"][np.arange(n), rng.integers(0, out["action_mask"].shape[1], n)] = 1
        return out
    if isinstance(space, spaces.Tuple):
        return tuple([batch_of(part, n, rng) for part in space.spaces])
    space.seed(int(rng.integers(2**31)))
    return np.stack([np.asarray(space.sample()) for _ in range(n)]).astype(shapes[1])


def random_step(space, n, rng, ends=0.2, invalid=0.1):
    """A step of n streams of which some end, some are cut short, and some are no transitions."""
    obs = batch_of(space, n, rng)
    terminated = rng.random(n) < ends / 2
    truncated = (rng.random(n) < ends / 2) & ~terminated
    final = map_(
        lambda new, old: np.where((terminated | truncated).reshape(-1, *[1] * (old.ndim - 1)), new, old),
        batch_of(space, n, rng), obs,
    )  # fmt: skip
    valid = rng.random(n) >= invalid
    return Step(obs, rng.normal(size=n).astype(np.float32), terminated, truncated, final, valid, {})


def feed(learner, steps, seed, n=3, space=VECTOR, obs=None, **chances):
    """So many steps of random experience; the steps, and what update() gave."""
    rng = generator(seed)
    obs = batch_of(space, n, rng) if obs is None else obs
    seen, stats = [], []
    for _ in range(steps):
        action, extra = learner.act(obs)
        step = random_step(space, n, rng, **chances)
        learner.observe(obs, action, step, extra)
        seen.append((obs, step, extra))
        stats.append(learner.update())
        obs = step.obs
    return seen, stats


# The update, written from the paper by loops; nothing of rlcore takes part


def layers(params, x):
    """tanh between (out, in) weights."""
    for k in range(0, len(params), 2):
        x = [sum(w * v for w, v in zip(row, x)) + b for row, b in zip(params[k], params[k + 1])]
        if k < len(params) - 2:
            x = [math.tanh(v) for v in x]
    return x


def loss_by_loops(weights, kind, batch, old, values, advantage, returns, config, clip):
    """The loss of a minibatch as a function of the weights: policy (and log_std), then value."""
    policy, value, log_std = weights
    n, total = len(batch), 0.0
    if config.normalize_advantage:
        mean = sum(advantage) / n
        deviation = math.sqrt(sum((a - mean) ** 2 for a in advantage) / (n - 1))
        advantage = [(a - mean) / (deviation + 1e-8) for a in advantage]
    for (obs, action), old_log_prob, old_value, a, ret in zip(batch, old, values, advantage, returns):
        out = layers(policy, obs)
        if kind == "discrete":
            z = math.log(sum(math.exp(o) for o in out))
            log_prob = out[action] - z
            entropy = -sum(math.exp(o - z) * (o - z) for o in out)
        else:
            log_prob = sum(
                -0.5 * ((x - mu) / math.exp(s)) ** 2 - s - 0.5 * math.log(2 * math.pi)
                for x, mu, s in zip(action, out, log_std)
            )
            entropy = sum(s + 0.5 + 0.5 * math.log(2 * math.pi) for s in log_std)
        ratio = math.exp(log_prob - old_log_prob)
        surrogate = min(ratio * a, max(1 - clip, min(1 + clip, ratio)) * a)
        v = layers(value, obs)[0]
        if config.clip_range_vf is not None:
            v = old_value + max(-config.clip_range_vf, min(config.clip_range_vf, v - old_value))
        total += (-surrogate - config.ent_coef * entropy + config.vf_coef * (v - ret) ** 2) / n
    return total


def gradient_by_differences(f, weights, eps=1e-6):
    """Central differences in float64, one number at a time."""
    out = []
    for part in weights:
        grads = []
        for array in part:
            g = np.zeros_like(array)
            for at in np.ndindex(array.shape):
                before = array[at]
                array[at] = before + eps
                up = f()
                array[at] = before - eps
                g[at] = (up - f()) / (2 * eps)
                array[at] = before
            grads.append(g)
        out.append(grads)
    return out


def slow_update(weights, kind, seen, config, orders, lr):
    """A whole update: advantages backwards row by row, then epochs of SGD with the gradient clipped."""
    policy, value, log_std = weights

    def v(obs):
        return layers(value, obs)[0]

    steps, n = len(seen), len(seen[0][1].reward)
    rows = []
    advantages = np.zeros((steps + 1, n))
    for t in reversed(range(steps)):
        obs, step, _ = seen[t]
        for i in range(n):
            if not step.valid[i]:
                continue
            following = 0.0 if step.terminated[i] else v(step.final_obs[i].tolist())
            delta = float(step.reward[i]) + config.gamma * following - v(obs[i].tolist())
            goes_on = not (step.terminated[i] or step.truncated[i])
            advantages[t, i] = delta + config.gamma * config.gae_lambda * goes_on * advantages[t + 1, i]
    for t in range(steps):
        obs, step, extra = seen[t]
        for i in range(n):
            if step.valid[i]:
                o = obs[i].tolist()
                row = o, extra["action"][i].tolist(), float(extra["log_prob"][i])
                rows.append((*row, v(o), advantages[t, i], advantages[t, i] + v(o)))
    parts = (policy, value, [log_std] if log_std is not None else [])
    for order in orders:
        for start in range(0, len(rows), config.batch_size):
            mini = [rows[k] for k in order[start : start + config.batch_size]]
            columns = [[row[:2] for row in mini], *map(list, zip(*[row[2:] for row in mini]))]

            def f(columns=columns):
                return loss_by_loops((policy, value, log_std), kind, *columns, config, 0.2)

            g = gradient_by_differences(f, parts)
            norm = math.sqrt(sum((x**2).sum() for part in g for x in part))
            scale = min(1.0, config.max_grad_norm / norm)
            for part, gs in zip(parts, g):
                for array, x in zip(part, gs):
                    array -= lr * scale * x


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("more", [{}, {"clip_range_vf": 0.1, "normalize_advantage": False, "gae_lambda": 0.5}])
@pytest.mark.parametrize("seed", range(3))
def test_an_update_is_the_papers(kind, more, seed):
    config = replace(SMALL, n_steps=4, batch_size=5, n_epochs=2, hidden=(4,), max_grad_norm=0.7, **more)
    action_space = THREE if kind == "discrete" else spaces.Box(-1, 1, (2,), np.float32)
    rng = generator(seed)
    model = actor_critic(VECTOR, action_space, config.hidden, ortho_init=False, rng=rng)
    columns = {"obs": rows_of(VECTOR), "action": model.head.rows}
    columns |= {"log_prob": ((), np.float32), "final_value": ((), np.float32)}
    learner = PPO(model, SGD(0.1), Rollout(config.n_steps, columns), replace(config, learning_rate=Schedule(0.5)), rng)
    named = dict(model.namedparams())
    weights = [
        [p.array.astype(np.float64) for path, p in named.items() if path.startswith(part)]
        for part in ("/policy", "/value")
    ]
    log_std = named["/head/log_std"].array.astype(np.float64) if kind == "continuous" else None
    before = [a.copy() for part in weights for a in part]
    shuffles = generator(0)
    shuffles.bit_generator.state = learner.rngs["learning"].bit_generator.state
    seen, stats = feed(learner, config.n_steps, seed + 10, ends=0.5, invalid=0.25)
    assert stats[-1]["n_updates"] == 2
    assert not any(stats[:-1])
    n = sum(int(step.valid.sum()) for _, step, _ in seen)
    assert n < 12
    assert any(step.truncated.any() for _, step, _ in seen)
    slow_update((*weights, log_std), kind, seen, config, [shuffles.permutation(n) for _ in range(2)], 0.5)
    now = [p.array for part in ("/policy", "/value") for path, p in model.namedparams() if path.startswith(part)]
    for p, expected, start in zip(now, [a for part in weights for a in part], before):
        np.testing.assert_allclose(p - start, expected - start, rtol=2e-3, atol=2e-6)
        assert np.abs(p - start).max() > 1e-4
    if kind == "continuous":
        np.testing.assert_allclose(dict(model.namedparams())["/head/log_std"].array, log_std, rtol=1e-4, atol=1e-6)


def test_the_first_minibatch_has_ratio_one():
    """The policy has not moved yet: nothing is clipped, no divergence; later minibatches have some."""
    learner, seen = agent(replace(SMALL, n_steps=64, batch_size=48, n_epochs=1)), []
    learn = learner.learn
    learner.learn = lambda batch: seen.append(learn(batch)) or seen[-1]
    feed(learner, 64, 1)
    assert len(seen) == 4
    assert seen[0]["approx_kl"] == pytest.approx(0, abs=1e-6)
    assert seen[0]["clip_fraction"] == 0
    # the advantages have mean 0, and all ratios are 1
    assert seen[0]["policy_gradient_loss"] == pytest.approx(0, abs=1e-6)
    assert seen[1]["approx_kl"] > 1e-6


def test_statistics_are_named_as_users_of_stable_baselines3_know_them():
    _, stats = feed(agent(action_space=spaces.Box(-1, 1, (2,), np.float32)), 8, 0)
    assert set(stats[-1]) == {
        "policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction", "explained_variance",
        "loss", "learning_rate", "clip_range", "std", "n_updates",
    }  # fmt: skip
    assert stats[-1]["std"] == pytest.approx(1, abs=0.1)
    assert stats[-1]["clip_range"] == 0.2
    assert stats[-1]["loss"] == pytest.approx(
        stats[-1]["policy_gradient_loss"] + 0.01 * stats[-1]["entropy_loss"] + 0.5 * stats[-1]["value_loss"], rel=1e-5
    )


def test_minibatches_hold_each_row_once_an_epoch():
    learner, sizes = agent(replace(SMALL, batch_size=7)), []
    learner.learn = lambda batch: sizes.append(len(batch["value"])) or {}
    rows = []
    epochs = learner._epochs
    learner._epochs = lambda n: (rows.append(numbers) or numbers for numbers in epochs(n))
    feed(learner, 8, 0, invalid=0)
    assert sizes == [7, 7, 7, 3] * 3
    for epoch in rows:
        assert sorted(np.concatenate(epoch)) == list(range(24))
    assert not np.array_equal(rows[0][0], rows[1][0])


@pytest.mark.parametrize("n_envs", [1, 4])
def test_an_update_comes_after_n_steps_of_every_environment(n_envs):
    learner = agent(replace(SMALL, batch_size=8))
    _, stats = feed(learner, 20, 0, n=n_envs)
    assert [bool(s) for s in stats] == [t % 8 == 7 for t in range(20)]
    assert (learner.t, learner.n_updates, len(learner.rollout)) == (20 * n_envs, 6, 4)


def test_a_minibatch_larger_than_an_update_is_refused_before_anything_changes():
    learner = agent(replace(SMALL, batch_size=25))
    with pytest.raises(ValueError, match="batch_size 25 is more than the 24 rows of an update, n_steps 8 of 3 env"):
        feed(learner, 1, 0, n=3)
    assert (learner.t, len(learner.rollout), learner.rollout.columns) == (0, 0, {})
    with pytest.raises(ValueError, match="all its streams in one call, got stream=2"):
        learner.observe(None, None, random_step(VECTOR, 4, generator(0)), {}, stream=2)


def test_an_update_ends_where_the_policy_has_gone_too_far():
    config = replace(SMALL, n_epochs=50, learning_rate=Schedule(0.05))
    free, bound = agent(config), agent(replace(config, target_kl=0.01))
    before = free.model.flat.copy()
    np.testing.assert_array_equal(before, bound.model.flat)
    (_, one), (_, two) = feed(free, 8, 0), feed(bound, 8, 0)
    assert one[-1]["n_updates"] == 50
    assert 1 <= two[-1]["n_updates"] < 50
    assert 0 < np.abs(bound.model.flat - before).max() < np.abs(free.model.flat - before).max()
    # the step that would have gone too far is not taken
    still = agent(replace(config, target_kl=1e-6, n_epochs=3))
    feed(still, 8, 0, invalid=0)
    assert 0 < np.abs(still.model.flat - before).max() < 0.051 * (1 + 1e-3)


def test_learning_rate_and_clip_range_follow_their_schedules():
    learner = agent(replace(SMALL, learning_rate=Schedule(0.1, 0.0, 96), clip_range=Schedule(0.4, 0.0, 48)))
    _, stats = feed(learner, 16, 0)
    assert stats[7]["learning_rate"] == pytest.approx(0.075)
    assert stats[7]["clip_range"] == pytest.approx(0.2)
    assert (stats[15]["learning_rate"], stats[15]["clip_range"]) == (pytest.approx(0.05), 0)


def test_an_update_without_any_transition_is_none():
    learner = agent()
    before = learner.model.flat.copy()
    _, stats = feed(learner, 8, 0, invalid=1.0)
    assert stats[-1] == {}
    np.testing.assert_array_equal(learner.model.flat, before)
    assert feed(learner, 8, 1)[1][-1]["n_updates"] == 3


def test_rows_that_are_no_transitions_are_not_learned_from():
    """Whatever is in them: the observation, reward and ends of such rows change no weight."""
    one, two = agent(), agent()
    for learner, reward in ((one, 0.0), (two, 1e3)):
        rng = generator(0)
        obs = batch_of(VECTOR, 3, rng)
        for t in range(8):
            action, extra = learner.act(obs)
            step = random_step(VECTOR, 3, rng, invalid=0)
            if t in (2, 5):
                bad = np.array([True, False, t == 5])
                step = step._replace(
                    reward=np.where(bad, np.float32(reward), step.reward), valid=~bad, terminated=step.terminated | bad
                )
                step.truncated[bad] = False
            learner.observe(obs, action, step, extra)
            learner.update()
            obs = step.obs
    np.testing.assert_array_equal(one.model.flat, two.model.flat)


BOXES = spaces.Dict({"b": spaces.Box(0, 1, (2,), np.float64), "a": spaces.Tuple([spaces.Discrete(3, start=1), VECTOR])})
OBSERVATIONS = [
    spaces.Box(-1, 1, (3, 2), np.float64),
    spaces.Box(0, 3, (5,), np.uint8),
    spaces.Discrete(4, start=2),
    spaces.MultiDiscrete([[2, 3], [4, 5]]),
    spaces.MultiBinary((2, 3)),
    BOXES,
    spaces.Dict({"action_mask": spaces.MultiBinary(3), "obs": VECTOR}),
]
IMAGES = [
    spaces.Box(0, 255, (2, 36, 40), np.uint8),
    spaces.Box(0, 255, (36, 40, 3), np.uint8),
    spaces.Dict({"image": spaces.Box(0, 255, (1, 36, 36), np.uint8), "speed": spaces.Box(0, 1, (1,), np.float32)}),
    spaces.Dict({"image": spaces.Box(0, 255, (1, 36, 36), np.uint8), "action_mask": spaces.MultiBinary(3)}),
]
ACTIONS = [
    spaces.Discrete(5, start=-3),
    spaces.Box(-1, 1, (2,), np.float32),
    spaces.Box(np.array([[0, 1]], np.float32), np.array([[1, np.inf]], np.float32)),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, 7]]),
    spaces.MultiBinary((2, 3)),
    spaces.Dict({"x": VECTOR, "y": spaces.Tuple([THREE, spaces.MultiBinary(2), spaces.MultiDiscrete([2, 2])])}),
]


@pytest.mark.parametrize("space", [*OBSERVATIONS, *IMAGES])
def test_observations_of_each_kind_are_learned_from(space):
    config = replace(SMALL, n_steps=2, batch_size=4, n_epochs=1, learning_rate=Schedule(1e-3))
    learner = agent(config, observation_space=space)
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    _, stats = feed(learner, 2, 0, n=2, space=space, invalid=0)
    assert np.isfinite(stats[-1]["loss"])
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path


@pytest.mark.parametrize("space", ACTIONS)
def test_actions_of_each_kind_are_what_the_environment_takes(space):
    learner = agent(action_space=space)
    obs = batch_of(VECTOR, 200, generator(0)) * 100
    for actions in (learner.act(obs)[0], learner.policy()(obs), learner.policy(False, generator(3))(obs)):
        for i in range(200):
            one = map_(lambda a, i=i: a[i], actions)
            assert space.contains(one), one
    _, stats = feed(learner, 8, 0)
    assert np.isfinite(stats[-1]["loss"])


def test_the_environment_gets_clipped_actions_and_the_loss_does_not():
    learner = agent(action_space=spaces.Box(-0.1, 0.1, (2,), np.float32))
    actions, extra = learner.act(batch_of(VECTOR, 100, generator(0)))
    assert np.abs(extra["action"]).max() > 1
    np.testing.assert_array_equal(actions, extra["action"].clip(np.float32(-0.1), np.float32(0.1)))


def test_forbidden_actions_are_never_drawn():
    space = spaces.Dict({"action_mask": spaces.MultiBinary(3), "obs": VECTOR})
    learner = agent(observation_space=space)
    rng = generator(0)
    for _ in range(4):
        feed(learner, 8, 0, space=space)
        obs = batch_of(space, 500, rng)
        for action in (learner.act(obs)[0], learner.policy()(obs), learner.policy(False)(obs)):
            assert obs["action_mask"][np.arange(500), action].all()
    obs["action_mask"][7] = 0
    with pytest.raises(ValueError, match=r"forbids every value in rows \[\[7\]\]"):
        learner.act(obs)


@pytest.mark.parametrize(
    ("observation_space", "action_space", "message"),
    [
        (spaces.Text(3), THREE, "expected observations of Box, Discrete, .* got Text"),
        (VECTOR, spaces.Text(3), "expected actions of Discrete, .* got Text"),
        (VECTOR, spaces.Box(0, 5, (2,), np.int64), "actions of a Box must be floats"),
        (spaces.Dict({"action_mask": spaces.MultiBinary(4)}), THREE, r"one element for each action, \(3,\)"),
        (spaces.Dict({"action_mask": spaces.MultiBinary(3)}), VECTOR, "goes with Discrete actions"),
        (spaces.Dict({"action_mask": spaces.MultiBinary(3)}), THREE, "holds nothing beside 'action_mask'"),
    ],
)
def test_other_spaces_are_refused(observation_space, action_space, message):
    with pytest.raises(ValueError, match=message):
        agent(observation_space=observation_space, action_space=action_space)


def test_the_first_policy_is_nearly_uniform_and_the_weights_orthogonal():
    model = agent(replace(SMALL, hidden=(64, 64)), observation_space=spaces.Box(-1, 1, (64,), np.float32)).model
    gains = {model.policy[0]: 2**0.5, model.policy[2]: 2**0.5, model.policy[4]: 0.01, model.value[4]: 1}
    for link, gain in gains.items():
        W = link.W.array.astype(np.float64)
        np.testing.assert_allclose(W @ W.T, gain**2 * np.eye(len(W)), atol=1e-5)
        assert not link.b.array.any()
    distribution, value = model(batch_of(spaces.Box(-1, 1, (64,), np.float32), 9, generator(0)))
    np.testing.assert_allclose(distribution.p.array, 1 / 3, atol=0.02)
    assert value.shape == (9,)
    plain = agent(replace(SMALL, ortho_init=False)).model.policy[0]
    assert plain.b.array.any()


def trained(steps, learner=None, seed=5):
    """A learner after so many steps of experience, which depends on the step alone."""
    learner = learner or agent(seed=seed)
    done = learner.t // 3
    obs = batch_of(VECTOR, 3, generator(1_000 + done))
    for t in range(done, steps):
        action, extra = learner.act(obs)
        step = random_step(VECTOR, 3, generator(1_000 + t + 1))
        learner.observe(obs, action, step, extra)
        learner.update()
        obs = step.obs
    return learner


def same(one, two):
    assert one.keys() == two.keys()
    for (path, a), (_, b) in zip(named_leaves(one), named_leaves(two)):
        assert np.array_equal(a, b), path


def test_one_seed_gives_one_run():
    same(trained(21).state(), trained(21).state())
    assert not np.array_equal(trained(21).model.flat, trained(21, seed=6).model.flat)


@pytest.mark.parametrize("stop", [0, 3, 8, 13])
def test_a_loaded_agent_goes_on_bit_for_bit(stop):
    """Also from the middle of a rollout, which is part of the state."""
    whole, state = trained(21), through_a_file(trained(stop).state())
    other = trained(5, seed=9)
    other.load(state)
    same(trained(21, other).state(), whole.state())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("rollout"), "differs in rollout"),
        (lambda s: s.update(t="x"), "t must be a whole number, got 'x'"),
        (lambda s: s["optimizer"].update(steps=[1]), "'steps' has 1 entries"),
        (lambda s: s["rngs"].pop("acting"), "expected a state for each of acting, learning, policy"),
        (lambda s: s["rngs"].update(acting={}), "random state is of None"),
        (lambda s: s["descent"].update(skipped=1.5), "expected the numbers skipped and in_a_row"),
        (lambda s: s["rollout"].update(length=7), "length 7, this rollout 8"),
        (lambda s: s["model"].clear(), "missing from the state"),
    ],
)
def test_a_broken_state_changes_nothing(spoil, message):
    given, other = through_a_file(trained(10).state()), trained(12, seed=9)
    before = through_a_file(other.state())
    spoil(given)
    with pytest.raises(ValueError, match=message):
        other.load(given)
    same(other.state(), before)
