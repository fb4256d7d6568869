"""Links made of other links, and the link of one parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from rlcore.autograd import parameter
from rlcore.autograd.chain import ChainList
from rlcore.autograd.functions import activation, cross_entropy, evaluation
from rlcore.autograd.link import Link
from rlcore.autograd.links.connection import Linear
from rlcore.autograd.links.convolution import Convolution2D

__all__ = ["Classifier", "Highway", "MLPConvolution2D", "Parameter"]


class Parameter(Link):
    """One parameter W, with the given array's values; a call returns it."""

    def __init__(self, array: Any):
        super().__init__()
        self.W = parameter.Parameter(array)

    def forward(self) -> Any:
        return self.W


class Highway(Link):
    """g * activate(plain(x)) + (1 - g) * x with the gate g = sigmoid(transform(x)) (Srivastava et al. 2015, eq. 3)."""

    def __init__(
        self,
        in_out_size: int,
        nobias: bool = False,
        activate: Callable[[Any], Any] = activation.relu,
        init_Wh: Any = None,
        init_Wt: Any = None,
        init_bh: Any = None,
        init_bt: Any = -1,
    ):
        super().__init__()
        self.activate = activate
        self.plain = Linear(in_out_size, in_out_size, nobias, init_Wh, init_bh)
        self.transform = Linear(in_out_size, in_out_size, nobias, init_Wt, init_bt)

    def forward(self, x: Any) -> Any:
        g = activation.sigmoid(self.transform(x))
        return g * self.activate(self.plain(x)) + (1 - g) * x


class MLPConvolution2D(ChainList):
    """A convolution, then 1x1 convolutions to each further number of out_channels (Lin et al. 2014, "mlpconv").

    activation between them, not after the last. in_channels None is settled by the first call, and may be left out.
    """

    def __init__(
        self,
        in_channels: Any,
        out_channels: Sequence[int],
        ksize: Any = None,
        stride: Any = 1,
        pad: Any = 0,
        activation: Callable[[Any], Any] = activation.relu,
        conv_init: Any = None,
        bias_init: Any = None,
    ):
        if ksize is None:
            in_channels, out_channels, ksize = None, in_channels, out_channels
        if not out_channels:
            raise ValueError("MLPConvolution2D: out_channels must hold at least one number of channels")
        init = {"initialW": conv_init, "initial_bias": bias_init}
        super().__init__(
            Convolution2D(in_channels, out_channels[0], ksize, stride, pad, **init),
            *[Convolution2D(n, m, 1, **init) for n, m in pairwise(out_channels)],
        )
        self.activation = activation

    def forward(self, x: Any) -> Any:
        for link in self[:-1]:
            x = self.activation(link(x))
        return self[-1](x)


class Classifier(Link):
    """The loss of a predictor's answer; label_key says which argument, by number or name, holds the labels.

    A call leaves the answer, the loss and, unless compute_accuracy is False, the accuracy in y, loss and accuracy.
    """

    compute_accuracy = True

    def __init__(
        self,
        predictor: Link,
        lossfun: Callable[[Any, Any], Any] = cross_entropy.softmax_cross_entropy,
        accfun: Callable[[Any, Any], Any] = evaluation.accuracy,
        label_key: int | str = -1,
    ):
        super().__init__()
        if not isinstance(label_key, (int, str)):
            raise TypeError(f"Classifier: label_key must be an integer or a name, got {label_key!r}")
        self.lossfun, self.accfun, self.label_key = lossfun, accfun, label_key
        self.y: Any = None
        self.loss: Any = None
        self.accuracy: Any = None
        self.predictor = predictor

    def forward(self, *args: Any, **named: Any) -> Any:
        if isinstance(self.label_key, str):
            if self.label_key not in named:
                raise ValueError(f"Classifier: no argument {self.label_key!r}, where the labels should be")
            t = named.pop(self.label_key)
        else:
            if not -len(args) <= self.label_key < len(args):
                raise ValueError(f"Classifier: no argument {self.label_key} of {len(args)}, where the labels should be")
            t = args[self.label_key]
            args = tuple([a for i, a in enumerate(args) if i != self.label_key % len(args)])
        self.y = self.loss = self.accuracy = None  # frees the last graph before the next one is made
        self.y = self.predictor(*args, **named)
        self.loss = self.lossfun(self.y, t)
        if self.compute_accuracy:
            self.accuracy = self.accfun(self.y, t)
        return self.loss
