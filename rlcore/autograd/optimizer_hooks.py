"""What is done to gradients before an optimizer's step, or to parameters after it: `optimizer.add_hook(hook)`.

A hook is called with the optimizer's parts, runs of parameters that have a gradient: `part.data` and `part.grad` are
vectors to be changed in place, `part.params` and `part.names` tell what lies in them, and `part.t` counts the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rlcore import rng as _rng
from rlcore.backend import xp_of


class GradientClipping:
    """Scale all gradients so that their common L2 norm is at most `threshold`; `norm` holds the norm before."""

    name, timing = "GradientClipping", "pre"

    def __init__(self, threshold: float):
        if not threshold > 0:
            raise ValueError(f"GradientClipping: threshold must be above 0, got {threshold}")
        self.threshold = threshold
        self.norm: Any = 0.0

    def __call__(self, parts: list[Any]) -> None:
        gradients = [part.grad for part in parts]
        square = gradients[0].dot(gradients[0])
        for g in gradients[1:]:
            square = square + g.dot(g)
        if isinstance(square, np.floating):  # on the host: Python's arithmetic, and mostly nothing to do
            self.norm = math.sqrt(square)
            if self.norm > self.threshold:
                for g in gradients:
                    g *= self.threshold / self.norm
        else:  # on a device: no branch, nothing is read back
            self.norm = np.sqrt(square)
            factor = self.threshold / np.maximum(self.norm, self.threshold)
            for g in gradients:
                g *= factor


class GradientHardClipping:
    """Clip every element of the gradients to [lower_bound, upper_bound]."""

    name, timing = "GradientHardClipping", "pre"

    def __init__(self, lower_bound: float, upper_bound: float):
        if not lower_bound <= upper_bound:
            raise ValueError(f"GradientHardClipping: no number lies within [{lower_bound}, {upper_bound}]")
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def __call__(self, parts: list[Any]) -> None:
        for part in parts:
            np.maximum(part.grad, self.lower_bound, out=part.grad)
            np.minimum(part.grad, self.upper_bound, out=part.grad)


def _pieces(part: Any) -> Iterator[tuple[Any, Any]]:
    """(values, gradients) in pieces that stay in cache, the values in the gradients' dtype."""
    for s in part.slices():
        g = part.grad[s]
        yield part.data[s].astype(g.dtype, copy=False), g


class WeightDecay:
    """g += rate * p: an L2 penalty of rate / 2 * sum(p^2)."""

    name, timing = "WeightDecay", "pre"

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, parts: list[Any]) -> None:
        for part in parts:
            for p, g in _pieces(part):
                g += self.rate * p


class NonbiasWeightDecay(WeightDecay):
    """WeightDecay on all parameters but those named b (ChainerRL's hook for A3C)."""

    name = "NonbiasWeightDecay"

    def __call__(self, parts: list[Any]) -> None:
        for part in parts:
            at = 0
            for name, p in zip(part.names, part.params):
                if name != "b":
                    here = slice(at, at + p.size)
                    g = part.grad[here]
                    g += self.rate * part.data[here].astype(g.dtype, copy=False)
                at += p.size


class Lasso:
    """g += rate * sign(p): an L1 penalty of rate * sum(|p|)."""

    name, timing = "Lasso", "pre"

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, parts: list[Any]) -> None:
        for part in parts:
            for p, g in _pieces(part):
                g += self.rate * np.sign(p)


def exponential_decay_noise(xp: Any, shape: Any, dtype: Any, hook: GradientNoise, part: Any) -> Any:
    """Gaussian noise of variance eta / (1 + t)^0.55 (Neelakantan et al. 2015, eq. 2)."""
    generator = _rng.default() if hook.rng is None else hook.rng
    deviation = math.sqrt(hook.eta / (1 + part.t) ** 0.55)
    return xp.asarray(deviation * generator.standard_normal(shape), dtype)


class GradientNoise:
    """g += noise_func(xp, g.shape, g.dtype, hook, part), by default Gaussian noise that fades.

    eta: 0.01, 0.3 or 1.0 (Neelakantan et al. 2015). The first step has t = 1, as in Chainer.
    """

    name, timing = "GradientNoise", "pre"

    def __init__(
        self,
        eta: float,
        noise_func: Callable[..., Any] = exponential_decay_noise,
        *,
        rng: np.random.Generator | None = None,
    ):
        if not eta >= 0:
            raise ValueError(f"GradientNoise: eta must not be negative, got {eta}")
        self.eta, self.noise_func, self.rng = eta, noise_func, rng

    def __call__(self, parts: list[Any]) -> None:
        for part in parts:
            g = part.grad
            g += self.noise_func(xp_of(g), g.shape, g.dtype, self, part)


class GradientLARS:
    """g = rate * (g + weight_decay * p), rate = |p| / (eps + |g| + weight_decay * |p|) for each parameter.

    Parameters with a norm |p| of at most threshold have rate 1 (You et al. 2017; threshold, eps: Gitman et al. 2018).
    """

    name, timing = "GradientLARS", "pre"

    def __init__(self, threshold: float = 1e-2, weight_decay: float = 0.0, eps: float = 1e-9):
        self.threshold, self.weight_decay, self.eps = threshold, weight_decay, eps

    def __call__(self, parts: list[Any]) -> None:
        for part in parts:
            g, p = part.grad, part.data.astype(part.grad.dtype, copy=False)
            xp, sizes = xp_of(g), [q.size for q in part.params if q.size]
            starts = np.cumsum([0, *sizes[:-1]])
            of_p, of_g = (np.sqrt(xp.add.reduceat(v * v, xp.asarray(starts))) for v in (p, g))
            rate = of_p / (self.eps + of_g + self.weight_decay * of_p)
            rate = xp.where(of_p > self.threshold, rate, xp.ones_like(rate))
            g += self.weight_decay * p
            g *= xp.repeat(rate, sizes)
