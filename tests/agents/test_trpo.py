"""TRPO: Fisher products against dense Hessians, the conjugate gradient, the line search, a step by loops, and state."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import actor_critic
from rlcore.agents import TRPO, NonFiniteError, TRPOConfig
from rlcore.agents.on_policy import rollout_columns
from rlcore.agents.trpo import conjugate_gradient
from rlcore.autograd import functions as F
from rlcore.autograd import grad, using_config
from rlcore.autograd.optimizers import Adam
from rlcore.buffers import Rollout
from rlcore.distributions import kl_divergence
from rlcore.explorers import Schedule
from rlcore.rng import generator
from rlcore.tree import map_
from tests.agents.test_ppo import (
    ACTIONS,
    IMAGES,
    OBSERVATIONS,
    THREE,
    VECTOR,
    batch_of,
    feed,
    layers,
    random_step,
    same,
    trained,
)
from tests.envs.worlds import through_a_file

SMALL = TRPOConfig(n_steps=16, batch_size=16, hidden=(8,))
MASKED = spaces.Dict({"action_mask": spaces.MultiBinary(3), "obs": VECTOR})


def agent(config=SMALL, seed=0, observation_space=VECTOR, action_space=THREE):
    return TRPO.from_spaces(observation_space, action_space, config, generator(seed))


def in_float64(observation_space, action_space, config=SMALL):
    with using_config("dtype", np.float64):
        model = actor_critic(observation_space, action_space, (4,), ortho_init=False, rng=generator(3))
    columns = rollout_columns(observation_space, model)
    return TRPO(model, Adam(1e-3), Rollout(config.n_steps, columns), config, generator(4))


def divergence(learner, old, obs):
    return float(F.average(kl_divergence(old, learner.acting_model.distribution(obs))).array)


@pytest.mark.parametrize(
    ("observation_space", "action_space"), [(VECTOR, space) for space in [THREE, *ACTIONS[1:]]] + [(MASKED, THREE)]
)
def test_the_fisher_product_is_the_dense_hessian_of_the_divergence(observation_space, action_space):
    """Whose rows are differences of gradients, and these differences of divergences where that is precise enough."""
    learner = in_float64(observation_space, action_space, replace(SMALL, cg_damping=0.25))
    rng = generator(0)
    obs = batch_of(observation_space, 20, rng)
    obs = map_(lambda a: a.astype(np.float64) if a.dtype == np.float32 else a, obs)
    learner.old.copyparams(learner.model)
    old = learner.old_view.distribution(obs)

    def slopes(double=False):
        kl = F.average(kl_divergence(old, learner.model.distribution(obs)))
        return grad(kl, learner.params, enable_double_backprop=double)

    product = learner.fisher(slopes(True))
    start = learner.joined(list(learner.params))
    n, eps = len(start), 1e-5
    products = np.stack([product(v) for v in np.eye(n)])

    def move(vector):
        for p, a in zip(learner.params, learner.moving.split(vector)):
            p.array = a

    hessian, unit = np.zeros((n, n)), np.eye(n)
    for i in range(n):
        sides = []
        for sign in (1, -1):
            move(start + sign * eps * unit[i])
            sides.append(learner.joined(slopes()))
        hessian[i] = (sides[0] - sides[1]) / (2 * eps)
    move(start)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-8)
    np.testing.assert_allclose(products, hessian + 0.25 * np.eye(n), atol=1e-8)
    assert np.abs(hessian).max() > 1e-2
    v = rng.normal(size=n)
    v *= 1e-3 / np.linalg.norm(v)
    move(start + v)
    assert divergence(learner, old, obs) == pytest.approx(0.5 * v @ hessian @ v, rel=0.02)
    move(start)
    assert divergence(learner, old, obs) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("n", [1, 5, 30])
def test_the_conjugate_gradient_solves_positive_definite_systems(n):
    rng = generator(n)
    A = rng.normal(size=(n, n))
    A = A @ A.T + np.eye(n)
    b = rng.normal(size=n)
    x = conjugate_gradient(lambda v: A @ v, b, 10 * n, 1e-24)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(conjugate_gradient(lambda v: A @ v, np.zeros(n), 5), 0)
    assert not np.allclose(conjugate_gradient(lambda v: A @ v, b, 1), x) or n == 1


def test_the_conjugate_gradient_ends_at_its_tolerance():
    calls = []
    b = np.array([1.0, 1.0])
    conjugate_gradient(lambda v: calls.append(0) or np.array([1.0, 1 + 1e-3]) * v, b, 10, 1e-5)
    assert len(calls) == 1


# The step of the policy, written from the paper by loops; nothing of rlcore takes part


def policy_out(weights, obs):
    return layers(weights, obs)


def log_probs(weights, log_std, obs, action):
    out = policy_out(weights, obs)
    if log_std is None:
        z = math.log(sum(math.exp(o) for o in out))
        return out[action] - z
    return sum(
        -0.5 * ((x - mu) / math.exp(s)) ** 2 - s - 0.5 * math.log(2 * math.pi) for x, mu, s in zip(action, out, log_std)
    )


def mean_kl(old, new, rows):
    """KL(old || new), each (weights, log_std)."""
    total = 0.0
    for obs, _, _ in rows:
        a, b = policy_out(old[0], obs), policy_out(new[0], obs)
        if old[1] is None:
            za, zb = (math.log(sum(math.exp(o) for o in out)) for out in (a, b))
            total += sum(math.exp(x - za) * ((x - za) - (y - zb)) for x, y in zip(a, b))
        else:
            for x, y, s, r in zip(a, b, old[1], new[1]):
                total += r - s + (math.exp(2 * s) + (x - y) ** 2) / (2 * math.exp(2 * r)) - 0.5
    return total / len(rows)


def gain(old, new, rows):
    return sum(
        math.exp(log_probs(*new, obs, action) - log_probs(*old, obs, action)) * advantage
        for obs, action, advantage in rows
    ) / len(rows)


def vector(policy):
    return np.concatenate([a.ravel() for a in policy[0]] + ([] if policy[1] is None else [policy[1]]))


def shaped(v, like):
    arrays, at = [], 0
    for a in like[0]:
        arrays.append(v[at : at + a.size].reshape(a.shape))
        at += a.size
    return arrays, None if like[1] is None else v[at:]


def slow_step(old, rows, config):
    """Dense Hessian by differences of the divergence, solved exactly, then the line search."""
    x, n, eps = vector(old), vector(old).size, 1e-4
    unit = np.eye(n)

    def kl(v):
        return mean_kl(old, shaped(x + v, old), rows)

    along = [kl(eps * e) for e in unit]
    back = [kl(-eps * e) for e in unit]
    hessian = np.zeros((n, n))
    for i in range(n):
        hessian[i, i] = (along[i] + back[i]) / eps**2
        for j in range(i):
            both = kl(eps * (unit[i] + unit[j])), kl(-eps * (unit[i] + unit[j]))
            cross = sum(both) - along[i] - back[i] - along[j] - back[j]
            hessian[i, j] = hessian[j, i] = cross / (2 * eps**2)
    hessian += config.cg_damping * np.eye(n)
    g = [(gain(old, shaped(x + 1e-6 * e, old), rows) - gain(old, shaped(x - 1e-6 * e, old), rows)) / 2e-6 for e in unit]
    s = np.linalg.solve(hessian, g)
    s *= math.sqrt(2 * config.target_kl / (s @ hessian @ s))
    for k in range(config.line_search_max_iter):
        new = shaped(x + config.line_search_shrinking_factor**k * s, old)
        if mean_kl(old, new, rows) <= config.target_kl and gain(old, new, rows) > gain(old, old, rows):
            return vector(new), k
    return x, None


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_the_policys_step_is_the_papers(kind):
    config = replace(SMALL, cg_damping=0.01, cg_max_steps=100, target_kl=0.02)
    learner = in_float64(VECTOR, THREE if kind == "discrete" else spaces.Box(-1, 1, (2,), np.float32), config)
    rng = generator(5)
    obs = rng.normal(size=(12, 3))
    distribution = learner.acting_model.distribution(obs)
    action, log_prob = distribution.sample_log_prob(rng=rng)
    advantage = rng.normal(size=12)
    rows = {"obs": obs, "action": action, "log_prob": log_prob, "advantage": advantage}
    whitened = (advantage - advantage.mean()) / advantage.std(ddof=1)
    policy = [p.array.copy() for p in learner.model.policy.params()]
    log_std = learner.model.head.log_std.array.copy() if kind == "continuous" else None
    expected, tries = slow_step(
        (policy, log_std), [(o.tolist(), a.tolist(), w) for o, a, w in zip(obs, action, whitened)], config
    )
    stats = learner.improve(rows)
    assert stats["is_line_search_success"] == (tries is not None) == 1
    got = np.concatenate([p.array.ravel() for p in learner.params])
    start = vector((policy, log_std))
    np.testing.assert_allclose(got - start, expected - start, rtol=2e-3, atol=2e-5)
    assert np.abs(got - start).max() > 0.05
    assert 0 < stats["kl_divergence_loss"] <= 0.02


def improved(config, seed=0, action_space=THREE, **more):
    """A learner after one step of its policy, what it told, and its parameters before and after."""
    learner = agent(config, seed, action_space=action_space)
    rng = generator(seed)
    obs = batch_of(VECTOR, 64, rng)
    _, extra = learner.act(obs)
    rows = {"obs": obs, **extra, "advantage": rng.normal(size=64).astype(np.float32), **more}
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    return learner, learner.improve(rows), before, rows


@pytest.mark.parametrize("action_space", [THREE, ACTIONS[1], ACTIONS[5]])
@pytest.mark.parametrize("seed", range(5))
def test_the_line_search_keeps_to_the_limit_and_improves(seed, action_space):
    learner, stats, _, rows = improved(replace(SMALL, target_kl=0.05), seed, action_space)
    assert stats["is_line_search_success"]
    kl = divergence(learner, learner.old_view.distribution(rows["obs"]), rows["obs"])
    assert 0.01 < kl <= 0.05
    assert stats["kl_divergence_loss"] == pytest.approx(kl, rel=1e-6)
    assert stats["policy_objective"] > 0.01  # the advantages have mean 0


@pytest.mark.parametrize("action_space", [THREE, ACTIONS[1]])
def test_a_line_search_that_fails_leaves_every_parameter_as_it_was(action_space):
    learner, stats, before, _ = improved(replace(SMALL, line_search_max_iter=0), action_space=action_space)
    assert (stats["is_line_search_success"], stats["kl_divergence_loss"]) == (0, 0)
    learner, stats, before, rows = improved(SMALL, action_space=action_space)
    assert stats["is_line_search_success"]
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    direction = generator(0).normal(size=learner.joined(list(learner.params)).shape).astype(np.float32)
    direction *= 1e3  # far beyond the limit at every try
    old = learner.old_view.distribution(rows["obs"])
    assert learner.search(direction, rows, rows["advantage"], old, -math.inf)[0] is False
    for path, p in learner.model.namedparams():
        assert p.array.tobytes() == before[path].tobytes(), path
    # a step within the limit that gains nothing is none either
    assert learner.search(direction * 0, rows, rows["advantage"], old, math.inf)[0] is False


@pytest.mark.parametrize("space", [VECTOR, IMAGES[0]])
def test_the_policys_step_moves_all_but_the_values_and_theirs_nothing_else(space):
    learner = agent(replace(SMALL, n_steps=4, batch_size=8), observation_space=space)
    seen = []
    improve = learner.improve

    def spy(rows):
        before = {path: p.array.copy() for path, p in learner.model.namedparams()}
        stats = improve(rows)
        after = {path: p.array.copy() for path, p in learner.model.namedparams()}
        seen.append((before, after))
        assert stats["is_line_search_success"]
        return stats

    learner.improve = spy
    feed(learner, 4, 0, space=space, invalid=0)
    (before, after), now = seen[0], {path: p.array for path, p in learner.model.namedparams()}
    for path in now:
        of_values = path.startswith("/value")
        assert np.array_equal(before[path], after[path]) == of_values, path
        assert np.array_equal(after[path], now[path]) == (not of_values), path


def test_the_values_regress_on_the_returns():
    config = replace(SMALL, n_critic_updates=200, learning_rate=Schedule(1e-2))
    learner = agent(config)
    rows = []
    learn_from = learner.learn_from
    learner.learn_from = lambda r: rows.append(r) or learn_from(r)
    feed(learner, 16, 0)
    error = learner.acting_model.values(rows[0]["obs"]).array - rows[0]["return"]
    assert (error**2).mean() < 0.6 * ((rows[0]["value"] - rows[0]["return"]) ** 2).mean()


def test_the_policy_learns_from_each_row_of_so_many():
    learner, sizes = agent(replace(SMALL, sub_sampling_factor=5)), []
    improve = learner.improve
    learner.improve = lambda rows: sizes.append(len(rows["value"])) or improve(rows)
    feed(learner, 16, 0, invalid=0)
    assert sizes == [10]


@pytest.mark.parametrize("space", [*OBSERVATIONS, IMAGES[3]])
def test_observations_of_each_kind_are_learned_from(space):
    learner = agent(replace(SMALL, n_steps=4, batch_size=8), observation_space=space)
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    _, stats = feed(learner, 4, 0, n=2, space=space, invalid=0)
    assert stats[-1]["is_line_search_success"]
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path


@pytest.mark.parametrize("space", ACTIONS)
def test_actions_of_each_kind_are_learned_from(space):
    _, stats = feed(agent(action_space=space), 16, 0)
    assert stats[-1]["is_line_search_success"]
    assert set(stats[-1]) - {"std"} == {
        "policy_objective", "kl_divergence_loss", "is_line_search_success", "value_loss", "explained_variance",
        "learning_rate", "n_updates",
    }  # fmt: skip


def test_what_it_cannot_learn_is_refused_before_anything_changes():
    model = actor_critic(VECTOR, THREE, (4,), lstm_hidden_size=4, rng=generator(0))
    with pytest.raises(ValueError, match="without a memory; got a RecurrentActorCritic"):
        TRPO(model, Adam(), Rollout(4, rollout_columns(VECTOR, model)), SMALL, generator(0))
    learner = agent(replace(SMALL, batch_size=49))
    with pytest.raises(ValueError, match="batch_size 49 is more than the 48 rows of an update"):
        feed(learner, 1, 0)
    with pytest.raises(ValueError, match="line_search_shrinking_factor must be above 0 and at most 1, got 0"):
        TRPOConfig(line_search_shrinking_factor=0)


@pytest.mark.filterwarnings("ignore:an update is left out:RuntimeWarning")
def test_numbers_that_are_not_finite_end_the_run_and_change_no_parameter():
    learner, rng = agent(), generator(0)
    before, obs = learner.model.flat.copy(), batch_of(VECTOR, 3, rng)
    for _ in range(16):
        action, extra = learner.act(obs)
        step = random_step(VECTOR, 3, rng, invalid=0)._replace(reward=np.full(3, np.nan, np.float32))
        learner.observe(obs, action, step, extra)
    with pytest.raises(NonFiniteError):
        learner.update()
    np.testing.assert_array_equal(learner.model.flat, before)


@pytest.mark.filterwarnings("ignore:an update is left out:RuntimeWarning")
def test_three_steps_of_the_policy_that_are_not_finite_end_the_run_though_values_are_learned():
    learner, _, _, rows = improved(SMALL)
    broken = {**rows, "advantage": np.full(64, np.nan, np.float32)}
    learner.improve(broken)
    learner.improve(rows)  # a good one between them
    for _ in range(2):
        learner.improve(broken)
        learner.regress(learner.features(rows["obs"], 64), np.zeros(64, np.float32))
    with pytest.raises(NonFiniteError):
        learner.improve(broken)


@pytest.mark.parametrize("stop", [0, 7, 16, 20])
def test_a_loaded_agent_goes_on_bit_for_bit(stop):
    config = replace(SMALL, batch_size=7)
    whole, state = trained(33, agent(config, 5)), through_a_file(trained(stop, agent(config, 5)).state())
    other = trained(5, agent(config, 9))
    other.load(state)
    same(trained(33, other).state(), whole.state())
