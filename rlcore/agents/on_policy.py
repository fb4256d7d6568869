"""Learning from the newest rows alone: what A2C, PPO and TRPO share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.actor_critic import ActorCritic
from rlcore.agents.base import Agent, Policy, rows_of
from rlcore.agents.descent import Descent
from rlcore.autograd import as_array
from rlcore.bodies import MASK
from rlcore.buffers import Rollout
from rlcore.returns import gae
from rlcore.stream import Step
from rlcore.tree import Tree, map_

GENERATORS = ("acting", "learning", "policy")
VALUED = 1_024  # rows that are valued at once


class OnPolicy(Agent):
    """Acts by an actor-critic until its rollout is full, learns from that, and forgets it.

    Its config has n_steps, gamma and gae_lambda. model: an `ActorCritic`, or a Link like it. rng: acting, learning and
    stochastic policies draw from children of it.
    """

    COUNTS = ("t", "n_updates")

    def __init__(self, model: ActorCritic, rollout: Rollout, config: Any, rng: np.random.Generator):
        self.actor = self.model = model
        self.rollout, self.config = rollout, config
        self.rngs = dict(zip(GENERATORS, rng.spawn(len(GENERATORS))))
        self.acting_model = model.view()
        self.t = 0  # rows observed
        self.n_updates = 0

    def act(self, obs: Any) -> tuple[Any, dict[str, Any]]:
        distribution = self.acting_model.distribution(obs)
        action, log_prob = distribution.sample_log_prob(rng=self.rngs["acting"])
        return self.model.head.to_env(action), {"action": action, "log_prob": log_prob}

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        rollout, n = self.rollout, len(step.reward)
        if stream:
            raise ValueError(f"{type(self).__name__} takes all its streams in one call, got stream={stream}")
        if not len(rollout):
            self.check_streams(n)
        final_value = np.zeros(n, np.float32)  # of successors that are not the next row's observation
        if len(rollout) == rollout.length - 1:
            final_value = self.acting_model.values(step.final_obs).array
        elif True in step.truncated.tolist():
            at = step.truncated.nonzero()[0]
            final_value[at] = self.acting_model.values(map_(lambda leaf: leaf[at], step.final_obs)).array
        rollout.add(step, obs=obs, final_value=final_value, **extra)
        self.t += n

    def update(self) -> dict[str, Any]:
        if not self.rollout.full:
            return {}
        settings, rows = self.begin(), self.rows()
        self.rollout.clear()
        if not len(rows["value"]):
            return {}
        means = self.learn_from(rows)
        if (spread := rows["return"].var()) > 0:
            means["explained_variance"] = 1 - (rows["return"] - rows["value"]).var() / spread
        if skipped := sum([descent.skipped for descent in self.descents()]):
            means["faults/nonfinite_update"] = skipped
        return means | settings

    @abstractmethod
    def begin(self) -> dict[str, Any]:
        """Before an update: move what depends on time; what to record of it."""

    @abstractmethod
    def learn_from(self, rows: dict[str, Tree]) -> dict[str, Any]:
        """Update on all rows (obs, action, log_prob, value, advantage, return); statistics."""

    @abstractmethod
    def descents(self) -> Sequence[Descent]:
        """The guarded steps that `learn_from` takes."""

    def rows(self) -> dict[str, Tree]:
        """The rollout's transitions as rows, with their values, advantages and returns."""
        config, c = self.config, self.rollout.columns
        rows = map_(lambda a: a.reshape(-1, *a.shape[2:]), c)
        starts = range(0, rows["reward"].size, VALUED)
        parts = [map_(lambda a, i=i: a[i : i + VALUED], rows["obs"]) for i in starts]
        rows["value"] = np.concatenate([self.acting_model.values(part).array for part in parts])
        value = rows["value"].reshape(c["reward"].shape)
        following = np.concatenate((value[1:], c["final_value"][-1:]))
        next_value = np.where(c["truncated"], c["final_value"], following)
        ended = c["terminated"] | c["truncated"]
        advantage = gae(
            c["reward"], value, next_value, c["terminated"], ended, c["valid"], config.gamma, config.gae_lambda
        )
        rows["advantage"] = advantage.ravel()
        rows["return"] = rows["advantage"] + rows["value"]
        rows = {name: rows[name] for name in ("obs", "action", "log_prob", "value", "advantage", "return")}
        valid = c["valid"].ravel()
        return rows if valid.all() else map_(lambda a: a[valid], rows)

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> ActorPolicy:
        """The likeliest actions, or such as are drawn for training."""
        return ActorPolicy(self.acting_model, None if deterministic else rng or self.rngs["policy"])

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "rollout": self.rollout, "rngs": self.rngs}


def rollout_columns(observation_space: Any, model: ActorCritic) -> dict[str, Tree]:
    """What a rollout of observations and of the model's actions keeps of a row."""
    number = ((), np.dtype(np.float32))
    return {
        "obs": rows_of(observation_space), "action": model.head.rows, "log_prob": number, "final_value": number
    }  # fmt: skip


class ActorPolicy(Policy):
    """Acts by a model's distribution: the likeliest action, or one drawn from rng."""

    def __init__(self, model: ActorCritic, rng: np.random.Generator | None):
        self.model, self.rng = model, rng

    def __call__(self, obs: Any) -> Any:
        distribution = self.model.distribution(obs)
        action = distribution.mode if self.rng is None else distribution.sample(rng=self.rng)
        return self.model.head.to_env(map_(as_array, action))

    def exported(self) -> tuple[Any, dict[str, Any]]:
        model = self.model
        mask = {"mask": MASK} if model.masked else {}
        return lambda obs: model.policy(model.body(obs)), {**model.head.exported(), **mask}
