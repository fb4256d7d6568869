"""What an LSTM and a GRU over a whole sequence share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.dual import raw
from rlcore.autograd.function import Function, recording
from rlcore.autograd.functions.parts import scratch
from rlcore.backend import aligned, xp_of

# Gates lie first in memory and the batch last: a gate of one step is one contiguous block (H, N). The projection of the
# inputs and the gradients of the weights are products over all steps at once. forward leaves, instead of gates, the
# factors that gradients are multiplied with, computed while a step is in the cache: backward is a few calls a step.


class Scan(Function):
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

    def started(self, *states: Any) -> Any:
        """The states (H, N) before the first step."""
        return [h * self.keep[0] for h in states] if self.resets[0] else states

    def before(self, h: Any, ys: Any) -> Any:
        """The hidden state before each step, (T * N, H), from the first one and the outputs."""
        T, N, H = ys.shape
        before = scratch.take("scan before", ys.shape, ys)
        if T:
            before[0], before[1:] = h, ys[:-1]
        for t in range(T):
            if self.resets[t]:
                before[t] *= self.keep[t][:, None]
        return before.reshape(T * N, H)


def checked(
    name: str, x: Any, states: dict[str, Any], W_x: Any, W_h: Any, biases: dict[str, Any], gates: int, reset: Any
) -> list[Any]:
    """The states, zeros for None; ValueError or TypeError unless all shapes and dtypes fit."""
    if x.ndim != 3:
        raise ValueError(f"{name}: expected x (T, N, in), got x {tuple(x.shape)}; one step is x[None]")
    (T, N, size), rows = x.shape, W_h.shape[0]
    if W_h.ndim != 2 or rows != gates * W_h.shape[1]:
        raise ValueError(f"{name}: expected W_h ({gates}H, H), got W_h {tuple(W_h.shape)}")
    H = W_h.shape[1]
    expected = [("W_x", W_x, (rows, size)), *((k, v, (N, H)) for k, v in states.items())]
    for k, v, shape in (*expected, *((k, v, (rows,)) for k, v in biases.items()), ("W_h", W_h, (rows, H))):
        if v is None:
            continue
        if v.shape != shape:
            raise ValueError(
                f"{name}: expected {k} {shape} for x {tuple(x.shape)} and W_h {tuple(W_h.shape)}, got {tuple(v.shape)}"
            )
        if v.dtype != x.dtype:
            raise TypeError(f"{name}: x is {x.dtype} and {k} is {v.dtype}; they must have one dtype")
    if reset is not None:
        dtype = getattr(reset, "dtype", None)
        if dtype is None or dtype.kind != "b":
            got = type(reset).__name__ if dtype is None else dtype
            raise TypeError(f"{name}: expected a bool array as reset, got {got}; pass reset.astype(bool)")
        if tuple(reset.shape) != (T, N):
            raise ValueError(f"{name}: expected reset {(T, N)} for x {tuple(x.shape)}, got {tuple(reset.shape)}")
    return [xp_of(raw(x)).zeros((N, H), x.dtype) if v is None else v for v in states.values()]


NOWHERE = Function()  # a vertex that has no memory for a gradient


def empty(shape: tuple[int, ...], like: Any) -> Any:
    """An uninitialised array on a 64-byte boundary, on which arithmetic takes half the time."""
    return aligned(math.prod(shape), like).reshape(shape)


def rolled(W: Any, rows: int) -> Any:
    """A copy of W in scratch memory whose last `rows` rows come first."""
    out, others = scratch.take("scan U", W.shape, W), len(W) - rows
    out[:rows], out[rows:] = W[others:], W[:others]
    return out


def augmented(x: Any, W: Any, b: Any, rows: int) -> tuple[Any, Any]:
    """W with its last `rows` rows first and b as a column, and x (T, in, N) with ones: a bias without its own pass."""
    (T, N, size), others = x.shape, len(W) - rows
    wide, columns = scratch.take("scan W", (len(W), size + 1), x), scratch.take("scan x", (T, size + 1, N), x)
    wide[:rows, :size], wide[rows:, :size] = W[others:], W[:others]
    wide[:, size] = 0
    if b is not None:
        wide[:rows, size], wide[rows:, size] = b[others:], b[:others]
    columns[:, :size], columns[:, size] = x.transpose(0, 2, 1), 1
    return wide, columns


def batch_last(g: Any) -> Any:
    """(T, N, H) as (T, H, N) in scratch memory."""
    out = scratch.take("scan gy", (g.shape[0], g.shape[2], g.shape[1]), g)
    out[...] = g.transpose(0, 2, 1)
    return out


def steps_last(ds: Any) -> Any:
    """(T, gates, H, N) as (gates * H, T * N) in scratch memory, the first gate moved to the end."""
    T, gates, H, N = ds.shape
    g = scratch.take("scan g", (gates, H, T, N), ds)
    g[:-1], g[-1] = ds[:, 1:].transpose(1, 2, 0, 3), ds[:, 0].transpose(1, 0, 2)
    return g.reshape(gates * H, T * N)


def weight(vertex: Any, x: Any, *gs: Any) -> Any:
    """g @ x for the rows of all gs, written where the gradient of a weight will live if possible."""
    xp, out, at = xp_of(x), vertex.out(x.dtype), 0
    if out is None or not out.flags.c_contiguous:
        out = xp.empty((sum(map(len, gs)), x.shape[1]), x.dtype)
    for g in gs:
        xp.dot(g, x, out=out[at : at + len(g)])
        at += len(g)
    return out
