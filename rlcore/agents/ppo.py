"""Proximal policy optimisation (Schulman et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from rlcore import rng as rngs
from rlcore.actor_critic import MASK, ActorCritic, Gaussian, actor_critic
from rlcore.agents.base import Agent, Descent, Policy, means_of, rows_of
from rlcore.autograd import as_array
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.buffers import Rollout
from rlcore.fields import Count, Distance, Fraction, Positive, Range, Rate, Schedule, Weight, check_fields
from rlcore.losses import clipped_surrogate
from rlcore.returns import gae
from rlcore.stream import Step
from rlcore.tree import Tree, map_

GENERATORS = ("acting", "learning", "policy")
LogStd = Annotated[float, Range(-20, 20)]


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
    hidden: tuple[Count, ...] = (64, 64)  # units of the hidden layers, of policy and value each
    activation: Literal["tanh", "relu"] = "tanh"  # after each hidden layer
    ortho_init: bool = True  # orthogonal weights at the start
    log_std_init: LogStd = 0.0  # logarithm of the deviation of continuous actions at the start

    def __post_init__(self) -> None:
        check_fields(self)


class PPO(Agent):
    """Policy gradient on a clipped surrogate, in epochs over the newest rows, with generalised advantage estimates.

    model: an `ActorCritic`, or a Link like it. rng: acting, shuffling and stochastic policies draw from children of it.
    """

    Config = PPOConfig

    def __init__(
        self, model: ActorCritic, optimizer: Optimizer, rollout: Rollout, config: PPOConfig, rng: np.random.Generator
    ):
        self.actor = self.model = model
        self.optimizer, self.descend = optimizer, Descent(model, optimizer, config.max_grad_norm)
        self.rollout, self.config = rollout, config
        self.rngs = dict(zip(GENERATORS, rng.spawn(len(GENERATORS))))
        self.acting_model = model.view()
        self.log_stds = [link.log_std for link in model.links() if isinstance(link, Gaussian)]
        self.kl_limit = math.inf if config.target_kl is None else 1.5 * config.target_kl
        self.t = 0  # rows observed
        self.n_updates = 0  # epochs, as Stable-Baselines3 counts

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: PPOConfig, rng: np.random.Generator) -> PPO:
        """Adam, and separate MLPs for policy and value; they share a NatureCNN if an image is all that is seen."""
        init, own = rng.spawn(2)
        activation = {"tanh": F.tanh, "relu": F.relu}[config.activation]
        model = actor_critic(
            observation_space,
            action_space,
            config.hidden,
            activation=activation,
            ortho_init=config.ortho_init,
            log_std=config.log_std_init,
            rng=init,
        )
        number = ((), np.float32)
        columns = {"obs": rows_of(observation_space), "action": model.head.rows}
        columns |= {"log_prob": number, "final_value": number}
        optimizer = Adam(config.learning_rate(0), eps=1e-5, corrected_eps=True)
        return cls(model, optimizer, Rollout(config.n_steps, columns), config, own)

    def check_streams(self, n: int) -> None:
        size, length = self.config.batch_size, self.rollout.length
        if size > length * n:
            raise ValueError(
                f"batch_size {size} is more than the {length * n} rows of an update, n_steps {length} of {n} "
                "environments: lower batch_size, or raise n_steps or n_envs"
            )

    def act(self, obs: Any) -> tuple[Any, dict[str, Any]]:
        distribution = self.acting_model.distribution(obs)
        action, log_prob = distribution.sample_log_prob(rng=self.rngs["acting"])
        return self.model.head.to_env(action), {"action": action, "log_prob": log_prob}

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        rollout, n = self.rollout, len(step.reward)
        if stream:
            raise ValueError(f"PPO takes all its streams in one call, got stream={stream}")
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
        config, rows = self.config, self._rows()
        self.rollout.clear()
        if not len(rows["value"]):
            return {}
        self.optimizer.learning_rate = config.learning_rate(self.t)
        stats: list[dict[str, Any]] = []
        for at in self._minibatches(len(rows["value"])):
            learned = self.learn(map_(lambda leaf, at=at: leaf.take(at, 0), rows))
            stats.append(learned)
            if learned.get("approx_kl", 0) > self.kl_limit:
                break
        means = means_of(stats)
        if (spread := rows["return"].var()) > 0:
            means["explained_variance"] = 1 - (rows["return"] - rows["value"]).var() / spread
        if self.descend.skipped:
            means["faults/nonfinite_update"] = self.descend.skipped
        if self.log_stds:
            means["std"] = np.exp(np.concatenate([p.array for p in self.log_stds])).mean()
        means |= {"learning_rate": self.optimizer.learning_rate, "n_updates": self.n_updates}
        return means | {"clip_range": config.clip_range(self.t)}

    def _rows(self) -> dict[str, Tree]:
        """The rollout's transitions as rows, with their values, advantages and returns."""
        config, c = self.config, self.rollout.columns
        rows = map_(lambda a: a.reshape(-1, *a.shape[2:]), c)
        n, size = rows["reward"].size, max(config.batch_size, 1_024)  # rows that are valued at once
        parts = [map_(lambda a, i=i: a[i : i + size], rows["obs"]) for i in range(0, n, size)]
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

    def _minibatches(self, n: int) -> Iterator[np.ndarray]:
        """Numbers of rows: in each epoch all n of them, in an order of its own; the last minibatch may be smaller."""
        for _ in range(self.config.n_epochs):
            self.n_updates += 1
            order = self.rngs["learning"].permutation(n)
            for start in range(0, n, self.config.batch_size):
                yield order[start : start + self.config.batch_size]

    def learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step up the clipped surrogate and the entropy, and down the error of the values (eq. 9)."""
        config, clip_range = self.config, self.config.clip_range(self.t)
        advantage = normalized(batch["advantage"]) if config.normalize_advantage else batch["advantage"]
        distribution, value = self.model(batch["obs"])
        log_prob, n = distribution.log_prob(batch["action"]), len(advantage)
        policy_loss = clipped_surrogate(log_prob, batch["log_prob"], advantage, clip_range)
        if config.clip_range_vf is not None:
            moved = F.clip(value - batch["value"], -config.clip_range_vf, config.clip_range_vf)
            value = batch["value"] + moved
        value_loss = F.mean_squared_error(value, batch["return"])
        entropy_loss = F.sum(distribution.entropy) * (-1 / n)
        loss = policy_loss + config.vf_coef * value_loss
        if config.ent_coef:
            loss = loss + config.ent_coef * entropy_loss
        log_ratio = log_prob.array - batch["log_prob"]
        off = np.exp(log_ratio) - 1
        stats = {
            "loss": loss.array, "policy_gradient_loss": policy_loss.array, "value_loss": value_loss.array,
            "entropy_loss": entropy_loss.array, "clip_fraction": np.count_nonzero(abs(off) > clip_range) / n,
            "approx_kl": (off - log_ratio).sum() / n,  # without bias and of little variance, as Stable-Baselines3's
        }  # fmt: skip
        return stats if stats["approx_kl"] > self.kl_limit or self.descend(loss, batch) else {}

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> ActorPolicy:
        """The likeliest actions, or such as are drawn for training."""
        return ActorPolicy(self.acting_model, None if deterministic else rng or self.rngs["policy"])

    def state(self) -> dict[str, Any]:
        return {
            "t": self.t, "n_updates": self.n_updates, "rngs": {k: rngs.state_of(rng) for k, rng in self.rngs.items()},
            "model": self.model.state(), "optimizer": self.optimizer.state(), "rollout": self.rollout.state(),
            "descent": self.descend.state(),
        }  # fmt: skip

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming what is wrong, unless `load` can take this state."""
        if wrong := sorted(self.state().keys() ^ state.keys()):
            raise ValueError(f"load: the state is not of a {type(self).__name__}: it differs in {', '.join(wrong)}")
        for name in ("t", "n_updates"):
            if type(state[name]) is not int:
                raise ValueError(f"load: {name} must be a whole number, got {state[name]!r}")
        self.model.check(state["model"])
        self.optimizer.check(state["optimizer"])
        self.rollout.check(state["rollout"])
        self.descend.check(state["descent"])
        if state["rngs"].keys() != self.rngs.keys():
            raise ValueError(f"load: expected generators for {', '.join(self.rngs)}, got {', '.join(state['rngs'])}")
        for name, rng in self.rngs.items():
            rngs.check(rng, state["rngs"][name])

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.model.load(state["model"])
        self.optimizer.load(state["optimizer"])
        self.rollout.load(state["rollout"])
        self.descend.load(state["descent"])
        for name, rng in self.rngs.items():
            rngs.restore(rng, state["rngs"][name])
        self.t, self.n_updates = state["t"], state["n_updates"]


def normalized(x: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1, by n - 1 as Stable-Baselines3; a single element stays."""
    if len(x) < 2:
        return x
    x = x - x.sum() / len(x)
    return x / (math.sqrt(x.dot(x) / (len(x) - 1)) + 1e-8)


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
