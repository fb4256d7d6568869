"""Optimizers that adapt a rate for each parameter, beside RMSprop and Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.optimizers.base import Optimizer, Rate

__all__ = ["MSVAG", "SMORMS3", "AdaDelta", "AdaGrad"]


class AdaGrad(Optimizer):
    """h += g^2; p -= lr * g / (sqrt(h) + eps) (Duchi et al. 2011)."""

    slots = ("h",)

    def __init__(self, lr: Rate = 0.001, eps: float = 1e-8):
        super().__init__(lr)
        self.eps = eps

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return self.eps, rate

    def step(self, p: Any, g: Any, tmp: Any, h: Any, eps: Any, rate: Any) -> None:
        np.multiply(g, g, out=tmp)
        h += tmp
        np.sqrt(h, out=tmp)
        tmp += eps
        np.divide(g, tmp, out=tmp)
        tmp *= rate
        p -= tmp


class AdaDelta(Optimizer):
    """dx = g * sqrt((msdx + eps) / (msg + eps)); p -= dx, msg and msdx running means of g^2 and dx^2 (Zeiler 2012).

    The learning rate is 1; a schedule or `scale` multiplies dx on its way into p.
    """

    slots = ("msg", "msdx")
    n_scratch = 2

    def __init__(self, rho: float = 0.95, eps: float = 1e-6):
        super().__init__(1.0)
        self.rho, self.eps = rho, eps

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return self.rho, 1 - self.rho, self.eps, rate

    def step(
        self, p: Any, g: Any, dx: Any, tmp: Any, msg: Any, msdx: Any, decay: Any, rest: Any, eps: Any, rate: Any
    ) -> None:
        np.multiply(g, g, out=tmp)
        tmp *= rest
        msg *= decay
        msg += tmp
        np.add(msdx, eps, out=dx)
        np.add(msg, eps, out=tmp)
        dx /= tmp
        np.sqrt(dx, out=dx)
        dx *= g
        np.multiply(dx, dx, out=tmp)
        tmp *= rest
        msdx *= decay
        msdx += tmp
        dx *= rate
        p -= dx


class SMORMS3(Optimizer):
    """p -= g * min(lr, x) / (sqrt(g2) + eps) with x = g1^2 / (g2 + eps) (Funk 2015).

    g1 and g2 are running means of g and g^2 with weight r = 1 / (memory + 1); memory = 1 + memory * (1 - x), from 1.
    """

    slots = ("mem", "g", "g2")  # mem is memory - 1
    chainer_form = {"mem": (1, 1)}
    n_scratch = 2

    def __init__(self, lr: Rate = 0.001, eps: float = 1e-16):
        super().__init__(lr)
        self.eps = eps

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        return self.eps, rate

    def step(self, p: Any, g: Any, r: Any, tmp: Any, mem: Any, g1: Any, g2: Any, eps: Any, rate: Any) -> None:
        np.add(mem, 2, out=r)
        np.divide(1, r, out=r)
        np.subtract(g, g1, out=tmp)
        tmp *= r
        g1 += tmp
        np.multiply(g, g, out=tmp)
        tmp -= g2
        tmp *= r
        g2 += tmp
        x = r
        np.multiply(g1, g1, out=x)
        np.add(g2, eps, out=tmp)
        x /= tmp
        np.subtract(1, x, out=tmp)
        mem += 1
        mem *= tmp
        np.minimum(x, rate, out=x)
        x *= g
        np.sqrt(g2, out=tmp)
        tmp += eps
        x /= tmp
        p -= x


class MSVAG(Optimizer):
    """p -= eta * (lr * factor * m + weight_decay_rate * p), M-SVAG of Balles and Hennig 2018, section 4.

    m and v are running means of g and g^2 without bias; factor = m^2 / (m^2 + rho * s) with s = (v - m^2) / (1 - rho)
    is the share of the signal in a gradient, within [0, 1].
    """

    slots = ("m", "v")
    n_scratch = 3

    def __init__(self, lr: Rate = 0.1, beta: float = 0.9, eta: float = 1.0, weight_decay_rate: float = 0.0):
        super().__init__(lr)
        self.beta, self.eta, self.weight_decay_rate = beta, eta, weight_decay_rate

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        beta, power = self.beta, self.beta**t
        rho = (1 - beta) ** 2 * (1 - power**2) / ((1 - power) ** 2 * (1 - beta**2))
        rho = min(rho, 0.9999)  # it is 1 at t = 1
        decay = 1 - self.eta * self.weight_decay_rate
        return 1 - beta, 1 / (1 - power), rho / (1 - rho), decay, self.eta * rate

    def step(
        self, p: Any, g: Any, mean: Any, square: Any, tmp: Any, m: Any, v: Any,
        rest: Any, unbias: Any, ratio: Any, decay: Any, rate: Any,
    ) -> None:  # fmt: skip
        np.subtract(g, m, out=tmp)
        tmp *= rest
        m += tmp
        np.multiply(g, g, out=tmp)
        tmp -= v
        tmp *= rest
        v += tmp
        np.multiply(m, unbias, out=mean)
        np.multiply(mean, mean, out=square)
        np.multiply(v, unbias, out=tmp)
        tmp -= square
        tmp *= ratio
        tmp += square
        tmp += tmp == 0  # no gradient yet: the factor is 0
        square /= tmp
        np.maximum(square, 0, out=square)
        np.minimum(square, 1, out=square)
        square *= mean
        square *= rate
        if self.weight_decay_rate:
            p *= decay
        p -= square
