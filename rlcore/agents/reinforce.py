"""REINFORCE: the policy gradient of whole episodes (Williams 1992)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlcore.actor_critic import network_of
from rlcore.agents.acting import resets
from rlcore.agents.descent import Descent
from rlcore.agents.on_policy import LogStd, OnPolicy, explained, rollout_columns
from rlcore.autograd import Link, as_array, as_variable
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.backend import to_cpu, xp_of
from rlcore.buffers import Rollout
from rlcore.fields import Count, Fraction, Positive, Rate, Schedule, Weight, check_fields
from rlcore.losses import actor_critic_loss
from rlcore.returns import normalized, rollout_gae
from rlcore.stream import Step
from rlcore.tree import Tree, map_


@dataclass(frozen=True)
class REINFORCEConfig:
    """Settings of REINFORCE; ChainerRL calls n_episodes batchsize and ent_coef beta, and has no discount."""

    learning_rate: Rate = Schedule(1e-3)  # of Adam
    n_episodes: Count = 10  # episodes of an update
    n_steps: Count = 10_000  # steps for which rows wait for their episodes' ends; a longer episode is cut there
    gamma: Fraction = 0.99  # discount per step; 1: none
    baseline: bool = True  # learn the value of observations, and take it off the returns
    normalize_advantage: bool = False  # to mean 0 and deviation 1 within each update
    ent_coef: Weight = 0.0  # weight of the entropy in the loss
    vf_coef: Weight = 0.5  # weight of the baseline's loss
    max_grad_norm: Positive = 0.5  # L2 norm to which the gradient is clipped
    hidden: tuple[Count, ...] = (64, 64)  # units of the hidden layers, of policy and baseline each
    activation: Literal["tanh", "relu"] = "tanh"  # after each hidden layer
    share_layers: bool = False  # hidden layers serve policy and baseline both, as an image's convolutions always do
    lstm_hidden_size: Count | None = None  # units of an LSTM, for policy and baseline each unless shared; none: no LSTM
    ortho_init: bool = True  # orthogonal weights at the start
    log_std_init: LogStd = 0.0  # log of the deviation of continuous actions at the start

    def __post_init__(self) -> None:
        check_fields(self)


class REINFORCE(OnPolicy):
    """One step up the policy gradient on the discounted returns-to-go of n_episodes, averaged over their rows.

    Rows of unfinished episodes wait in the rollout, across updates, for at most n_steps; then they are learned from as
    if cut short. An episode that is cut short counts the baseline's value of its last observation for what would have
    come, and nothing without a baseline. model: an `ActorCritic` or `RecurrentActorCritic`, or a Link like it; values
    of 0 are no baseline. rng: acting and stochastic policies draw from children of it.
    """

    Config = REINFORCEConfig
    apart = "it learns when episodes have ended, which ranks do not do at one time; take A2C with gae_lambda 1"
    COUNTS = (*OnPolicy.COUNTS, "n_ended")

    def __init__(
        self, model: Any, optimizer: Optimizer, rollout: Rollout, config: REINFORCEConfig, rng: np.random.Generator
    ):
        super().__init__(model, Descent(model, optimizer, config.max_grad_norm), rollout, config, rng)
        self.n_ended = 0  # episodes that wait to be learned from

    @classmethod
    def from_spaces(
        cls, observation_space: Any, action_space: Any, config: REINFORCEConfig, rng: np.random.Generator
    ) -> REINFORCE:
        """Adam, and separate MLPs for policy and baseline; they share a NatureCNN if an image is all that is seen."""
        init, own = rng.spawn(2)
        model = network_of(observation_space, action_space, config, init)
        if not config.baseline:
            model.value = Zero()
        optimizer = Adam(config.learning_rate(0), eps=1e-5, corrected_eps=True)
        return cls(model, optimizer, Rollout(config.n_steps, rollout_columns(observation_space, model)), config, own)

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        super().observe(obs, action, step, extra, stream)
        self.n_ended += int(np.count_nonzero(step.ended & step.valid))

    def ready(self) -> bool:
        return self.n_ended >= self.config.n_episodes or self.rollout.full

    def batch(self) -> dict[str, Tree]:
        """Take the rows of ended episodes out of the rollout, of all episodes where it is full.

        Columns (T, N) with `wanted`, the rows whose values are needed, and `valid`, those to learn from: a row that is
        no transition may be what a stream that was cut without an end bootstraps from.
        """
        rollout = self.rollout
        columns = map_(lambda a: a[: len(rollout)].copy(), rollout.columns)
        valid, ended = columns["valid"], columns["terminated"] | columns["truncated"]
        over = np.logical_or.accumulate((ended | ~valid)[::-1])[::-1]
        if rollout.full:
            over[:] = True
        goes_on = np.concatenate((np.zeros_like(valid[:1]), (valid & ~ended)[:-1]))
        columns["wanted"] = over & (valid | goes_on)
        if self.memory is not None:
            columns["reset"], columns["h"] = resets(columns), self.memory.starts[0]
        waiting = valid & ~over
        rollout.columns["valid"][: len(rollout)] = waiting
        columns["valid"] = valid & over
        first = int(waiting.any(axis=1).argmax()) if waiting.any() else len(rollout)
        rollout.drop(first)
        if self.memory is not None and first:  # what waits begins with an episode
            self.memory.starts = [map_(np.zeros_like, columns["h"])] if len(rollout) else []
        self.n_ended = 0
        return columns if columns["valid"].any() else {}

    def learn_from(self, columns: dict[str, Tree]) -> dict[str, Any]:
        """One step up the logarithms of the actions' probabilities times what came after them (theorem 1)."""
        config, wanted = self.config, columns["wanted"]
        if self.memory is None:
            batch = {"obs": map_(lambda a: a[wanted], columns["obs"])}
        else:
            batch = {"obs": columns["obs"], "h": columns["h"], "reset": columns["reset"], "valid": wanted}
        distribution, value = self.outputs(self.there(batch))
        before = to_cpu(value.array)
        v = np.zeros_like(columns["reward"])
        v[wanted] = before
        advantage = rollout_gae(columns, v, config.gamma, 1.0)[wanted]
        target = advantage + before
        log_prob, entropy = distribution.log_prob_entropy(self.there(map_(lambda a: a[wanted], columns["action"])))
        learned = columns["valid"][wanted]
        if not learned.all():
            at = learned.nonzero()[0]
            advantage, target, at = advantage[at], target[at], self.there(at)
            log_prob, entropy, value = (x[at] for x in (log_prob, entropy, value))
        stats = explained(advantage, target) if config.baseline else {}
        if config.normalize_advantage:
            advantage = normalized(advantage)
        vf_coef = config.vf_coef if config.baseline else 0.0
        advantage, target = self.there((advantage, target))
        loss, parts = actor_critic_loss(log_prob, entropy, value, advantage, target, config.ent_coef, vf_coef)
        if not self.descend(loss, columns):
            return {}
        self.n_updates += 1
        if not config.baseline:
            del parts["value_loss"]
        return {**stats, **parts, "loss": loss.array}


class Zero(Link):
    """The value 0 of features (N, ...): no baseline."""

    def forward(self, x: Any) -> Any:
        x = as_array(x)
        return as_variable(xp_of(x).zeros((len(x), 1), x.dtype))
