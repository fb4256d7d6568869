"""Cross-entropies of labels given logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw, shape_of, summed
from rlcore.autograd.function import Function
from rlcore.autograd.functions.activation import log_softmax, softplus
from rlcore.autograd.functions.indexing import arange_beside, get_item, where
from rlcore.autograd.functions.loss import check_alike, check_reduce
from rlcore.autograd.functions.math import identity
from rlcore.autograd.functions.reduction import average, sum

__all__ = [
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]


def _count(dropped: Any) -> Any:
    """How many are dropped; on a device the number stays there."""
    return int(np.count_nonzero(dropped)) if isinstance(dropped, np.ndarray) else dropped.sum()


def _coefficient(t: Any, n_dropped: Any, normalize: bool, dtype: Any) -> Any:
    """1 / len(t) or, with normalize, 1 / the number of labels that are not dropped (at least 1)."""
    if not normalize:
        return 1 / ((t.shape or (1,))[0] or 1)
    n = t.size - n_dropped
    return 1 / (n or 1) if isinstance(n, int) else (1 / np.maximum(n, 1)).astype(dtype)


class SoftmaxCrossEntropy(Function):
    """The loss of each label, or with `mean` their normalised sum."""

    saves = "x t slope index miss"

    def __init__(self, mean: bool, normalize: bool, cache_score: bool, class_weight: Any, ignore_label: int):
        self.mean, self.normalize, self.cache_score = mean, normalize, cache_score
        self.class_weight, self.ignore_label = class_weight, ignore_label

    def read(self, x, t):
        """Where the labels are in x, which are dropped (None for none), and the factor of each label's loss."""
        dropped = t == self.ignore_label
        n_dropped = _count(dropped)
        factor = _coefficient(t, n_dropped, self.normalize, x.dtype) if self.mean else 1
        host = isinstance(n_dropped, int)
        if host and n_dropped == 0:
            dropped = None
        else:
            t = t * ~dropped
        if host and t.size and t.min() < 0:
            raise IndexError(f"label {t.min()} is negative, and not ignore_label {self.ignore_label}")
        if self.class_weight is not None:
            factor = self.class_weight[t] * factor
        if t.ndim == 1:
            return (arange_beside(t, len(t)), t), dropped, factor
        first, *rest = [arange_beside(t, n).reshape(n, *[1] * (t.ndim - a - 1)) for a, n in enumerate(t.shape)]
        return (first, t, *rest), dropped, factor

    def forward(self, x, t):
        if t.dtype.kind not in "iu":
            raise TypeError(f"t must hold integers, or probabilities of x's dtype, got {t.dtype}")
        if x.ndim < 2 or t.shape != (len(x), *x.shape[2:]):
            raise ValueError("expected x (N, C, ...) and t (N, ...)")
        self.index, dropped, factor = self.read(x, t)
        p = x - x.max(axis=1, keepdims=True)
        picked = p[self.index]
        np.exp(p, out=p)
        total = summed(p, 1, True)
        loss = np.log(total).reshape(t.shape) - picked
        if dropped is not None:
            loss[dropped] = 0  # whatever the logits are, nan included
        self.miss = np.expm1(-loss) * factor  # p - 1 at the label
        self.slope = self.slope_of(p, total, dropped, factor) if self.cache_score else None
        loss *= factor
        return loss.sum() if self.mean else loss

    @staticmethod
    def slope_of(p, total, dropped, factor):
        """What p adds to the gradient of x: softmax times the factor; p is used up."""
        p *= (factor if shape_of(factor) == () else factor.reshape(total.shape)) / total
        if dropped is not None:
            p.transpose(0, *range(2, p.ndim), 1)[dropped] = 0
        return p

    def composite(self, x, t):
        index, dropped, factor = self.read(x, raw(t))
        if dropped is not None:
            x = where(~dropped.reshape(len(x), 1, *t.shape[1:]), x, 0.0)
        log_p = get_item(log_softmax(x), index)
        if dropped is not None:
            log_p = where(~dropped, log_p, 0.0)
        loss = log_p * -factor
        return sum(loss) if self.mean else loss

    def backward(self, gy, x, t, slope, index, miss):
        if slope is None:
            p = np.exp(x - x.max(axis=1, keepdims=True))
            slope = self.slope_of(p, summed(p, 1, True), *self.read(x, t)[1:])
        gx = slope * (gy if self.mean else gy.reshape(len(x), 1, *t.shape[1:]))
        gx[index] = miss * gy
        return gx, None


