"""LSTM cells: one step of a recurrent network."""

from __future__ import annotations

import numpy as np

from rlcore.autograd.function import Function
from rlcore.autograd.functions.activation import sigmoid, tanh
from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.joining import concat, split_axis
from rlcore.backend import xp_of

__all__ = ["lstm", "slstm"]


class Lstm(Function):
    saves = "c_prev x gates squashed"
    many = True

    def forward(self, c_prev, x):
        xp, half = xp_of(x), xp_of(x).asarray(0.5, dtype=x.dtype)
        gates = xp.empty((4, *c_prev.shape), x.dtype)  # a, i, f, o, each contiguous: x has them side by side in a unit
        gates[...] = _by_unit(x).transpose(2, 0, 1, *range(3, x.ndim + 1))
        sigmoids = gates[1:]
        sigmoids *= half  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
        np.tanh(gates, out=gates)
        sigmoids *= half
        sigmoids += half
        a, i, f, o = gates
        c = f * c_prev
        squashed = a * i
        c += squashed
        np.tanh(c, out=squashed)
        self.gates, self.squashed = gates, squashed
        return c, o * squashed

    def backward(self, gys, c_prev, x, gates, squashed):
        gc, gh = gys[0], gys[1]
        a, i, f, o = gates
        d = xp_of(gates).empty(gates.shape, gates.dtype)
        sigmoids = d[1:]
        np.subtract(1, gates[1:], out=sigmoids)
        sigmoids *= gates[1:]
        if gh is None:
            d[3] = 0
        else:
            through = squashed * squashed
            np.subtract(1, through, out=through)
            through *= o
            through *= gh
            gc = through if gc is None else np.add(gc, through, out=through)
            d[3] *= squashed
            d[3] *= gh
        d[1] *= a
        d[2] *= c_prev
        np.multiply(a, a, out=d[0])
        np.subtract(1, d[0], out=d[0])
        d[0] *= i
        d[:3] *= gc
        gx = xp_of(gates).empty(x.shape, x.dtype)
        by_unit = _by_unit(gx)
        for k in range(4):  # in one assignment it takes 1.6 times as long
            by_unit[:, :, k] = d[k]
        return self.edges[0] and gc * f, gx

    def composite(self, c_prev, x):
        a, i, f, o = _gates(x)
        c = tanh(a) * sigmoid(i) + sigmoid(f) * c_prev
        return c, sigmoid(o) * tanh(c)


def _by_unit(x):
    """(N, 4 H, ...) as (N, H, 4, ...)."""
    return x.reshape(len(x), x.shape[1] // 4, 4, *x.shape[2:])


def _gates(x):
    """The four gates of x (N, 4 H, ...), each (N, H, ...)."""
    n, width, *rest = x.shape
    units = (n, width // 4, *rest)
    return [reshape(g, units) for g in split_axis(reshape(x, (n, width // 4, 4, *rest)), 4, 2)]


def _checked(name, labels, c_prev, x):
    """ValueError or TypeError unless x is (N, 4 H, ...) and c_prev (at least N, H, ...), of one dtype."""
    shape = tuple(x.shape)
    if x.ndim < 2 or shape[1] % 4 or tuple(c_prev.shape[1:]) != (shape[1] // 4, *shape[2:]) or len(c_prev) < shape[0]:
        raise ValueError(
            f"{name}: expected {labels[1]} (N, 4H) and {labels[0]} (N or more rows, H), got {labels[1]} {shape} and "
            f"{labels[0]} {tuple(c_prev.shape)}"
        )
    if c_prev.dtype != x.dtype:
        raise TypeError(f"{name}: {labels[1]} is {x.dtype} and {labels[0]} is {c_prev.dtype}; they must have one dtype")


def lstm(c_prev, x):
    """One step of an LSTM from the cell c_prev (N, H) and the gates before their functions x (N, 4H): the new c and h.

    A unit's gates a, i, f, o lie side by side; c = tanh(a) sigmoid(i) + sigmoid(f) c_prev, h = sigmoid(o) tanh(c).
    Where x has fewer rows than c_prev (sequences that ended, sorted by length), c keeps the others; h has x's rows.
    """
    _checked("lstm", ("c_prev", "x"), c_prev, x)
    if len(c_prev) == len(x):
        return Lstm().apply(c_prev, x)
    c_prev, others = split_axis(c_prev, [len(x)], 0)
    c, h = Lstm().apply(c_prev, x)
    return concat([c, others], axis=0), h


def slstm(c_prev1, c_prev2, x1, x2):
    """One step of an S-LSTM, which joins two branches: c_prev1, c_prev2 (N, H), x1, x2 (N, 4H) give the new c and h.

    Gates lie as in `lstm`; c sums both branches' terms, h = sigmoid(o1 + o2) * tanh(c). Zhu et al. 2015.
    """
    _checked("slstm", ("c_prev1", "x1"), c_prev1, x1)
    _checked("slstm", ("c_prev2", "x2"), c_prev2, x2)
    if not len(c_prev1) == len(x1) == len(c_prev2) == len(x2):
        shapes = ", ".join(str(tuple(v.shape)) for v in (c_prev1, c_prev2, x1, x2))
        raise ValueError(f"slstm: c_prev1, c_prev2, x1 and x2 must have as many rows, got {shapes}")
    (a1, i1, f1, o1), (a2, i2, f2, o2) = _gates(x1), _gates(x2)
    c = tanh(a1) * sigmoid(i1) + sigmoid(f1) * c_prev1 + tanh(a2) * sigmoid(i2) + sigmoid(f2) * c_prev2
    return c, sigmoid(o1 + o2) * tanh(c)
