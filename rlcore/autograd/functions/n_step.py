"""Recurrent networks of several layers over sequences of different lengths, sorted, in one direction or in both."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from rlcore.autograd.functions.activation import relu, tanh
from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.connection import linear
from rlcore.autograd.functions.joining import concat, separate, split_axis, stack
from rlcore.autograd.functions.noise import dropout
from rlcore.autograd.functions.rearranging import flip
from rlcore.autograd.functions.rnn_scan import gru_scan, lstm_scan

__all__ = ["n_step_bigru", "n_step_bilstm", "n_step_birnn", "n_step_gru", "n_step_lstm", "n_step_rnn"]

# Steps with equally many sequences make a span (T, N, in), over which one scan goes; states are tuples, (h,) or (h, c).
Scan = Callable[..., Any]


def n_step_lstm(n_layers, dropout_ratio, hx, cx, ws, bs, xs, *, rng=None):
    """LSTM of n_layers over steps xs[t] (N_t, in), N_t never rising: the last h and c, and a tuple of outputs (N_t, H).

    States are (n_layers, N_0, H). For each layer ws has 8 matrices, for the input (H, in), then for h (H, H), those of
    the gates i, f, a, o, and bs 8 biases (H,). Dropout acts between layers.
    """
    states, ys = _n_step("n_step_lstm", _lstm, 8, 1, n_layers, dropout_ratio, {"hx": hx, "cx": cx}, ws, bs, xs, rng)
    return *states, ys


def n_step_bilstm(n_layers, dropout_ratio, hx, cx, ws, bs, xs, *, rng=None):
    """n_step_lstm in both directions, whose outputs are joined to (N_t, 2H).

    hx, cx (2 n_layers, N_0, H), ws and bs have for each layer an entry forward and one backward.
    """
    states, ys = _n_step("n_step_bilstm", _lstm, 8, 2, n_layers, dropout_ratio, {"hx": hx, "cx": cx}, ws, bs, xs, rng)
    return *states, ys


def n_step_gru(n_layers, dropout_ratio, hx, ws, bs, xs, *, rng=None):
    """GRU of n_layers over steps xs[t] (N_t, in), N_t never rising: the last h, and a tuple of outputs (N_t, H).

    States are (n_layers, N_0, H). For each layer ws has 6 matrices, for the input (H, in), then for h (H, H), those of
    r, z, n of `gru_scan`, and bs 6 biases (H,). Dropout acts between layers.
    """
    (h,), ys = _n_step("n_step_gru", _gru, 6, 1, n_layers, dropout_ratio, {"hx": hx}, ws, bs, xs, rng)
    return h, ys


def n_step_bigru(n_layers, dropout_ratio, hx, ws, bs, xs, *, rng=None):
    """n_step_gru in both directions, whose outputs are joined to (N_t, 2H).

    hx (2 n_layers, N_0, H), ws and bs have for each layer an entry forward and one backward.
    """
    (h,), ys = _n_step("n_step_bigru", _gru, 6, 2, n_layers, dropout_ratio, {"hx": hx}, ws, bs, xs, rng)
    return h, ys


def n_step_rnn(n_layers, dropout_ratio, hx, ws, bs, xs, activation="tanh", *, rng=None):
    """h = activation(W x + b + U h + d) over steps xs[t] (N_t, in), N_t never rising: the last h, and the outputs.

    States are (n_layers, N_0, H); for each layer ws has W (H, in) and U (H, H), bs has b and d (H,). activation: "tanh"
    or "relu". Dropout acts between layers.
    """
    scan = _rnn("n_step_rnn", activation)
    (h,), ys = _n_step("n_step_rnn", scan, 2, 1, n_layers, dropout_ratio, {"hx": hx}, ws, bs, xs, rng)
    return h, ys


def n_step_birnn(n_layers, dropout_ratio, hx, ws, bs, xs, activation="tanh", *, rng=None):
    """n_step_rnn in both directions, whose outputs are joined to (N_t, 2H).

    hx (2 n_layers, N_0, H), ws and bs have for each layer an entry forward and one backward.
    """
    scan = _rnn("n_step_birnn", activation)
    (h,), ys = _n_step("n_step_birnn", scan, 2, 2, n_layers, dropout_ratio, {"hx": hx}, ws, bs, xs, rng)
    return h, ys


def _lstm(ws: Any, bs: Any) -> Scan:
    W_x, W_h = concat(ws[:4], axis=0), concat(ws[4:], axis=0)
    b = concat(bs[:4], axis=0) + concat(bs[4:], axis=0)
    return lambda x, h, c: lstm_scan(x, h, c, W_x, W_h, b)


def _gru(ws: Any, bs: Any) -> Scan:
    W_x, W_h, b_x, b_h = (concat(part, axis=0) for part in (ws[:3], ws[3:], bs[:3], bs[3:]))
    return lambda x, h: gru_scan(x, h, W_x, W_h, b_x, b_h)


def _rnn(name: str, activation: str) -> Callable[[Any, Any], Scan]:
    activations = {"tanh": tanh, "relu": relu}
    if activation not in activations:
        raise ValueError(f"{name}: activation must be 'tanh' or 'relu', got {activation!r}")
    f = activations[activation]

    def with_weights(ws: Any, bs: Any) -> Scan:
        W, U = ws
        b = bs[0] + bs[1]

        def scan(x: Any, h: Any) -> Any:
            hs = []
            for projected in separate(linear(x, W, b, n_batch_axes=2)):
                h = f(projected + linear(h, U))
                hs.append(h)
            return stack(hs), h

        return scan

    return with_weights


def _n_step(
    name: str, cell: Any, weights: int, directions: int, n_layers: int, dropout_ratio: float, states: dict[str, Any],
    ws: Any, bs: Any, xs: Any, rng: Any,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:  # fmt: skip
    """The last states, each (directions * n_layers, N, H), and the steps' outputs."""
    counts = [len(x) for x in xs]
    _check(name, weights, directions * n_layers, states, ws, bs, counts)
    spans, start = [], 0
    for n, group in groupby(counts):
        stop = start + len(list(group))
        spans.append(reshape(concat(xs[start:stop], axis=0), (stop - start, n, *xs[0].shape[1:])))
        start = stop
    firsts = list(zip(*[separate(v) for v in states.values()]))
    lasts = []
    for layer in range(n_layers):
        if layer:
            spans = [dropout(span, dropout_ratio, rng=rng) for span in spans]
        both = []
        for k in range(directions * layer, directions * (layer + 1)):
            way = _backward if k % directions else _forward
            last, outputs = way(cell(ws[k], bs[k]), firsts[k], spans)
            lasts.append(last)
            both.append(outputs)
        spans = both[0] if directions == 1 else [concat(pair, axis=2) for pair in zip(*both)]
    ys = tuple([y for span in spans for y in separate(span)])
    return tuple([stack(group) for group in zip(*lasts)]), ys