def softmax_cross_entropy(
    x,
    t,
    normalize=True,
    cache_score=True,
    class_weight=None,
    ignore_label=-1,
    reduce="mean",
    enable_double_backprop=False,
    soft_target_loss="cross-entropy",
):
    """-log softmax(x)[t]: x (N, C, ...) logits, t (N, ...) integers, or probabilities of x's shape, held constant.

    reduce "mean" divides the sum over labels other than ignore_label by their number, without `normalize` by N; the
    mean of no label is 0. "no" gives (N, ...). class_weight (C,) weighs each label's loss, not the number divided by.
    cache_score=False computes the softmax once more in backward and keeps none. Derivatives of any order are there
    whatever enable_double_backprop is. Of probabilities the mean is over all losses; soft_target_loss "kl-divergence"
    takes their entropy off.
    """
    check_reduce("softmax_cross_entropy", reduce, ("mean", "no"))
    t = raw(t)
    if t.dtype.kind == "f":
        if soft_target_loss not in ("cross-entropy", "kl-divergence"):
            raise ValueError(
                "softmax_cross_entropy: soft_target_loss must be 'cross-entropy' or 'kl-divergence', got "
                f"{soft_target_loss!r}"
            )
        if class_weight is not None:
            raise ValueError("softmax_cross_entropy: class_weight is for integers t; multiply the probabilities by it")
        check_alike("softmax_cross_entropy", x=x, t=t)
        loss = -sum(log_softmax(x) * t, axis=1)
        if soft_target_loss == "kl-divergence":
            loss = loss + (t * np.log(t + (t == 0))).sum(axis=1)
        return average(loss) if reduce == "mean" else loss
    if class_weight is not None:
        class_weight = raw(class_weight)
        if class_weight.shape != x.shape[1:2] or class_weight.dtype != x.dtype:
            raise ValueError(
                f"softmax_cross_entropy: class_weight must be of shape {tuple(x.shape[1:2])} and dtype {x.dtype}, got "
                f"{tuple(class_weight.shape)} {class_weight.dtype}"
            )
    return SoftmaxCrossEntropy(reduce == "mean", normalize, cache_score, class_weight, ignore_label).apply(x, t)


def sigmoid_cross_entropy(x, t, normalize=True, reduce="mean"):
    """-log p of binary labels t (integers 0 and 1; -1 is ignored) given logits x of the same shape.

    reduce "mean" divides the sum by the number of labels that count, without `normalize` by len(x); the mean of no
    label is 0. "no" keeps the shape.
    """
    check_reduce("sigmoid_cross_entropy", reduce, ("mean", "no"))
    t = raw(t)
    if t.dtype.kind not in "iu":
        raise TypeError(
            f"sigmoid_cross_entropy: t must hold integers, got {t.dtype}; bernoulli_nll takes probabilities"
        )
    if t.shape != x.shape:
        raise ValueError(
            f"sigmoid_cross_entropy: x and t must have one shape, got {tuple(x.shape)} and {tuple(t.shape)}"
        )
    dropped = t == -1
    x = identity(x)
    loss = where(~dropped, softplus(x) - x * t.astype(x.dtype), 0.0)
    if reduce == "no":
        return loss
    return sum(loss * _coefficient(t, _count(dropped), normalize, x.dtype))
