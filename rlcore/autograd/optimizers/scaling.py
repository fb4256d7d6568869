"""Loss scaling and float32 masters, by which float16 parameters are trained (Micikevicius et al. 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.optimizers.part import Part

MOST = 65504.0  # float16's largest number


class LossScaling:
    """An optimizer's part in mixed precision: gradients of a scaled loss, divided again before hooks and step."""

    loss_scale: float | None = None  # what `loss.backward(loss_scale=...)` is to be given
    _growth: float | None = None  # factor of a dynamic scale at each update
    _overflowed = False  # ever
    _finite = True  # the last gradients
    _master = False
    _in_float32 = False
    _version: int

    def loss_scaling(self, interval: int = 1000, scale: float | None = None) -> None:
        """Divide gradients by a loss scale, to be given to backward; `update(lossfun)` does so itself.

        Without `scale` it is dynamic: from 1 it doubles at each update until gradients are not finite; these are
        skipped and halve it, and from then on it doubles in `interval` updates.
        """
        if scale is None and not interval >= 1:
            raise ValueError(f"loss_scaling: interval must be at least 1, got {interval}")
        if scale is not None and not scale > 0:
            raise ValueError(f"loss_scaling: scale must be positive, got {scale}")
        self._growth = 2 ** (1 / interval) if scale is None else None
        self.loss_scale, self._version = 1.0 if scale is None else scale, -1

    def set_loss_scale(self, loss_scale: float) -> None:
        """A fixed loss scale."""
        self.loss_scaling(scale=loss_scale)

    def use_fp32_update(self, flag: bool = True) -> None:
        """Keep float32 masters of float16 parameters, so that steps below float16's resolution add up."""
        self._master, self._version = flag, -1

    def is_safe_to_update(self) -> bool:
        """Whether the last update's gradients were finite, as far as a dynamic loss scale looked."""
        return self._finite

    def update_loss_scale(self) -> None:
        """Adapt a dynamic loss scale to the last update's gradients."""
        if self._growth is not None and self.loss_scale is not None:
            factor = 0.5 if not self._finite else self._growth if self._overflowed else 2.0
            self.loss_scale = max(1.0, min(MOST, self.loss_scale * factor))

    def _take_gradients(self, parts: list[Part]) -> bool:
        """Copy the gradients to where the step reads them, divided by the scale; whether to take the step."""
        factor = 1 / (self.loss_scale or 1)
        for part in parts:
            np.multiply(part.source, factor, out=part.grad, dtype=part.grad.dtype)
        self._finite = self._growth is None or all(bool(np.isfinite(part.grad).all()) for part in parts)
        self._overflowed = self._overflowed or not self._finite
        return self._finite

    def scaling_state(self) -> dict[str, Any]:
        if self._growth is None:
            return {}
        return {"loss_scale": self.loss_scale, "overflowed": self._overflowed}

    def load_scaling(self, state: dict[str, Any]) -> None:
        if self._growth is not None:
            self.loss_scale, self._overflowed = float(state["loss_scale"]), bool(state["overflowed"])
