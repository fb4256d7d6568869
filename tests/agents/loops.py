"""A small network by plain loops in float64, for updates written out from papers: 3 inputs, 4 tanh units, n outputs."""

import numpy as np

from rlcore.autograd import Sequential
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.rng import generator


class Fixed:
    """A replay that gives one batch, and keeps the errors that it gets back."""

    def __init__(self, batch):
        self.batch, self.updates = batch, []

    def sample(self, n):
        return self.batch

    def update(self, row, error):
        self.updates.append((row.copy(), np.array(error)))

    def __len__(self):
        return 1


def numbers(seed, *shape):
    return generator(seed).normal(size=shape).astype(np.float32)


def network(seed, outputs=2):
    model = Sequential(L.Linear(3, 4), F.tanh, L.Linear(4, outputs))
    for k, p in enumerate(model.params()):
        p.array = numbers(seed * 10 + k, *p.shape)
    return model


def copied(link):
    return [p.array.copy() for p in link.params()]


def mixed_batch(seed):
    """Six transitions: terminal rows, rows of several steps, ends cut short."""
    rng = generator(seed)
    return {
        "obs": rng.normal(size=(6, 3)).astype(np.float32),
        "next_obs": rng.normal(size=(6, 3)).astype(np.float32),
        "action": rng.integers(0, 2, 6),
        "reward": rng.normal(scale=2, size=6).astype(np.float32),
        "discount": np.float32([0.99, 0, 0.99**3, 0.99, 0, 0.5]),
    }


def weighted(batch, seed):
    """The batch as a prioritized replay gives it."""
    rng = generator(seed + 100)
    return {**batch, "weight": rng.uniform(0.1, 1, 6).astype(np.float32), "row": rng.permutation(6)}


def outputs(weights, obs):
    """The numbers that the network gives for one observation, and its hidden units."""
    W1, b1, W2, b2 = (w.astype(np.float64) for w in weights)
    hidden = [np.tanh(sum(W1[j, i] * float(obs[i]) for i in range(3)) + b1[j]) for j in range(4)]
    return [sum(W2[a, j] * hidden[j] for j in range(4)) + b2[a] for a in range(len(b2))], hidden


def descended(weights, rows, lr):
    """The weights after a step of gradient descent; rows: (observation, slope of the loss by each output)."""
    W1, b1, W2, b2 = (w.astype(np.float64) for w in weights)
    gradients = [np.zeros_like(w) for w in (W1, b1, W2, b2)]
    for obs, slopes in rows:
        _, hidden = outputs(weights, obs)
        for a, g in enumerate(slopes):
            gradients[3][a] += g
            for j in range(4):
                gradients[2][a, j] += g * hidden[j]
                back = g * W2[a, j] * (1 - hidden[j] ** 2)
                gradients[1][j] += back
                for i in range(3):
                    gradients[0][j, i] += back * float(obs[i])
    return [w - lr * g for w, g in zip((W1, b1, W2, b2), gradients)]


def check_moved(link, before, expected):
    for p, b, e in zip(link.params(), before, expected, strict=True):
        np.testing.assert_allclose(p.array - b, e - b, rtol=2e-3, atol=2e-6)
