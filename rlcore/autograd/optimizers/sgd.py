"""Gradient descent with and without momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.optimizer_hooks import GradientLARS
from rlcore.autograd.optimizers.base import Optimizer, Rate

__all__ = ["LARS", "SGD", "CorrectedMomentumSGD", "MomentumSGD", "NesterovAG"]


class SGD(Optimizer):
    """p -= lr * g."""

    def __init__(self, lr: Rate = 0.01):
        super().__init__(lr)

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return (rate,)

    def step(self, p: Any, g: Any, tmp: Any, rate: Any) -> None:
        np.multiply(g, rate, out=tmp)
        p -= tmp


class MomentumSGD(Optimizer):
    """v = momentum * v - lr * g; p += v."""

    slots = ("v",)

    def __init__(self, lr: Rate = 0.01, momentum: float = 0.9):
        super().__init__(lr)
        self.momentum = momentum

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return self.momentum, rate

    def step(self, p: Any, g: Any, tmp: Any, v: Any, momentum: Any, rate: Any) -> None:
        np.multiply(g, rate, out=tmp)
        v *= momentum
        v -= tmp
        p += v


class CorrectedMomentumSGD(MomentumSGD):
    """v = momentum * v - g; p += lr * v: a new learning rate counts at once (Goyal et al. 2017, eq. 9)."""

    def step(self, p: Any, g: Any, tmp: Any, v: Any, momentum: Any, rate: Any) -> None:
        v *= momentum
        v -= g
        np.multiply(v, rate, out=tmp)
        p += tmp


class NesterovAG(MomentumSGD):
    """v = momentum * v - lr * g; p += momentum^2 * v - (1 + momentum) * lr * g (Bengio et al. 2012).

    As in Chainer, the second v is the new one, where equation 7 of the paper has the old one.
    """

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return self.momentum, rate, self.momentum**2, (1 + self.momentum) * rate

    def step(  # type: ignore[override]
        self, p: Any, g: Any, tmp: Any, v: Any, momentum: Any, rate: Any, square: Any, ahead: Any
    ) -> None:
        np.multiply(g, rate, out=tmp)
        v *= momentum
        v -= tmp
        np.multiply(v, square, out=tmp)
        p += tmp
        np.multiply(g, ahead, out=tmp)
        p -= tmp


class LARS(MomentumSGD):
    """MomentumSGD behind the hook GradientLARS (You et al. 2017); lr is the paper's lr times its trust coefficient."""

    def __init__(
        self,
        lr: Rate = 0.01,
        momentum: float = 0.9,
        *,
        threshold: float = 1e-2,
        weight_decay: float = 0.0,
        eps: float = 1e-9,
    ):
        super().__init__(lr, momentum)
        self.add_hook(GradientLARS(threshold, weight_decay, eps))
