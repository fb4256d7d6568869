"""Recurrent replay, R2D2 (Kapturowski et al. 2019), with one actor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.agents.drqn import DRQN, DRQNConfig, picked
from rlcore.agents.off_policy import shares_frames
from rlcore.buffers import PrioritizedFrameSequences, PrioritizedSequences, SequenceReplay
from rlcore.fields import Count, Fraction, Natural, Probability, Schedule, Weight
from rlcore.returns import rescaled, unrescaled
from rlcore.tree import Tree


@dataclass(frozen=True)
class R2D2Config(DRQNConfig):
    """Settings of R2D2, of a size for one core: the paper's are in settings/r2d2.json. Steps are rows."""

    sequence_length: Count = 20  # transitions of a sequence that are learned from; the paper has 80
    burn_in: Natural = 10  # transitions before them that bring the recurrent state up to date; the paper has up to 40
    gamma: Fraction = 0.997  # discount per step
    n_step: Count = 5  # rewards summed before bootstrapping, up to the end of the sequence
    dueling: bool = True  # value and advantages have streams of their own, of as many units (Wang et al. 2016)
    priority_alpha: Fraction = 0.9  # how much more often sequences of large errors are drawn: 0 not at all
    priority_beta: Probability = Schedule(0.6)  # share of the bias by this that weights take back
    eta: Fraction = 0.9  # weight of the largest error in a sequence's priority, that of the mean error is the rest
    rescale_eps: Weight = 1e-3  # slope that rescaled values keep, however large: eps of h(x) in the paper


class R2D2(DRQN):
    """DRQN with burn-in, double Q-learning over n steps, rescaled values, and prioritized sequences.

    Its network sees observations alone; the paper's also sees the last action and reward: `last_action_reward` of the
    EnvConfig makes them part of what is observed.
    """

    Config = R2D2Config

    @classmethod
    def sequences(cls, columns: dict[str, Tree], config: Any, rng: np.random.Generator) -> SequenceReplay:
        rows = config.buffer_size, columns, rng, config.sequence_length, config.gamma, config.burn_in
        kind = PrioritizedFrameSequences if shares_frames(columns, config) else PrioritizedSequences
        return kind(*rows, config.priority_alpha, config.priority_beta)

    def goal(self, obs: Tree, batch: dict[str, Any], q: Any, values: Any) -> Any:
        """h(n-step return with h^-1 of the target network's values), of actions that the network chooses (eq. 1)."""
        eps, value = self.config.rescale_eps, picked(values, self.best_of(q, obs, batch))
        return rescaled(self.returns(batch, unrescaled(value, eps)), eps)

    def priority(self, error: Any, mask: Any) -> Any:
        """eta * max + (1 - eta) * mean of each sequence's absolute errors (section 2.3)."""
        eta = self.config.eta
        return eta * error.max(axis=0) + (1 - eta) * super().priority(error, mask)
