"""LSTM and GRU over a whole sequence as one op, with reset masks at episode boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import column_sum
from rlcore.autograd.functions.activation import sigmoid, tanh
from rlcore.autograd.functions.connection import linear
from rlcore.autograd.functions.joining import split_axis, stack
from rlcore.autograd.functions.parts import scratch
from rlcore.autograd.functions.scans import (
    NOWHERE,
    Scan,
    augmented,
    batch_last,
    checked,
    empty,
    rolled,
    steps_last,
    weight,
)
from rlcore.backend import xp_of

__all__ = ["gru_scan", "lstm_scan"]


class LstmScan(Scan):
    """A step leaves blocks (H, N): the factors of the gradients of o, i, f, a; f; and that of the cell through h."""

    saves = "x h c W_x W_h b y0 steps"

    def forward(self, x, h, c, W_x, W_h, b=None):
        xp, (T, N, _), H, half = xp_of(x), x.shape, W_h.shape[1], xp_of(x).asarray(0.5, dtype=x.dtype)
        keep, resets = self.keep, self.resets
        if T == 1 and not self.record:
            h, c = self.started(h.T, c.T)
            return _lstm_step(x[0].T, h, c, W_x, W_h, b, half)
        U, (W, columns) = rolled(W_h, H), augmented(x, W_x, b, H)
        for part in (U, W):  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
            part[: 3 * H] *= half
        ys, steps = empty((T, N, H), x), empty((T, 6, H, N), x)
        work = scratch.take("scan step", (10, H, N), x)
        xp.matmul(W, columns, out=steps[:, :4].reshape(T, 4 * H, N))
        products, pair = work[:3], work[1:3]  # h, i * a, f * cell
        hidden, ia, fc, squashed, masked, last, *_ = work
        recurrent, before = work[6:], h.T
        flat = recurrent.reshape(4 * H, N)
        (steps[0, 4] if T else last)[...] = c.T
        for t in range(T):
            step = steps[t]
            o, i, f, a, cell, slope = step
            sigmoids, gates = step[:3], step[:4]
            if resets[t]:
                before = np.multiply(before, keep[t], out=masked)
                cell *= keep[t]
            xp.dot(U, before, out=flat)
            gates += recurrent
            np.tanh(gates, out=gates)
            sigmoids *= half
            sigmoids += half
            np.multiply(step[1:3], step[3:5], out=pair)
            after = np.add(ia, fc, out=steps[t + 1, 4] if t + 1 < T else last)
            np.tanh(after, out=squashed)
            before = np.multiply(o, squashed, out=hidden)
            ys[t] = hidden.T
            if self.record:
                np.multiply(hidden, squashed, out=slope)
                np.subtract(o, slope, out=slope)
                a *= ia
                np.subtract(i, a, out=a)
                cell[...] = f
                sigmoids *= products  # s * (1 - s) * rest as s * rest - s * (s * rest)
                np.subtract(products, sigmoids, out=sigmoids)
        self.steps = steps
        return ys, before.T.copy(), last.T.copy()

    def backward(self, gys, x, h, c, W_x, W_h, b, ys, steps):
        ex, eh, ec, eW_x, eW_h, eb = self.edges
        xp, (T, _, H, N) = xp_of(steps), steps.shape
        keep, resets = self.keep, self.resets
        gy = None if gys[0] is None else batch_last(gys[0])
        gh, gc, through = scratch.take("scan step", (3, H, N), steps)
        gh[...] = 0 if gys[1] is None else gys[1].T
        gc[...] = 0 if gys[2] is None else gys[2].T
        U, ds = rolled(W_h, H).T, scratch.take("scan ds", (T, 4, H, N), steps)
        for t in range(T - 1, -1, -1):
            step, d = steps[t], ds[t]
            if gy is not None:
                gh += gy[t]
            np.multiply(gh, step[5], out=through)
            gc += through
            np.multiply(gh, step[0], out=d[0])
            np.multiply(gc, step[1:4], out=d[1:])
            gc *= step[4]
            xp.dot(U, d.reshape(4 * H, N), out=gh)
            if resets[t]:
                gh *= keep[t]
                gc *= keep[t]
        g = steps_last(ds)
        return (
            ex and g.T.dot(W_x).reshape(x.shape),
            eh and gh.T.copy(),
            ec and gc.T.copy(),
            eW_x and weight(eW_x, x.reshape(T * N, x.shape[2]), g),
            eW_h and weight(eW_h, self.before(h, ys), g),
            eb and column_sum(g.T, eb),
        )

    def composite(self, x, h, c, W_x, W_h, b):
        hs = []
        for t in range(len(x)):
            if self.resets[t]:
                h, c = h * self.keep[t][:, None], c * self.keep[t][:, None]
            i, f, a, o = split_axis(linear(x[t], W_x, b) + linear(h, W_h), 4, 1)
            c = sigmoid(f) * c + sigmoid(i) * tanh(a)
            h = sigmoid(o) * tanh(c)
            hs.append(h)
        return stack(hs), h, c


def lstm_scan(x, h, c, W_x, W_h, b=None, *, reset=None):
    """LSTM over a sequence: x (T, N, in) from h, c (N, H) gives the outputs (T, N, H) and the last h and c.

    Rows of W_x (4H, in), W_h (4H, H) and b (4H,) are the gates i, f, a, o, as in PyTorch; h, c None: zeros. Where
    reset, bool (T, N), is True, the state is zeroed before the step. Hochreiter and Schmidhuber 1997; Gers et al. 2000.
    """
    h, c = checked("lstm_scan", x, {"h": h, "c": c}, W_x, W_h, {"b": b}, 4, reset)
    inputs = (x, h, c, W_x, W_h, b)
    return LstmScan(reset, *inputs).apply(*inputs)


class GruScan(Scan):
    """A step leaves blocks (H, N): the factors of the gradients of n, r, z and u = W_h[n] h + b_h[n]; then z."""

    saves = "x h W_x W_h b_x b_h y0 steps"

    def forward(self, x, h, W_x, W_h, b_x=None, b_h=None):
        xp, (T, N, _), H = xp_of(x), x.shape, W_h.shape[1]
        half, one = xp.asarray(0.5, dtype=x.dtype), xp.asarray(1, dtype=x.dtype)
        keep, resets = self.keep, self.resets
        if T == 1 and not self.record:
            (h,) = self.started(h.T)
            return _gru_step(x[0].T, h, W_x, W_h, b_x, b_h, half)
        U, (W, columns) = rolled(W_h, 0), augmented(x, W_x, b_x, H)
        work = scratch.take("scan step", (8, H, N), x)
        hidden, product, difference, masked, shift, *_ = work
        recurrent = work[5:]
        shift[...] = 0 if b_h is None else b_h[2 * H :, None]
        if b_h is not None:
            W[H:, -1] += b_h[: 2 * H]
        for part in (U[: 2 * H], W[H:]):  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
            part *= half
        ys, steps = empty((T, N, H), x), empty((T, 5, H, N), x)
        xp.matmul(W, columns, out=steps[:, :3].reshape(T, 3 * H, N))
        before, flat = h.T, recurrent.reshape(3 * H, N)
        u, of_sigmoids = recurrent[2], recurrent[:2]
        for t in range(T):
            step = steps[t]
            n, r, z, du, z_kept = step
            sigmoids = step[1:3]
            if resets[t]:
                before = np.multiply(before, keep[t], out=masked)
            xp.dot(U, before, out=flat)
            sigmoids += of_sigmoids
            np.tanh(sigmoids, out=sigmoids)
            sigmoids *= half
            sigmoids += half
            u += shift
            np.multiply(r, u, out=product)
            n += product
            np.tanh(n, out=n)
            np.subtract(before, n, out=difference)
            np.multiply(z, difference, out=product)
            before = np.add(n, product, out=hidden)
            ys[t] = hidden.T
            if self.record:
                z_kept[...] = z
                np.subtract(one, z, out=product)
                z *= product
                z *= difference
                n *= n
                np.subtract(one, n, out=n)
                n *= product
                np.multiply(n, r, out=du)
                np.subtract(one, r, out=r)
                r *= u
                r *= du
        self.steps = steps
        return ys, before.T.copy()

    def backward(self, gys, x, h, W_x, W_h, b_x, b_h, ys, steps):
        ex, eh, eW_x, eW_h, eb_x, eb_h = self.edges
        xp, (T, _, H, N) = xp_of(steps), steps.shape
        keep, resets = self.keep, self.resets
        gy = None if gys[0] is None else batch_last(gys[0])
        gh, direct = scratch.take("scan step", (2, H, N), steps)
        gh[...] = 0 if gys[1] is None else gys[1].T
        U, ds = W_h.T, scratch.take("scan ds", (T, 4, H, N), steps)
        for t in range(T - 1, -1, -1):
            step, d = steps[t], ds[t]
            if gy is not None:
                gh += gy[t]
            np.multiply(gh, step[:4], out=d)
            np.multiply(gh, step[4], out=direct)
            xp.dot(U, d[1:].reshape(3 * H, N), out=gh)
            gh += direct
            if resets[t]:
                gh *= keep[t]
        g = steps_last(ds)  # r, z, u, n
        sums = column_sum(g.T, NOWHERE)
        return (
            ex and (g[: 2 * H].T.dot(W_x[: 2 * H]) + g[3 * H :].T.dot(W_x[2 * H :])).reshape(x.shape),
            eh and gh.T.copy(),
            eW_x and weight(eW_x, x.reshape(T * N, x.shape[2]), g[: 2 * H], g[3 * H :]),
            eW_h and weight(eW_h, self.before(h, ys), g[: 3 * H]),
            eb_x and xp.concatenate([sums[: 2 * H], sums[3 * H :]]),
            eb_h and sums[: 3 * H],
        )

    def composite(self, x, h, W_x, W_h, b_x, b_h):
        hs = []
        for t in range(len(x)):
            if self.resets[t]:
                h = h * self.keep[t][:, None]
            (r, z, n), (hr, hz, hn) = split_axis(linear(x[t], W_x, b_x), 3, 1), split_axis(linear(h, W_h, b_h), 3, 1)
            n = tanh(n + sigmoid(r + hr) * hn)
            h = n + sigmoid(z + hz) * (h - n)
            hs.append(h)
        return stack(hs), h


def gru_scan(x, h, W_x, W_h, b_x=None, b_h=None, *, reset=None):
    """GRU over a sequence: x (T, N, in) from h (N, H) gives the outputs (T, N, H) and the last h.

    Rows of W_x (3H, in), W_h (3H, H), b_x and b_h (3H,) are r, z, n, as in PyTorch: n = tanh(W_x x + b_x + r * (W_h h +
    b_h)), h = (1 - z) * n + z * h; h None: zeros. Where reset, bool (T, N), is True, h is zeroed before the step.
    Cho et al. 2014.
    """
    (h,) = checked("gru_scan", x, {"h": h}, W_x, W_h, {"b_x": b_x, "b_h": b_h}, 3, reset)
    inputs = (x, h, W_x, W_h, b_x, b_h)
    return GruScan(reset, *inputs).apply(*inputs)


# One step without a graph, as in acting: no copies of the weights, a third of the time for one row.


def _product(W: Any, x: Any, b: Any) -> Any:
    g = W.dot(x)
    if b is not None:
        g += b[:, None]
    return g


def _lstm_step(x: Any, h: Any, c: Any, W_x: Any, W_h: Any, b: Any, half: Any) -> tuple[Any, Any, Any]:
    g = _product(W_x, x, b)
    g += W_h.dot(h)
    H = len(h)
    a = np.tanh(g[2 * H : 3 * H])
    g *= half
    np.tanh(g, out=g)
    g *= half
    g += half
    c = g[H : 2 * H] * c + g[:H] * a
    h = (g[3 * H :] * np.tanh(c)).T.copy()
    return h[None], h.copy(), c.T.copy()


def _gru_step(x: Any, h: Any, W_x: Any, W_h: Any, b_x: Any, b_h: Any, half: Any) -> tuple[Any, Any]:
    g, u, H = _product(W_x, x, b_x), _product(W_h, h, b_h), len(h)
    sigmoids = g[: 2 * H]
    sigmoids += u[: 2 * H]
    sigmoids *= half
    np.tanh(sigmoids, out=sigmoids)
    sigmoids *= half
    sigmoids += half
    n = g[:H] * u[2 * H :]
    n += g[2 * H :]
    np.tanh(n, out=n)
    h = (n + g[H : 2 * H] * (h - n)).T.copy()
    return h[None], h.copy()
