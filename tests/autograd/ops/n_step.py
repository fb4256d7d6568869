"""Rows of `functions/n_step.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.rnn import gru_step, lstm_step, n_step, rnn_step
from tests.autograd.ops.row import Op

# Inputs: states, then for each layer and direction the input's weights, h's weights and biases, then the steps.


def joined(out):
    """All outputs as one vector: not every output depends on every input."""
    *states, ys = out
    return F.concat([F.flatten(y) for y in (*states, *ys)], axis=0)


def lists(weights, gates):
    """(W (gates, H, in), U, b (2 gates, H)) for each layer as the lists ws and bs."""
    layers = [weights[k : k + 3] for k in range(0, len(weights), 3)]
    ws = [[*(W[j] for j in range(gates)), *(U[j] for j in range(gates))] for W, U, _ in layers]
    return ws, [[b[j] for j in range(2 * gates)] for *_, b in layers]


def by_lists(f, states, layers, gates, **named):
    """f called with inputs as rows have them."""

    def call(*xs):
        ws, bs = lists(xs[states : states + 3 * layers], gates)
        n_layers = layers // 2 if "bi" in f.__name__ else layers
        return joined(f(n_layers, 0.0, *xs[:states], ws, bs, list(xs[states + 3 * layers :]), **named))

    return call


def by_sequences(step, states, layers, gates, directions=1):
    """The same in NumPy, one sequence at a time."""

    def one(*args):
        *now, x, w, b = args
        return step(*now, x, *w, *b)

    def call(*xs):
        weights = xs[states : states + 3 * layers]
        ws = [weights[k : k + 2] for k in range(0, len(weights), 3)]
        bs = [(b[:gates], b[gates:]) for b in weights[2::3]]
        if gates == 4:  # the two biases of an LSTM's gate add up
            bs = [(b + d,) for b, d in bs]
        if gates == 1:
            ws, bs = [(W[0], U[0]) for W, U in ws], [(b[0], d[0]) for b, d in bs]
        outs = n_step(one, directions, xs[:states], ws, bs, xs[states + 3 * layers :])
        return np.concatenate([y.ravel() for y in outs])

    return call


def relu_step(*args):
    return rnn_step(*args, f=lambda x: np.maximum(x, 0))


STEPS = [(3, 2), (3, 2), (2, 2), (1, 2)]


def layer(gates, size=2):
    return [(gates, 2, size), (gates, 2, 2), (2 * gates, 2)]


OPS = [
    Op(
        "F.n_step_lstm",
        by_lists(F.n_step_lstm, 2, 1, 4),
        by_sequences(lstm_step, 2, 1, 4),
        [(1, 3, 2), (1, 3, 2), *layer(4), (3, 2), (3, 2)],
    ),
    Op(
        "F.n_step_lstm two layers, ragged",
        by_lists(F.n_step_lstm, 2, 2, 4),
        by_sequences(lstm_step, 2, 2, 4),
        [(2, 3, 2), (2, 3, 2), *layer(4), *layer(4), *STEPS],
        empty=False,
        orders=2,
    ),
    Op(
        "F.n_step_bilstm",
        by_lists(F.n_step_bilstm, 2, 4, 4),
        by_sequences(lstm_step, 2, 4, 4, 2),
        [(4, 3, 2), (4, 3, 2), *layer(4), *layer(4), *layer(4, 4), *layer(4, 4), *STEPS],
        empty=False,
        orders=2,
    ),
    Op(
        "F.n_step_gru",
        by_lists(F.n_step_gru, 1, 1, 3),
        by_sequences(gru_step, 1, 1, 3),
        [(1, 3, 2), *layer(3), (3, 2), (3, 2)],
        empty=False,
    ),
    Op(
        "F.n_step_gru two layers, ragged",
        by_lists(F.n_step_gru, 1, 2, 3),
        by_sequences(gru_step, 1, 2, 3),
        [(2, 3, 2), *layer(3), *layer(3), *STEPS],
        empty=False,
        orders=2,
    ),
    Op(
        "F.n_step_bigru",
        by_lists(F.n_step_bigru, 1, 2, 3),
        by_sequences(gru_step, 1, 2, 3, 2),
        [(2, 3, 2), *layer(3), *layer(3), *STEPS],
        empty=False,
        orders=2,
    ),
    Op(
        "F.n_step_rnn",
        by_lists(F.n_step_rnn, 1, 2, 1),
        by_sequences(rnn_step, 1, 2, 1),
        [(2, 3, 2), *layer(1), *layer(1), *STEPS],
        empty=False,
    ),
    Op(
        "F.n_step_rnn activation=relu",
        by_lists(F.n_step_rnn, 1, 1, 1, activation="relu"),
        by_sequences(relu_step, 1, 1, 1),
        [(1, 3, 2), *layer(1), *STEPS],
        positive=True,
        empty=False,
        half=3e-2,
    ),
    Op(
        "F.n_step_birnn",
        by_lists(F.n_step_birnn, 1, 4, 1),
        by_sequences(rnn_step, 1, 4, 1, 2),
        [(4, 3, 2), *layer(1), *layer(1), *layer(1, 4), *layer(1, 4), *STEPS],
        empty=False,
    ),
]
