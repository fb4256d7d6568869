"""Links that own weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rlcore import rng as _rng
from rlcore.autograd.config import config
from rlcore.autograd.functions import activation, connection
from rlcore.autograd.functions import math as _math
from rlcore.autograd.functions import noise as _noise
from rlcore.autograd.initializers import Constant, Initializer, Normal, Uniform, as_initializer
from rlcore.autograd.link import Link
from rlcore.autograd.parameter import Parameter

__all__ = [
    "Bias",
    "Bilinear",
    "EmbedID",
    "EnsembleLinear",
    "Linear",
    "NoisyLinear",
    "Scale",
    "SimplifiedDropconnect",
]


def in_and_out(link: str, in_size: int | None, out_size: int | None) -> tuple[int | None, int]:
    """The two sizes, of which one alone is out_size; ValueError unless they are positive."""
    if out_size is None:
        in_size, out_size = None, in_size
    if out_size is None or out_size < 1 or (in_size is not None and in_size < 1):
        raise ValueError(f"{link}: sizes must be positive integers, got in_size {in_size}, out_size {out_size}")
    return in_size, out_size


class Linear(Link):
    """x @ W.T + b with W (out_size, in_size), b (out_size,); in_size None is settled by the first call.

    `Linear(n)` is `Linear(None, n)`. initialW: LeCunNormal if None; initial_bias: zeros if None. relu: the result goes
    through F.relu, in one vertex with the product.
    """

    def __init__(
        self,
        in_size: int | None,
        out_size: int | None = None,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
        *,
        relu: bool = False,
    ):
        super().__init__()
        in_size, out_size = in_and_out("Linear", in_size, out_size)
        self.out_size, self.relu = out_size, relu
        self._op = connection.LinearRelu if relu else connection.Linear
        self.W = Parameter(initialW, None if in_size is None else (out_size, in_size), order=(1, 0))
        self.b = None if nobias else Parameter(0 if initial_bias is None else initial_bias, out_size)

    def forward(self, x: Any, n_batch_axes: int = 1) -> Any:
        if x.ndim == 2 and self.W.array is not None and n_batch_axes == 1:
            return self._op().apply(x, self.W, self.b)  # past the checks of F.linear, which hold here
        if self.W.array is None:
            if x.ndim <= n_batch_axes:
                raise ValueError(f"linear: x of shape {tuple(x.shape)} has no axis beside the first {n_batch_axes}")
            self.W.initialize((self.out_size, math.prod(x.shape[n_batch_axes:])))
        y = connection.linear(x, self.W, self.b, n_batch_axes)
        return activation.relu(y) if self.relu else y


class EnsembleLinear(Link):
    """n_members independent Linears at once: x (K, N, in), or (N, in) for all, gives (K, N, out).

    W (K, out_size, in_size), b (K, out_size). in_size None is settled by the first call. initialW fills each member's W
    as a Linear's; LeCunNormal if None. relu: the result goes through F.relu, in one vertex with the products.
    """

    def __init__(
        self,
        n_members: int,
        in_size: int | None,
        out_size: int,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
        *,
        relu: bool = False,
    ):
        super().__init__()
        if n_members < 1 or out_size < 1 or (in_size is not None and in_size < 1):
            raise ValueError(
                f"EnsembleLinear: sizes must be positive integers, got n_members {n_members}, in_size {in_size}, "
                f"out_size {out_size}"
            )
        self.n_members, self.out_size, self.relu = n_members, out_size, relu
        self.W = Parameter(_Members(initialW), order=(0, 2, 1))
        self.b = None if nobias else Parameter(0 if initial_bias is None else initial_bias, (n_members, out_size))
        if in_size is not None:
            self.W.initialize((n_members, out_size, in_size))

    def forward(self, x: Any) -> Any:
        if self.W.array is None:
            if x.ndim not in (2, 3):
                raise ValueError(f"EnsembleLinear: expected x (K, N, in) or (N, in), got x {tuple(x.shape)}")
            self.W.initialize((self.n_members, self.out_size, x.shape[-1]))
        return connection.ensemble_linear(x, self.W, self.b, relu=self.relu)


class _Members(Initializer):
    """Each member's weight by an initializer of its own shape, so that fans are a Linear's."""

    def __init__(self, value: Any):
        self.each = as_initializer(value)
        super().__init__(self.each.dtype)

    def __call__(self, array: Any) -> None:
        given = getattr(self.each, "fill_value", None)
        if getattr(given, "ndim", 0) == 3:
            self.each(array)
            return
        for member in array:
            self.each(member)


class NoisyLinear(Link):
    """Linear whose weights and biases have factorised Gaussian noise of learnt scale (Fortunato et al. 2018, eq. 9-11).

    The noise is drawn anew at each call in train mode; in test mode there is none. in_size None is settled by the first
    call.
    """

    def __init__(self, in_size: int | None, out_size: int | None = None, nobias: bool = False, sigma0: float = 0.5):
        super().__init__()
        in_size, out_size = in_and_out("NoisyLinear", in_size, out_size)
        self.out_size, self.sigma0 = out_size, sigma0
        self.W, self.sigma_W = Parameter(order=(1, 0)), Parameter(order=(1, 0))
        self.b = None if nobias else Parameter(0)
        self.sigma_b = None if nobias else Parameter(0)
        if in_size is not None:
            self._settle(in_size)

    def _settle(self, in_size: int) -> None:
        bound = 1 / math.sqrt(in_size)
        link = self.__dict__.get("_viewed_link", (self,))[0]  # a view settles what it is a view of
        for mean, sigma, shape in (
            (link.W, link.sigma_W, (self.out_size, in_size)),
            (link.b, link.sigma_b, (self.out_size,)),
        ):
            if mean is not None and sigma is not None:
                mean.initializer, sigma.initializer = Uniform(bound), Constant(self.sigma0 * bound)
                mean.initialize(shape)
                sigma.initialize(shape)

    def draw(self, rng: np.random.Generator | None = None) -> tuple[Any, Any]:
        """Standard normal noise (in_size,), (out_size,) for `noise=`: to use the same in several calls."""
        rng = _rng.default() if rng is None else rng
        xp, dtype = self.W.xp, self.W.dtype
        n_out, n_in = self.W.shape
        both = xp.asarray(rng.standard_normal(n_in + n_out, np.float32), dtype)
        return both[:n_in], both[n_in:]

    def forward(self, x: Any, *, noise: tuple[Any, Any] | None = None, rng: np.random.Generator | None = None) -> Any:
        if x.ndim != 2:
            raise ValueError(f"NoisyLinear: expected x (N, in), got x {tuple(x.shape)}")
        if self.W.array is None:
            self._settle(x.shape[1])
        if noise is None:
            if not config.train:
                return connection.linear(x, self.W, self.b)
            noise = self.draw(rng)
        f_in, f_out = (np.sign(e) * np.sqrt(abs(e)) for e in noise)
        got, expected = (f_in.shape, f_out.shape), (self.W.shape[1:], self.W.shape[:1])
        if got != expected:
            raise ValueError(f"NoisyLinear: expected noise of shapes {expected}, got {got}")
        # (W + sigma_W * outer(f_out, f_in)) x without an array of W's size: 0.6 of the time at batch 32, 512 x 512
        return connection.linear(x, self.W, self.b) + connection.linear(x * f_in, self.sigma_W, self.sigma_b) * f_out


class EmbedID(Link):
    """A row of W (in_size, out_size) for each integer; zeros for ignore_label. initialW: Normal(1) if None."""

    def __init__(self, in_size: int, out_size: int, initialW: Any = None, ignore_label: int | None = None):
        super().__init__()
        self.ignore_label = ignore_label
        self.W = Parameter(Normal(1.0) if initialW is None else initialW, (in_size, out_size))

    def forward(self, x: Any) -> Any:
        return connection.embed_id(x, self.W, self.ignore_label)


class Bilinear(Link):
    """F.bilinear with W (left_size, right_size, out_size) and, unless nobias, V1, V2 and b.

    initial_bias: a tuple of three, for V1, V2 and b.
    """

    def __init__(
        self,
        left_size: int,
        right_size: int,
        out_size: int,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: tuple[Any, Any, Any] | None = None,
    ):
        super().__init__()
        self.W = Parameter(initialW, (left_size, right_size, out_size))
        self.V1 = self.V2 = self.b = None
        if nobias:
            return
        if initial_bias is not None and not (isinstance(initial_bias, tuple) and len(initial_bias) == 3):
            raise ValueError("Bilinear: initial_bias must be a tuple of three, for V1, V2 and b, or None")
        V1, V2, b = (None, None, 0) if initial_bias is None else initial_bias
        self.V1 = Parameter(V1, (left_size, out_size))
        self.V2 = Parameter(V2, (right_size, out_size))
        self.b = Parameter(b, out_size)

    def forward(self, e1: Any, e2: Any) -> Any:
        return connection.bilinear(e1, e2, self.W, self.V1, self.V2, self.b)


class Bias(Link):
    """x + b, where the axes of b are those of x from `axis` on; without a shape b is given at each call."""

    def __init__(self, axis: int = 1, shape: Any = None):
        super().__init__()
        self.axis = axis
        if shape is not None:
            self.b = Parameter(0, shape)

    def forward(self, *xs: Any) -> Any:
        x, b = _two("Bias", "shape", xs, getattr(self, "b", None))
        return _math.bias(x, b, self.axis)


class Scale(Link):
    """x * W, where the axes of W are those of x from `axis` on; without W_shape W is given at each call.

    bias_term: a Bias follows, of W_shape, or of bias_shape where W is given at each call.
    """

    def __init__(self, axis: int = 1, W_shape: Any = None, bias_term: bool = False, bias_shape: Any = None):
        super().__init__()
        self.axis = axis
        if W_shape is not None:
            self.W = Parameter(1, W_shape)
        if bias_term:
            if W_shape is None and bias_shape is None:
                raise ValueError("Scale: with bias_term and without W_shape, bias_shape must be given")
            self.bias = Bias(axis, bias_shape if W_shape is None else W_shape)

    def forward(self, *xs: Any) -> Any:
        x, W = _two("Scale", "W_shape", xs, getattr(self, "W", None))
        y = _math.scale(x, W, self.axis)
        return self.bias(y) if hasattr(self, "bias") else y


def _two(link: str, option: str, xs: tuple[Any, ...], own: Any) -> tuple[Any, Any]:
    """(x, own) or the two arguments of a call."""
    if len(xs) != (2 if own is None else 1):
        raise TypeError(
            f"{link}: expected {'2 arguments without' if own is None else '1 argument with'} {option}, got {len(xs)}"
        )
    return (xs[0], xs[1]) if own is None else (xs[0], own)


class SimplifiedDropconnect(Link):
    """Linear of whose weights a part `ratio`, drawn anew at each call, is absent (Wan et al. 2013, simplified)."""

    def __init__(
        self,
        in_size: int | None,
        out_size: int,
        ratio: float = 0.5,
        nobias: bool = False,
        initialW: Any = None,
        initial_bias: Any = None,
    ):
        super().__init__()
        self.out_size, self.ratio = out_size, ratio
        self.W = Parameter(initialW, None if in_size is None else (out_size, in_size))
        self.b = None if nobias else Parameter(0 if initial_bias is None else initial_bias, out_size)

    def forward(
        self, x: Any, train: bool = True, mask: Any = None, use_batchwise_mask: bool = True, *, rng: Any = None
    ) -> Any:
        if self.W.array is None:
            self.W.initialize((self.out_size, math.prod(x.shape[1:])))
        return _noise.simplified_dropconnect(x, self.W, self.b, self.ratio, train, mask, use_batchwise_mask, rng=rng)
