"""Recurrent links for reinforcement learning: model(x, h) -> out, h over whole sequences, with resets inside."""

from __future__ import annotations

from typing import Any

from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.rnn_scan import gru_scan, lstm_scan
from rlcore.autograd.link import Link
from rlcore.autograd.links.connection import in_and_out
from rlcore.autograd.links.rnn import ByGate, LstmBias
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.variable import Variable

__all__ = ["GRUScan", "LSTMScan"]


class _Scan(Link):
    """W_x (gates * H, in) and W_h (gates * H, H), the gates one after the other."""

    gates = 0

    def __init__(self, in_size: int | None, out_size: int | None, lateral_init: Any, upward_init: Any):
        super().__init__()
        in_size, out_size = in_and_out(type(self).__name__, in_size, out_size)
        self.out_size, rows = out_size, self.gates * out_size
        self.W_x = Parameter(ByGate(upward_init, self.gates), None if in_size is None else (rows, in_size))
        self.W_h = Parameter(ByGate(lateral_init, self.gates), (rows, out_size))

    def _sequence(self, x: Any, reset: Any) -> tuple[Any, Any]:
        """x and reset with a time axis."""
        if x.ndim not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: expected x (T, N, in), or one step (N, in), got x {tuple(x.shape)}"
            )
        if self.W_x.array is None:
            self.W_x.initialize((self.gates * self.out_size, x.shape[-1]))
        if x.ndim == 3:
            return x, reset
        return reshape(x, (1, *x.shape)), None if reset is None else reset[None]

    def _shaped(self, ys: Any, x: Any) -> Any:
        """The outputs with a time axis if x has one."""
        return ys if x.ndim == 3 else reshape(ys, ys.shape[1:])


class LSTMScan(_Scan):
    """An LSTM over a sequence x (T, N, in), or one step (N, in): link(x, (h, c), reset) gives the outputs and (h, c).

    The state, h and c (N, out_size), is None for zeros; where reset, bool (T, N), is True it is zeroed before the step.
    `LSTMScan(n)` is `LSTMScan(None, n)`. Rows of W_x, W_h and b are the gates i, f, a, o. forget_bias_init: 1 if None.
    """

    gates = 4

    def __init__(
        self,
        in_size: int | None,
        out_size: int | None = None,
        lateral_init: Any = None,
        upward_init: Any = None,
        bias_init: Any = None,
        forget_bias_init: Any = None,
    ):
        super().__init__(in_size, out_size, lateral_init, upward_init)
        forget = slice(self.out_size, 2 * self.out_size)
        self.b = Parameter(LstmBias(bias_init, forget_bias_init, forget), 4 * self.out_size)

    def forward(self, x: Any, h: Any = None, reset: Any = None) -> tuple[Variable, tuple[Variable, Variable]]:
        xs, reset = self._sequence(x, reset)
        h, c = (None, None) if h is None else h
        ys, h, c = lstm_scan(xs, h, c, self.W_x, self.W_h, self.b, reset=reset)
        return self._shaped(ys, x), (h, c)


class GRUScan(_Scan):
    """A GRU over a sequence x (T, N, in), or one step (N, in): link(x, h, reset) gives the outputs and the last h.

    The state h (N, out_size) is None for zeros; where reset, bool (T, N), is True it is zeroed before the step.
    `GRUScan(n)` is `GRUScan(None, n)`. Rows of W_x, W_h, b_x and b_h are r, z, n, as in `F.gru_scan`.
    """

    gates = 3

    def __init__(
        self,
        in_size: int | None,
        out_size: int | None = None,
        lateral_init: Any = None,
        upward_init: Any = None,
        bias_init: Any = None,
    ):
        super().__init__(in_size, out_size, lateral_init, upward_init)
        self.b_x = Parameter(0 if bias_init is None else bias_init, 3 * self.out_size)
        self.b_h = Parameter(0 if bias_init is None else bias_init, 3 * self.out_size)

    def forward(self, x: Any, h: Any = None, reset: Any = None) -> tuple[Variable, Variable]:
        xs, reset = self._sequence(x, reset)
        ys, h = gru_scan(xs, h, self.W_x, self.W_h, self.b_x, self.b_h, reset=reset)
        return self._shaped(ys, x), h
