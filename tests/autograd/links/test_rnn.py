"""Recurrent links against Chainer, their state, their first values, and bad input."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from rlcore.autograd import Chain, Variable, optimizers, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import LeCunNormal, Orthogonal
from rlcore.rng import generator


def numbers(*shape, at=0):
    return np.cos(np.arange(np.prod(shape, dtype=int)) * 0.9 + at).reshape(shape)


def filled(link):
    """float64 parameters that depend on their place in the sorted paths alone."""
    for k, (_, p) in enumerate(sorted(link.namedparams())):
        p.bind(numbers(*p.shape, at=k), None, None, 0)
    return link


X1, X2 = numbers(2, 3, at=1), numbers(2, 3, at=2)
XS = [numbers(2, 3, at=1), numbers(4, 3, at=2), numbers(1, 3, at=3)]
H = numbers(2, 2, at=4)

CHAINER = {  # Chainer 7.8.1: sums of outputs times numbers, and of gradients times numbers
    "LSTM": ([0.236521268, 0.153710084], 0.421038583),
    "StatefulGRU": ([0.062896242, 0.278775814], -1.353260705),
    "GRU": ([0.062896242, 0.278775814], -1.353260705),
    "StatefulMGU": ([-0.583848787, -0.130622512], -0.333729194),
    "StatefulPeepholeLSTM": ([-0.267565777, -0.204826112], 1.037985237),
    "StatefulZoneoutLSTM": ([-0.007723219], 0.168300339),
    "StatelessLSTM": ([0.825324261, 0.377447308], 1.984315716),
    "StatelessGRU": ([-0.492154012], -1.079812918),
    "StatelessMGU": ([-1.223702921], 0.030930335),
    "NStepLSTM": ([0.700635198, 2.582418186, -0.285216443, 0.136995362, -0.136171708], -4.764043831),
    "NStepBiLSTM": ([1.318225735, 3.853239757, -0.181930004, -0.096541987, -0.00968421], -8.186941072),
    "NStepGRU": ([0.606390866, 0.238183027, 0.668263257, -0.301862712], -2.444185081),
    "NStepBiGRU": ([2.267829133, 0.003919192, -0.985578827, 0.16741205], -10.744442709),
    "NStepRNNTanh": ([0.240008609, -0.63424876, 1.126303988, -0.335192401], -2.322384006),
    "NStepBiRNNTanh": ([-0.497757541, 0.216948949, -2.433798324, -1.366894672], 9.307716119),
    "NStepRNNReLU": ([-5.434523598, -0.737060293, 2.126127352, 2.019460386], -15.664472653),
    "NStepBiRNNReLU": ([-3.48263717, 2.503725615, -2.466444445, -2.448504078], 2.590362431),
}


def outputs(name, link):
    if name.startswith("NStep"):
        states = [numbers(len(link), 3, 2, at=6 + k) for k in range(link.n_cells)]
        *lasts, ys = link(*states, XS)
        return [*lasts, *ys]
    if name == "StatelessLSTM":
        return list(link(numbers(2, 2, at=1), H, X1))
    if name.startswith("Stateless"):
        return [link(H, X1)]
    ys = [link(X1), link(X2)]
    return [link.c] if name == "StatefulZoneoutLSTM" else ys


def made(name):
    if name.startswith("NStep"):
        return getattr(L, name)(2, 3, 2, 0.0)
    return getattr(L, name)(3, 2, **({"c_ratio": 0.0, "h_ratio": 1.0} if "Zoneout" in name else {}))


@pytest.mark.parametrize("name", CHAINER)
def test_values_and_gradients_by_chainer(name):
    link = filled(made(name))
    values, gradient = CHAINER[name]
    ys = outputs(name, link)
    np.testing.assert_allclose([F.sum(y * numbers(*y.shape, at=7)).array for y in ys], values, rtol=1e-7, atol=1e-8)
    sum(F.sum(y * numbers(*y.shape, at=3)) for y in ys).backward()
    named = sorted(link.namedparams())
    total = sum((p.grad * numbers(*p.shape, at=5)).sum() for _, p in named if p.grad is not None)
    np.testing.assert_allclose(total, gradient, rtol=1e-7)


SHAPES = {
    L.LSTM: {"/upward/W": (8, 3), "/upward/b": (8,), "/lateral/W": (8, 2)},
    L.StatefulMGU: {"/W_f/W": (2, 5), "/W_f/b": (2,), "/W_h/W": (2, 5), "/W_h/b": (2,)},
    L.StatefulPeepholeLSTM: {
        "/upward/W": (8, 3), "/upward/b": (8,), "/lateral/W": (8, 2), "/peep_i/W": (2, 2), "/peep_f/W": (2, 2),
        "/peep_o/W": (2, 2),
    },
    L.StatelessGRU: {
        f"/{name}/{p}": ((2, 3) if name[0] == "W" else (2, 2)) if p == "W" else (2,)
        for name in ("W_r", "U_r", "W_z", "U_z", "W", "U") for p in "Wb"
    },
    L.LSTMScan: {"/W_x": (8, 3), "/W_h": (8, 2), "/b": (8,)},
    L.GRUScan: {"/W_x": (6, 3), "/W_h": (6, 2), "/b_x": (6,), "/b_h": (6,)},
}  # fmt: skip
SAME = {L.StatelessLSTM: L.LSTM, L.StatefulZoneoutLSTM: L.LSTM, L.StatelessMGU: L.StatefulMGU}
SAME |= {L.StatefulGRU: L.StatelessGRU, L.GRU: L.StatelessGRU}


@pytest.mark.parametrize("kind", [*SHAPES, *SAME], ids=lambda kind: kind.__name__)
def test_parameters_have_chainers_paths_and_shapes(kind):
    assert {path: p.shape for path, p in kind(3, 2).namedparams()} == SHAPES[SAME.get(kind, kind)]


def test_paths_of_n_step_links():
    link = L.NStepBiLSTM(2, 3, 2, 0.0)
    shapes = {path: p.shape for path, p in link.namedparams()}
    assert list(shapes)[:4] == ["/0/w0", "/0/b0", "/0/w1", "/0/b1"]
    assert (shapes["/0/w3"], shapes["/1/w4"], shapes["/2/w0"], shapes["/3/b7"]) == ((2, 3), (2, 2), (2, 4), (2,))
    assert len(shapes) == 4 * 16
    assert (link.n_weights, link.n_cells, link.n_layers, link.use_bi_direction) == (8, 2, 2, True)
    assert link.ws[3][7] is link[3].w7


# first values


def test_first_values():
    link = L.LSTM(300, 200)
    assert link.upward.b.array.tolist() == [0, 0, 1, 0] * 200
    assert abs(link.upward.W.array.std() * np.sqrt(300) - 1) < 0.01
    assert abs(link.lateral.W.array.std() * np.sqrt(200) - 1) < 0.01
    assert not L.StatefulPeepholeLSTM(3, 2).upward.b.array.any()
    assert not L.StatefulZoneoutLSTM(3, 2).upward.b.array.any()
    assert L.LSTMScan(3, 2).b.array.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_initializers_are_applied_gate_by_gate():
    link = L.LSTM(4, 2, lateral_init=Orthogonal(1.0), upward_init=9, bias_init=3, forget_bias_init=5)
    assert link.upward.b.array.tolist() == [3, 3, 5, 3] * 2
    assert (link.upward.W.array == 9).all()
    for k in range(4):
        W = link.lateral.W.array[2 * k : 2 * k + 2]
        np.testing.assert_allclose(W @ W.T, np.eye(2), atol=1e-6)
    scan = L.LSTMScan(4, 2, lateral_init=Orthogonal(1.0), bias_init=3, forget_bias_init=5)
    assert scan.copy("init").b.array.tolist() == [3, 3, 5, 5, 3, 3, 3, 3]
    np.testing.assert_allclose(scan.W_h.array[2:4] @ scan.W_h.array[2:4].T, np.eye(2), atol=1e-6)


def test_sizes_by_the_first_call():
    x = numbers(2, 3).astype("f")
    lazy = [L.LSTM(2), L.LSTM(None, 2), L.StatelessLSTM(2), L.StatefulPeepholeLSTM(None, 2), L.StatefulGRU(None, 2)]
    for link in [*lazy, L.StatefulZoneoutLSTM(None, 2), L.LSTMScan(2), L.GRUScan(None, 2)]:
        link(None, None, x) if isinstance(link, L.StatelessLSTM) else link(x)
        uninitialised = [path for path, p in link.namedparams() if not p.is_initialized]
        assert uninitialised == (["/W_r/W"] if isinstance(link, L.StatefulGRU) else [])  # its first step has no r
    np.testing.assert_array_equal(L.LSTM(2)(numbers(2, 3, 1).astype("f")).shape, (2, 2))


# state


def test_state_goes_on_resets_and_is_set():
    link, whole = L.LSTM(3, 2), L.LSTM(3, 2)
    whole.copyparams(link)
    x = numbers(2, 3).astype("f")
    first, second = link(x).array, link(x).array
    assert (first != second).any()
    link.reset_state()
    assert link.c is None
    assert link.h is None
    np.testing.assert_array_equal(link(x).array, first)
    whole.set_state(link.c.array, link.h)
    np.testing.assert_array_equal(whole(x).array, second)


STATEFUL = [L.LSTM, L.StatefulGRU, L.GRU, L.StatefulMGU, L.StatefulPeepholeLSTM, L.StatefulZoneoutLSTM]


@pytest.mark.parametrize("kind", STATEFUL, ids=lambda kind: kind.__name__)
def test_views_and_copies_keep_a_state_of_their_own(kind):
    x = numbers(2, 3).astype("f")
    with using_config("train", False):
        model = Chain(rnn=kind(3, 2))
        first, second = model.rnn(x).array, model.rnn(x).array
        view, twin = model.view(), copy.deepcopy(model)
        assert view.rnn.h is None
        state = model.rnn.h.array
        for link in (view.rnn, model.copy().rnn, twin.rnn):
            link.reset_state()
            np.testing.assert_array_equal(link(x).array, first)
            np.testing.assert_array_equal(link(x).array, second)
        assert model.rnn.h.array is state
        again = copy.deepcopy(model).rnn
        np.testing.assert_array_equal(again.h.array, state)
        assert not again.h.requires_grad  # a copy does not reach into the graph of the original
        third = model.rnn(x).array
        np.testing.assert_array_equal(again(x).array, third)


def test_state_is_not_saved():
    link = L.LSTM(3, 2)
    link(numbers(2, 3).astype("f"))
    assert set(link.state()) == {"upward", "lateral"}
    fresh = L.LSTM(3, 2)
    fresh.load(link.state())
    assert fresh.h is None
    np.testing.assert_array_equal(fresh.flat, link.flat)


def test_a_batch_that_shrinks():
    link = L.LSTM(3, 2)
    x = numbers(3, 3).astype("f")
    link(x)
    c, h = link.c.array, link.h.array
    assert link(x[:2]).shape == (2, 2)
    np.testing.assert_array_equal((link.c.array[2], link.h.array[2]), (c[2], h[2]))
    assert link(x[:0]).shape == (0, 2)
    assert link.h.shape == (3, 2)
    with pytest.raises(TypeError, match="LSTM: x has 4 rows and the state 3; x may have fewer rows than before"):
        link(numbers(4, 3).astype("f"))


def test_truncated_backpropagation():
    """unchain_backward cuts what an older step reaches."""
    link, x = L.LSTM(3, 2), Variable(numbers(2, 3).astype("f"))
    link(x)
    link.h.unchain_backward()
    link.c.unchain_backward()
    F.sum(link(numbers(2, 3).astype("f"))).backward()
    assert x.grad is None
    assert link.lateral.W.grad is not None


def test_zoneout_draws_from_its_generator():
    x = numbers(2, 3).astype("f")
    links = [L.StatefulZoneoutLSTM(3, 2, rng=generator(seed)) for seed in (0, 0, 1)]
    for link in links[1:]:
        link.copyparams(links[0])
    one, same, other = ((link(x).array, link(x).array)[1] for link in links)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_gru_refuses_a_state():
    with pytest.raises(ValueError, match="GRU: expected x alone, got 2 arguments; to pass the state use StatelessGRU"):
        L.GRU(3, 2)(H, X1)


# lists of sequences


def test_sequences_come_back_in_their_order():
    link = L.NStepGRU(1, 3, 2, 0.0)
    xs = [x.astype("f") for x in XS]
    h, ys = link(None, xs)
    assert [y.shape for y in ys] == [(2, 2), (4, 2), (1, 2)]
    for k in range(3):
        np.testing.assert_allclose(h.array[0, k], ys[k].array[-1], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(link(None, xs[k : k + 1])[1][0].array, ys[k].array, rtol=1e-5, atol=1e-6)


def test_bad_lists():
    link = L.NStepLSTM(1, 3, 2, 0.0)
    with pytest.raises(TypeError, match="NStepLSTM: expected xs as a list of at least one sequence"):
        link(None, None, X1)
    with pytest.raises(ValueError, match=r"NStepLSTM: expected sequences \(T_i, in\), got xs\[1\] \(0, 3\)"):
        link(None, None, [X1, X1[:0]])
    with pytest.raises(ValueError, match="NStepLSTM: expected n_layers, in_size and out_size of at least 1"):
        L.NStepLSTM(0, 3, 2, 0.0)


# scans


@pytest.mark.parametrize("kind", [L.LSTMScan, L.GRUScan])
def test_a_scan_takes_a_sequence_or_a_step(kind):
    link, x = kind(3, 2), numbers(5, 4, 3).astype("f")
    reset = numbers(5, 4) > 0.5
    ys, last = link(x, None, reset)
    h = None
    for t in range(5):
        y, h = link(x[t], h, reset[t])
        assert y.shape == (4, 2)
        np.testing.assert_allclose(y.array, ys.array[t], rtol=1e-5, atol=1e-6)
    for a, b in zip(last if isinstance(last, tuple) else [last], h if isinstance(h, tuple) else [h]):
        np.testing.assert_allclose(a.array, b.array, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        ValueError, match=rf"{kind.__name__}: expected x \(T, N, in\), or one step \(N, in\), got x \(3,\)"
    ):
        link(x[0, 0])
    with pytest.raises(ValueError, match=rf"{kind.__name__}: sizes must be positive integers"):
        kind(3, 0)


@pytest.mark.parametrize("kind", [L.LSTMScan, L.GRUScan])
def test_a_scan_learns_to_remember_across_steps_but_not_across_resets(kind):
    """The target is the input of three steps ago in the same episode, 0 where the episode is younger."""
    rng = generator(0)
    x = rng.choice([-1.0, 1.0], (20, 16, 1)).astype("f")
    reset = np.zeros((20, 16), bool)
    reset[::7] = True
    target = np.zeros_like(x)
    target[3:] = x[:-3]
    for t in range(20):
        if t % 7 < 3:
            target[t] = 0
    drawn = LeCunNormal(rng=rng)
    rnn = kind(1, 32, lateral_init=Orthogonal(1.0, rng=rng), upward_init=drawn)
    model = Chain(rnn=rnn, out=L.Linear(32, 1, initialW=drawn))
    optimizer = optimizers.Adam(0.01).setup(model)
    for _ in range(300):
        y = model.out(F.reshape(model.rnn(x, None, reset)[0], (-1, 32)))
        loss = F.mean_squared_error(y, target.reshape(-1, 1))
        model.cleargrads()
        loss.backward()
        optimizer.update()
    assert loss.array < 0.02
