"""Default networks, built from spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.autograd import Function, Link, Sequential, as_array, config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import LeCunUniform, Uniform
from rlcore.backend import xp_of
from rlcore.tree import Tree, map_


def like_torch(link: Any, in_size: int, *args: Any, fan_in: int, rng: np.random.Generator | None, **named: Any) -> Any:
    """link(in_size, *args, ...) with weights and biases uniform within 1 / sqrt(fan in), PyTorch's default."""
    weight = LeCunUniform(scale=1 / math.sqrt(3), rng=rng)
    return link(in_size, *args, initialW=weight, initial_bias=Uniform(1 / math.sqrt(fan_in), rng=rng), **named)


def mlp(
    in_size: int,
    hidden: Sequence[int],
    out_size: int,
    rng: np.random.Generator | None = None,
    activation: Any = F.relu,
) -> L.Stack:
    """A multi-layer perceptron: x (N, in_size) to (N, out_size), `activation` between the layers.

    Weights and biases are uniform within 1 / sqrt(fan in), PyTorch's default, so that published settings carry over.
    """
    layers: list[Any] = []
    for size, last in [*((n, False) for n in hidden), (out_size, True)]:
        fused = activation is F.relu and not last
        layers.append(like_torch(L.Linear, in_size, size, fan_in=in_size, rng=rng, relu=fused))
        if not (fused or last):
            layers.append(activation)
        in_size = size
    return L.Stack(*layers)


class OneHotRows(Function):
    """Integers (N, ...) as ones in rows of zeros (N, size): integer k of a row at column first[k] + its value."""

    def __init__(self, first: Any, size: int, dtype: Any):
        self.first, self.size, self.dtype = first, size, dtype

    def forward(self, x: Any) -> Any:
        xp = xp_of(x)
        out = xp.zeros((len(x), self.size), self.dtype)
        out[xp.arange(len(x))[:, None], x.reshape(len(x), -1) + xp.asarray(self.first)] = 1
        return out


class OneHot(Link):
    """Integers (N,) from start on as rows of the identity matrix, (N, n) floats."""

    def __init__(self, n: int, start: int = 0):
        super().__init__()
        self.n, self.start, self.dtype = n, start, config.dtype

    def forward(self, x: Any) -> Any:
        return OneHotRows([-self.start], self.n, self.dtype).apply(as_array(x))


class Floats(Link):
    """Integer observations as rows of floats."""

    def __init__(self) -> None:
        super().__init__()
        self.dtype = config.dtype

    def forward(self, x: Any) -> Any:
        return F.cast(F.reshape(as_array(x), (len(x), -1)), self.dtype)


def image_network(space: Any, out_size: int | None, rng: np.random.Generator | None = None) -> Sequential | None:
    """NatureCNN on the images of a Box to (N, out_size); None if they are none.

    Images are of uint8 with three axes, the channels' first or last, and at least 36 x 36.
    """
    shape = space.shape
    if space.dtype != np.uint8 or len(shape) != 3 or sorted(shape)[1] < 36:
        return None
    if shape[2] < shape[0]:
        return Sequential(ChannelsFirst(), NatureCNN((shape[2], *shape[:2]), out_size, rng=rng))
    return Sequential(NatureCNN(shape, out_size, rng=rng))


class ChannelsFirst(Link):
    """Images (N, H, W, C) as (N, C, H, W)."""

    def forward(self, x: Any) -> Any:
        return F.transpose(as_array(x), (0, 3, 1, 2))


class NatureCNN(Link):
    """The convolutional network of DQN (Mnih et al. 2015, methods): frames (N, *shape) to features (N, out_size).

    shape: (channels, height, width), (4, 84, 84) in the paper. Frames of uint8 are taken as they are, times `scale`.
    Weights and biases are uniform within 1 / sqrt(fan in), as in the paper's code. out_size None leaves out the linear
    layer; the number of features is in `size`.
    """

    def __init__(
        self,
        shape: Sequence[int] = (4, 84, 84),
        out_size: int | None = 512,
        *,
        scale: float = 1 / 255,
        rng: np.random.Generator | None = None,
    ):
        super().__init__()
        c, h, w = shape
        layers: list[Any] = []
        for i, (out, k, stride) in enumerate(((32, 8, 4), (64, 4, 2), (64, 3, 1))):
            if min(h, w) < k:
                raise ValueError(f"NatureCNN: images of at least 36 x 36 are needed, got shape {tuple(shape)}")
            named = {"scale": scale} if i == 0 else {}
            layers.append(like_torch(L.Convolution2D, c, out, k, stride, fan_in=c * k * k, rng=rng, relu=True, **named))
            c, h, w = out, (h - k) // stride + 1, (w - k) // stride + 1
        layers.append(Rows())
        self.size = c * h * w if out_size is None else out_size
        if out_size is not None:
            layers.append(like_torch(L.Linear, c * h * w, out_size, fan_in=c * h * w, rng=rng, relu=True))
        self.layers = Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class Rows(Link):
    """(N, ...) as (N, elements)."""

    def forward(self, x: Any) -> Any:
        return F.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Residual(Link):
    """x + conv(relu(conv(relu(x)))), 3 x 3, channels kept (He et al. 2016)."""

    def __init__(self, channels: int, rng: np.random.Generator | None):
        super().__init__()
        self.conv1, self.conv2 = (
            like_torch(L.Convolution2D, channels, channels, 3, 1, 1, fan_in=9 * channels, rng=rng, relu=relu)
            for relu in (True, False)
        )

    def forward(self, x: Any) -> Any:
        return x + self.conv2(self.conv1(F.relu(x)))


