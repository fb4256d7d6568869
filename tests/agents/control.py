"""The losses of DDPG, TD3 and SAC by plain loops in float64, and their gradients by differences."""

import math

import numpy as np
from gymnasium import spaces

from rlcore.rng import generator
from rlcore.stream import Step

SEEN, BOX = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(np.float32([-2, 0]), np.float32([1, 4]))
N = 6


def agent(cls, seed=0, seen=SEEN, box=BOX, **settings):
    """With small networks whose weights are larger than fresh ones."""
    small = dict(buffer_size=200, batch_size=8, hidden=(4,), learning_starts=4)
    made = cls.from_spaces(seen, box, cls.Config(**{**small, **settings}), generator(seed))
    for k, link in enumerate((made.actor, made.critic)):
        for i, p in enumerate(link.params()):
            p.array = generator(100 * k + i).normal(scale=0.7, size=p.shape).astype(np.float32)
    made.begin()  # targets begin as copies
    return made


def batch(seed, weights=False):
    """Rows with a terminal one, n-step ones and such as were cut short, by their discounts."""
    rng = generator(seed)
    out = {
        "obs": rng.normal(size=(N, 3)).astype(np.float32),
        "next_obs": rng.normal(size=(N, 3)).astype(np.float32),
        "action": rng.uniform(-1, 1, (N, 2)).astype(np.float32),
        "reward": rng.normal(scale=2, size=N).astype(np.float32),
        "discount": np.float32([0.99, 0, 0.99**3, 0.99, 0, 0.5]),
        "row": np.arange(N),
    }
    return {**out, "weight": rng.uniform(0.2, 1, N).astype(np.float32)} if weights else out


def step(obs, reward=0.0, terminated=False, truncated=False, valid=True):
    n = len(obs)
    flag = np.full(n, terminated), np.full(n, truncated)
    return Step(obs, np.full(n, reward, np.float32), *flag, obs, np.full(n, valid), {})


def fill(learner, rows=12):
    """Give it rows of one stream to learn from."""
    obs = generator(7).normal(size=(rows + 1, 1, 3)).astype(np.float32)
    for i in range(rows):
        action, extra = learner.act(obs[i])
        learner.observe(obs[i], action, step(obs[i + 1], float(i)), extra)


def floats(link):
    return [p.array.astype(np.float64) for p in link.params()]


def network(weights, x):
    """Two layers with ReLU in between."""
    W1, b1, W2, b2 = weights
    hidden = [max(0.0, sum(w * v for w, v in zip(row, x)) + b) for row, b in zip(W1, b1)]
    return [sum(w * h for w, h in zip(row, hidden)) + b for row, b in zip(W2, b2)]


def q_values(weights, obs, action):
    """The values of all critics."""
    return [network([w[k] for w in weights], [*obs, *action])[0] for k in range(len(weights[0]))]


def mean_action(weights, obs):
    return [math.tanh(x) for x in network(weights, obs)]


def drawn(weights, obs, noise):
    """An action of SAC's actor and its log-density, by the change of variables."""
    out = network(weights, obs)
    n, action, log_prob = len(noise), [], 0.0
    for i in range(n):
        log_std = min(max(out[n + i], -20.0), 2.0)
        u = out[i] + math.exp(log_std) * noise[i]
        action.append(math.tanh(u))
        log_prob += -0.5 * noise[i] ** 2 - log_std - 0.5 * math.log(2 * math.pi) - math.log(1 - action[i] ** 2)
    return action, log_prob


def critic_loss(weights, data, goals):
    total = 0.0
    for i in range(N):
        weight = data["weight"][i] if "weight" in data else 1.0
        total += sum(0.5 * weight * (q - goals[i]) ** 2 for q in q_values(weights, data["obs"][i], data["action"][i]))
    return total / N


def descended(loss, weights, rate):
    """The loss, and weights after a step down its gradient, which is found by central differences."""
    gradients = []
    for w in weights:
        g = np.zeros_like(w)
        for i in np.ndindex(w.shape):
            kept, h = w[i], 1e-6
            w[i] = kept + h
            above = loss(weights)
            w[i] = kept - h
            g[i] = (above - loss(weights)) / (2 * h)
            w[i] = kept
        gradients.append(g)
    return loss(weights), [w - rate * g for w, g in zip(weights, gradients)]


def moved(target, weights, tau):
    return [t + tau * (w - t) for t, w in zip(target, weights)]


def close(link, before, expected):
    """The change of a link's parameters is as expected, to the precision of float32."""
    for p, b, e in zip(link.params(), before, expected, strict=True):
        np.testing.assert_allclose(p.array - b, e - b, rtol=2e-3, atol=3e-6)
