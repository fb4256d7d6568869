"""Advantage actor-critic, the synchronous form of A3C (Mnih et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlcore.actor_critic import flat, network_of
from rlcore.agents.acting import resets
from rlcore.agents.descent import Descent
from rlcore.agents.on_policy import LogStd, OnPolicy, explained, rollout_columns
from rlcore.autograd.optimizers import Adam, Optimizer, RMSprop
from rlcore.backend import to_cpu
from rlcore.buffers import Rollout
from rlcore.fields import Count, Fraction, Positive, Rate, Schedule, Weight, check_fields
from rlcore.losses import actor_critic_loss
from rlcore.returns import rollout_gae
from rlcore.tree import Tree, map_


@dataclass(frozen=True)
class A2CConfig:
    """Settings of A2C, by default those of Stable-Baselines3."""

    learning_rate: Rate = Schedule(7e-4)  # of RMSprop or Adam
    n_steps: Count = 5  # steps of each environment between updates
    gamma: Fraction = 0.99  # discount per step
    gae_lambda: Fraction = 1.0  # decay of the advantage estimate's trace: 0 is the TD error, 1 the n-step return
    ent_coef: Weight = 0.0  # weight of the entropy in the loss
    vf_coef: Weight = 0.5  # weight of the value loss
    max_grad_norm: Positive = 0.5  # L2 norm to which the gradient is clipped
    use_rms_prop: bool = True  # RMSprop with a decay of 0.99, as in A3C; else Adam
    rms_prop_eps: Positive = 1e-5  # what keeps RMSprop from dividing by 0
    eps_inside_sqrt: bool = False  # add it to the mean square before the root, as TensorFlow's RMSprop and A3C do
    normalize_advantage: bool = False  # to mean 0 and deviation 1 within each update
    hidden: tuple[Count, ...] = (64, 64)  # units of the hidden layers, of policy and value each
    activation: Literal["tanh", "relu"] = "tanh"  # after each hidden layer
    use_sde: bool = False  # exploration of Box actions by noise that is a function of the state (Raffin et al. 2021)
    sde_sample_freq: Count | None = None  # steps for which that function is kept; none: n_steps (-1 elsewhere)
    full_std: bool = True  # of the function: a deviation for each feature and action, else one for each feature
    share_layers: bool = False  # hidden layers serve policy and value both, as an image's convolutions always do
    lstm_hidden_size: Count | None = None  # units of an LSTM, for policy and value each unless shared; none: no LSTM
    ortho_init: bool = True  # orthogonal weights at the start
    log_std_init: LogStd = 0.0  # log of the deviation of continuous actions at the start

    def __post_init__(self) -> None:
        check_fields(self)


class A2C(OnPolicy):
    """One step up the policy gradient and the entropy, and down the error of the values, after every few steps.

    model: an `ActorCritic` or `RecurrentActorCritic`, or a Link like it. rng: acting and stochastic policies draw from
    children of it.
    """

    Config = A2CConfig

    def __init__(self, model: Any, optimizer: Optimizer, rollout: Rollout, config: A2CConfig, rng: np.random.Generator):
        super().__init__(model, Descent(model, optimizer, config.max_grad_norm), rollout, config, rng)

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: A2CConfig, rng: np.random.Generator) -> A2C:
        """RMSprop, and separate MLPs for policy and value; they share a NatureCNN if an image is all that is seen."""
        init, own = rng.spawn(2)
        model = network_of(observation_space, action_space, config, init)
        optimizer: Optimizer = Adam(eps=1e-5, corrected_eps=True)
        if config.use_rms_prop:
            optimizer = RMSprop(alpha=0.99, eps=config.rms_prop_eps, eps_inside_sqrt=config.eps_inside_sqrt)
        rollout = Rollout(config.n_steps, rollout_columns(observation_space, model))
        return cls(model, optimizer, rollout, config, own)

    def batch(self) -> dict[str, Tree]:
        columns = self.rollout.columns
        if self.memory is not None:
            columns = {**columns, "h": self.memory.starts[0]}
        self.clear()
        return columns if columns["valid"].any() or self.comm is not None else {}

    def learn_from(self, columns: dict[str, Tree]) -> dict[str, Any]:
        """One step on the whole rollout, whose values come from the same pass as their gradients (algorithm S3)."""
        config, valid = self.config, columns["valid"]
        if self.memory is None:
            distribution, value = self.model(self.there(map_(flat, columns["obs"])))
        else:
            (distribution, value), _ = self.model(*self.there((columns["obs"], columns["h"], resets(columns))))
        log_prob, entropy = distribution.log_prob_entropy(self.there(map_(flat, columns["action"])))
        v, log_p = (to_cpu(x.array).reshape(valid.shape) for x in (value, log_prob))
        target, advantage = map(np.ravel, self.estimates(columns, v, log_p))
        if not valid.all():
            at = valid.ravel().nonzero()[0]
            advantage, target, at = advantage[at], target[at], self.there(at)
            log_prob, entropy, value = (x[at] for x in (log_prob, entropy, value))
        n = len(advantage)
        if config.normalize_advantage:
            (advantage,) = self.normalized([advantage])
        if not n:
            self.n_updates += self.descend.absent(columns)
            return {}
        stats = explained(target - to_cpu(value.array), target)
        advantage, target = self.there((advantage, target))
        loss, parts = actor_critic_loss(log_prob, entropy, value, advantage, target, config.ent_coef, config.vf_coef)
        if not self.descend(loss, columns, n):
            return {}
        self.n_updates += 1
        return {**stats, **parts, "loss": loss.array}

    def estimates(self, columns: dict[str, Tree], value: Any, log_prob: Any) -> tuple[Any, Any]:
        """What the values are to become, and the advantages (T, N); by the values and log_probs as they are now."""
        advantage = rollout_gae(columns, value, self.config.gamma, self.config.gae_lambda)
        return advantage + value, advantage
