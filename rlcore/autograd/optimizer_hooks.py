"""What is done to the gradients before an optimizer's step: hooks for `Optimizer.add_hook`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class GradientClipping:
    """Scale all gradients so that their common L2 norm is at most `threshold`; `norm` holds the norm before."""

    def __init__(self, threshold: float):
        if not threshold > 0:
            raise ValueError(f"GradientClipping: threshold must be above 0, got {threshold}")
        self.threshold = threshold
        self.norm: Any = 0.0

    def __call__(self, gradients: list[Any]) -> None:
        square = gradients[0].dot(gradients[0])
        for g in gradients[1:]:
            square = square + g.dot(g)
        if isinstance(square, np.floating):  # on the host: Python's arithmetic, and mostly nothing to do
            self.norm = math.sqrt(square)
            if self.norm > self.threshold:
                for g in gradients:
                    g *= self.threshold / self.norm
        else:  # on a device: no branch, nothing is read back
            self.norm = np.sqrt(square)
            factor = self.threshold / np.maximum(self.norm, self.threshold)
            for g in gradients:
                g *= factor
