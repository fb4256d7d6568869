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
from rlcore.tree import map_

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
    hidden = []
    for k in range(0, len(params), 2):
        x = [sum(w * v for w, v in zip(row, x)) + b for row, b in zip(params[k], params[k + 1])]
        if k < len(params) - 2:
            x = [math.tanh(v) for v in x]
            hidden.append(x)
    return x, hidden


def loss_by_loops(weights, kind, batch, old, advantage, returns, config, clip):
    """The loss of a minibatch as a function of the weights: policy (and log_std), then value."""
    policy, value, log_std = weights
    n, total = len(batch), 0.0
    if config.normalize_advantage:
        mean = sum(advantage) / n
        deviation = math.sqrt(sum((a - mean) ** 2 for a in advantage) / (n - 1))
        advantage = [(a - mean) / (deviation + 1e-8) for a in advantage]
    for (obs, action), old_log_prob, a, ret in zip(batch, old, advantage, returns):
        out, _ = layers(policy, obs)
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
        v = layers(value, obs)[0][0]
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


def slow_update(weights, kind, seen, last, config, orders, lr):
    """A whole update: advantages backwards row by row, then epochs of SGD with the gradient clipped."""
    policy, value, log_std = weights

    def v(obs):
        return layers(value, obs)[0][0]

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
                rows.append(
                    (
                        o,
                        extra["action"][i].tolist(),
                        float(extra["log_prob"][i]),
                        advantages[t, i],
                        advantages[t, i] + v(o),
                    )
                )
    parts = (policy, value, [log_std] if log_std is not None else [])
    for order in orders:
        for start in range(0, len(rows), config.batch_size):
            mini = [rows[k] for k in order[start : start + config.batch_size]]
            batch, (old, adv, ret) = [r[:2] for r in mini], list(zip(*[r[2:] for r in mini]))

            def f(batch=batch, old=old, adv=adv, ret=ret):
                return loss_by_loops((policy, value, log_std), kind, batch, old, list(adv), ret, config, 0.2)

            g = gradient_by_differences(f, parts)
            norm = math.sqrt(sum((x**2).sum() for part in g for x in part))
            scale = min(1.0, config.max_grad_norm / norm)
            for part, gs in zip(parts, g):
                for array, x in zip(part, gs):
                    array -= lr * scale * x


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("seed", range(3))
def test_an_update_is_the_papers(kind, seed):
    config = replace(SMALL, n_steps=4, batch_size=5, n_epochs=2, hidden=(4,), max_grad_norm=0.7)
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
    slow_update((*weights, log_std), kind, seen, None, config, [shuffles.permutation(n) for _ in range(2)], 0.5)
    now = [p.array for part in ("/policy", "/value") for path, p in model.namedparams() if path.startswith(part)]
    for p, expected, start in zip(now, [a for part in weights for a in part], before):
        np.testing.assert_allclose(p - start, expected - start, rtol=2e-3, atol=2e-6)
        assert np.abs(p - start).max() > 1e-4
    if kind == "continuous":
        np.testing.assert_allclose(dict(model.namedparams())["/head/log_std"].array, log_std, rtol=1e-4, atol=1e-6)
