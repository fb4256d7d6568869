"""LSTM cells as links: those that keep their state, and one that is given it."""

from __future__ import annotations

from typing import Any, TypeVar

from rlcore.autograd.functions.activation import sigmoid, tanh
from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.joining import concat, split_axis
from rlcore.autograd.functions.noise import zoneout
from rlcore.autograd.functions.rnn_cells import lstm
from rlcore.autograd.initializers import Initializer, as_initializer
from rlcore.autograd.link import Link
from rlcore.autograd.links.connection import Linear, in_and_out
from rlcore.autograd.variable import Variable, as_array, as_variable, handle
from rlcore.backend import xp_of

__all__ = ["LSTM", "StatefulPeepholeLSTM", "StatefulZoneoutLSTM", "StatelessLSTM"]

S = TypeVar("S", bound="Stateful")


class Stateful(Link):
    """A link that remembers Variables between calls: a view starts without them, a copy with constants of its own."""

    remembered: tuple[str, ...] = ()

    def reset_state(self) -> None:
        """Forget the state: the next call starts from zeros."""
        for name in self.remembered:
            self.__dict__[name] = None

    def _set(self, **states: Any) -> None:
        for name, value in states.items():
            self.__dict__[name] = as_variable(value)

    def _viewed(self: S, memo: dict[int, Any]) -> S:
        known = id(self) in memo
        twin = super()._viewed(memo)
        if not known:
            twin.reset_state()
        return twin

    def __deepcopy__(self: S, memo: dict[int, Any]) -> S:
        for name in self.remembered:
            state = self.__dict__[name]
            if state is not None:  # without the graph behind it
                memo[id(state)] = handle(state.array.copy(), None)
        return super().__deepcopy__(memo)


def zeros(x: Any, size: int) -> Variable:
    """A first state (N, size) for x's N rows, of x's dtype."""
    array = as_array(x)
    return handle(xp_of(array).zeros((len(array), size), array.dtype), None)


class ByGate(Initializer):
    """Draws a weight gate by gate: for whatever looks at a weight's shape, a gate is a weight."""

    def __init__(self, inner: Any, gates: int):
        self.inner, self.gates = as_initializer(inner), gates
        super().__init__(self.inner.dtype)

    def __call__(self, array: Any) -> None:
        rows = len(array) // self.gates
        for k in range(self.gates):
            self.inner(array[k * rows : (k + 1) * rows])


class LstmBias(Initializer):
    """A bias whose elements `where` belong to the forget gate."""

    def __init__(self, others: Any, forget: Any, where: slice):
        self.others = as_initializer(0 if others is None else others)
        self.forget, self.where = as_initializer(1 if forget is None else forget), where
        super().__init__(self.others.dtype)

    def __call__(self, array: Any) -> None:
        self.others(array)
        self.forget(array[self.where])


class _LSTM(Link):
    """upward (4H, in) and lateral (4H, H); rows are units, each with its gates a, i, f, o."""

    def __init__(
        self,
        in_size: int | None,
        out_size: int | None = None,
        lateral_init: Any = None,
        upward_init: Any = None,
        bias_init: Any = None,
        forget_bias_init: Any = None,
    ):
        super().__init__()
        in_size, out_size = in_and_out(type(self).__name__, in_size, out_size)
        bias = LstmBias(bias_init, forget_bias_init, slice(2, None, 4))
        self.state_size = out_size
        self.upward = Linear(in_size, 4 * out_size, initialW=ByGate(upward_init, 4), initial_bias=bias)
        self.lateral = Linear(out_size, 4 * out_size, nobias=True, initialW=ByGate(lateral_init, 4))


class StatelessLSTM(_LSTM):
    """One step of an LSTM: (c, h, x) gives the new c and h; c, h None: the first step.

    `StatelessLSTM(n)` is `StatelessLSTM(None, n)`. forget_bias_init: 1 if None; bias_init: 0 if None.
    """

    def forward(self, c: Any, h: Any, x: Any) -> tuple[Variable, Variable]:
        gates = self.upward(x)
        if h is not None:
            gates = gates + self.lateral(h)
        return lstm(zeros(x, self.state_size) if c is None else c, gates)


