"""Adam and its kin: one class with Chainer's flags, and the names of its settings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore.autograd.optimizers.base import Optimizer, Rate

__all__ = ["AMSBound", "AMSGrad", "AdaBound", "Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1).

    eps: added to sqrt(v) before the bias correction of v (Chainer, TensorFlow), or after it if corrected_eps (PyTorch).
    weight_decay_rate: p -= eta * weight_decay_rate * p in each step, apart from the gradient (Loshchilov and Hutter
    2019); eta multiplies the whole step. amsgrad: the largest v so far (Reddi et al. 2018). adabound: the rate of each
    element stays within bounds that close on final_lr at speed gamma (Luo et al. 2019).
    """

    # m and v hold the sums of g and g^2, decayed by beta1 and beta2 at each step, without the paper's factors 1 - beta:
    # these go into the step size with the bias correction, which saves two passes over memory of twelve
    slots: tuple[str, ...] = ("m", "v")

    def __init__(
        self,
        alpha: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        eta: float = 1.0,
        weight_decay_rate: float = 0.0,
        amsgrad: bool = False,
        adabound: bool = False,
        final_lr: float = 0.1,
        gamma: float = 0.001,
        *,
        corrected_eps: bool = False,
    ):
        super().__init__(alpha)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"{type(self).__name__}: beta1 and beta2 must be within [0, 1), got {beta1} and {beta2}")
        self.beta1, self.beta2, self.eps, self.corrected_eps = beta1, beta2, eps, corrected_eps
        self.eta, self.weight_decay_rate, self.final_lr, self.gamma = eta, weight_decay_rate, final_lr, gamma
        self.amsgrad, self.adabound, self.initial_alpha = amsgrad, adabound, self.alpha
        if adabound and callable(alpha) and not self.initial_alpha > 0:
            raise ValueError(
                f"{type(self).__name__}: final_lr is scaled by the schedule's first rate, which must be above 0, got "
                f"{self.initial_alpha}"
            )
        if amsgrad:
            self.slots = ("m", "v", "vhat")

    @property
    def alpha(self) -> float:
        """The learning rate, in Chainer's word."""
        return self.learning_rate

    @alpha.setter
    def alpha(self, value: Rate) -> None:
        self.learning_rate = value

    @property
    def chainer_form(self) -> dict[str, tuple[float, float]]:  # type: ignore[override]
        return {"m": (1 - self.beta1, 0), "v": (1 - self.beta2, 0), "vhat": (1 - self.beta2, 0)}

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        b1, b2, correction, scale = self.beta1, self.beta2, math.sqrt(1 - self.beta2**t), math.sqrt(1 - self.beta2)
        eps = self.eps / scale * (correction if self.corrected_eps else 1)
        step, whole = rate * correction / (1 - b1**t) / scale, self.eta * (1 - b1)
        if not self.adabound:
            return b1, b2, eps, step * whole
        final = self.final_lr * rate / self.initial_alpha if rate else 0.0
        within = final * (1 - 1 / (self.gamma * t + 1)), final * (1 + 1 / (self.gamma * t))
        return b1, b2, eps, whole, step, *within

    def step(self, p: Any, g: Any, tmp: Any, m: Any, v: Any, *rest: Any) -> None:
        if self.amsgrad:
            vhat, decay1, decay2, eps, rate, *bounds = rest
        else:
            vhat, (decay1, decay2, eps, rate, *bounds) = v, rest
        m *= decay1
        m += g
        v *= decay2
        np.multiply(g, g, out=tmp)
        v += tmp
        if self.amsgrad:
            np.maximum(vhat, v, out=vhat)
        np.sqrt(vhat, out=tmp)
        tmp += eps
        if bounds:
            step, lower, upper = bounds
            np.divide(step, tmp, out=tmp)
            np.maximum(tmp, lower, out=tmp)
            np.minimum(tmp, upper, out=tmp)
            tmp *= m
        else:
            np.divide(m, tmp, out=tmp)
        tmp *= rate
        if self.weight_decay_rate:
            p *= 1 - self.eta * self.weight_decay_rate
        p -= tmp


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), not multiplied by alpha as PyTorch's is."""

    def __init__(
        self,
        alpha: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        eta: float = 1.0,
        weight_decay_rate: float = 0.0,
        *,
        corrected_eps: bool = False,
    ):
        super().__init__(alpha, beta1, beta2, eps, eta, weight_decay_rate, corrected_eps=corrected_eps)


class AMSGrad(Adam):
    """Adam with the largest v so far (Reddi et al. 2018)."""

    def __init__(
        self,
        alpha: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        eta: float = 1.0,
        *,
        corrected_eps: bool = False,
    ):
        super().__init__(alpha, beta1, beta2, eps, eta, amsgrad=True, corrected_eps=corrected_eps)


class AdaBound(Adam):
    """Adam with bounds on each element's rate (Luo et al. 2019)."""

    def __init__(
        self,
        alpha: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        final_lr: float = 0.1,
        gamma: float = 0.001,
        eps: float = 1e-8,
        eta: float = 1.0,
        *,
        corrected_eps: bool = False,
    ):
        bound: Any = {"adabound": True, "final_lr": final_lr, "gamma": gamma, "corrected_eps": corrected_eps}
        super().__init__(alpha, beta1, beta2, eps, eta, **bound)


class AMSBound(Adam):
    """AdaBound with the largest v so far (Luo et al. 2019)."""

    def __init__(
        self,
        alpha: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        final_lr: float = 0.1,
        gamma: float = 0.001,
        eps: float = 1e-8,
        eta: float = 1.0,
        *,
        corrected_eps: bool = False,
    ):
        bound: Any = {"adabound": True, "final_lr": final_lr, "gamma": gamma, "corrected_eps": corrected_eps}
        super().__init__(alpha, beta1, beta2, eps, eta, amsgrad=True, **bound)
