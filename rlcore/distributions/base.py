"""What all distributions share, and the divergence between two of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlcore import rng as _rng
from rlcore.autograd import Variable, as_array, as_variable, force_backprop_mode
from rlcore.autograd import functions as F
from rlcore.autograd.function import recording
from rlcore.backend import xp_of
from rlcore.tree import map_

Shape = int | tuple[int, ...]


class lazy:
    """A cached property that is recorded in the graph in whatever mode it is first asked for."""

    def __init__(self, method: Callable[[Any], Any]):
        self.method, self.name = method, method.__name__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        if recording():
            value = self.method(instance)
        else:
            with force_backprop_mode():
                value = self.method(instance)
        instance.__dict__[self.name] = value
        return value


class Distribution:
    """A batch of distributions, whose parameters are arrays or Variables: gradients flow to these.

    Draws have the shape sample_shape + batch_shape + event_shape; log_prob and entropy have no event_shape.
    """

    batch_shape: tuple[int, ...]
    event_shape: tuple[int, ...] = ()

    def sample(self, sample_shape: Shape = (), *, rng: np.random.Generator | None = None) -> Any:
        """Draws, as a constant: no gradient goes through them."""
        return self._draw(_tuple(sample_shape), _rng.default() if rng is None else rng)

    def rsample(self, sample_shape: Shape = (), *, rng: np.random.Generator | None = None) -> Any:
        """Draws as a function of the parameters and of noise, through which gradients flow."""
        raise NotImplementedError(
            f"{type(self).__name__} has no reparameterised sample; use sample() and the gradient of log_prob()"
        )

    def sample_n(self, n: int, *, rng: np.random.Generator | None = None) -> Any:
        """n draws of each."""
        return self.sample(n, rng=rng)

    def sample_log_prob(self, *, rng: np.random.Generator | None = None) -> tuple[Any, Any]:
        """A draw of each and its log_prob, as arrays: what acting needs."""
        x = map_(as_array, self.sample(rng=rng))
        return x, self.log_prob(x).array

    def log_prob_entropy(self, x: Any) -> tuple[Any, Any]:
        """log_prob(x) and the entropy, as fast as they come together: what policy gradients need."""
        return self.log_prob(x), self.entropy

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def log_prob(self, x: Any) -> Any:
        """Logarithm of the density (of the probability, for discrete ones) at x."""
        raise NotImplementedError

    def prob(self, x: Any) -> Any:
        """Density, or probability, at x."""
        return F.exp(self.log_prob(x))

    @property
    def params(self) -> dict[str, Any]:
        """The parameters by name."""
        raise NotImplementedError

    @property
    def mean(self) -> Any:
        raise self._unknown("mean")

    @property
    def variance(self) -> Any:
        raise self._unknown("variance")

    @property
    def stddev(self) -> Any:
        return F.sqrt(self.variance)

    @property
    def mode(self) -> Any:
        """The likeliest value: what a deterministic policy plays."""
        raise self._unknown("mode")

    @property
    def entropy(self) -> Any:
        raise self._unknown("entropy")

    @property
    def perplexity(self) -> Any:
        return F.exp(self.entropy)

    def cdf(self, x: Any) -> Any:
        """Probability of a value up to x."""
        raise self._unknown("cdf")

    def icdf(self, x: Any) -> Any:
        """The value up to which the probability is x."""
        raise self._unknown("icdf")

    def log_cdf(self, x: Any) -> Any:
        return F.log(self.cdf(x))

    def survival_function(self, x: Any) -> Any:
        return 1 - self.cdf(x)

    def log_survival_function(self, x: Any) -> Any:
        return F.log(self.survival_function(x))

    def _unknown(self, what: str) -> Exception:
        return NotImplementedError(f"{type(self).__name__} has no closed formula for its {what}")


class Reparameterised(Distribution):
    """A distribution that is a smooth function of its parameters and of noise: subclasses give `_rdraw`."""

    def _rdraw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def rsample(self, sample_shape: Shape = (), *, rng: np.random.Generator | None = None) -> Any:
        """Draws as a function of the parameters and of noise, through which gradients flow."""
        return self._rdraw(_tuple(sample_shape), _rng.default() if rng is None else rng)

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        return as_variable(self._rdraw(sample_shape, rng).array)


def _tuple(shape: Shape) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def floats(name: str, value: Any) -> Variable:
    """A parameter as a Variable; TypeError unless it holds floats."""
    if isinstance(value, (int, float)):
        value = np.asarray(value, np.float32)
    variable = as_variable(value)
    if variable.dtype.kind != "f":
        raise TypeError(f"{name} must hold floats, got {variable.dtype}; cast it with astype('float32')")
    return variable


def one_of(owner: str, **given: Any) -> None:
    """ValueError unless exactly one of these arguments was given."""
    if sum([value is not None for value in given.values()]) != 1:
        raise ValueError(f"{owner}: give exactly one of {' and '.join(given)}")


def broadcast(owner: str, **parameters: Any) -> tuple[int, ...]:
    """The common shape of parameters; ValueError if there is none."""
    try:
        return np.broadcast_shapes(*[p.shape for p in parameters.values()])
    except ValueError:
        got = ", ".join(f"{name} {tuple(p.shape)}" for name, p in parameters.items())
        raise ValueError(f"{owner}: the parameters' shapes do not go together: {got}") from None


def normal_noise(like: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Standard normal draws beside `like`, of its dtype."""
    kind = np.float32 if like.dtype == np.float32 else np.float64
    return array_like(like, rng.standard_normal(shape, dtype=kind))


def array_like(like: Any, values: Any) -> Any:
    """values as an array of like's module and dtype."""
    array = as_array(like)
    return xp_of(array).asarray(values, dtype=array.dtype)


def value_like(like: Any, x: Any) -> Any:
    """A value of a distribution beside its parameter `like`: whatever is no Variable takes that one's dtype."""
    return x if isinstance(x, Variable) else as_variable(array_like(like, x))


def log_under(y: Any) -> Any:
    """A logarithm of probabilities with -inf lifted to the least float, so that 0 * log 0 is 0."""
    return F.maximum(y, float(np.finfo(y.dtype).min))


_KL: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}


def register_kl(first: type, second: type) -> Callable[[Any], Any]:
    """Decorator: the function computes `kl_divergence` of these two types."""

    def register(function: Any) -> Any:
        _KL[first, second] = function
        return function

    return register


def kl_divergence(dist1: Distribution, dist2: Distribution) -> Any:
    """Kullback-Leibler divergence KL(dist1 || dist2), of the batch's shape."""
    function = _KL.get((type(dist1), type(dist2)))
    if function is None:
        known = sorted({a.__name__ for a, b in _KL if a is b})
        raise NotImplementedError(
            f"kl_divergence: no formula for {type(dist1).__name__} and {type(dist2).__name__}; there is one for two of "
            f"a kind of {', '.join(known)}; add others with register_kl"
        )
    return function(dist1, dist2)


def cross_entropy(dist1: Distribution, dist2: Distribution) -> Any:
    """Cross entropy -E_dist1[log dist2], of the batch's shape."""
    return dist1.entropy + kl_divergence(dist1, dist2)