class LSTM(Stateful, _LSTM):
    """An LSTM that keeps its state h, c between calls; x (N, in) gives h (N, out_size).

    `LSTM(n)` is `LSTM(None, n)`. Fewer rows than before: the other rows' state is kept. forget_bias_init: 1 if None.
    """

    remembered = ("c", "h")

    def __init__(
        self,
        in_size: int | None,
        out_size: int | None = None,
        lateral_init: Any = None,
        upward_init: Any = None,
        bias_init: Any = None,
        forget_bias_init: Any = None,
    ):
        super().__init__(in_size, out_size, lateral_init, upward_init, bias_init, forget_bias_init)
        self.reset_state()

    def set_state(self, c: Any, h: Any) -> None:
        """Continue from c and h (N, out_size), arrays or Variables."""
        self._set(c=c, h=h)

    def forward(self, x: Any) -> Variable:
        gates, rest, h = self.upward(x), None, self.h
        if h is not None:
            if len(h) < len(x):
                raise TypeError(
                    f"{type(self).__name__}: x has {len(x)} rows and the state {len(h)}; x may have fewer rows than "
                    "before, not more; call reset_state() before a new batch"
                )
            if len(h) > len(x):
                h, rest = split_axis(h, [len(x)], 0)
            gates = gates + self.lateral(h)
        c, y = lstm(zeros(x, self.state_size) if self.c is None else self.c, gates)
        self._set(c=c, h=y if rest is None else concat([y, rest], axis=0))
        return y


class StatefulPeepholeLSTM(Stateful):
    """An LSTM whose gates also see the cell: i and f the one before, o the new one. Gers and Schmidhuber 2000."""

    remembered = ("c", "h")

    def __init__(self, in_size: int | None, out_size: int):
        super().__init__()
        self.state_size = out_size
        self.upward = Linear(in_size, 4 * out_size)
        self.lateral = Linear(out_size, 4 * out_size, nobias=True)
        self.peep_i = Linear(out_size, out_size, nobias=True)
        self.peep_f = Linear(out_size, out_size, nobias=True)
        self.peep_o = Linear(out_size, out_size, nobias=True)
        self.reset_state()

    def forward(self, x: Any) -> Variable:
        gates = self.upward(x)
        if self.h is not None:
            gates = gates + self.lateral(self.h)
        parts = split_axis(reshape(gates, (len(x), self.state_size, 4)), 4, 2)
        a, i, f, o = (reshape(g, (len(x), self.state_size)) for g in parts)
        if self.c is None:
            c = sigmoid(i) * tanh(a)
        else:
            c = sigmoid(i + self.peep_i(self.c)) * tanh(a) + sigmoid(f + self.peep_f(self.c)) * self.c
        h = sigmoid(o + self.peep_o(c)) * tanh(c)
        self._set(c=c, h=h)
        return h


class StatefulZoneoutLSTM(Stateful, _LSTM):
    """An LSTM whose elements of c and h stay as they were with probability c_ratio, h_ratio. Krueger et al. 2016."""

    remembered = ("c", "h")

    def __init__(
        self,
        in_size: int | None,
        out_size: int,
        c_ratio: float = 0.5,
        h_ratio: float = 0.5,
        *,
        rng: Any = None,
    ):
        super().__init__(in_size, out_size, forget_bias_init=0)
        self.c_ratio, self.h_ratio, self.rng = c_ratio, h_ratio, rng
        self.reset_state()

    def set_state(self, c: Any, h: Any) -> None:
        """Continue from c and h (N, out_size), arrays or Variables."""
        self._set(c=c, h=h)

    def forward(self, x: Any) -> Variable:
        gates = self.upward(x)
        if self.h is not None:
            gates = gates + self.lateral(self.h)
        before = zeros(x, self.state_size) if self.c is None else self.c
        c, h = lstm(before, gates)
        h_before = zeros(x, self.state_size) if self.h is None else self.h
        c, h = zoneout(before, c, self.c_ratio, rng=self.rng), zoneout(h_before, h, self.h_ratio, rng=self.rng)
        self._set(c=c, h=h)
        return h
