"""REINFORCE: returns of whole episodes, which rows wait and which are learned from, one update by loops, and state."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import actor_critic
from rlcore.agents import REINFORCE, REINFORCEConfig
from rlcore.agents.on_policy import rollout_columns
from rlcore.agents.reinforce import Zero
from rlcore.autograd.optimizers import SGD
from rlcore.buffers import Rollout
from rlcore.explorers import Schedule
from rlcore.rng import generator
from rlcore.stream import Step
from tests.agents.test_ppo import (
    ACTIONS,
    IMAGES,
    OBSERVATIONS,
    THREE,
    VECTOR,
    batch_of,
    feed,
    gradient_by_differences,
    layers,
    same,
    trained,
)
from tests.envs.worlds import through_a_file

SMALL = REINFORCEConfig(n_episodes=3, n_steps=50, learning_rate=Schedule(1e-2), hidden=(8,))


def agent(config=SMALL, seed=0, observation_space=VECTOR, action_space=THREE):
    return REINFORCE.from_spaces(observation_space, action_space, config, generator(seed))


def spied(learner):
    """The (advantage, target) of each update, as its loss got them."""
    import rlcore.agents.reinforce as module

    seen, inner = [], module.actor_critic_loss

    def spy(log_prob, entropy, value, advantage, target, *coefs):
        seen.append((advantage.tolist(), target.tolist()))
        return inner(log_prob, entropy, value, advantage, target, *coefs)

    return seen, spy


def play(learner, rows):
    """Steps of streams: rows are lists of (reward, kind) of each stream, kind one of "-", "end", "cut", "none"."""
    stats = []
    n = len(rows[0])
    obs = np.zeros((n, 3), np.float32)
    for row in rows:
        action, extra = learner.act(obs)
        reward = np.array([r for r, _ in row], np.float32)
        flags = [np.array([kind == name for _, kind in row]) for name in ("end", "cut", "none")]
        learner.observe(obs, action, Step(obs, reward, flags[0], flags[1], obs, ~flags[2], {}), extra)
        stats.append(learner.update())
    return stats


def returns_of(monkeypatch, rows, config, **agent_args):
    learner = agent(config, **agent_args)
    seen, spy = spied(learner)
    monkeypatch.setattr("rlcore.agents.reinforce.actor_critic_loss", spy)
    stats = play(learner, rows)
    return [target for _, target in seen], stats, learner


PLAIN = replace(SMALL, gamma=1.0, baseline=False, n_episodes=1)


def test_returns_to_go_count_what_comes_after_and_not_what_came_before(monkeypatch):
    """The ancestors of this library credited [1, 11, 111]."""
    targets, _, _ = returns_of(monkeypatch, [[(1, "-")], [(10, "-")], [(100, "end")]], PLAIN)
    assert targets == [[111, 110, 100]]
    half = replace(PLAIN, gamma=0.5)
    targets, _, _ = returns_of(monkeypatch, [[(1, "-")], [(10, "-")], [(100, "end")]], half)
    assert targets == [[31, 60, 100]]


def test_rows_of_unfinished_episodes_wait_across_updates(monkeypatch):
    """Three streams; an update when two episodes have ended, on all that have; each row is learned from once."""
    rows = [
        [(1, "-"), (10, "-"), (100, "-")],
        [(2, "end"), (20, "-"), (200, "-")],
        [(3, "-"), (30, "end"), (300, "-")],  # two: 1 2 and 10 20 30
        [(4, "-"), (40, "-"), (400, "-")],
        [(5, "end"), (50, "end"), (500, "end")],  # three, the first begun before the update
    ]
    targets, stats, learner = returns_of(monkeypatch, rows, replace(PLAIN, n_episodes=2))
    assert [bool(s) for s in stats] == [False, False, True, False, True]
    assert sorted(targets[0]) == sorted([3, 2, 60, 50, 30])
    assert sorted(targets[1]) == sorted([12, 9, 5, 90, 50, 1500, 1400, 1200, 900, 500])
    assert (len(learner.rollout), learner.n_ended, learner.n_updates) == (0, 0, 2)


def test_what_has_been_learned_from_makes_room():
    learner = agent(replace(PLAIN, n_steps=6))
    for k in range(20):  # one stream ends at every third step, the other at every fourth
        play(learner, [[(1, "end" if k % 3 == 2 else "-"), (1, "end" if k % 4 == 3 else "-")]])
        assert len(learner.rollout) < 4
    assert learner.rollout.columns["reward"].shape == (6, 2)


def test_an_episode_longer_than_the_rollout_is_cut_there(monkeypatch):
    config = replace(PLAIN, n_steps=3, n_episodes=5)
    targets, stats, learner = returns_of(monkeypatch, [[(1, "-")]] * 4 + [[(1, "end")], [(7, "-")]], config)
    assert targets == [[3, 2, 1], [2, 1, 7]]
    assert [bool(s) for s in stats] == [False, False, True, False, False, True]
    assert len(learner.rollout) == 0


@pytest.mark.parametrize("baseline", [True, False])
def test_episodes_that_are_cut_short_are_not_thrown_away(monkeypatch, baseline):
    """With a baseline they count its value of the last observation, here always the same; else nothing."""
    config = replace(PLAIN, gamma=0.5, baseline=baseline)
    learner = agent(config)
    v = 0.0
    if baseline:
        learner.model.value[-1].b.array = np.array([8.0], np.float32)
        v = float(learner.acting_model.values(np.zeros((1, 3), np.float32)).array[0])
        assert v == 8
    seen, spy = spied(learner)
    monkeypatch.setattr("rlcore.agents.reinforce.actor_critic_loss", spy)
    play(learner, [[(1, "-")], [(2, "cut")]])
    assert seen[0][1] == pytest.approx([1 + 0.5 * (2 + 0.5 * v), 2 + 0.5 * v])
    assert seen[0][0] == pytest.approx([1 + 0.5 * (2 + 0.5 * v) - v, 2 + 0.5 * v - v])


def test_a_row_that_is_no_transition_ends_the_episode_before_it(monkeypatch):
    """Without an end of its own: a worker was restarted. What comes after belongs to another episode."""
    learner = agent(replace(PLAIN, gamma=0.5, baseline=True))
    learner.model.value[-1].b.array = np.array([8.0], np.float32)
    seen, spy = spied(learner)
    monkeypatch.setattr("rlcore.agents.reinforce.actor_critic_loss", spy)
    play(learner, [[(1, "-")], [(99, "none")], [(2, "-")], [(4, "end")]])
    assert seen[0][1] == pytest.approx([1 + 4, 2 + 2, 4])


# One update, written from the paper by loops; nothing of rlcore takes part


def loss_by_loops(weights, kind, rows, config):
    policy, value, log_std = weights
    advantages = [row[2] for row in rows]
    if config.normalize_advantage:
        mean = sum(advantages) / len(rows)
        deviation = math.sqrt(sum((a - mean) ** 2 for a in advantages) / (len(rows) - 1))
        advantages = [(a - mean) / (deviation + 1e-8) for a in advantages]
    total = 0.0
    for (obs, action, _, ret), advantage in zip(rows, advantages):
        out = layers(policy, obs)
        if kind == "discrete":
            z = math.log(sum(math.exp(o) for o in out))
            log_prob, entropy = out[action] - z, -sum(math.exp(o - z) * (o - z) for o in out)
        else:
            (s,) = log_std
            log_prob = sum(
                -0.5 * ((x - mu) / math.exp(d)) ** 2 - d - 0.5 * math.log(2 * math.pi)
                for x, mu, d in zip(action, out, s)
            )
            entropy = sum(d + 0.5 + 0.5 * math.log(2 * math.pi) for d in s)
        total += -log_prob * advantage - config.ent_coef * entropy
        if config.baseline:
            total += config.vf_coef * (layers(value, obs)[0] - ret) ** 2
    return total / len(rows)


def finished_rows(value, seen, begun, config):
    """Rows of the episodes that are over, and what each stream has begun since."""
    rows, waiting = [], [[*b] for b in begun]
    for obs, step, extra in seen:
        for i in range(len(step.reward)):
            if not step.valid[i]:
                following = layers(value, obs[i].tolist())[0] if config.baseline else 0.0
            else:
                waiting[i].append((obs[i].tolist(), extra["action"][i].tolist(), float(step.reward[i])))
                if not (step.terminated[i] or step.truncated[i]):
                    continue
                following = 0.0
                if step.truncated[i] and config.baseline:
                    following = layers(value, step.final_obs[i].tolist())[0]
            for o, a, reward in reversed(waiting[i]):
                following = reward + config.gamma * following
                v = layers(value, o)[0] if config.baseline else 0.0
                rows.append((o, a, following - v, following))
            waiting[i] = []
    return rows, waiting


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("more", [{}, {"baseline": False}, {"normalize_advantage": True, "gamma": 1.0}])
def test_updates_are_the_papers(kind, more):
    config = replace(replace(SMALL, n_episodes=4, gamma=0.9, ent_coef=0.01, max_grad_norm=0.7), **more)
    config = replace(config, learning_rate=Schedule(0.2))
    action_space = THREE if kind == "discrete" else spaces.Box(-1, 1, (2,), np.float32)
    rng = generator(7)
    model = actor_critic(VECTOR, action_space, (4,), ortho_init=False, rng=rng)
    if not config.baseline:
        model.value = Zero()
    learner = REINFORCE(model, SGD(0.1), Rollout(config.n_steps, rollout_columns(VECTOR, model)), config, rng)
    parts = ["/policy", "/value"] + (["/head/log_std"] if kind == "continuous" else [])
    params = [[p for path, p in model.namedparams() if path.startswith(part)] for part in parts]
    begun, done, obs = [[], [], []], 0, batch_of(VECTOR, 3, generator(1))
    since = []
    for t in range(40):
        weights = [[p.array.astype(np.float64) for p in group] for group in params] + [[]] * (3 - len(parts))
        before = [[p.array.copy() for p in group] for group in params]
        seen, stats = feed(learner, 1, 100 + t, obs=obs, ends=0.3, invalid=0.1)
        obs = seen[0][1].obs
        since += seen
        if not stats[0]:
            continue
        rows, begun = finished_rows(weights[1], since, begun, config)
        g = gradient_by_differences(lambda w=weights, r=rows: loss_by_loops(w, kind, r, config), weights)
        norm = math.sqrt(sum((x**2).sum() for part in g for x in part))
        scale = min(1.0, config.max_grad_norm / norm)
        for group, gs, olds in zip(params, g, before):
            for p, x, old in zip(group, gs, olds):
                np.testing.assert_allclose(p.array - old, -0.2 * scale * x, rtol=5e-3, atol=3e-6)
        since, done = [], done + 1
        if done == 2:
            break
    assert done == 2


@pytest.mark.parametrize("lstm", [None, 4])
@pytest.mark.parametrize("space", ACTIONS)
def test_actions_of_each_kind_are_learned_from(space, lstm):
    learner = agent(replace(SMALL, lstm_hidden_size=lstm), action_space=space)
    before = learner.model.flat.copy()
    _, stats = feed(learner, 20, 0)
    assert all(np.isfinite(s["loss"]) for s in stats if s)
    assert np.count_nonzero(learner.model.flat != before) > before.size / 2


@pytest.mark.parametrize("space", [*OBSERVATIONS[4:], IMAGES[0]])
def test_observations_of_each_kind_are_learned_from(space):
    learner = agent(replace(SMALL, n_steps=4), observation_space=space)
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    feed(learner, 4, 0, n=2, space=space, invalid=0)
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path


def test_a_recurrent_update_starts_from_the_states_acted_from(monkeypatch):
    """The log_probs of an update's pass are those of acting, in rows that waited as in others, n_steps included."""
    learner = agent(replace(SMALL, lstm_hidden_size=4, n_steps=7, learning_rate=Schedule(0.0)))
    acted = {}
    passes = []
    import rlcore.agents.reinforce as module

    inner = module.actor_critic_loss
    monkeypatch.setattr(module, "actor_critic_loss", lambda lp, *more: passes.append(lp.array) or inner(lp, *more))
    columns = []
    taken = learner.batch

    def batch():
        columns.append(taken())
        return columns[-1]

    learner.batch = batch
    seen, _ = feed(learner, 60, 3, ends=0.2, invalid=0.05)
    for obs, _, extra in seen:
        for i in range(3):
            acted[obs[i].tobytes()] = extra["log_prob"][i]
    assert len(passes) > 8
    total = 0
    for batch, log_prob in zip(columns, passes):
        expected = [acted[row.tobytes()] for row in batch["obs"][batch["valid"]]]
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
        total += len(expected)
    waiting = int(learner.rollout.columns["valid"][: len(learner.rollout)].sum())
    assert total + waiting == sum(int(step.valid.sum()) for _, step, _ in seen)


def test_statistics():
    _, stats = feed(agent(), 10, 0, invalid=0)
    names = {"policy_loss", "value_loss", "entropy_loss", "explained_variance", "loss", "learning_rate", "n_updates"}
    assert {frozenset(s) for s in stats if s} == {frozenset(names)}
    _, stats = feed(agent(replace(SMALL, baseline=False)), 10, 0, invalid=0)
    assert {frozenset(s) for s in stats if s} == {frozenset(names - {"value_loss", "explained_variance"})}


@pytest.mark.parametrize("lstm", [None, 4])
@pytest.mark.parametrize("stop", [0, 3, 8, 13])
def test_a_loaded_agent_goes_on_bit_for_bit(stop, lstm):
    config = replace(SMALL, lstm_hidden_size=lstm, n_steps=9)
    whole, state = trained(25, agent(config, 5)), through_a_file(trained(stop, agent(config, 5)).state())
    other = trained(5, agent(config, 9))
    other.load(state)
    same(trained(25, other).state(), whole.state())
    assert whole.n_updates > 2
