"""Rows of `functions/rnn_cells.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.rnn import sigmoid
from tests.autograd.ops.row import Op


def lstm(c, x):
    n = len(x)
    a, i, f, o = (x[:, k::4] for k in range(4))
    new = np.tanh(a) * sigmoid(i) + sigmoid(f) * c[:n]
    return np.concatenate([new, c[n:]]), sigmoid(o) * np.tanh(new)


def slstm(c1, c2, x1, x2):
    (a, i, f, o), (a2, i2, f2, o2) = ([x[:, k::4] for k in range(4)] for x in (x1, x2))
    c = np.tanh(a) * sigmoid(i) + np.tanh(a2) * sigmoid(i2) + sigmoid(f) * c1 + sigmoid(f2) * c2
    return c, sigmoid(o + o2) * np.tanh(c)


OPS = [
    Op("F.lstm", F.lstm, lstm, [(3, 2), (3, 8)]),
    Op("F.lstm fewer rows", F.lstm, lstm, [(5, 2), (3, 8)]),
    Op("F.lstm of images", F.lstm, lstm, [(3, 1, 2), (3, 4, 2)]),
    Op("F.lstm h alone", lambda c, x: F.lstm(c, x)[1], lambda c, x: lstm(c, x)[1], [(3, 2), (3, 8)]),
    Op("F.lstm c alone", lambda c, x: F.lstm(c, x)[0], lambda c, x: lstm(c, x)[0], [(3, 2), (3, 8)]),
    Op("F.slstm", F.slstm, slstm, [(3, 2), (3, 2), (3, 8), (3, 8)]),
]
