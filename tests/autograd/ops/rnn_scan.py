"""Rows of `functions/rnn_scan.py`."""

from __future__ import annotations

import numpy as np

from rlcore.autograd import functions as F
from tests.autograd.ops.rnn import gru_step, lstm_step, scan
from tests.autograd.ops.row import Op

RESET = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0]], bool)


def lstm(x, h, c, W_x, W_h, b, reset=None):
    return scan(lstm_step, x, [h, c], [W_x, W_h, b], reset)


def gru(x, h, W_x, W_h, b_x, b_h, reset=None):
    return scan(gru_step, x, [h], [W_x, W_h, b_x, b_h], reset)


X, H = (4, 3, 2), (3, 2)
X3 = (3, 2, 2)  # no steps where an axis of 3 becomes empty
LSTM, GRU = [(8, 2), (8, 2), (8,)], [(6, 2), (6, 2), (6,), (6,)]
OPS = [
    Op("F.lstm_scan", F.lstm_scan, lstm, [X, H, H, *LSTM]),
    Op(
        "F.lstm_scan reset",
        lambda *xs: F.lstm_scan(*xs[:-1], reset=xs[-1]),
        lstm,
        [X, H, H, *LSTM],
        consts=(RESET,),
        empty=False,
    ),
    Op("F.lstm_scan one step", F.lstm_scan, lstm, [(1, 3, 2), H, H, *LSTM]),
    Op(
        "F.lstm_scan no bias, from zeros",
        lambda x, W_x, W_h: F.lstm_scan(x, None, None, W_x, W_h)[0],
        lambda x, W_x, W_h: lstm(x, np.zeros((x.shape[1], 2)), np.zeros((x.shape[1], 2)), W_x, W_h, np.zeros(8))[0],
        [X3, *LSTM[:2]],
    ),
    Op("F.lstm_scan h alone", lambda *xs: F.lstm_scan(*xs)[1], lambda *xs: lstm(*xs)[1], [X, H, H, *LSTM]),
    Op("F.lstm_scan c alone", lambda *xs: F.lstm_scan(*xs)[2], lambda *xs: lstm(*xs)[2], [X, H, H, *LSTM]),
    Op("F.gru_scan", F.gru_scan, gru, [X, H, *GRU]),
    Op(
        "F.gru_scan reset",
        lambda *xs: F.gru_scan(*xs[:-1], reset=xs[-1]),
        gru,
        [X, H, *GRU],
        consts=(RESET,),
        empty=False,
    ),
    Op("F.gru_scan one step", F.gru_scan, gru, [(1, 3, 2), H, *GRU]),
    Op(
        "F.gru_scan no bias, from zeros",
        lambda x, W_x, W_h: F.gru_scan(x, None, W_x, W_h)[0],
        lambda x, W_x, W_h: gru(x, np.zeros((x.shape[1], 2)), W_x, W_h, np.zeros(6), np.zeros(6))[0],
        [X3, *GRU[:2]],
    ),
    Op("F.gru_scan h alone", lambda *xs: F.gru_scan(*xs)[1], lambda *xs: gru(*xs)[1], [X, H, *GRU]),
]
