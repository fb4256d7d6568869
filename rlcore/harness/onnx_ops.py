"""The ops of exported networks in ONNX, by the names that `rlcore/policy.py` has for them; g: the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LAST = np.iinfo(np.int64).max
UNARY = {
    "relu": "Relu", "tanh": "Tanh", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sigmoid": "Sigmoid", "neg": "Neg",
    "abs": "Abs", "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "maximum": "Max",
    "minimum": "Min", "identity": "Identity",
}  # fmt: skip


def _linear(g: Any, x: str, W: Any, b: Any = None, relu: bool = False) -> str:
    y = g("Gemm", x, W, b, transB=1) if b is not None else g("Gemm", x, W, transB=1)
    return g("Relu", y) if relu else y


def _ensemble_linear(g: Any, x: str, W: Any, b: Any = None, relu: bool = False) -> str:
    y = g("MatMul", x, W.transpose(0, 2, 1))
    y = y if b is None else g("Add", y, b[:, None])
    return g("Relu", y) if relu else y


def _convolution(g: Any, x: str, W: Any, b: Any, stride: Any, pads: Any, dilate: Any, groups: int, relu: bool) -> str:
    named = {"strides": stride, "pads": _ends(pads), "dilations": dilate, "group": groups}
    y = g("Conv", g.cast(x, W.dtype), W, *([] if b is None else [b]), **named)
    return g("Relu", y) if relu else y


def _ends(pads: Any) -> list[int]:
    return [before for before, _ in pads] + [after for _, after in pads]


def one_hot(g: Any, x: str, first: Any, size: int) -> str:
    at = g("Add", g.cast(g.reshape(x, 0, -1), np.int64), np.asarray(first, np.int64))
    ones = g("OneHot", at, np.array(size, np.int64), np.array([0, 1], np.float32))  # (N, integers, size)
    return g("ReduceMax", ones, axes=[1], keepdims=0)


def _lstm(g: Any, x: str, h: str, c: str, W_x: Any, W_h: Any, b: Any, steps: int) -> list[str]:
    ys = []
    for t in range(steps):
        gates = g("Add", _linear(g, _index(g, x, [t]), W_x, b), _linear(g, h, W_h))
        i, f, a, o = split(g, gates, [k * W_h.shape[1] for k in (1, 2, 3)], 1)
        c = g("Add", g("Mul", g("Sigmoid", f), c), g("Mul", g("Sigmoid", i), g("Tanh", a)))
        h = g("Mul", g("Sigmoid", o), g("Tanh", c))
        ys.append(_index(g, h, [None]))
    return [g("Concat", *ys, axis=0), h, c]


def _index(g: Any, x: str, at: Any) -> str:
    axis = 0
    for i in at:
        if i is None:
            x = g("Unsqueeze", x, np.array([axis], np.int64))
            axis += 1
            continue
        if isinstance(i, int):
            x = g("Gather", x, np.array(i, np.int64), axis=axis)
            continue
        step = i[2] or 1
        start, end = (0, LAST) if step > 0 else (LAST, -LAST)
        if i != [None, None, None]:
            x = g.part(x, axis, start if i[0] is None else i[0], end if i[1] is None else i[1], step)
        axis += 1
    return x


def split(g: Any, x: str, at: list[int], axis: int) -> list[str]:
    return [g.part(x, axis, start, end) for start, end in zip([0, *at], [*at, LAST])]


def _reduced(kind: str) -> Callable[..., str]:
    def op(g: Any, x: str, axis: Any, keepdims: bool) -> str:
        axes = None if axis is None else [axis] if isinstance(axis, int) else list(axis)
        if kind == "ReduceSum":  # the only one that takes the axes as an input in this opset
            return g(kind, x, *([] if axes is None else [np.array(axes, np.int64)]), keepdims=int(keepdims))
        return g(kind, x, keepdims=int(keepdims), **({} if axes is None else {"axes": axes}))

    return op


OPS: dict[str, Callable[..., Any]] = {
    "linear": _linear, "ensemble_linear": _ensemble_linear, "convolution": _convolution, "one_hot": one_hot,
    "lstm": _lstm, "index": _index, "split": split, "sum": _reduced("ReduceSum"), "mean": _reduced("ReduceMean"),
    "max": _reduced("ReduceMax"), "square": lambda g, x: g("Mul", x, x),
    "max_pool": lambda g, x, size, stride, pads: g("MaxPool", x, kernel_shape=size, strides=stride, pads=_ends(pads)),
    "layer_norm": lambda g, x, gamma, beta, eps: g("LayerNormalization", x, gamma, beta, axis=1, epsilon=eps),
    "softmax": lambda g, x, axis: g("Softmax", x, axis=axis),
    "log_softmax": lambda g, x, axis: g("LogSoftmax", x, axis=axis),
    "softplus": lambda g, x, beta: g("Div", g("Softplus", g("Mul", x, np.float32(beta))), np.float32(beta)),
    "elu": lambda g, x, alpha: g("Elu", x, alpha=alpha),
    "leaky_relu": lambda g, x, slope: g("LeakyRelu", x, alpha=slope),
    "clip": lambda g, x, low, high: g("Clip", x, *[None if v is None else np.float32(v) for v in (low, high)]),
    "reshape": lambda g, x, shape: g.reshape(x, *[i if i != "N" else 0 if -1 in shape else -1 for i in shape]),
    "transpose": lambda g, x, axes: g("Transpose", x, perm=axes), "cast": lambda g, x, dtype: g.cast(x, dtype),
    "broadcast": lambda g, x, shape: g("Expand", x, np.array([1 if i == "N" else i for i in shape], np.int64)),
    "concat": lambda g, *xs, axis: g("Concat", *xs, axis=axis),
}  # fmt: skip