class ImpalaCNN(Link):
    """The deep network of IMPALA (Espeholt et al. 2018, figure 3): frames (N, *shape) to features (N, out_size).

    A stage for each entry of `channels`: convolution, max-pooling that halves the image, two residual blocks. Frames of
    uint8 are taken as they are, times `scale`. Weights and biases are uniform within 1 / sqrt(fan in).
    """

    def __init__(
        self,
        shape: Sequence[int] = (4, 84, 84),
        out_size: int = 256,
        channels: Sequence[int] = (16, 32, 32),
        *,
        scale: float = 1 / 255,
        rng: np.random.Generator | None = None,
    ):
        super().__init__()
        c, h, w = shape
        layers: list[Any] = []
        for i, out in enumerate(channels):
            named = {"scale": scale} if i == 0 else {}
            layers.append(like_torch(L.Convolution2D, c, out, 3, 1, 1, fan_in=9 * c, rng=rng, **named))
            layers += [Halved(), Residual(out, rng), Residual(out, rng)]
            c, h, w = out, (h + 1) // 2, (w + 1) // 2
        layers += [F.relu, Rows(), like_torch(L.Linear, c * h * w, out_size, fan_in=c * h * w, rng=rng, relu=True)]
        self.layers = Sequential(*layers)

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class Halved(Link):
    """Max-pooling 3 x 3 with stride 2."""

    def forward(self, x: Any) -> Any:
        return F.max_pooling_2d(x, 3, 2, 1, cover_all=False)


class Recurrent(Link):
    """`body`, an LSTM over time and a head: model(x, h, reset) gives (T, N, out_size) and the state h after it.

    x: (T, N, *observation), or one step (N, *observation), or dicts and tuples of such; body takes rows of observations
    to (rows, features). observation_ndim: axes of an observation, nested as that is. h: (h, c) of (N, hidden), None for
    zeros; where reset, bool (T, N), is True, the state is zeroed before the step. head: (rows, hidden) to (rows,
    out_size), linear if None. The LSTM's weights are uniform within 1 / sqrt(hidden).
    """

    def __init__(
        self,
        body: Link,
        observation_ndim: Tree,
        features: int,
        hidden: int,
        out_size: int,
        *,
        head: Link | None = None,
        rng: np.random.Generator | None = None,
    ):
        super().__init__()
        self.features, self.hidden, self.path = features, hidden, []  # path: of keys, to one array of an observation
        while isinstance(observation_ndim, (dict, tuple)):
            self.path.append(next(iter(observation_ndim)) if isinstance(observation_ndim, dict) else 0)
            observation_ndim = observation_ndim[self.path[-1]]
        self.ndim = observation_ndim
        uniform = Uniform(1 / math.sqrt(hidden), rng=rng)
        self.body = body
        self.lstm = L.LSTMScan(features, hidden, uniform, uniform)
        self.head = like_torch(L.Linear, hidden, out_size, fan_in=hidden, rng=rng) if head is None else head

    def initial(self, n: int) -> tuple[Any, Any]:
        """The state at the start of n episodes: zeros (n, hidden), twice."""
        b = as_array(self.lstm.b)
        return xp_of(b).zeros((n, self.hidden), b.dtype), xp_of(b).zeros((n, self.hidden), b.dtype)

    def forward(self, x: Any, h: Any = None, reset: Any = None) -> tuple[Any, Any]:
        part = x
        for key in self.path:
            part = part[key]
        time = part.shape[: part.ndim - self.ndim]  # (T, N) or (N,)
        if len(time) == 1:
            out, h = self.lstm(self.body(x), h, reset)
            return self.head(out), h
        n = math.prod(time)
        rows = map_(lambda a: a.reshape(n, *a.shape[2:]), x)
        out, h = self.lstm(F.reshape(self.body(rows), (*time, self.features)), h, reset)
        out = self.head(F.reshape(out, (n, self.hidden)))
        return F.reshape(out, (*time, out.shape[1])), h
