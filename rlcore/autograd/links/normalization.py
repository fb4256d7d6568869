"""Links that normalise: by statistics of a batch, a group, a row, or of all data seen so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.config import config
from rlcore.autograd.functions import normalization
from rlcore.autograd.functions.array import cast
from rlcore.autograd.functions.math import clip as _clip
from rlcore.autograd.initializers import Constant, Initializer
from rlcore.autograd.link import Link
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.variable import as_array, as_variable
from rlcore.backend import xp_of

__all__ = [
    "BatchNormalization",
    "BatchRenormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RunningNormalizer",
]


class BatchNormalization(Link):
    """F.batch_normalization by the batch's moments in train mode, by running ones in test mode.

    size: of gamma and beta, an int or a tuple; None: settled by the first call, from the axes that are not in `axis`,
    or from axis 1. avg_mean, avg_var and N are persistent. A view normalises as its model does in either mode, and
    never updates statistics.
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        decay: float = 0.9,
        eps: float = 2e-5,
        dtype: Any = None,
        use_gamma: bool = True,
        use_beta: bool = True,
        initial_gamma: Any = None,
        initial_beta: Any = None,
        axis: int | tuple[int, ...] | None = None,
        initial_avg_mean: Any = None,
        initial_avg_var: Any = None,
    ):
        super().__init__()
        self.decay, self.eps, self.axis = decay, eps, axis
        self._dtype = np.dtype(config.dtype if dtype is None else dtype)
        self._initial = {
            "avg_mean": _filler(initial_avg_mean, 0, self._dtype),
            "avg_var": _filler(initial_avg_var, 1, self._dtype),
        }
        self.gamma = Parameter(_filler(initial_gamma, 1, self._dtype)) if use_gamma else None
        self.beta = Parameter(_filler(initial_beta, 0, self._dtype)) if use_beta else None
        self.add_persistent("avg_mean", None)
        self.add_persistent("avg_var", None)
        self.add_persistent("N", 0)
        if size is not None:
            self._settle((size,) if isinstance(size, int) else tuple(size), np)

    def _settle(self, shape: tuple[int, ...], xp: Any) -> None:
        for parameter in (self.gamma, self.beta):
            if parameter is not None and parameter.array is None:
                parameter.initialize(shape)
        for name, fill in self._initial.items():
            if self._persistent[name] is None:
                array = xp.empty(shape, self._dtype)
                fill(array)
                self.add_persistent(name, array)

    def _shape_for(self, x: Any) -> tuple[int, ...]:
        if self.axis is None:
            shape = tuple(x.shape[1:2])
        else:
            averaged = {a % x.ndim for a in ((self.axis,) if isinstance(self.axis, int) else self.axis)}
            shape = tuple([n for i, n in enumerate(x.shape) if i not in averaged])
        if not shape:
            raise ValueError(
                f"{type(self).__name__}: x of shape {tuple(x.shape)} has no axis beside those averaged over, "
                f"{0 if self.axis is None else self.axis}"
            )
        return shape

    def forward(self, x: Any, finetune: bool = False) -> Any:
        """x normalised; finetune: the running moments are the plain averages since `start_finetuning()`."""
        if self.avg_mean is None:
            self._settle(self._shape_for(x), xp_of(as_array(x)))
        xp, shape = xp_of(self.avg_mean), self.avg_mean.shape
        gamma = xp.ones(shape, self._dtype) if self.gamma is None else self.gamma
        beta = xp.zeros(shape, self._dtype) if self.beta is None else self.beta
        if not config.train:
            return normalization.fixed_batch_normalization(
                x, gamma, beta, self.avg_mean, self.avg_var, self.eps, self.axis
            )
        update = "_viewed_link" not in self.__dict__ and not config.in_recomputing
        y = self._by_batch(x, gamma, beta, 1 - 1 / (self.N + 1) if finetune else self.decay, update)
        if update and finetune:
            self.N += 1
        return y

    def _by_batch(self, x: Any, gamma: Any, beta: Any, decay: float, update: bool) -> Any:
        mean, var = (self.avg_mean, self.avg_var) if update else (None, None)
        return normalization.batch_normalization(x, gamma, beta, self.eps, mean, var, decay, self.axis)

    def start_finetuning(self) -> None:
        """Count batches afresh: the next call with finetune=True forgets the running moments."""
        self.N = 0


