"""Activations."""

from __future__ import annotations

import numpy as np

from rlcore import rng as _rng
from rlcore.autograd.config import config
from rlcore.autograd.dual import floats, one_minus, raw, rectified, row_max, row_sum, sum_to, weak, where_positive, zero
from rlcore.autograd.function import UFUNCS, Function
from rlcore.autograd.functions.array import reshape
from rlcore.autograd.functions.joining import concat
from rlcore.autograd.functions.reduction import max as _max
from rlcore.backend import xp_of

__all__ = [
    "clipped_relu",
    "crelu",
    "elu",
    "hard_sigmoid",
    "leaky_relu",
    "log_softmax",
    "maxout",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "swish",
    "tanh",
]


class Relu(Function):
    saves = "y"

    def forward(self, x):
        return rectified(x)

    def backward(self, gy, y):
        return where_positive(gy, raw(y))


def relu(x):
    """max(x, 0), elementwise; its gradient at 0 is 0."""
    return Relu().apply(x)


class ClippedRelu(Function):
    saves = "inside"

    def __init__(self, z: float):
        self.z = z

    def forward(self, x):
        self.inside = (x > 0) & (x < self.z)
        return np.minimum(np.maximum(x, 0), self.z)

    def backward(self, gy, inside):
        return gy * inside


def clipped_relu(x, z=20.0):
    """min(max(x, 0), z), elementwise; its gradient at 0 and at z is 0."""
    return ClippedRelu(weak(z)).apply(x)


def relu6(x):
    """min(max(x, 0), 6), elementwise."""
    return ClippedRelu(6.0).apply(x)


def hard_sigmoid(x):
    """0.2 x + 0.5 limited to [0, 1], elementwise; its gradient at x = -2.5 and x = 2.5 is 0."""
    return ClippedRelu(1.0).apply(0.2 * x + 0.5)


def crelu(x, axis=1):
    """relu(x) and relu(-x) joined along axis, which becomes twice as long (Shang et al. 2016)."""
    return concat([relu(x), relu(-x)], axis=axis)


class LeakyRelu(Function):
    saves = "factor"

    def __init__(self, slope: float):
        self.slope = slope

    def forward(self, x):
        low = (x <= 0).astype(x.dtype)
        self.factor = low * self.slope + (1 - low)
        return x * self.factor

    def backward(self, gy, factor):
        return gy * factor


def leaky_relu(x, slope=0.2):
    """x above 0 and slope * x below, elementwise; its gradient at 0 is slope."""
    return LeakyRelu(weak(slope)).apply(x)


class Prelu(Function):
    saves = "x W"

    def forward(self, x, W):
        low = (x < 0).astype(x.dtype)
        return x * (W * low + (1 - low))

    def backward(self, gy, x, W):
        ex, eW = self.edges
        low = (raw(x) < 0).astype(x.dtype)
        return ex and gy * (W * low + (1 - low)), eW and sum_to(gy * (x * low), W.shape)


def prelu(x, W):
    """x above 0 and W * x below, elementwise, W for each element of x.shape[1 : 1 + W.ndim] (He et al. 2015)."""
    return Prelu().apply(x, _by_channel("prelu", "W", x, W))


def _by_channel(name, argument, x, W):
    """W of shape x.shape[1 : 1 + W.ndim] with axes of length 1 put around it, so that it broadcasts over x."""
    if W.shape != x.shape[1 : 1 + W.ndim]:
        raise ValueError(
            f"{name}: {argument} must have the shape of x's axes from 1 on, x.shape[1:{1 + W.ndim}]; "
            f"got {argument} {tuple(W.shape)} for x {tuple(x.shape)}"
        )
    if W.dtype != x.dtype:
        raise TypeError(f"{name}: x is {x.dtype} and {argument} is {W.dtype}; cast x with x.astype({W.dtype.name!r})")
    shape = ((1,) + tuple(W.shape) + (1,) * x.ndim)[: x.ndim]
    return W if W.shape == shape else reshape(W, shape)


def rrelu(x, l=1.0 / 8, u=1.0 / 3, *, r=None, return_r=False, rng=None):  # noqa: E741
    """x above 0 and r * x below, r drawn from [l, u) for each element, (l + u) / 2 in test mode (Xu et al. 2015).

    r: the slopes to use in train mode, of x's shape and dtype; return_r: give (y, r).
    """
    array = floats("rrelu", x)
    if not config.train:
        r = xp_of(array).zeros(array.shape, array.dtype) + (l + u) / 2
    elif r is None:
        drawn = (_rng.default() if rng is None else rng).uniform(l, u, array.shape)
        r = xp_of(array).asarray(np.asarray(drawn, array.dtype))
    elif r.shape != array.shape or r.dtype != array.dtype:
        raise ValueError(f"rrelu: r must be {array.shape} {array.dtype} as x is, got {tuple(r.shape)} {r.dtype}")
    y = Prelu().apply(x, raw(r))
    return (y, raw(r)) if return_r else y


