"""Recurrent formulas in NumPy, one vector at a time: what rows and tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_step(h: Any, c: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """One step of one sequence; W (4, H, in), U (4, H, H), b (4, H) by gates i, f, a, o."""
    i, f, a, o = W @ x + U @ h + b
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(a)
    return sigmoid(o) * np.tanh(c), c


def gru_step(h: Any, x: Any, W: Any, U: Any, b: Any, d: Any) -> Any:
    """One step of one sequence; W (3, H, in), U (3, H, H), b, d (3, H) by r, z, n."""
    r, z = sigmoid(W[:2] @ x + b[:2] + U[:2] @ h + d[:2])
    n = np.tanh(W[2] @ x + b[2] + r * (U[2] @ h + d[2]))
    return ((1 - z) * n + z * h,)


def rnn_step(h: Any, x: Any, W: Any, U: Any, b: Any, d: Any, f: Any = np.tanh) -> Any:
    return (f(W @ x + b + U @ h + d),)


def scan(step: Any, x: Any, states: Any, weights: Any, reset: Any = None) -> Any:
    """Outputs (T, N, H) and the last states; weights (gates * H, ...) are cut by gates."""
    T, N, _ = x.shape
    H = states[0].shape[1]
    gates = [w.reshape(-1, H, *w.shape[1:]) for w in weights]
    out, lasts = np.zeros((T, N, H)), [h.copy() for h in states]
    for n in range(N):
        now = [h[n] for h in states]
        for t in range(T):
            if reset is not None and reset[t, n]:
                now = [h * 0 for h in now]
            now = step(*now, x[t, n], *gates)
            out[t, n] = now[0]
        for last, h in zip(lasts, now):
            last[n] = h
    return out, *lasts


def n_step(step: Any, directions: int, states: Any, ws: Any, bs: Any, xs: Any) -> Any:
    """The last states, each (layers * directions, N, H), then the outputs; ws, bs: a list by layer and direction."""
    sequences = [[x[k] for x in xs if len(x) > k] for k in range(len(xs[0]))]
    lasts = [np.zeros(h.shape) for h in states]
    for layer in range(len(ws) // directions):
        both: Any = []
        for way in range(directions):
            i = layer * directions + way
            outs: Any = []
            for k, sequence in enumerate(sequences):
                now, ys = [h[i, k] for h in states], []
                for x in sequence[:: -1 if way else 1]:
                    now = step(*now, x, ws[i], bs[i])
                    ys.append(now[0])
                for last, h in zip(lasts, now):
                    last[i, k] = h
                outs.append(ys[:: -1 if way else 1])
            both.append(outs)
        sequences = [[np.concatenate(ys) for ys in zip(*of_one)] for of_one in zip(*both)]
    width = states[0].shape[2] * directions
    ys = [np.array([s[t] for s in sequences if len(s) > t]).reshape(-1, width) for t in range(len(xs))]
    return *lasts, *ys
