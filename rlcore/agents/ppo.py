"""Proximal policy optimisation (Schulman et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlcore.actor_critic import network_of
from rlcore.agents.descent import Descent
from rlcore.agents.off_policy import means_of
from rlcore.agents.on_policy import LogStd, OnPolicy, rollout_columns
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.buffers import Rollout
from rlcore.buffers.rollout import refuse_more
from rlcore.fields import Count, Distance, Fraction, Positive, Rate, Schedule, Weight, check_fields
from rlcore.losses import ppo_loss
from rlcore.tree import Tree


@dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO, by default those of Stable-Baselines3."""

    learning_rate: Rate = Schedule(3e-4)  # of Adam
    n_steps: Count = 2_048  # steps of each environment between updates
    batch_size: Count = 64  # rows of a minibatch
    n_epochs: Count = 10  # passes over the rows in an update
    gamma: Fraction = 0.99  # discount per step
    gae_lambda: Fraction = 0.95  # decay of the advantage estimate's trace: 0 is the TD error, 1 Monte Carlo
    clip_range: Distance = Schedule(0.2)  # how far from 1 a ratio of probabilities is rewarded
    clip_range_vf: Positive | None = None  # how far a value may move in an update; none: as far as it likes
    normalize_advantage: bool = True  # to mean 0 and deviation 1 within each minibatch
    ent_coef: Weight = 0.0  # weight of the entropy in the loss
    vf_coef: Weight = 0.5  # weight of the value loss
    max_grad_norm: Positive = 0.5  # L2 norm to which the gradient is clipped
    target_kl: Positive | None = None  # an update ends at 1.5 times this divergence from the policy before it
    hidden: tuple[Count, ...] = (64, 64)  # units of the hidden layers, of policy and value each unless they share
    activation: Literal["tanh", "relu"] = "tanh"  # after each hidden layer
    ortho_init: bool = True  # orthogonal weights at the start
    log_std_init: LogStd = 0.0  # log of the deviation of continuous actions at the start
    use_sde: bool = False  # exploration of Box actions by noise that is a function of the state (Raffin et al. 2021)
    sde_sample_freq: Count | None = None  # steps for which that function is kept; none: n_steps (-1 elsewhere)
    full_std: bool = True  # of the function: a deviation for each feature and action, else one for each feature
    share_layers: bool = False  # hidden layers serve policy and value both, as an image's convolutions always do
    lstm_hidden_size: Count | None = None  # units of an LSTM, of policy and value each unless shared; none: no LSTM
    sequence_length: Count = 32  # steps through which an LSTM's gradient goes; minibatches are of such sequences

    def __post_init__(self) -> None:
        check_fields(self)
        if self.lstm_hidden_size is not None and self.batch_size % self.sequence_length:
            raise ValueError(
                f"batch_size {self.batch_size} is no whole number of sequences of sequence_length "
                f"{self.sequence_length}: batch_size must be a multiple of it"
            )


class PPO(OnPolicy):
    """Policy gradient on a clipped surrogate, in epochs over the newest rows, with generalised advantage estimates.

    model: an `ActorCritic` or `RecurrentActorCritic`, or a Link like it. rng: acting, shuffling and stochastic policies
    draw from children of it. n_updates counts epochs, as Stable-Baselines3 does.
    """

    Config = PPOConfig

    def __init__(self, model: Any, optimizer: Optimizer, rollout: Rollout, config: PPOConfig, rng: np.random.Generator):
        descend = Descent(model, optimizer, config.max_grad_norm)
        super().__init__(model, descend, rollout, config, rng, config.sequence_length)
        self.kl_limit = math.inf if config.target_kl is None else 1.5 * config.target_kl

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: PPOConfig, rng: np.random.Generator) -> PPO:
        """Adam, and the networks of `actor_critic` for these spaces."""
        init, own = rng.spawn(2)
        model = network_of(observation_space, action_space, config, init)
        columns = rollout_columns(observation_space, model)
        optimizer = Adam(config.learning_rate(0), eps=1e-5, corrected_eps=True)
        return cls(model, optimizer, Rollout(config.n_steps, columns), config, own)

    def check_streams(self, n: int) -> None:
        refuse_more(self.config.batch_size, self.rollout.length, n)

    def begin(self) -> dict[str, Any]:
        return super().begin() | {"clip_range": self.config.clip_range(self.t)}

    def learn_from(self, rows: dict[str, Tree]) -> dict[str, Any]:
        """Epochs over the rows in minibatches, up to the limit of the divergence."""
        stats: list[dict[str, Any]] = []
        for batch in self._minibatches(rows):
            learned = self.learn(batch) if len(batch["value"]) or self.comm is not None else {}
            stats.append(learned)
            if learned.get("approx_kl", 0) > self.kl_limit:
                break
        return means_of(stats) | self.explained(rows)

    def _minibatches(self, rows: dict[str, Tree]) -> Iterator[dict[str, Tree]]:
        """Those of all epochs, their advantages normalised each by itself."""
        for numbers in self._epochs(self.units(rows)):
            advantages = [self.advantages(rows, at) for at in numbers]
            if self.config.normalize_advantage:
                advantages = self.normalized(advantages)
            for at, advantage in zip(numbers, advantages):
                yield {**self.minibatch(rows, at), "advantage": advantage}

    def _epochs(self, n: int) -> Iterator[list[np.ndarray]]:
        """The numbers of n units by minibatches: in each epoch all, in an order of its own; the last may have fewer.

        Ranks that learn together have as many minibatches as the one with the most, the last ones empty.
        """
        size = self.config.batch_size // (1 if self.memory is None else self.sequence_length)
        end = n if self.comm is None else size * self.most(-(-n // size))
        for _ in range(self.config.n_epochs):
            self.n_updates += 1
            order = self.rngs["learning"].permutation(n)
            yield [order[start : start + size] for start in range(0, end, size)]

    def learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step up the clipped surrogate and the entropy, and down the error of the values (eq. 9)."""
        config, n = self.config, len(batch["value"])
        if not n:
            return self.absent(batch)
        batch = self.there(batch)
        distribution, value = self.outputs(batch)
        log_prob, entropy = distribution.log_prob_entropy(batch["action"])
        loss, stats = ppo_loss(
            log_prob, entropy, value, batch, batch["advantage"], clip_range=config.clip_range(self.t),
            clip_range_vf=config.clip_range_vf, ent_coef=config.ent_coef, vf_coef=config.vf_coef,
        )  # fmt: skip
        if self.comm is not None and self.kl_limit < math.inf:
            stats["approx_kl"] = self.mean_of_all(stats["approx_kl"], n)
        return stats if stats["approx_kl"] > self.kl_limit or self.descend(loss, batch, n) else {}

    def absent(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The other ranks' step, where there is no row of this one's."""
        kl = self.mean_of_all(0, 0) if self.kl_limit < math.inf else 0.0
        if kl > self.kl_limit:
            return {"approx_kl": kl}
        self.descend.absent(batch)
        return {}
