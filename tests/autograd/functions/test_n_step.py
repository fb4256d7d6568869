"""Several layers over ragged sequences: dropout, and bad input. Values are in the rows and in the links' tests."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.autograd import functions as F
from rlcore.autograd import using_config
from rlcore.rng import default, generator, state_of

ONES = np.ones((2, 2))
XS = [np.ones((3, 2)), np.ones((2, 2))]
HX = np.ones((2, 3, 2))


def rnn(f=F.n_step_rnn, n_layers=2, ratio=0.0, hx=HX, ws=None, bs=None, xs=XS, **named):
    ws = [[ONES, ONES]] * 2 if ws is None else ws
    return f(n_layers, ratio, hx, ws, [[ONES[0]] * 2] * 2 if bs is None else bs, xs, **named)


def test_dropout_between_layers_in_training_alone():
    plain, drawn = rnn()[1], rnn(ratio=0.5, rng=generator(0))[1]
    assert (plain[0].array != drawn[0].array).any()
    for a, b in zip(drawn, rnn(ratio=0.5, rng=generator(0))[1]):
        np.testing.assert_array_equal(a.array, b.array)
    before = state_of(default())
    with using_config("train", False):
        for a, b in zip(plain, rnn(ratio=0.5)[1]):
            np.testing.assert_array_equal(a.array, b.array)
    assert state_of(default()) == before
    rnn(ratio=0.5)
    assert state_of(default()) != before


def test_one_layer_has_no_dropout():
    named = dict(n_layers=1, hx=HX[:1], ws=[[ONES, ONES]], bs=[[ONES[0]] * 2])
    for a, b in zip(rnn(**named)[1], rnn(**named, ratio=0.9)[1]):
        np.testing.assert_array_equal(a.array, b.array)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"xs": []}, "n_step_rnn: expected at least one step in xs, got none"),
        ({"xs": XS[::-1]}, r"n_step_rnn: the numbers of rows of xs must not rise from step to step, got \[2, 3\]"),
        ({"xs": XS[1:]}, r"n_step_rnn: expected hx \(2, 2, 2\), got \(2, 3, 2\)"),
        ({"hx": HX[:1]}, r"n_step_rnn: expected hx \(2, 3, 2\), got \(1, 3, 2\)"),
        ({"n_layers": 1}, r"n_step_rnn: expected 1 lists of 2 arrays in ws, got lists of \[2, 2\]"),
        ({"bs": [[ONES[0]]] * 2}, r"n_step_rnn: expected 2 lists of 2 arrays in bs, got lists of \[1, 1\]"),
        ({"activation": "sigmoid"}, "n_step_rnn: activation must be 'tanh' or 'relu', got 'sigmoid'"),
        ({"f": F.n_step_birnn}, r"n_step_birnn: expected 4 lists of 2 arrays in ws, got lists of \[2, 2\]"),
    ],
)
def test_bad_input(named, message):
    with pytest.raises(ValueError, match=message):
        rnn(**named)
