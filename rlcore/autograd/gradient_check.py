"""Numerical checks of gradients and second gradients, by directional derivatives in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlcore.autograd.grad import grad
from rlcore.autograd.variable import Variable, as_variable

Arrays = Sequence[Any] | Any


def numerical_grad(
    f: Callable[[], Arrays], inputs: Sequence[Any], grad_outputs: Sequence[Any], eps: float = 1e-3
) -> list[Any]:
    """Gradients of sum(grad_outputs * f()) by central differences; f reads `inputs`, whose elements change in turn."""
    out = []
    for x in inputs:
        g = np.zeros(x.shape, np.float64)
        for i in np.ndindex(x.shape):
            kept, ends = x[i].copy(), []
            for sign in (1, -1):
                x[i] = kept + sign * eps
                ends.append(sum(float((y.astype(np.float64) * gy).sum()) for y, gy in zip(_tuple(f()), grad_outputs)))
            x[i] = kept
            g[i] = (ends[0] - ends[1]) / (2 * eps)
        out.append(g)
    return out


def check_backward(
    func: Callable[..., Any],
    x_data: Arrays,
    y_grad: Arrays,
    eps: float = 1e-3,
    atol: float = 1e-5,
    rtol: float = 1e-4,
    *,
    rng: np.random.Generator,
) -> None:
    """AssertionError unless backward() agrees with the derivative of func along a random direction.

    x_data: float arrays, whatever their dtype; the derivative is taken in float64, to fourth order in eps.
    """
    xs, gys = _tuple(x_data), _tuple(y_grad)
    variables = [Variable(x) for x in xs]
    ys = _tuple(func(*variables))
    total: Any = None
    for y, gy in zip(ys, gys, strict=True):
        part = (y * gy.astype(y.dtype)).sum()
        total = part if total is None else total + part
    total.backward()
    direction = _unit(xs, rng)
    analytic = sum(
        float((v.grad.astype(np.float64) * d).sum()) for v, d in zip(variables, direction) if v.grad is not None
    )
    for v, x in zip(variables, xs):
        if v.grad is not None and (v.grad.shape != x.shape or v.grad.dtype != x.dtype):
            raise AssertionError(f"gradient is {v.grad.shape} {v.grad.dtype} for an input {x.shape} {x.dtype}")

    def along(step: float) -> float:
        moved = [x.astype(np.float64) + step * d for x, d in zip(xs, direction)]
        return sum(
            float((y.array.astype(np.float64) * gy).sum()) for y, gy in zip(_tuple(func(*map(as_variable, moved))), gys)
        )

    numeric = (8 * (along(eps) - along(-eps)) - (along(2 * eps) - along(-2 * eps))) / (12 * eps)
    if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
        raise AssertionError(
            f"gradient along a random direction is {analytic!r} by backward(), {numeric!r} numerically"
        )


def check_double_backward(
    func: Callable[..., Any],
    x_data: Arrays,
    y_grad: Arrays,
    x_grad_grad: Arrays,
    eps: float = 1e-3,
    atol: float = 1e-4,
    rtol: float = 1e-3,
    *,
    rng: np.random.Generator,
) -> None:
    """As `check_backward`, for the gradients of func with respect to x_data and y_grad; x_grad_grad weighs them."""
    xs, gys = _tuple(x_data), _tuple(y_grad)

    def first(*inputs: Any) -> Any:
        x, gy = [v * 1 for v in inputs[: len(xs)]], list(inputs[len(xs) :])
        x = [v if v.requires_grad else Variable(v.array) for v in x]
        gs = grad(list(_tuple(func(*x))), x, gy, enable_double_backprop=inputs[0].requires_grad)
        return tuple([v * 0 if g is None else g for g, v in zip(gs, x)])

    check_backward(first, (*xs, *gys), x_grad_grad, eps, atol, rtol, rng=rng)


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (list, tuple)) else (x,)


def _unit(xs: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    """A random direction of length 1 in which no component is negligible."""
    parts = [rng.uniform(0.3, 1.0, x.shape) * rng.choice([-1.0, 1.0], x.shape) for x in xs]
    length = np.sqrt(sum(float((p * p).sum()) for p in parts)) or 1.0
    return [p / length for p in parts]
