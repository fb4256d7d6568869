"""LSTM and GRU over a whole sequence as one op, with reset masks at episode boundaries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import column_sum, raw
from rlcore.autograd.function import Function, recording
from rlcore.autograd.functions.activation import sigmoid, tanh
from rlcore.autograd.functions.connection import linear
from rlcore.autograd.functions.joining import split_axis, stack
from rlcore.autograd.functions.parts import scratch
from rlcore.backend import aligned, xp_of

__all__ = ["gru_scan", "lstm_scan"]

# Gates lie first in memory and the batch last: a gate of one step is one contiguous block (H, N). The projection of the
# inputs and the gradients of the weights are products over all steps at once. forward leaves, instead of gates, the
# factors that gradients are multiplied with, computed while a step is in the cache: backward is a few calls a step.


class _Scan(Function):
    many = True
    keep: Any
    resets: Any

    def __init__(self, reset: Any, *inputs: Any):
        """keep: what the state is multiplied with before each step; resets: whether a step needs that."""
        T, dtype = len(inputs[0]), inputs[0].dtype
        self.record = recording() and any(getattr(v, "node", None) is not None for v in inputs)
        self.keep = None if reset is None else (~reset).astype(dtype)
        if reset is None:
            self.resets = [False] * T
        else:  # on a device nobody looks
            self.resets = reset.any(axis=1).tolist() if isinstance(reset, np.ndarray) else [True] * T

    def _started(self, *states: Any) -> Any:
        """The states (H, N) before the first step."""
        return [h * self.keep[0] for h in states] if self.resets[0] else states

    def _before(self, h: Any, hs: Any) -> Any:
        """The hidden state before each step, (T * N, H), from the first one and those after the steps, (T, H, N)."""
        T, H, N = hs.shape
        before = scratch.take("scan before", (T, N, H), hs)
        if T:
            before[0], before[1:] = h, hs[:-1].transpose(0, 2, 1)
        for t in range(T):
            if self.resets[t]:
                before[t] *= self.keep[t][:, None]
        return before.reshape(T * N, H)


class LstmScan(_Scan):
    """A step leaves blocks (H, N): the factors of the gradients of o, i, f, a; f; that of the cell through h; and h."""

    saves = "x h c W_x W_h b steps"

    def forward(self, x, h, c, W_x, W_h, b=None):
        xp, (T, N, _), H, half = xp_of(x), x.shape, W_h.shape[1], xp_of(x).asarray(0.5, dtype=x.dtype)
        keep, resets = self.keep, self.resets
        if T == 1 and not self.record:
            h, c = self._started(h.T, c.T)
            return _lstm_step(x[0].T, h, c, W_x, W_h, b, half)
        U, (W, columns) = _rolled("scan U", W_h, H), _augmented(x, W_x, b, H)
        for part in (U, W):  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
            part[: 3 * H] *= half
        steps, work = _empty((T, 7, H, N), x), scratch.take("scan step", (10, H, N), x)
        xp.matmul(W, columns, out=steps[:, :4].reshape(T, 4 * H, N))
        products, pair = work[:3], work[1:3]  # h, i * a, f * cell
        hidden, ia, fc, squashed, masked, last, *_ = work
        recurrent, before = work[6:], h.T
        flat = recurrent.reshape(4 * H, N)
        (steps[0, 4] if T else last)[...] = c.T
        for t in range(T):
            step = steps[t]
            o, i, f, a, cell, slope, _ = step
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
            before = step[6] = np.multiply(o, squashed, out=hidden)
            if self.record:
                np.multiply(hidden, squashed, out=slope)
                np.subtract(o, slope, out=slope)
                a *= ia
                np.subtract(i, a, out=a)
                cell[...] = f
                sigmoids *= products  # s * (1 - s) * rest as s * rest - s * (s * rest)
                np.subtract(products, sigmoids, out=sigmoids)
        self.steps = steps
        return _swapped(steps[:, 6]), before.T.copy(), last.T.copy()

    def backward(self, gys, x, h, c, W_x, W_h, b, steps):
        ex, eh, ec, eW_x, eW_h, eb = self.edges
        xp, (T, _, H, N) = xp_of(steps), steps.shape
        keep, resets = self.keep, self.resets
        gy = None if gys[0] is None else _swapped(gys[0], "scan gy")
        gh, gc, through = scratch.take("scan step", (3, H, N), steps)
        gh[...] = 0 if gys[1] is None else gys[1].T
        gc[...] = 0 if gys[2] is None else gys[2].T
        U, ds = _rolled("scan U", W_h, H).T, scratch.take("scan ds", (T, 4, H, N), steps)
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
        g = _steps_last(ds)
        return (
            ex and g.T.dot(_rolled("scan W", W_x, H)).reshape(x.shape),
            eh and gh.T.copy(),
            ec and gc.T.copy(),
            eW_x and _weight(g, x.reshape(T * N, x.shape[2]), H, eW_x),
            eW_h and _weight(g, self._before(h, steps[:, 6]), H, eW_h),
            eb and _bias(g, H),
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
    h, c = _checked("lstm_scan", x, {"h": h, "c": c}, W_x, W_h, {"b": b}, 4, reset)
    inputs = (x, h, c, W_x, W_h, b)
    return LstmScan(reset, *inputs).apply(*inputs)


class GruScan(_Scan):
    """A step leaves blocks (H, N): the factors of the gradients of n, r, z and u = W_h[n] h + b_h[n]; then z and h."""

    saves = "x h W_x W_h b_x b_h steps"

    def forward(self, x, h, W_x, W_h, b_x=None, b_h=None):
        xp, (T, N, _), H = xp_of(x), x.shape, W_h.shape[1]
        half, one = xp.asarray(0.5, dtype=x.dtype), xp.asarray(1, dtype=x.dtype)
        keep, resets = self.keep, self.resets
        if T == 1 and not self.record:
            (h,) = self._started(h.T)
            return _gru_step(x[0].T, h, W_x, W_h, b_x, b_h, half)
        U, (W, columns) = _rolled("scan U", W_h, 0), _augmented(x, W_x, b_x, H)
        work = scratch.take("scan step", (7, H, N), x)
        product, difference, masked, shift, *_ = work
        recurrent = work[4:]
        shift[...] = 0 if b_h is None else b_h[2 * H :, None]
        if b_h is not None:
            W[H:, -1] += b_h[: 2 * H]
        for part in (U[: 2 * H], W[H:]):  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
            part *= half
        steps = _empty((T, 6, H, N), x)
        xp.matmul(W, columns, out=steps[:, :3].reshape(T, 3 * H, N))
        before, flat = h.T, recurrent.reshape(3 * H, N)
        u, of_sigmoids = recurrent[2], recurrent[:2]
        for t in range(T):
            step = steps[t]
            n, r, z, du, z_kept, after = step
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
            before = np.add(n, product, out=after)
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
        return _swapped(steps[:, 5]), before.T.copy()

    def backward(self, gys, x, h, W_x, W_h, b_x, b_h, steps):
        ex, eh, eW_x, eW_h, eb_x, eb_h = self.edges
        xp, (T, _, H, N) = xp_of(steps), steps.shape
        keep, resets = self.keep, self.resets
        gy = None if gys[0] is None else _swapped(gys[0], "scan gy")
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
        g = _steps_last(ds)
        g_x, g_h = g[: 3 * H], g[H:]
        return (
            ex and g_x.T.dot(_rolled("scan W", W_x, H)).reshape(x.shape),
            eh and gh.T.copy(),
            eW_x and _weight(g_x, x.reshape(T * N, x.shape[2]), H, eW_x),
            eW_h and _weight(g_h, self._before(h, steps[:, 5]), 0, eW_h),
            eb_x and _bias(g_x, H),
            eb_h and _bias(g_h, 0),
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
    (h,) = _checked("gru_scan", x, {"h": h}, W_x, W_h, {"b_x": b_x, "b_h": b_h}, 3, reset)
    inputs = (x, h, W_x, W_h, b_x, b_h)
    return GruScan(reset, *inputs).apply(*inputs)


def _checked(
    name: str, x: Any, states: dict[str, Any], W_x: Any, W_h: Any, biases: dict[str, Any], gates: int, reset: Any
) -> list[Any]:
    """The states, zeros for None; ValueError or TypeError unless all shapes and dtypes fit."""
    if x.ndim != 3:
        raise ValueError(f"{name}: expected x (T, N, in), got x {tuple(x.shape)}; one step is x[None]")
    (T, N, size), rows = x.shape, W_h.shape[0]
    if W_h.ndim != 2 or rows != gates * W_h.shape[1]:
        raise ValueError(f"{name}: expected W_h ({gates}H, H), got W_h {tuple(W_h.shape)}")
    H = W_h.shape[1]
    expected = {"W_x": (W_x, (rows, size))} | {k: (v, (N, H)) for k, v in states.items()}
    for k, (v, shape) in (expected | {k: (v, (rows,)) for k, v in biases.items()} | {"W_h": (W_h, (rows, H))}).items():
        if v is None:
            continue
        if tuple(v.shape) != shape:
            raise ValueError(
                f"{name}: expected {k} {shape} for x {tuple(x.shape)} and W_h {tuple(W_h.shape)}, got {tuple(v.shape)}"
            )
        if v.dtype != x.dtype:
            raise TypeError(f"{name}: x is {x.dtype} and {k} is {v.dtype}; they must have one dtype")
    if reset is not None:
        if reset.dtype != bool:
            raise TypeError(f"{name}: expected a bool reset, got {reset.dtype}; pass reset.astype(bool)")
        if tuple(reset.shape) != (T, N):
            raise ValueError(f"{name}: expected reset {(T, N)} for x {tuple(x.shape)}, got {tuple(reset.shape)}")
    return [xp_of(raw(x)).zeros((N, H), x.dtype) if v is None else v for v in states.values()]


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
    return h[None], h, c.T.copy()


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
    return h[None], h


_NOWHERE = Function()  # a vertex that has no memory for a gradient


def _empty(shape: tuple[int, ...], like: Any) -> Any:
    """An uninitialised array on a 64-byte boundary, on which arithmetic takes half the time."""
    return aligned(math.prod(shape), like).reshape(shape)


def _rolled(use: str, W: Any, rows: int) -> Any:
    """A copy of W in scratch memory whose last `rows` rows come first."""
    out, others = scratch.take(use, W.shape, W), len(W) - rows
    out[:rows], out[rows:] = W[others:], W[:others]
    return out


def _augmented(x: Any, W: Any, b: Any, rows: int) -> tuple[Any, Any]:
    """W with its last `rows` rows first and b as a column, and x (T, in, N) with ones: a bias without its own pass."""
    (T, N, size), others = x.shape, len(W) - rows
    wide, columns = scratch.take("scan W", (len(W), size + 1), x), scratch.take("scan x", (T, size + 1, N), x)
    wide[:rows, :size], wide[rows:, :size] = W[others:], W[:others]
    wide[:, size] = 0
    if b is not None:
        wide[:rows, size], wide[rows:, size] = b[others:], b[:others]
    columns[:, :size], columns[:, size] = x.transpose(0, 2, 1), 1
    return wide, columns


def _swapped(a: Any, use: str | None = None) -> Any:
    """(T, N, H) from (T, H, N), or the other way round, contiguous; in scratch memory if it has a use there."""
    shape = a.shape[0], a.shape[2], a.shape[1]
    out = _empty(shape, a) if use is None else scratch.take(use, shape, a)
    out[...] = a.transpose(0, 2, 1)
    return out


def _steps_last(ds: Any) -> Any:
    """(T, gates, H, N) as (gates * H, T * N)."""
    T, gates, H, N = ds.shape
    g = scratch.take("scan g", (gates * H, T, N), ds)
    g[...] = ds.reshape(T, gates * H, N).transpose(1, 0, 2)
    return g.reshape(gates * H, T * N)


def _bias(g: Any, rows: int) -> Any:
    """g summed over its columns, the first `rows` sums moved to the end."""
    sums = column_sum(g.T, _NOWHERE)
    return xp_of(g).concatenate([sums[rows:], sums[:rows]])


def _weight(g: Any, x: Any, rows: int, vertex: Any) -> Any:
    """g @ x with its first `rows` rows moved to the end, written where a weight's gradient will live if possible."""
    xp, out, others = xp_of(g), vertex.out(), len(g) - rows
    if out is None or not out.flags.c_contiguous:
        out = xp.empty((len(g), x.shape[1]), g.dtype)
    xp.dot(g[rows:], x, out=out[:others])
    if rows:
        xp.dot(g[:rows], x, out=out[others:])
    return out