class Elu(Function):
    saves = "y low"

    def __init__(self, alpha: float):
        self.alpha = alpha

    def forward(self, x):
        self.low = x <= 0
        return np.maximum(x, 0) + self.alpha * np.expm1(np.minimum(x, 0))

    def backward(self, gy, y, low):
        return gy * ((np.minimum(y, 0) + self.alpha) * low + ~low)  # an infinite y times 0 would be nan


def elu(x, alpha=1.0):
    """x above 0 and alpha * (exp(x) - 1) below, elementwise; its gradient at 0 is alpha (Clevert et al. 2016)."""
    return Elu(weak(alpha)).apply(x)


def selu(x, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946):
    """scale * elu(x, alpha): keeps mean 0 and variance 1 through layers (Klambauer et al. 2017)."""
    return scale * elu(x, alpha)


class Softplus(Function):
    saves = "y"

    def __init__(self, beta: float):
        self.beta = beta

    def forward(self, x):
        if self.beta == 1:
            return np.maximum(x, zero(x)) + np.log1p(np.exp(-abs(x)))
        x = x * self.beta
        return (np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))) * (1 / self.beta)

    def backward(self, gy, y):
        return gy * -np.expm1(y * -self.beta)  # sigmoid(beta x) = 1 - exp(-beta y), exact at both ends


def softplus(x, beta=1.0):
    """log(1 + exp(beta x)) / beta, elementwise, without overflow or underflow at either end."""
    return Softplus(weak(beta)).apply(x)


class Swish(Function):
    saves = "x beta s"

    def forward(self, x, beta):
        self.s = np.tanh(beta * x * 0.5) * 0.5 + 0.5
        return x * self.s

    def composite(self, x, beta):  # s depends on the inputs
        return x * sigmoid(beta * x)

    def backward(self, gy, x, beta, s):
        ex, ebeta = self.edges
        slope = x * s * (1 - s)
        return ex and gy * (s + beta * slope), ebeta and sum_to(gy * (x * slope), beta.shape)


def swish(x, beta):
    """x * sigmoid(beta * x), elementwise, beta for each element of x.shape[1 : 1 + beta.ndim] (Ramachandran 2017)."""
    return Swish().apply(x, _by_channel("swish", "beta", x, beta))


class Tanh(Function):
    saves = "y"

    def forward(self, x):
        return np.tanh(x)

    def backward(self, gy, y):
        g = one_minus(y * y)
        g *= gy
        return g


def tanh(x):
    """Hyperbolic tangent, elementwise."""
    return Tanh().apply(x)


class Sigmoid(Function):
    saves = "y"

    def forward(self, x):
        return np.tanh(x * 0.5) * 0.5 + 0.5  # no overflow at either end

    def backward(self, gy, y):
        return gy * (y * (1 - y))


def sigmoid(x):
    """1 / (1 + exp(-x)), elementwise."""
    return Sigmoid().apply(x)


class Softmax(Function):
    saves = "y"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        e = np.exp(x - row_max(x, self.axis))
        return e / row_sum(e, self.axis)

    def backward(self, gy, y):
        return y * (gy - row_sum(gy * y, self.axis))


def softmax(x, axis=1):
    """exp(x) normalised to sum 1 along axis."""
    return Softmax(axis).apply(x)


class LogSoftmax(Function):
    saves = "y"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        shifted = x - row_max(x, self.axis)
        return shifted - np.log(row_sum(np.exp(shifted), self.axis))

    def backward(self, gy, y):
        return gy - np.exp(y) * row_sum(gy, self.axis)


def log_softmax(x, axis=1):
    """Logarithm of softmax along axis, stable for large inputs."""
    return LogSoftmax(axis).apply(x)


def maxout(x, pool_size, axis=1):
    """The largest of each pool_size neighbours along axis; tied ones all get the gradient (Goodfellow et al. 2013)."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"maxout: axis {axis} is out of range for x of shape {tuple(x.shape)}")
    axis %= x.ndim
    n = x.shape[axis]
    if pool_size < 1 or n % pool_size:
        raise ValueError(f"maxout: axis {axis} of length {n} does not divide into pools of {pool_size}")
    return _max(reshape(x, (*x.shape[:axis], n // pool_size, pool_size, *x.shape[axis + 1 :])), axis=axis + 1)


UFUNCS[np.tanh] = Tanh
