"""Distributions over finite sets: Categorical, MultiCategorical and Bernoulli."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore import rng as _rng
from rlcore.autograd import as_array, as_variable
from rlcore.autograd import functions as F
from rlcore.autograd.dual import row_sum
from rlcore.autograd.function import Function
from rlcore.autograd.functions.indexing import arange_beside
from rlcore.backend import xp_of
from rlcore.distributions.base import Distribution, array_like, floats, lazy, log_under, one_of, register_kl


class Categorical(Distribution):
    """One of n values: p or logit (..., n), whose last axis is normalised; draws are int64.

    mask (..., n) bool: False forbids a value, which then has probability 0 and is never drawn (Huang and Ontanon 2022).
    """

    def __init__(self, p: Any = None, logit: Any = None, *, mask: Any = None):
        if (p is None) is (logit is None):
            one_of("Categorical", p=p, logit=logit)
        given = floats("p", p) if logit is None else floats("logit", logit)
        if given.ndim == 0 or given.shape[-1] == 0:
            raise ValueError(f"Categorical: expected parameters (..., n), got shape {given.shape}")
        if logit is None:
            # log(0) without a warning: a value of probability 0 counts as masked
            given, zero = F.log(F.maximum(given, float(np.finfo(given.dtype).tiny))), given.array > 0
            mask = zero if mask is None else zero & mask
        self.mask = None
        if mask is not None:
            self.mask = mask = _checked_mask(mask, given)
            given = F.where(mask, given, array_like(given, -np.inf))
        self.logit = given
        self.batch_shape = given.shape[:-1]

    @property
    def n(self) -> int:
        return self.logit.shape[-1]

    @lazy
    def log_p(self) -> Any:
        """Logarithms of the probabilities, (..., n); -inf for masked values."""
        return F.log_softmax(self.logit, axis=-1)

    @lazy
    def p(self) -> Any:
        """Probabilities, (..., n)."""
        return F.exp(self.log_p)

    @property
    def params(self) -> dict[str, Any]:
        return {"p": self.p}

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        p = self.p.array
        cdf = p.cumsum(axis=-1, dtype=np.float64)  # in float64 u * total < total always: no value of probability 0
        u = xp_of(p).asarray(rng.random((*sample_shape, *self.batch_shape, 1))) * cdf[..., -1:]
        return as_variable((cdf > u).argmax(axis=-1))

    def sample_log_prob(self, *, rng: np.random.Generator | None = None) -> tuple[Any, Any]:
        """A draw of each and its log_prob, as arrays: as by `sample`, in half the time."""
        x = self.logit.array
        x = x - x.max(axis=-1, keepdims=True)
        cdf = np.exp(x).cumsum(axis=-1, dtype=np.float64)
        total = cdf[..., -1:]
        u = xp_of(x).asarray((_rng.default() if rng is None else rng).random(total.shape)) * total
        draw = (cdf > u).argmax(axis=-1)
        if x.ndim == 2:  # nearly always; a third of the time of what follows
            chosen = x[xp_of(x).arange(len(x)), draw]
        else:
            chosen = xp_of(x).take_along_axis(x, draw[..., None], axis=-1)[..., 0]
        return draw, (chosen - np.log(total[..., 0])).astype(x.dtype)

    def log_prob(self, x: Any) -> Any:
        x = _integers("Categorical", x)
        if self.logit.ndim == 2 and x.shape == self.batch_shape:
            return F.select_item(self.log_p, x)
        shape = np.broadcast_shapes(x.shape, self.batch_shape)
        log_p = self.log_p if shape == self.batch_shape else F.broadcast_to(self.log_p, (*shape, self.n))
        x = xp_of(x).broadcast_to(x, shape)
        return F.reshape(F.take_along_axis(log_p, x.reshape(*shape, 1), axis=-1), shape)

    def log_prob_entropy(self, x: Any) -> tuple[Any, Any]:
        """log_prob(x) and the entropy, as fast as they come together: what policy gradients need."""
        x = _integers("Categorical", x)
        if self.logit.ndim == 2 and x.shape == self.batch_shape:
            return LogProbEntropy().apply(self.logit, x)
        return self.log_prob(x), self.entropy

    @property
    def mode(self) -> Any:
        return as_variable(self.logit.array.argmax(axis=-1))

    @property
    def entropy(self) -> Any:
        return Entropy().apply(self.log_p)


class LogProbEntropy(Function):
    """Of logits (N, n) and values (N,), in one vertex: a third of the time of log_softmax, select_item and Entropy.

    Within, values come first in memory: sums over few of them are ten times as fast.
    """

    saves = "logit x y1 p log_p"
    many = True

    def forward(self, logit: Any, x: Any) -> Any:
        z = logit.T.copy()
        z -= z.max(axis=0)
        self.p = p = np.exp(z)
        total = p.sum(axis=0)
        p /= total
        z -= np.log(total)
        self.log_p = log_p = _above_least(z)
        return z[x, arange_beside(x, len(x))], -(p * log_p).sum(axis=0)

    def composite(self, logit: Any, x: Any) -> Any:
        log_p = F.log_softmax(logit, axis=1)
        return F.select_item(log_p, x), Entropy().apply(log_p)

    def backward(self, gys: Any, logit: Any, x: Any, entropy: Any, p: Any, log_p: Any) -> Any:
        chosen, spread = gys[0], gys[1]
        g: Any = 0 if chosen is None else chosen * ((x == arange_beside(x, len(p))[:, None]) - p)
        if spread is not None:
            rise = log_p + entropy
            rise *= p
            rise *= spread
            g = g - rise
        return g.T, None


class Entropy(Function):
    """Of logarithms of probabilities (..., n), in one vertex: half the time of five."""

    saves = "log_p"

    def forward(self, log_p: Any) -> Any:
        return -row_sum(np.exp(log_p) * _above_least(log_p), -1)[..., 0]

    def backward(self, gy: Any, log_p: Any) -> Any:
        return -gy.reshape(*gy.shape, 1) * (np.exp(log_p) * (_above_least(log_p) + 1))


def _above_least(log_p: Any) -> Any:
    """-inf lifted to the least float: 0 * log 0 is 0."""
    return np.maximum(log_p, np.finfo(log_p.dtype).min)


def _checked_mask(mask: Any, logit: Any) -> Any:
    mask = as_array(mask)
    if mask.dtype != bool:
        raise TypeError(f"Categorical: mask must be bool, got {mask.dtype}")
    try:
        wide = np.broadcast_shapes(mask.shape, logit.shape)
    except ValueError:
        wide = ()
    if wide != logit.shape:
        raise ValueError(f"Categorical: mask {mask.shape} does not go with the parameters' shape {logit.shape}")
    if isinstance(mask, np.ndarray) and not (possible := mask.any(axis=-1)).all():  # nothing is read off a device
        rows = np.argwhere(~possible).tolist()[:5]
        raise ValueError(f"Categorical: the mask forbids every value in rows {rows}; at least one must be allowed")
    return mask


def _integers(owner: str, x: Any) -> Any:
    x = as_array(x)
    if x.dtype.kind not in "iub":
        raise TypeError(f"{owner}: log_prob takes integers, got {x.dtype}")
    return x


@register_kl(Categorical, Categorical)
def _kl_categorical(a: Categorical, b: Categorical) -> Any:
    if a.n != b.n:
        raise ValueError(f"kl_divergence: Categoricals over {a.n} and {b.n} values")
    needed = F.where(a.p.array > 0, b.log_p, array_like(b.log_p, 0))  # 0 * log(0 / q) is 0, p * log(p / 0) is infinite
    return F.sum(a.p * (log_under(a.log_p) - needed), axis=-1)


class MultiCategorical(Distribution):
    """Independent Categoricals: logit (..., sum(nvec)) and mask alike, in order; draws (..., len(nvec)) int64."""

    def __init__(self, logit: Any, nvec: Sequence[int], *, mask: Any = None):
        logit, nvec = floats("logit", logit), [int(n) for n in nvec]
        if not nvec or min(nvec) < 1 or logit.ndim == 0 or logit.shape[-1] != sum(nvec):
            raise ValueError(f"MultiCategorical: expected logit (..., {sum(nvec)}) for nvec {nvec}, got {logit.shape}")
        ends = np.cumsum(nvec)[:-1].tolist()
        masks = [None] * len(nvec) if mask is None else xp_of(as_array(mask)).split(as_array(mask), ends, axis=-1)
        parts = F.split_axis(logit, ends, axis=-1)
        self.parts = [Categorical(logit=part, mask=m) for part, m in zip(parts, masks, strict=True)]
        self.batch_shape, self.event_shape = logit.shape[:-1], (len(nvec),)

    @property
    def params(self) -> dict[str, Any]:
        return {"logit": F.concat([part.logit for part in self.parts], axis=-1)}

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        return F.stack([part.sample(sample_shape, rng=rng) for part in self.parts], axis=-1)

    def log_prob(self, x: Any) -> Any:
        x = _integers("MultiCategorical", x)
        if x.shape[-1:] != self.event_shape:
            raise ValueError(f"MultiCategorical: log_prob takes (..., {len(self.parts)}), got {x.shape}")
        return total(part.log_prob(x[..., i]) for i, part in enumerate(self.parts))

    @property
    def mode(self) -> Any:
        return F.stack([part.mode for part in self.parts], axis=-1)

    @property
    def entropy(self) -> Any:
        return total(part.entropy for part in self.parts)


def total(values: Any) -> Any:
    """The sum of Variables."""
    first, *rest = values
    for value in rest:
        first = first + value
    return first


@register_kl(MultiCategorical, MultiCategorical)
def _kl_multi_categorical(a: MultiCategorical, b: MultiCategorical) -> Any:
    if a.event_shape != b.event_shape:
        raise ValueError(f"kl_divergence: {a.event_shape[0]} and {b.event_shape[0]} Categoricals")
    return total(_kl_categorical(*pair) for pair in zip(a.parts, b.parts, strict=True))


class Bernoulli(Distribution):
    """0 or 1: p, the probability of 1, or logit (...); draws are int64.

    binary_check: log_prob of anything but 0 and 1 is -inf; without, nobody looks.
    """

    def __init__(self, p: Any = None, logit: Any = None, binary_check: bool = False):
        one_of("Bernoulli", p=p, logit=logit)
        self.binary_check = binary_check
        if logit is None:
            p = floats("p", p)
            limits = np.finfo(p.dtype)
            p = F.clip(p, float(limits.tiny), 1 - float(limits.epsneg))  # 0 and 1 without infinities
            logit = F.log(p) - F.log1p(-p)
        self.logit = floats("logit", logit)
        self.batch_shape = self.logit.shape

    @lazy
    def p(self) -> Any:
        return F.sigmoid(self.logit)

    @property
    def params(self) -> dict[str, Any]:
        return {"logit": self.logit}

    def _draw(self, sample_shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        p = self.p.array
        return as_variable((xp_of(p).asarray(rng.random((*sample_shape, *p.shape))) < p).astype(np.int64))

    def log_prob(self, x: Any) -> Any:
        x = as_array(x)
        sign = array_like(self.logit, 1 - 2 * x.astype(self.logit.dtype))
        y = -F.softplus(sign * self.logit)
        return F.where((x == 0) | (x == 1), y, array_like(y, -np.inf)) if self.binary_check else y

    @property
    def mean(self) -> Any:
        return self.p

    @property
    def variance(self) -> Any:
        return self.p * F.sigmoid(-self.logit)

    @property
    def mode(self) -> Any:
        return as_variable((self.logit.array > 0).astype(np.int64))

    @property
    def entropy(self) -> Any:
        return F.softplus(self.logit) - self.p * self.logit


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli(a: Bernoulli, b: Bernoulli) -> Any:
    return a.p * (a.logit - b.logit) + F.softplus(b.logit) - F.softplus(a.logit)
