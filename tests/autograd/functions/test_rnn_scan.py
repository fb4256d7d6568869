"""Scans: what a reset means, steps against cells, second derivatives, and bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rlcore.autograd import Variable, grad, no_backprop_mode
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.function import record as record_mode
from rlcore.rng import generator

T, N, SIZE, H = 6, 4, 3, 5


def inputs(kind, dtype=np.float64, seed=0):
    """x, states, weights."""
    rng, gates = generator(seed), 4 if kind == "lstm" else 3
    shapes = [(T, N, SIZE), *[(N, H)] * (gates - 2), (gates * H, SIZE), (gates * H, H), *[(gates * H,)] * (5 - gates)]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


SCANS = {"lstm": (F.lstm_scan, 2), "gru": (F.gru_scan, 1)}
both = pytest.mark.parametrize("kind", SCANS)


@both
def test_a_reset_splits_the_sequence(kind):
    scan, states = SCANS[kind]
    x, *rest = inputs(kind)
    weights = rest[states:]
    for at in range(T):
        reset = np.zeros((T, N), bool)
        reset[at] = True
        ys, *lasts = scan(x, *rest, reset=reset)
        later, *expected = scan(x[at:], *[None] * states, *weights)
        np.testing.assert_allclose(ys.array[at:], later.array, rtol=1e-13)
        for a, b in zip(lasts, expected):
            np.testing.assert_allclose(a.array, b.array, rtol=1e-13)
        if at:
            np.testing.assert_allclose(ys.array[:at], scan(x[:at], *rest)[0].array, rtol=1e-13)


@both
def test_no_gradient_passes_a_reset(kind):
    scan, states = SCANS[kind]
    reset = np.zeros((T, N), bool)
    reset[2, 1] = True
    vs = [Variable(a) for a in inputs(kind)]
    ys = scan(*vs, reset=reset)[0]
    gy = np.zeros(ys.shape)
    gy[2:] = 1
    for g in grad(ys, vs[: 1 + states], gy):
        of_one = g.array[:2, 1] if g.ndim == 3 else g.array[1]
        others = np.delete(g.array, 1, axis=g.ndim - 2)
        assert not of_one.any()
        assert others.all()


@both
def test_rows_do_not_mix_and_chunks_go_on(kind):
    """A batch row by row and step by step, each state handed to the next call."""
    scan, states = SCANS[kind]
    x, *rest = inputs(kind)
    now, weights = rest[:states], rest[states:]
    whole, *lasts = scan(x, *now, *weights)
    for n in range(N):
        one = [h[n : n + 1] for h in now]
        for t in range(T):
            y, *one = scan(x[t : t + 1, n : n + 1], *one, *weights)
            np.testing.assert_allclose(y.array[0, 0], whole.array[t, n], rtol=1e-12)
        for h, last in zip(one, lasts):
            np.testing.assert_allclose(h.array[0], last.array[n], rtol=1e-12)


def test_lstm_scan_is_lstm_step_by_step():
    """Chainer's cell lays a unit's gates side by side, a, i, f, o."""
    x, h, c, W_x, W_h, b = inputs("lstm")
    ys, h_last, c_last = F.lstm_scan(x, h, c, W_x, W_h, b)
    order = np.array([[2 * H + k, k, H + k, 3 * H + k] for k in range(H)]).ravel()
    for t in range(T):
        c, h = F.lstm(c, F.linear(x[t], W_x[order], b[order]) + F.linear(h, W_h[order]))
        np.testing.assert_allclose(ys.array[t], h.array, rtol=1e-12)
    np.testing.assert_allclose(h_last.array, h.array, rtol=1e-12)
    np.testing.assert_allclose(c_last.array, c.array, rtol=1e-12)


@both
def test_a_hessian_vector_product_by_differences(kind):
    scan, _ = SCANS[kind]
    rng, reset = generator(1), np.zeros((T, N), bool)
    reset[3, 0] = reset[4, 2] = True
    arrays = inputs(kind, seed=2)
    directions = [rng.standard_normal(a.shape) for a in arrays]

    def gradients(at, double=False):
        vs = [Variable(a + at * d) for a, d in zip(arrays, directions)]
        ys, *lasts = scan(*vs, reset=reset)
        loss = F.sum(ys * ys) + sum(F.sum(h * h * h) for h in lasts)
        return vs, grad(loss, vs, enable_double_backprop=double)

    vs, gs = gradients(0, double=True)
    products = grad(sum(F.sum(g * d) for g, d in zip(gs, directions)), vs)
    eps = 1e-5
    for p, hi, lo in zip(products, gradients(eps)[1], gradients(-eps)[1]):
        np.testing.assert_allclose(p.array, (hi.array - lo.array) / (2 * eps), rtol=1e-6, atol=1e-6)


@both
def test_gradients_land_in_a_flat_buffer_and_add_up(kind):
    """Twice through one link in one graph: the second gradient is added to the first."""
    link = (L.LSTMScan if kind == "lstm" else L.GRUScan)(SIZE, H).flatten()
    x = inputs(kind, np.float32)[0]
    F.sum(link(x)[0] ** 2).backward()
    once = link.flat_grad.copy()
    link.cleargrads()
    (F.sum(link(x)[0] ** 2) + F.sum(link(x)[0] ** 2)).backward()
    np.testing.assert_allclose(link.flat_grad, 2 * once, rtol=1e-5)


@both
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_extremes_saturate(kind, dtype):
    """Gates far out are 0 or 1 without a warning, and outputs stay within [-1, 1]."""
    scan, _ = SCANS[kind]
    x, *rest = inputs(kind, dtype)
    vs = [Variable(a) for a in (x * dtype(3000), *rest)]
    ys, *_ = scan(*vs)
    assert ys.dtype == dtype
    assert np.isfinite(ys.array).all()
    assert abs(ys.array).max() <= 6.1  # GRU starts from h of standard deviation 1
    for g in grad(ys, vs[1:], np.ones_like(ys.array)):
        assert np.isfinite(g.array).all()


@both
def test_nothing_given_is_written_into(kind):
    scan, _ = SCANS[kind]
    arrays = inputs(kind)
    reset = np.zeros((T, N), bool)
    reset[0] = True
    gy = np.ones((T, N, H))
    for a in (*arrays, reset, gy):
        a.flags.writeable = False
    vs = [Variable(a) for a in arrays]
    ys, *lasts = scan(*vs, reset=reset)
    before = [y.array.copy() for y in (ys, *lasts)]
    ys.grad = gy
    ys.backward(retain_graph=True)
    first = [v.grad for v in vs]
    for v in vs:
        v.cleargrad()
    ys.backward()
    for a, v in zip(first, vs):
        np.testing.assert_array_equal(a, v.grad)
    for a, y in zip(before, (ys, *lasts)):
        np.testing.assert_array_equal(a, y.array)


@both
def test_without_a_graph_values_are_the_same(kind):
    scan, _ = SCANS[kind]
    arrays = inputs(kind)
    with no_backprop_mode():
        plain = scan(*map(Variable, arrays))
    for a, b in zip(plain, scan(*map(Variable, arrays))):
        assert not a.requires_grad
        np.testing.assert_array_equal(a.array, b.array)


@both
@pytest.mark.parametrize("steps", [1, T])
@pytest.mark.parametrize("record", [False, True])
def test_results_have_memory_of_their_own(kind, steps, record):
    """Rollouts keep outputs and states, and may write into states."""
    scan, _ = SCANS[kind]
    x, *rest = inputs(kind)
    found = []
    for _ in range(2):
        with record_mode(record):
            found += [y.array for y in scan(*map(Variable, (x[:steps], *rest)))]
    for a, b in itertools.combinations(found, 2):
        assert not np.shares_memory(a, b)


@both
@pytest.mark.parametrize("reset", [None, np.array([[True, False, True, True]])])
def test_one_step_without_a_graph_is_the_same(kind, reset):
    """It goes another way, without copies of the weights."""
    scan, _ = SCANS[kind]
    x, *rest = inputs(kind)
    for bias in (True, False):
        args = [x[:1], *rest] if bias else [x[:1], *rest[: -1 if kind == "lstm" else -2]]
        for a, b in zip(scan(*map(Variable, args), reset=reset), scan(*args, reset=reset)):
            assert not b.requires_grad
            np.testing.assert_allclose(a.array, b.array, rtol=1e-13)


def changed(arrays, k, value):
    return [value if i == k else a for i, a in enumerate(arrays)]


F32 = np.float32


@pytest.mark.parametrize(
    ("k", "value", "error", "message"),
    [
        (0, np.ones((N, SIZE)), ValueError, r"lstm_scan: expected x \(T, N, in\), got x \(4, 3\); one step is"),
        (1, np.ones((N, 2)), ValueError, r"expected h \(4, 5\) for x \(6, 4, 3\) and W_h \(20, 5\), got \(4, 2\)"),
        (1, np.ones((1, H)), ValueError, r"lstm_scan: expected h \(4, 5\)"),
        (2, np.ones(H), ValueError, r"lstm_scan: expected c \(4, 5\) for .*, got \(5,\)"),
        (3, np.ones((20, 2)), ValueError, r"lstm_scan: expected W_x \(20, 3\) for .*, got \(20, 2\)"),
        (4, np.ones((15, 5)), ValueError, r"lstm_scan: expected W_h \(4H, H\), got W_h \(15, 5\)"),
        (5, np.ones(5), ValueError, r"lstm_scan: expected b \(20,\) for .*, got \(5,\)"),
        (1, np.ones((N, H), F32), TypeError, r"lstm_scan: x is float64 and h is float32; they must have one dtype"),
        (0, np.ones((T, N, SIZE), int), TypeError, r"lstm_scan: x is int64 and W_x is float64"),
    ],
)  # fmt: skip
def test_bad_input(k, value, error, message):
    with pytest.raises(error, match=message):
        F.lstm_scan(*changed(inputs("lstm"), k, value))


@both
def test_bad_masks(kind):
    scan, _ = SCANS[kind]
    with pytest.raises(ValueError, match=rf"{kind}_scan: expected reset \(6, 4\) for x \(6, 4, 3\), got \(4, 6\)"):
        scan(*inputs(kind), reset=np.zeros((N, T), bool))
    with pytest.raises(
        TypeError, match=rf"{kind}_scan: expected a bool array as reset, got float32; pass reset.astype\(bool\)"
    ):
        scan(*inputs(kind), reset=np.zeros((T, N), F32))
    with pytest.raises(TypeError, match=rf"{kind}_scan: expected a bool array as reset, got list"):
        scan(*inputs(kind), reset=[[True] * N] * T)


def test_bad_weights_of_a_gru():
    x, h, W_x, W_h, b_x, b_h = inputs("gru")
    with pytest.raises(ValueError, match=r"gru_scan: expected W_h \(3H, H\), got W_h \(20, 5\)"):
        F.gru_scan(x, h, W_x, np.ones((20, 5)))
    with pytest.raises(ValueError, match=r"gru_scan: expected b_h \(15,\)"):
        F.gru_scan(x, h, W_x, W_h, b_x, b_h[:5])
