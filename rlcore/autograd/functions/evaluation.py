"""How good predictions are: numbers without a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.dual import raw
from rlcore.autograd.functions.loss import check_alike
from rlcore.backend import xp_of

__all__ = ["accuracy", "binary_accuracy", "explained_variance", "r2_score"]


def _constant(array: Any, dtype: Any) -> Any:
    from rlcore.autograd.variable import handle

    return handle(xp_of(array).asarray(array, dtype=dtype), None)


def _share(right: Any, dropped: Any, dtype: Any) -> Any:
    """The part of what is not dropped that is right, 0 if all is dropped."""
    return _constant((right & ~dropped).sum() / np.maximum((~dropped).sum(), 1), dtype)


def accuracy(y, t, ignore_label=None):
    """Share of the labels t (N, ...) at which y (N, C, ...) is largest along axis 1; ignore_label does not count."""
    y, t = raw(y), raw(t)
    if t.dtype.kind not in "iu":
        raise TypeError(f"accuracy: t must hold integers, got {t.dtype}")
    if y.ndim < 2 or y.size != t.size * y.shape[1] or len(y) != len(t):
        raise ValueError(f"accuracy: expected y (N, C, ...) and t (N, ...), got {tuple(y.shape)} and {tuple(t.shape)}")
    right = y.argmax(axis=1).reshape(t.shape) == t
    return _share(right, t != t if ignore_label is None else t == ignore_label, y.dtype)


def binary_accuracy(y, t):
    """Share of the binary labels t for which y >= 0 says 1 and y < 0 says 0; -1 does not count."""
    y, t = raw(y), raw(t)
    if t.dtype.kind not in "iu":
        raise TypeError(f"binary_accuracy: t must hold integers, got {t.dtype}")
    if y.shape != t.shape:
        raise ValueError(f"binary_accuracy: y and t must have one shape, got {tuple(y.shape)} and {tuple(t.shape)}")
    return _share((y >= 0) == t, t == -1, y.dtype)


def r2_score(pred, true, sample_weight=None, multioutput="uniform_average"):
    """1 - squared error / squared deviation of `true` from its mean, per column, 0 where that is 0.

    Weighted by sample_weight (N,); multioutput: "uniform_average" of the columns, or "raw_values".
    """
    pred, true = raw(pred), raw(true)
    check_alike("r2_score", pred=pred, true=true)
    return _score("r2_score", true - pred, true, sample_weight, multioutput)


def explained_variance(pred, true, sample_weight=None, multioutput="uniform_average"):
    """1 - variance of the error / variance of `true`: r2_score of a prediction that may be off by a constant."""
    pred, true = raw(pred), raw(true)
    check_alike("explained_variance", pred=pred, true=true)
    error = true - pred
    return _score("explained_variance", error - _mean(error, sample_weight), true, sample_weight, multioutput)


def _mean(x: Any, weight: Any) -> Any:
    """Mean over the first axis."""
    if weight is None:
        return x.mean(axis=0)
    weight = raw(weight)
    weight = weight.reshape(-1, *[1] * (x.ndim - 1))
    return (x * weight).sum(axis=0) / weight.sum()


def _score(name: str, error: Any, true: Any, weight: Any, multioutput: str) -> Any:
    if multioutput not in ("uniform_average", "raw_values"):
        raise ValueError(f"{name}: multioutput must be 'uniform_average' or 'raw_values', got {multioutput!r}")
    if weight is not None and weight.shape != true.shape[:1]:
        raise ValueError(f"{name}: sample_weight must be {tuple(true.shape[:1])}, got {tuple(weight.shape)}")
    deviation = true - _mean(true, weight)
    total = xp_of(true).asarray(_mean(deviation * deviation, weight))
    score = (1 - _mean(error * error, weight) / (total + (total == 0))) * (total != 0)
    return _constant(score if multioutput == "raw_values" else score.mean(), true.dtype)
