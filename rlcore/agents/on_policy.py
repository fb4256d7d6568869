"""Learning from the newest rows alone: what A2C, PPO and TRPO share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any

import numpy as np

from rlcore.actor_critic import RecurrentActorCritic, flat
from rlcore.agents.acting import ActorPolicy, Exploration, Memory, RecurrentActorPolicy, resets
from rlcore.agents.base import Agent, Policy, rows_of
from rlcore.agents.descent import Descent, Patience
from rlcore.backend import to_cpu
from rlcore.buffers import Rollout
from rlcore.fields import Range
from rlcore.heads import Gaussian, StateDependent
from rlcore.returns import explained_variance, merged, moments, normalized, rollout_gae
from rlcore.stream import Step
from rlcore.tree import Tree, leaves, map_

GENERATORS = ("acting", "learning", "policy")
VALUED = 1_024  # rows that are valued at once
LogStd = Annotated[float, Range(-20, 20)]


class OnPolicy(Agent):
    """Acts by an actor-critic until its rollout is full, learns from that, and forgets it.

    Its config has learning_rate, n_steps, gamma and gae_lambda. model: an `ActorCritic`, or a Link like it; of a
    `RecurrentActorCritic` the rollout is learned in sequences of sequence_length steps of a stream, by default all of
    them. descend: the guarded step that it learns by. rng: acting, learning and stochastic policies draw from
    children of it.
    """

    COUNTS: tuple[str, ...] = ("t", "n_updates")

    def __init__(
        self,
        model: Any,
        descend: Descent,
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
        self.rollout, self.config, self.descend, self.optimizer = rollout, config, descend, descend.optimizer
        self.rngs = dict(zip(GENERATORS, rng.spawn(len(GENERATORS))))
        self.acting_model = model.view()
        self.exploration: Exploration | None = None
        if isinstance(model.head, StateDependent):
            every = getattr(config, "sde_sample_freq", None) or rollout.length
            self.exploration = Exploration(model.head, every, self.rngs["acting"])
        self.log_stds = [link.log_std for link in model.links() if isinstance(link, Gaussian)]
        self.t = 0  # rows observed
        self.n_updates = 0

    def act(self, obs: Any) -> tuple[Any, dict[str, Any]]:
        extra: dict[str, Any] = {}
        obs = self.there(obs)
        if self.memory is None:
            distribution = self.acting_model.distribution(obs)
        else:
            h = self.memory.of(len(next(leaves(obs))))
            distribution, after = self.acting_model.distribution(obs, h)
            extra["h"] = map_(to_cpu, h)
            self.memory.keep(after)
            self.memory.acted = True
        if self.exploration is None:
            action, log_prob = distribution.sample_log_prob(rng=self.rngs["acting"])
        else:
            action, log_prob = self.exploration(distribution, len(self.rollout))
        action, extra["log_prob"] = map_(to_cpu, action), to_cpu(log_prob)
        extra["action"] = action
        return self.model.head.to_env(action), extra

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        rollout, n = self.rollout, len(step.reward)
        if stream:
            raise ValueError(f"{type(self).__name__} takes all its streams in one call, got stream={stream}")
        if not len(rollout):
            self.check_streams(n)
        h = self._state_before(obs, extra)
        final_value = np.zeros(n, np.float32)  # of successors that are not the next row's observation
        if len(rollout) == rollout.length - 1:
            final_value = self._values_after(step.final_obs)
        elif True in step.truncated.tolist():
            at = step.truncated.nonzero()[0]
            final_value[at] = self._values_after(map_(lambda leaf: leaf[at], step.final_obs), at)
        rollout.add(step, obs=obs, final_value=final_value, **extra)
        if self.memory is not None:
            if (len(rollout) - 1) % self.sequence_length == 0:
                self.memory.starts.append(map_(to_cpu, h))
            self.forget(step.ended | ~step.valid)
        self.t += n

    def forget(self, over: Any, stream: int = 0) -> None:
        if self.memory is not None:
            self.memory.forget(over, stream)

    def _state_before(self, obs: Any, extra: dict[str, Any]) -> Tree:
        """The state of the streams before this row, and the memory's after it; None if nothing is remembered.

        Where others acted, their rollout's first row has the state in `extra`; the network goes on from there.
        """
        if self.memory is None:
            return None
        if self.memory.acted:
            self.memory.acted = False
            return extra["h"]
        h = self.memory.h if len(self.rollout) else extra["h"]
        self.memory.keep(self.acting_model.distribution(*self.there((obs, h)))[1])
        return h

    def _values_after(self, obs: Any, at: Any = None) -> Any:
        """The values of successors, in the streams numbered `at`; None: in all."""
        obs = self.there(obs)
        if self.memory is None:
            return to_cpu(self.acting_model.values(obs).array)
        h = self.memory.h
        if at is not None:
            at = self.there(at)
            h = map_(lambda a: a[at], h)
        return to_cpu(self.acting_model.values(obs, h)[0].array)

    def clear(self) -> None:
        """Forget the rollout."""
        self.rollout.clear()
        if self.memory is not None:
            self.memory.starts = []

    def ready(self) -> bool:
        """Whether there is enough to learn from."""
        return self.rollout.full

    def update(self) -> dict[str, Any]:
        if not self.ready():
            return {}
        settings, batch = self.begin(), self.batch()
        if not batch:
            return {}
        stats = self.learn_from(batch) | settings
        stats["n_updates"] = self.n_updates
        if self.log_stds:
            stats["std"] = np.exp(np.concatenate([to_cpu(p.array) for p in self.log_stds])).mean()
        if self.descend.skipped:
            stats["faults/nonfinite_update"] = self.descend.skipped
        return stats

    def begin(self) -> dict[str, Any]:
        """Before an update: move what depends on time; what to record of it."""
        rate = self.optimizer.learning_rate = self.config.learning_rate(self.t)
        return {"learning_rate": rate}

    def batch(self) -> dict[str, Tree]:
        """What is learned from, taken out of the rollout; {} if there is no transition, and no rank to learn with."""
        rows = self.rows()
        self.clear()
        there = rows["valid"].any() if "valid" in rows else len(rows["value"])
        return rows if there or self.comm is not None else {}

    @abstractmethod
    def learn_from(self, batch: dict[str, Tree]) -> dict[str, Any]:
        """Update on a `batch`, by default of rows (obs, action, log_prob, value, advantage, return); statistics."""

    def normalized(self, parts: list[Any]) -> list[Any]:
        """`returns.normalized` of parts, rows (n,) each, by the moments of all ranks' rows of them: one exchange."""
        if self.comm is None:
            return [normalized(x) for x in parts]
        ranks = self.comm.allgather(np.array([moments(x) for x in parts]))
        joint = [merged(part) for part in ranks.swapaxes(0, 1)]
        return [x if n < 2 else (x - mean) / (math.sqrt(sq / (n - 1)) + 1e-8) for x, (n, mean, sq) in zip(parts, joint)]

    def descents(self) -> tuple[Patience, ...]:
        """The guarded steps that `learn_from` takes."""
        return (self.descend,)

    def rows(self) -> dict[str, Tree]:
        """The rollout's transitions as rows, with their values, advantages and returns.

        With a memory all rows, also such as are no transitions, with `valid` and `reset`, and `h` at the sequences'
        starts.
        """
        c = self.rollout.columns
        rows = map_(flat, c)
        value = self._values(c)
        rows["value"] = value.ravel()
        rows |= map_(np.ravel, self.estimated(c, value))
        taken = {name: rows[name] for name in ("obs", "action", "log_prob", "value", "advantage", "return")}
        if self.memory is not None:
            return {
                **taken,
                "valid": rows["valid"],
                "reset": resets(c).ravel(),
                "h": map_(lambda *h: np.concatenate(h), *self.memory.starts),
            }
        return taken if rows["valid"].all() else map_(lambda a: a[rows["valid"]], taken)

    def estimated(self, c: dict[str, Tree], value: Any) -> dict[str, Any]:
        """The advantages and returns (T, N) of a rollout whose observations have these values."""
        advantage = rollout_gae(c, value, self.config.gamma, self.config.gae_lambda)
        return {"advantage": advantage, "return": advantage + value}

    def _values(self, c: dict[str, Tree]) -> Any:
        """The values (T, N) of a rollout's observations."""
        steps, n = c["reward"].shape
        parts, k = [], max(VALUED // n, 1)
        if self.memory is None:
            for t in range(0, steps, k):
                obs = self.there(map_(lambda a, t=t: flat(a[t : t + k]), c["obs"]))
                parts.append(to_cpu(self.acting_model.values(obs).array))
        else:
            h, reset = self.there((self.memory.starts[0], resets(c)))
            for t in range(0, steps, k):
                obs = self.there(map_(lambda a, t=t: a[t : t + k], c["obs"]))
                value, h = self.acting_model.values(obs, h, reset[t : t + k])
                parts.append(to_cpu(value.array))
        return np.concatenate(parts).reshape(steps, n)

    def explained(self, rows: dict[str, Tree]) -> dict[str, float]:
        """How much of the variance of the returns the values have explained."""
        value, target = rows["value"], rows["return"]
        if "valid" in rows:
            value, target = value[rows["valid"]], target[rows["valid"]]
        return explained(target - value, target) if len(value) else {}

    def units(self, rows: dict[str, Tree]) -> int:
        """The number of what minibatches are made of: rows, or sequences where there is a memory."""
        return len(rows["value"]) // (1 if self.memory is None else self.sequence_length)

    def advantages(self, rows: dict[str, Tree], at: Any) -> Any:
        """Those of the transitions in the units of these numbers, in the order of `minibatch`."""
        if self.memory is None:
            return rows["advantage"].take(at)
        numbers = self._numbers(at)
        return rows["advantage"].take(numbers)[rows["valid"].take(numbers)]

    def _numbers(self, at: Any) -> Any:
        """The numbers (T, sequences) of the rows of sequences."""
        length, n = self.sequence_length, self.rollout.columns["reward"].shape[1]
        return (at // n * length + np.arange(length)[:, None]) * n + at % n

    def minibatch(self, rows: dict[str, Tree], at: Any) -> dict[str, Tree]:
        """Units of these numbers, for `outputs`; all but obs, reset, valid and h are rows, transitions only."""
        if self.memory is None:
            return map_(lambda leaf: leaf.take(at, 0), rows)
        rows = dict(rows)
        h, numbers = rows.pop("h"), self._numbers(at)
        batch = map_(lambda leaf: leaf.take(numbers, 0), rows)
        valid = batch["valid"]
        for name in ("action", "log_prob", "value", "advantage", "return"):
            batch[name] = map_(flat if valid.all() else lambda leaf: leaf[valid], batch[name])
        return {**batch, "h": map_(lambda leaf: leaf.take(at, 0), h)}

    def outputs(self, batch: dict[str, Tree]) -> tuple[Any, Any]:
        """The distribution over actions and the values of a minibatch's transitions, in the order of its rows.

        The minibatch lies where the networks do.
        """
        if self.memory is None:
            return self.model(batch["obs"])
        return self.model(batch["obs"], batch["h"], batch["reset"], batch["valid"])[0]

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> Policy:
        """The likeliest actions, or such as are drawn for training."""
        policy = ActorPolicy(self.acting_model, None if deterministic else rng or self.rngs["policy"], self.there)
        return policy if self.memory is None else RecurrentActorPolicy(policy)

    def parts(self) -> dict[str, Any]:
        own = {"memory": self.memory, "exploration": self.exploration}
        return {
            "model": self.model, "rollout": self.rollout, "rngs": self.rngs,
            **{name: part for name, part in own.items() if part is not None},
            "optimizer": self.optimizer, "descent": self.descend,
        }  # fmt: skip


def rollout_columns(observation_space: Any, model: Any) -> dict[str, Tree]:
    """What a rollout of observations and of the model's actions keeps of a row."""
    number = ((), np.dtype(np.float32))
    return {
        "obs": rows_of(observation_space), "action": model.head.rows, "log_prob": number, "final_value": number
    }  # fmt: skip


def explained(error: Any, target: Any) -> dict[str, float]:
    """The statistic explained_variance of predictions that err so of targets (N,); {} where these do not vary."""
    share = explained_variance(error, target)
    return {} if share is None else {"explained_variance": share}
