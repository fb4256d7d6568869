"""Recurrent replay, R2D2 (Kapturowski et al. 2019), with one actor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.agents.drqn import DRQN, DRQNConfig, picked
from rlcore.buffers import PrioritizedSequences, SequenceReplay
from rlcore.fields import Count, Fraction, Natural, Probability, Schedule, Weight
from rlcore.returns import rescaled, unrescaled
from rlcore.tree import Tree


@dataclass(frozen=True)
class R2D2Config(DRQNConfig):
    """Settings of R2D2; steps are rows, one per environment and step."""

    sequence_length: Count = 20
    burn_in: Natural = 10
    gamma: Fraction = 0.997  # discount per step, as the paper's
    n_step: Count = 5
    dueling: bool = True
    alpha: Fraction = 0.9
    beta: Probability = Schedule(0.6)
    eta: Fraction = 0.9  # weight of the largest error in a sequence's priority; the rest is that of the mean error
    rescale_eps: Weight = 1e-3


class R2D2(DRQN):
    """DRQN with burn-in, double Q-learning over n steps, rescaled values, and prioritized sequences."""

    Config = R2D2Config

    @classmethod
    def sequences(cls, columns: dict[str, Tree], config: Any, rng: np.random.Generator) -> SequenceReplay:
        rows = config.buffer_size, columns, rng, config.sequence_length, config.gamma, config.burn_in
        return PrioritizedSequences(*rows, config.alpha, config.beta)

    def goal(self, obs: Tree, batch: dict[str, Any], q: Any, values: Any) -> Any:
        """h(n-step return with h^-1 of the target network's values), of actions that the network chooses (eq. 1)."""
        eps, value = self.config.rescale_eps, picked(values, self.best_of(q, obs, batch))
        return rescaled(self.returns(batch, unrescaled(value, eps)), eps)

    def priority(self, error: Any, mask: Any) -> Any:
        """eta * max + (1 - eta) * mean of each sequence's absolute errors (section 2.3)."""
        eta = self.config.eta
        return eta * error.max(axis=0) + (1 - eta) * super().priority(error, mask)
