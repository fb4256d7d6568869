"""Recurrent links of several layers over lists of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from rlcore.autograd.chain import ChainList
from rlcore.autograd.functions import n_step
from rlcore.autograd.functions.joining import concat, split_axis, transpose_sequence
from rlcore.autograd.link import Link
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.variable import Variable, as_array, handle
from rlcore.backend import xp_of

__all__ = [
    "NStepBiGRU",
    "NStepBiLSTM",
    "NStepBiRNNReLU",
    "NStepBiRNNTanh",
    "NStepGRU",
    "NStepLSTM",
    "NStepRNNReLU",
    "NStepRNNTanh",
]


class _NStep(ChainList):
    """Layers "0", "1" ..., each with weights w0, w1 ... and biases b0, b1 ...; a layer in both directions takes two."""

    n_weights = 2
    use_bi_direction = False
    n_cells = 1
    rnn: Any

    def __init__(
        self,
        n_layers: int,
        in_size: int,
        out_size: int,
        dropout: float,
        initialW: Any = None,
        initial_bias: Any = None,
        *,
        rng: np.random.Generator | None = None,
    ):
        super().__init__()
        if min(n_layers, in_size, out_size) < 1:
            raise ValueError(
                f"{type(self).__name__}: expected n_layers, in_size and out_size of at least 1, got {n_layers}, "
                f"{in_size}, {out_size}"
            )
        self.n_layers, self.out_size, self.dropout, self.rng = n_layers, out_size, dropout, rng
        directions = 2 if self.use_bi_direction else 1
        for k in range(n_layers * directions):
            size, weight = in_size if k < directions else out_size * directions, Link()
            for j in range(self.n_weights):
                shape = (out_size, size if j < self.n_weights // 2 else out_size)
                setattr(weight, f"w{j}", Parameter(initialW, shape))
                setattr(weight, f"b{j}", Parameter(0 if initial_bias is None else initial_bias, out_size))
            self.append(weight)

    @property
    def ws(self) -> list[list[Any]]:
        return [[getattr(link, f"w{j}") for j in range(self.n_weights)] for link in self]

    @property
    def bs(self) -> list[list[Any]]:
        return [[getattr(link, f"b{j}") for j in range(self.n_weights)] for link in self]

    def init_hx(self, xs: Sequence[Any]) -> Variable:
        """A first state of zeros for as many sequences."""
        x = as_array(xs[0])
        return handle(xp_of(x).zeros((len(self), len(xs), self.out_size), x.dtype), None)

    def _run(self, states: tuple[Any, ...], xs: Sequence[Any]) -> tuple[Any, ...]:
        """The last states, and the outputs of each sequence, in the order of xs."""
        if not isinstance(xs, (list, tuple)) or not xs:
            raise TypeError(
                f"{type(self).__name__}: expected xs as a list of at least one sequence (T_i, in), got "
                f"{type(xs).__name__}"
            )
        for i, x in enumerate(xs):
            if x.ndim != 2 or not len(x):
                raise ValueError(f"{type(self).__name__}: expected sequences (T_i, in), got xs[{i}] {tuple(x.shape)}")
        order = sorted(range(len(xs)), key=lambda i: -len(xs[i]))
        back = sorted(range(len(xs)), key=order.__getitem__)
        firsts = [self.init_hx(xs) if h is None else _ordered(h, order) for h in states]
        steps = transpose_sequence([xs[i] for i in order])
        *lasts, ys = self.rnn(self.n_layers, self.dropout, *firsts, self.ws, self.bs, steps, rng=self.rng)
        ys = transpose_sequence(ys)
        return *[_ordered(h, back) for h in lasts], [ys[i] for i in back]


def _ordered(h: Any, order: list[int]) -> Any:
    """h (layers, N, H) with its sequences in another order."""
    if order == sorted(order):
        return h
    parts = split_axis(h, h.shape[1], 1)
    return concat([parts[i] for i in order], axis=1)


class _NStepRNN(_NStep):
    def forward(self, hx: Any, xs: Sequence[Any]) -> tuple[Variable, list[Variable]]:
        hy, ys = self._run((hx,), xs)
        return hy, ys


class NStepLSTM(_NStep):
    """n_layers of LSTM: (hx, cx, xs) gives the last h and c and a list of outputs (T_i, out_size).

    xs: N sequences (T_i, in_size) in any order; states are (n_layers, N, out_size), None for zeros. Dropout acts
    between layers. Weights are those of `F.n_step_lstm`; initialW: LeCunNormal if None; initial_bias: 0 if None.
    """

    n_weights, n_cells = 8, 2
    rnn = staticmethod(n_step.n_step_lstm)

    def forward(self, hx: Any, cx: Any, xs: Sequence[Any]) -> tuple[Variable, Variable, list[Variable]]:
        hy, cy, ys = self._run((hx, cx), xs)
        return hy, cy, ys


class NStepBiLSTM(NStepLSTM):
    """NStepLSTM in both directions: states (2 n_layers, N, out_size), outputs (T_i, 2 out_size)."""

    use_bi_direction = True
    rnn = staticmethod(n_step.n_step_bilstm)


class NStepGRU(_NStepRNN):
    """n_layers of GRU: (hx, xs) gives the last h (n_layers, N, out_size) and a list of outputs (T_i, out_size).

    xs: N sequences (T_i, in_size) in any order; hx None: zeros. Dropout acts between layers. Weights are those of
    `F.n_step_gru`; initialW: LeCunNormal if None; initial_bias: 0 if None.
    """

    n_weights = 6
    rnn = staticmethod(n_step.n_step_gru)


class NStepBiGRU(NStepGRU):
    """NStepGRU in both directions: states (2 n_layers, N, out_size), outputs (T_i, 2 out_size)."""

    use_bi_direction = True
    rnn = staticmethod(n_step.n_step_bigru)


class NStepRNNTanh(_NStepRNN):
    """n_layers of h = tanh(W x + U h): (hx, xs) as in NStepGRU, with the weights of `F.n_step_rnn`."""

    rnn = staticmethod(partial(n_step.n_step_rnn, activation="tanh"))


class NStepBiRNNTanh(_NStepRNN):
    """NStepRNNTanh in both directions: states (2 n_layers, N, out_size), outputs (T_i, 2 out_size)."""

    use_bi_direction = True
    rnn = staticmethod(partial(n_step.n_step_birnn, activation="tanh"))


class NStepRNNReLU(_NStepRNN):
    """n_layers of h = relu(W x + U h): (hx, xs) as in NStepGRU, with the weights of `F.n_step_rnn`."""

    rnn = staticmethod(partial(n_step.n_step_rnn, activation="relu"))


class NStepBiRNNReLU(_NStepRNN):
    """NStepRNNReLU in both directions: states (2 n_layers, N, out_size), outputs (T_i, 2 out_size)."""

    use_bi_direction = True
    rnn = staticmethod(partial(n_step.n_step_birnn, activation="relu"))