def _forward(scan: Scan, states: Any, spans: Any) -> tuple[Any, list[Any]]:
    """Sequences end: their states are set aside and put back behind the others at the end."""
    outputs, ended = [], []
    for span in spans:
        n = span.shape[1]
        if n < len(states[0]):
            states, rest = zip(*[split_axis(h, [n], 0) for h in states])
            ended.append(rest)
        y, *states = scan(span, *states)
        outputs.append(y)
    return tuple([concat(parts, axis=0) for parts in zip(states, *reversed(ended))]), outputs


def _backward(scan: Scan, states: Any, spans: Any) -> tuple[Any, list[Any]]:
    """Sequences begin: their first states join the others'."""
    outputs, current = [], [h[:0] for h in states]
    for span in reversed(spans):
        begun, n = len(current[0]), span.shape[1]
        if begun < n:
            current = [concat([h, first[begun:n]], axis=0) for h, first in zip(current, states)]
        y, *current = scan(flip(span, 0), *current)
        outputs.append(flip(y, 0))
    return tuple(current), outputs[::-1]


def _check(name: str, weights: int, entries: int, states: dict[str, Any], ws: Any, bs: Any, counts: list[int]) -> None:
    if not counts:
        raise ValueError(f"{name}: expected at least one step in xs, got none")
    if sorted(counts, reverse=True) != counts:
        raise ValueError(f"{name}: the numbers of rows of xs must not rise from step to step, got {counts}")
    for k, group in (("ws", ws), ("bs", bs)):
        sizes = [len(part) for part in group]
        if sizes != [weights] * entries:
            raise ValueError(f"{name}: expected {entries} lists of {weights} arrays in {k}, got lists of {sizes}")
    H = ws[0][-1].shape[-1]
    for k, v in states.items():
        if tuple(v.shape) != (entries, counts[0], H):
            raise ValueError(f"{name}: expected {k} {(entries, counts[0], H)}, got {tuple(v.shape)}")
