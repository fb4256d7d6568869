"""APPO: PPO on rollouts in which an older policy may have acted, by V-trace (RLlib's; Espeholt et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.agents.acting import resets
from rlcore.agents.on_policy import VALUED
from rlcore.agents.ppo import PPO, PPOConfig
from rlcore.backend import to_cpu
from rlcore.fields import Count, Distance, Fraction, Positive, Rate, Schedule, Weight
from rlcore.returns import rollout_vtrace
from rlcore.tree import Tree, map_


@dataclass(frozen=True)
class APPOConfig(PPOConfig):
    """Settings of APPO, by default those of RLlib but for the sizes of rollouts and minibatches (50 and 500 there)."""

    learning_rate: Rate = Schedule(5e-4)  # of Adam
    n_steps: Count = 64  # steps of each environment between updates
    batch_size: Count = 64  # rows of a minibatch
    n_epochs: Count = 1  # passes over the rows in an update
    gae_lambda: Fraction = 1.0  # decay of V-trace's trace (remark 2)
    clip_rho: Positive = 1.0  # largest ratio of probabilities, policy to behaviour, in a TD error (eq. 1)
    clip_c: Positive = 1.0  # largest ratio in the trace, at most clip_rho in the paper
    clip_pg_rho: Positive = 1.0  # largest ratio in the policy gradient (section 4.2)
    clip_range: Distance = Schedule(0.4)  # how far from 1 a ratio is rewarded, policy to that before the update
    normalize_advantage: bool = False  # to mean 0 and deviation 1 within each minibatch
    ent_coef: Weight = 0.01  # weight of the entropy in the loss
    vf_coef: Weight = 0.25  # weight of the value loss, the squared error; RLlib has 0.5 of half of it
    max_grad_norm: Positive = 40.0  # L2 norm to which the gradient is clipped


class APPO(PPO):
    """PPO whose advantages and returns are V-trace's, so that it is right where another policy acted.

    V-trace takes the ratios of the policy before the update to the one that acted, the clipped surrogate those of the
    policy as it moves to the one before the update. RLlib has a target network in the latter's place, which lags.
    """

    Config = APPOConfig

    def estimated(self, c: dict[str, Tree], value: Any) -> dict[str, Any]:
        config, log_prob = self.config, self.log_probs(c)
        clips = config.clip_rho, config.clip_c, config.clip_pg_rho
        target, advantage = rollout_vtrace(c, log_prob, value, config.gamma, config.gae_lambda, *clips)
        return {"log_prob": log_prob, "advantage": advantage, "return": target}

    def log_probs(self, c: dict[str, Tree]) -> Any:
        """The log_probs (T, N) of a rollout's actions by the policy as it is; 0 in rows that are no transitions."""
        valid = c["valid"]
        steps, n = valid.shape
        log_prob, k = np.zeros(valid.shape, np.float32), max(VALUED // n, 1)
        if self.memory is not None:
            h, reset = self.there((self.memory.starts[0], resets(c)))
        for t in range(0, steps, k):
            part = slice(t, t + k)
            at = valid[part]
            obs, action = map_(lambda a, part=part: a[part], (c["obs"], c["action"]))
            if self.memory is None:
                distribution = self.acting_model.distribution(self.there(map_(lambda a, at=at: a[at], obs)))
            else:
                (distribution, _), h = self.acting_model(self.there(obs), h, reset[part], self.there(at))
            action = self.there(map_(lambda a, at=at: a[at], action))
            log_prob[part][at] = to_cpu(distribution.log_prob(action).array)
        return log_prob
