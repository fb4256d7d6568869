"""Learning from the newest rows alone: what A2C, PPO and TRPO share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.actor_critic import RecurrentActorCritic, flat, headed
from rlcore.agents.acting import Exploration, Memory, resets
from rlcore.agents.base import Agent, Policy, rows_of
from rlcore.agents.descent import Descent
from rlcore.agents.recurrent import RecurrentPolicy
from rlcore.autograd import as_array
from rlcore.bodies import MASK
from rlcore.buffers import Rollout
from rlcore.heads import StateDependent
from rlcore.returns import explained_variance, rollout_gae
from rlcore.stream import Step
from rlcore.tree import Tree, leaves, map_

GENERATORS = ("acting", "learning", "policy")
VALUED = 1_024  # rows that are valued at once


class OnPolicy(Agent):
    """Acts by an actor-critic until its rollout is full, learns from that, and forgets it.

    Its config has n_steps, gamma and gae_lambda. model: an `ActorCritic`, or a Link like it; of a
    `RecurrentActorCritic` the rollout is learned in sequences of sequence_length steps of a stream, by default all of
    them. rng: acting, learning and stochastic policies draw from children of it.
    """

    COUNTS: tuple[str, ...] = ("t", "n_updates")

    def __init__(
        self,
        model: Any,
        rollout: Rollout,
        config: Any,
        rng: np.random.Generator,
        sequence_length: int | None = None,
    ):
        self.actor = self.model = model
        self.sequence_length = rollout.length if sequence_length is None else sequence_length
        self.memory: Memory | None = None
        if isinstance(model, RecurrentActorCritic):
            self.memory = Memory(model)
            if rollout.length % self.sequence_length:
                raise ValueError(
                    f"a rollout of n_steps {rollout.length} is no whole number of sequences of sequence_length "
                    f"{self.sequence_length}: n_steps must be a multiple of it"
                )
        self.rollout, self.config = rollout, config
        self.rngs = dict(zip(GENERATORS, rng.spawn(len(GENERATORS))))
        self.acting_model = model.view()
        self.exploration: Exploration | None = None
        if isinstance(model.head, StateDependent):
            every = getattr(config, "sde_sample_freq", None) or rollout.length
            self.exploration = Exploration(model.head, every, self.rngs["acting"])
        self.t = 0  # rows observed
        self.n_updates = 0

    def act(self, obs: Any) -> tuple[Any, dict[str, Any]]:
        extra: dict[str, Any] = {}
        if self.memory is None:
            distribution = self.acting_model.distribution(obs)
        else:
            extra["h"] = self.memory.of(len(next(leaves(obs))))
            distribution, after = self.acting_model.distribution(obs, extra["h"])
            self.memory.keep(after)
        if self.exploration is None:
            action, extra["log_prob"] = distribution.sample_log_prob(rng=self.rngs["acting"])
        else:
            action, extra["log_prob"] = self.exploration(distribution, len(self.rollout))
        extra["action"] = action
        return self.model.head.to_env(action), extra

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        rollout, n = self.rollout, len(step.reward)
        if stream:
            raise ValueError(f"{type(self).__name__} takes all its streams in one call, got stream={stream}")
        if not len(rollout):
            self.check_streams(n)
        final_value = np.zeros(n, np.float32)  # of successors that are not the next row's observation
        if len(rollout) == rollout.length - 1:
            final_value = self._values_after(step.final_obs)
        elif True in step.truncated.tolist():
            at = step.truncated.nonzero()[0]
            final_value[at] = self._values_after(map_(lambda leaf: leaf[at], step.final_obs), at)
        rollout.add(step, obs=obs, final_value=final_value, **extra)
        if self.memory is not None:
            if (len(rollout) - 1) % self.sequence_length == 0:
                self.memory.starts.append(extra["h"])
            self.memory.forget(step.ended | ~step.valid)
        self.t += n

    def _values_after(self, obs: Any, at: Any = slice(None)) -> Any:
        """The values of successors, in the streams `at`."""
        if self.memory is None:
            return self.acting_model.values(obs).array
        return self.acting_model.values(obs, map_(lambda a: a[at], self.memory.h))[0].array

    def clear(self) -> None:
        """Forget the rollout."""
        self.rollout.clear()
        if self.memory is not None:
            self.memory.starts = []

    def update(self) -> dict[str, Any]:
        if not self.rollout.full:
            return {}
        settings, rows = self.begin(), self.rows()
        self.clear()
        value, returns = rows["value"], rows["return"]
        if "valid" in rows:
            value, returns = value[rows["valid"]], returns[rows["valid"]]
        if not len(value):
            return {}
        means = self.learn_from(rows)
        if (explained := explained_variance(returns - value, returns)) is not None:
            means["explained_variance"] = explained
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
        """The rollout's transitions as rows, with their values, advantages and returns.

        With a memory all rows, also such as are no transitions, with `valid` and `reset`, and `h` at the sequences'
        starts.
        """
        config, c = self.config, self.rollout.columns
        rows = map_(flat, c)
        value = self._values(c)
        rows["value"] = value.ravel()
        rows["advantage"] = rollout_gae(c, value, config.gamma, config.gae_lambda).ravel()
        rows["return"] = rows["advantage"] + rows["value"]
        taken = {name: rows[name] for name in ("obs", "action", "log_prob", "value", "advantage", "return")}
        if self.memory is not None:
            return {
                **taken,
                "valid": rows["valid"],
                "reset": resets(c).ravel(),
                "h": map_(lambda *h: np.concatenate(h), *self.memory.starts),
            }
        return taken if rows["valid"].all() else map_(lambda a: a[rows["valid"]], taken)

    def _values(self, c: dict[str, Tree]) -> Any:
        """The values (T, N) of a rollout's observations."""
        steps, n = c["reward"].shape
        parts, k = [], max(VALUED // n, 1)
        if self.memory is None:
            for t in range(0, steps, k):
                parts.append(self.acting_model.values(map_(lambda a, t=t: flat(a[t : t + k]), c["obs"])).array)
        else:
            h, reset = self.memory.starts[0], resets(c)
            for t in range(0, steps, k):
                value, h = self.acting_model.values(map_(lambda a, t=t: a[t : t + k], c["obs"]), h, reset[t : t + k])
                parts.append(value.array)
        return np.concatenate(parts).reshape(steps, n)

    def units(self, rows: dict[str, Tree]) -> int:
        """The number of what minibatches are made of: rows, or sequences where there is a memory."""
        return len(rows["value"]) // (1 if self.memory is None else self.sequence_length)

    def minibatch(self, rows: dict[str, Tree], at: Any) -> dict[str, Tree]:
        """Units of these numbers, for `outputs`; all but obs, reset, valid and h are rows, transitions only."""
        if self.memory is None:
            return map_(lambda leaf: leaf.take(at, 0), rows)
        rows = dict(rows)
        h, length, n = rows.pop("h"), self.sequence_length, self.rollout.columns["reward"].shape[1]
        numbers = (at // n * length + np.arange(length)[:, None]) * n + at % n  # of rows, (T, sequences)
        batch = map_(lambda leaf: leaf.take(numbers, 0), rows)
        valid = batch["valid"]
        for name in ("action", "log_prob", "value", "advantage", "return"):
            batch[name] = map_(flat if valid.all() else lambda leaf: leaf[valid], batch[name])
        return {**batch, "h": map_(lambda leaf: leaf.take(at, 0), h)}

    def outputs(self, batch: dict[str, Tree]) -> tuple[Any, Any]:
        """The distribution over actions and the values of a minibatch's transitions, in the order of its rows."""
        if self.memory is None:
            return self.model(batch["obs"])
        return self.model(batch["obs"], batch["h"], batch["reset"], batch["valid"])[0]

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> Policy:
        """The likeliest actions, or such as are drawn for training."""
        policy = ActorPolicy(self.acting_model, None if deterministic else rng or self.rngs["policy"])
        return policy if self.memory is None else RecurrentActorPolicy(policy)

    def parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "rollout": self.rollout, "rngs": self.rngs}
        own = {"memory": self.memory, "exploration": self.exploration}
        return {**parts, **{name: part for name, part in own.items() if part is not None}}


def rollout_columns(observation_space: Any, model: Any) -> dict[str, Tree]:
    """What a rollout of observations and of the model's actions keeps of a row."""
    number = ((), np.dtype(np.float32))
    return {
        "obs": rows_of(observation_space), "action": model.head.rows, "log_prob": number, "final_value": number
    }  # fmt: skip


class ActorPolicy(Policy):
    """Acts by a model's distribution: the likeliest action, or one drawn from rng."""

    def __init__(self, model: Any, rng: np.random.Generator | None):
        self.model, self.rng = model, rng

    def __call__(self, obs: Any) -> Any:
        return self.chosen(self.model.numbers(obs), obs)

    def chosen(self, numbers: Any, obs: Any) -> Any:
        """Actions for the environment by the numbers of the model."""
        distribution = headed(self.model, numbers, obs)
        action = distribution.mode if self.rng is None else distribution.sample(rng=self.rng)
        return self.model.head.to_env(map_(as_array, action))

    def head(self) -> dict[str, Any]:
        """The head, as it is exported."""
        return {**self.model.head.exported(), **({"mask": MASK} if self.model.masked else {})}

    def exported(self) -> tuple[Any, dict[str, Any]]:
        model = self.model
        return lambda obs: plain(model, model.numbers(obs)), self.head()


class RecurrentActorPolicy(RecurrentPolicy):
    """An `ActorPolicy` of a model with a memory, of which it keeps the state for its streams."""

    def __init__(self, policy: ActorPolicy):
        super().__init__(Numbers(policy.model), policy.chosen, policy.head())

    def exported(self) -> tuple[Any, dict[str, Any]]:
        model = self.model.actor_critic

        def network(obs: Any, h: Tree) -> tuple[Any, Tree]:
            out, h = model.numbers(obs, h)
            return plain(model, out), h

        return network, self.head


class Numbers:
    """model(obs, h) gives the numbers for the head of a RecurrentActorCritic, and its policy's state after the step."""

    def __init__(self, model: RecurrentActorCritic):
        self.actor_critic = model

    def initial(self, n: int) -> Tree:
        return self.actor_critic.initial(n)[:1]

    def __call__(self, obs: Any, h: Tree) -> tuple[Any, Tree]:
        return self.actor_critic.numbers(obs, h)


def plain(model: Any, out: Any) -> Any:
    """The numbers of the likeliest actions alone."""
    return model.head.mean(out) if isinstance(model.head, StateDependent) else out
