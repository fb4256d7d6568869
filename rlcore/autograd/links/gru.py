"""GRU and MGU cells as links: those that keep their state, and those that are given it."""

from __future__ import annotations

from typing import Any

from rlcore.autograd.functions.activation import sigmoid, tanh
from rlcore.autograd.functions.joining import concat
from rlcore.autograd.functions.math import linear_interpolate
from rlcore.autograd.link import Link
from rlcore.autograd.links.connection import Linear
from rlcore.autograd.links.rnn import Stateful, zeros
from rlcore.autograd.variable import Variable

__all__ = ["GRU", "StatefulGRU", "StatefulMGU", "StatelessGRU", "StatelessMGU"]


class StatelessGRU(Link):
    """One step of a GRU: (h, x) gives the new h = (1 - z) * h + z * tanh(W x + U (r * h)). Cho et al. 2014.

    init, inner_init: of the weights for x and for h, LeCunNormal if None; bias_init: 0 if None.
    """

    def __init__(
        self, in_size: int | None, out_size: int, init: Any = None, inner_init: Any = None, bias_init: Any = None
    ):
        super().__init__()
        for gate in ("_r", "_z", ""):
            setattr(self, "W" + gate, Linear(in_size, out_size, initialW=init, initial_bias=bias_init))
            setattr(self, "U" + gate, Linear(out_size, out_size, initialW=inner_init, initial_bias=bias_init))

    W_r: Linear
    U_r: Linear
    W_z: Linear
    U_z: Linear
    W: Linear
    U: Linear

    def forward(self, h: Any, x: Any) -> Variable:
        r, z = sigmoid(self.W_r(x) + self.U_r(h)), sigmoid(self.W_z(x) + self.U_z(h))
        return linear_interpolate(z, tanh(self.W(x) + self.U(r * h)), h)


class StatefulGRU(Stateful, StatelessGRU):
    """A GRU that keeps its state h between calls; x (N, in) gives h (N, out_size).

    The first step is z * tanh(W x): the weights and biases of a state that is not there take no part.
    """

    remembered = ("h",)

    def __init__(
        self, in_size: int | None, out_size: int, init: Any = None, inner_init: Any = None, bias_init: Any = 0
    ):
        super().__init__(in_size, out_size, init, inner_init, bias_init)
        self.reset_state()

    def set_state(self, h: Any) -> None:
        """Continue from h (N, out_size), an array or a Variable."""
        self._set(h=h)

    def forward(self, x: Any) -> Variable:  # type: ignore[override]
        if self.h is None:
            h = sigmoid(self.W_z(x)) * tanh(self.W(x))
        else:
            h = StatelessGRU.forward(self, self.h, x)
        self._set(h=h)
        return h


class GRU(StatefulGRU):
    """StatefulGRU under its short name."""

    def forward(self, *args: Any) -> Variable:  # type: ignore[override]
        if len(args) != 1:
            raise ValueError(f"GRU: expected x alone, got {len(args)} arguments; to pass the state use StatelessGRU")
        return StatefulGRU.forward(self, args[0])


class StatelessMGU(Link):
    """One step of a minimal gated unit: (h, x) gives the new h. Zhou et al. 2016.

    f = sigmoid(W_f [h, x]), h' = (1 - f) * h + f * tanh(W_h [f * h, x]).
    """

    def __init__(self, n_inputs: int, n_units: int):
        super().__init__()
        self.n_units = n_units
        self.W_f = Linear(n_inputs + n_units, n_units)
        self.W_h = Linear(n_inputs + n_units, n_units)

    def forward(self, h: Any, x: Any) -> Variable:
        f = sigmoid(self.W_f(concat([h, x], axis=1)))
        return linear_interpolate(f, tanh(self.W_h(concat([f * h, x], axis=1))), h)


class StatefulMGU(Stateful, StatelessMGU):
    """A minimal gated unit that keeps its state h between calls; x (N, in) gives h (N, out_size)."""

    remembered = ("h",)

    def __init__(self, in_size: int, out_size: int):
        super().__init__(in_size, out_size)
        self.reset_state()

    def set_state(self, h: Any) -> None:
        """Continue from h (N, out_size), an array or a Variable."""
        self._set(h=h)

    def forward(self, x: Any) -> Variable:  # type: ignore[override]
        h = StatelessMGU.forward(self, zeros(x, self.n_units) if self.h is None else self.h, x)
        self._set(h=h)
        return h
