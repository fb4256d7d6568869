"""RMSprop: plain, Graves' (of the DQN paper), and the warm-up of ChainerMN's 15-minute ImageNet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.optimizers.base import Optimizer, Rate

__all__ = ["RMSprop", "RMSpropGraves", "RMSpropWarmup"]


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(ms) + eps), ms a running mean of g^2 (Tieleman and Hinton 2012, lecture 6.5).

    eps_inside_sqrt: g / sqrt(ms + eps), as in TensorFlow and in A3C.
    """

    slots = ("ms",)

    def __init__(self, lr: Rate = 0.01, alpha: float = 0.99, eps: float = 1e-8, eps_inside_sqrt: bool = False):
        super().__init__(lr)
        self.alpha, self.eps, self.eps_inside_sqrt = alpha, eps, eps_inside_sqrt

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return self.alpha, 1 - self.alpha, self.eps, rate

    def step(self, p: Any, g: Any, tmp: Any, ms: Any, decay: Any, rest: Any, eps: Any, rate: Any) -> None:
        np.multiply(g, g, out=tmp)
        tmp *= rest
        ms *= decay
        ms += tmp
        if self.eps_inside_sqrt:
            np.add(ms, eps, out=tmp)
            np.sqrt(tmp, out=tmp)
        else:
            np.sqrt(ms, out=tmp)
            tmp += eps
        np.divide(g, tmp, out=tmp)
        tmp *= rate
        p -= tmp


class RMSpropGraves(Optimizer):
    """delta = momentum * delta - lr * g / sqrt(n - mean^2 + eps); p += delta, n and mean running means of g^2 and g.

    Graves 2013, equations 38 to 45; the optimizer of Mnih et al. 2015 with lr 2.5e-4, alpha 0.95, momentum 0, eps 1e-2.
    """

    slots = ("n", "g", "delta")

    def __init__(self, lr: Rate = 1e-4, alpha: float = 0.95, momentum: float = 0.9, eps: float = 1e-4):
        super().__init__(lr)
        self.alpha, self.momentum, self.eps = alpha, momentum, eps

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return self.alpha, 1 - self.alpha, self.momentum, self.eps, rate

    def step(
        self, p: Any, g: Any, tmp: Any, n: Any, mean: Any, delta: Any,
        decay: Any, rest: Any, momentum: Any, eps: Any, rate: Any,
    ) -> None:  # fmt: skip
        np.multiply(g, rest, out=tmp)
        mean *= decay
        mean += tmp
        tmp *= g
        n *= decay
        n += tmp
        np.multiply(mean, mean, out=tmp)
        np.subtract(n, tmp, out=tmp)
        np.maximum(tmp, 0, out=tmp)  # rounding makes it negative where the gradients hardly vary
        tmp += eps
        np.sqrt(tmp, out=tmp)
        np.divide(g, tmp, out=tmp)
        tmp *= rate
        delta *= momentum
        delta -= tmp
        p += delta


class RMSpropWarmup(Optimizer):
    """RMSprop that turns into MomentumSGD (Akiba et al. 2017, section 3.1).

    ms = alpha * ms + (1 - alpha) * g^2; delta = momentum * delta - (s + (1 - s) * rms_lr / lr / (sqrt(ms) + eps)) * g;
    p += lr * delta. The share s of SGD grows from 0 to 1, as 1/2 exp(2 x) below x = 0, as 1/2 + x up to x = 1/2, where
    x = (t - center) / period; center and period are counted in updates (10 and 5 epochs in the paper).
    """

    slots = ("ms", "delta")

    def __init__(
        self, lr: Rate, center: float, period: float, rms_lr: float = 3e-4, momentum: float = 0.9, alpha: float = 0.99,
        eps: float = 1e-8,
    ):  # fmt: skip
        super().__init__(lr)
        self.center, self.period, self.rms_lr = center, period, rms_lr
        self.momentum, self.alpha, self.eps = momentum, alpha, eps

    def sgd_share(self, t: int) -> float:
        """The share of SGD in step t."""
        x = (t - self.center) / self.period
        return 0.5 * math.exp(2 * x) if x < 0 else min(0.5 + x, 1.0)

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        share = self.sgd_share(t)
        rms = (1 - share) * self.rms_lr / rate if rate else 0.0
        return self.alpha, 1 - self.alpha, self.momentum, self.eps, share, rms, rate

    def step(
        self, p: Any, g: Any, tmp: Any, ms: Any, delta: Any,
        decay: Any, rest: Any, momentum: Any, eps: Any, sgd: Any, rms: Any, rate: Any,
    ) -> None:  # fmt: skip
        np.multiply(g, g, out=tmp)
        tmp *= rest
        ms *= decay
        ms += tmp
        np.sqrt(ms, out=tmp)
        tmp += eps
        np.divide(rms, tmp, out=tmp)
        tmp += sgd
        tmp *= g
        delta *= momentum
        delta -= tmp
        np.multiply(delta, rate, out=tmp)
        p += tmp
