"""IMPALA, the importance weighted actor-learner (Espeholt et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlcore.agents.a2c import A2C, A2CConfig
from rlcore.agents.off_policy import means_of
from rlcore.fields import Count, Fraction, Positive, Rate, Schedule, Weight
from rlcore.returns import rollout_vtrace
from rlcore.tree import Tree


@dataclass(frozen=True)
class IMPALAConfig(A2CConfig):
    """Settings of IMPALA, by default those of RLlib; the paper's for Atari are in settings/impala.json."""

    learning_rate: Rate = Schedule(5e-4)  # of Adam or RMSprop
    n_steps: Count = 20  # steps of each environment between updates, n in the paper's table; RLlib has 50
    n_epochs: Count = 1  # steps on each rollout, with ratios and targets of their own
    gae_lambda: Fraction = 1.0  # decay of V-trace's trace (remark 2)
    clip_rho: Positive = 1.0  # largest ratio of probabilities, policy to behaviour, in a TD error (eq. 1)
    clip_c: Positive = 1.0  # largest ratio in the trace, at most clip_rho in the paper
    clip_pg_rho: Positive = 1.0  # largest ratio in the policy gradient (section 4.2)
    ent_coef: Weight = 0.01  # weight of the entropy in the loss
    vf_coef: Weight = 0.25  # weight of the value loss, the squared error; RLlib and the paper have 0.5 of half of it
    max_grad_norm: Positive = 40.0  # L2 norm to which the gradient is clipped
    use_rms_prop: bool = False  # RMSprop with a decay of 0.99, as the paper; else Adam


class IMPALA(A2C):
    """A2C that is right where another policy acted, such as an older one: its returns and gradients are V-trace's.

    What acted is known by the log_prob of its actions in `extra`; all values are of the network as it is now. The loss
    is a mean over n rows; the paper takes the sum, which is the same with n times the max_grad_norm and, of RMSprop
    with eps_inside_sqrt, n^2 times the rms_prop_eps.
    """

    Config = IMPALAConfig

    def learn_from(self, columns: dict[str, Tree]) -> dict[str, Any]:
        """n_epochs steps on the whole rollout."""
        stats = []
        for _ in range(self.config.n_epochs):
            stats.append(super().learn_from(columns))
        return means_of(stats)

    def estimates(self, columns: dict[str, Tree], value: Any, log_prob: Any) -> tuple[Any, Any]:
        """V-trace by the network as it is now."""
        config = self.config
        clips = config.clip_rho, config.clip_c, config.clip_pg_rho
        return rollout_vtrace(columns, log_prob, value, config.gamma, config.gae_lambda, *clips)