class BatchRenormalization(BatchNormalization):
    """F.batch_renormalization in train mode, by running moments in test mode; else as BatchNormalization."""

    def __init__(
        self,
        size: int | tuple[int, ...] | None,
        rmax: float = 1,
        dmax: float = 0,
        decay: float = 0.9,
        eps: float = 2e-5,
        dtype: Any = None,
        use_gamma: bool = True,
        use_beta: bool = True,
        initial_gamma: Any = None,
        initial_beta: Any = None,
        initial_avg_mean: Any = None,
        initial_avg_var: Any = None,
    ):
        super().__init__(
            size, decay, eps, dtype, use_gamma, use_beta, initial_gamma, initial_beta, None, initial_avg_mean,
            initial_avg_var,
        )  # fmt: skip
        self.rmax, self.dmax = rmax, dmax

    def _by_batch(self, x: Any, gamma: Any, beta: Any, decay: float, update: bool) -> Any:
        return normalization.batch_renormalization(
            x, gamma, beta, self.rmax, self.dmax, self.eps, self.avg_mean, self.avg_var, decay, update
        )


def _filler(given: Any, default: float, dtype: Any) -> Initializer:
    if isinstance(given, Initializer):
        return given
    return Constant(default if given is None else given, dtype)


class GroupNormalization(Link):
    """F.group_normalization with gamma and beta (size,), one for each channel; None: settled by the first call."""

    def __init__(
        self,
        groups: int,
        size: int | None = None,
        eps: float = 1e-5,
        initial_gamma: Any = None,
        initial_beta: Any = None,
    ):
        super().__init__()
        self.groups, self.eps = groups, eps
        self.gamma = Parameter(1 if initial_gamma is None else initial_gamma, size)
        self.beta = Parameter(0 if initial_beta is None else initial_beta, size)

    def forward(self, x: Any) -> Any:
        if self.gamma.array is None and x.ndim > 1:  # else the function says what is wrong
            self.gamma.initialize(x.shape[1])
            self.beta.initialize(x.shape[1])
        return normalization.group_normalization(x, self.groups, self.gamma, self.beta, self.eps)


class LayerNormalization(Link):
    """F.layer_normalization with gamma and beta (size,), one for each element of a row; None: by the first call."""

    def __init__(self, size: int | None = None, eps: float = 1e-6, initial_gamma: Any = None, initial_beta: Any = None):
        super().__init__()
        self.eps = eps
        self.gamma = Parameter(1 if initial_gamma is None else initial_gamma, size)
        self.beta = Parameter(0 if initial_beta is None else initial_beta, size)

    def forward(self, x: Any) -> Any:
        if self.gamma.array is None:
            self.gamma.initialize(x.shape[-1])
            self.beta.initialize(x.shape[-1])
        return normalization.layer_normalization(x, self.gamma, self.beta, self.eps)


class RunningNormalizer(Link):
    """(x - mean) / sqrt(var + eps), limited to [-clip, clip] if given, with the moments of all data seen by `update`.

    mean and var, of one example's shape, are persistent, as is what they lose by rounding, so that they stay exact over
    any number of updates; count is an int. Until the first update x passes as it is. The result has the model's dtype.
    """

    def __init__(
        self, shape: int | tuple[int, ...], eps: float = 1e-8, clip: float | None = None, *, dtype: Any = None
    ):
        super().__init__()
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = np.dtype(config.dtype if dtype is None else dtype)
        self.eps, self.clip = eps, clip
        self.add_persistent("mean", np.zeros(shape, dtype))
        self.add_persistent("var", np.ones(shape, dtype))
        self.add_persistent("lost", np.zeros((2, *shape), dtype))
        self.add_persistent("count", 0)

    def forward(self, x: Any) -> Any:
        x = as_variable(x)
        if x.dtype != self.mean.dtype:
            x = cast(x, self.mean.dtype)
        y = (x - self.mean) * (1 / np.sqrt(self.var + self.eps))
        return y if self.clip is None else _clip(y, -self.clip, self.clip)

    def update(self, batch: Any) -> None:
        """Count in a batch (..., *shape), by the merging of moments of Chan et al. 1979; of a view: nothing."""
        x, shape = as_array(batch), self.mean.shape
        if x.shape[x.ndim - len(shape) :] != shape:
            raise ValueError(f"RunningNormalizer: expected a batch (..., {', '.join(map(str, shape))}), got {x.shape}")
        x = x.reshape(-1, *shape).astype(np.float64)
        n = len(x)
        if n == 0 or "_viewed_link" in self.__dict__:
            return
        if isinstance(x, np.ndarray) and not np.isfinite(x).all():  # not on a device, where it would wait for a copy
            raise ValueError("RunningNormalizer: the batch has elements that are not finite; nothing was counted")
        lost, share = self.lost.astype(np.float64), n / (self.count + n)
        mean, var = self.mean + lost[0], self.var + lost[1]
        batch_mean = x.mean(axis=0)
        d = batch_mean - mean
        var = var * (1 - share) + ((x - batch_mean) ** 2).mean(axis=0) * share + d * d * (share * (1 - share))
        for i, (kept, new) in enumerate(((self.mean, mean + d * share), (self.var, var))):
            kept[...] = new
            self.lost[i] = new - kept
        self.count += n
