"""Trust region policy optimisation (Schulman et al. 2015)."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from rlcore.actor_critic import ActorCritic, network_of
from rlcore.agents.descent import Descent, Patience
from rlcore.agents.off_policy import means_of
from rlcore.agents.on_policy import VALUED, LogStd, OnPolicy, rollout_columns
from rlcore.autograd import ChainList, as_array, grad
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.backend import to_cpu, xp_of
from rlcore.buffers import Rollout
from rlcore.buffers.rollout import refuse_more
from rlcore.distributions import kl_divergence
from rlcore.fields import Count, Fraction, Natural, Positive, Range, Rate, Schedule, Weight, check_fields
from rlcore.tree import Tree, map_


@dataclass(frozen=True)
class TRPOConfig:
    """Settings of TRPO, by default those of Stable-Baselines3-contrib."""

    learning_rate: Rate = Schedule(1e-3)  # of Adam, for the values
    n_steps: Count = 2_048  # steps of each environment between updates
    batch_size: Count = 128  # rows of a minibatch of the values
    gamma: Fraction = 0.99  # discount per step
    cg_max_steps: Count = 15  # of the conjugate gradient: products with the Fisher matrix
    cg_damping: Weight = 0.1  # times the identity, added to the Fisher matrix
    line_search_shrinking_factor: Annotated[float, Range(0, 1, open=True)] = 0.8  # of the step, at each try
    line_search_max_iter: Natural = 10  # tries
    n_critic_updates: Count = 10  # passes of the values over the rows in an update
    gae_lambda: Fraction = 0.95  # decay of the advantage estimate's trace: 0 is the TD error, 1 Monte Carlo
    normalize_advantage: bool = True  # to mean 0 and deviation 1 within each update
    target_kl: Positive = 0.01  # mean divergence from the policy before it that an update keeps to, nats
    sub_sampling_factor: Count = 1  # the policy learns from each row of so many
    hidden: tuple[Count, ...] = (64, 64)  # units of the hidden layers, of policy and value each
    activation: Literal["tanh", "relu"] = "tanh"  # after each hidden layer
    ortho_init: bool = True  # orthogonal weights at the start
    log_std_init: LogStd = 0.0  # log of the deviation of continuous actions at the start

    def __post_init__(self) -> None:
        check_fields(self)


class TRPO(OnPolicy):
    """The step along the natural gradient that improves the surrogate most within a limit of the divergence.

    What moves in it is all but `model.value`, which has an optimizer of its own and takes the features of the body as
    they are: a body that policy and value share learns from the policy alone, so that the limit holds after the values'
    steps too. model: an `ActorCritic`, or a Link like it. rng: acting, shuffling and stochastic policies draw from
    children of it.
    """

    Config = TRPOConfig

    def __init__(
        self, model: Any, optimizer: Optimizer, rollout: Rollout, config: TRPOConfig, rng: np.random.Generator
    ):
        if not isinstance(model, ActorCritic):
            raise ValueError(f"TRPO learns an ActorCritic, without a memory; got a {type(model).__name__}")
        super().__init__(model, Descent(model.value, optimizer, sys.float_info.max), rollout, config, rng)
        self.patience = Patience()  # with the policy's steps
        self.moving = ChainList(model.body, model.policy, model.head)
        self.params = list(self.moving.params())
        self.old = model.copy()
        self.old_view = self.old.view()

    def to_device(self, device: Any) -> TRPO:
        super().to_device(device)
        self.old.to_device(device)
        return self

    @classmethod
    def from_spaces(
        cls, observation_space: Any, action_space: Any, config: TRPOConfig, rng: np.random.Generator
    ) -> TRPO:
        """Adam, and separate MLPs for policy and value; they share a NatureCNN if an image is all that is seen."""
        init, own = rng.spawn(2)
        model = network_of(observation_space, action_space, config, init)
        optimizer = Adam(config.learning_rate(0), eps=1e-5, corrected_eps=True)
        return cls(model, optimizer, Rollout(config.n_steps, rollout_columns(observation_space, model)), config, own)

    def descents(self) -> tuple[Patience, ...]:
        return self.descend, self.patience

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "patience": self.patience}

    def check_streams(self, n: int) -> None:
        refuse_more(self.config.batch_size, self.rollout.length, n)

    def learn_from(self, rows: dict[str, Tree]) -> dict[str, Any]:
        """A step of the policy, then epochs of the values' regression on the returns."""
        step = self.config.sub_sampling_factor
        stats = self.improve(rows if step == 1 else map_(lambda leaf: leaf[::step], rows))
        losses, n = [], len(rows["value"])
        end = n if self.comm is None else self.most(n)  # ranks take as many steps as the one with the most rows
        features = self.features(rows["obs"], n)
        for _ in range(self.config.n_critic_updates):
            order = self.rngs["learning"].permutation(n)
            for start in range(0, end, self.config.batch_size):
                at = order[start : start + self.config.batch_size]
                losses.append(self.regress(features.take(at, 0), rows["return"].take(at)))
        self.n_updates += 1
        return stats | means_of(losses) | self.explained(rows)

    def batch(self) -> dict[str, Tree]:
        """As of all on-policy agents, but {} where it is so on any rank: there is no mean over no rows."""
        rows = super().batch()
        return {} if self.anywhere(not rows or not len(rows["value"])) else rows

    def features(self, obs: Tree, n: int) -> Any:
        """What the body makes of n observations, as constants on the host."""
        parts = [map_(lambda a, i=i: a[i : i + VALUED], obs) for i in range(0, n, VALUED)]
        return np.concatenate([to_cpu(as_array(self.acting_model.body(self.there(part)))) for part in parts])

    def regress(self, features: Any, returns: Any) -> dict[str, Any]:
        """One step of the values towards the returns."""
        batch, n = {"features": features, "return": returns}, len(returns)
        if not n:
            self.descend.absent(batch)
            return {}
        features, returns = self.there((features, returns))
        loss = F.mean_squared_error(F.reshape(self.model.value(features), (-1,)), returns)
        return {"value_loss": loss.array} if self.descend(loss, batch, n) else {}

    def improve(self, rows: dict[str, Tree]) -> dict[str, Any]:
        """The policy's step: conjugate gradient, then a line search (section 6 and appendix C)."""
        config, params, n = self.config, self.params, len(rows["advantage"])
        advantage = self.normalized([rows["advantage"]])[0] if config.normalize_advantage else rows["advantage"]
        rows, advantage = self.there((rows, advantage))
        self.old.copyparams(self.model)
        old, new = self.old_view.distribution(rows["obs"]), self.model.distribution(rows["obs"])
        objective = surrogate(new, rows, advantage)
        gradient, gain = self.mean(self.joined(grad(objective, params)), n), self.mean_of_all(objective.array, n)
        slopes = grad(F.average(kl_divergence(old, new)), params, enable_double_backprop=True)
        fisher = self.fisher(slopes, n)
        direction = conjugate_gradient(fisher, gradient, config.cg_max_steps)
        curvature = float(direction.dot(fisher(direction)))
        success, kl = False, 0.0
        if 0 < curvature < math.inf:
            direction *= math.sqrt(2 * config.target_kl / curvature)
            success, gained, kl = self.search(direction, rows, advantage, old, gain)
        if math.isfinite(curvature + gain):
            self.patience.in_a_row = 0
        else:
            self.patience.leave_out(rows)
        return {
            "policy_objective": gained if success else gain,
            "kl_divergence_loss": kl,
            "is_line_search_success": float(success),
        }

    def fisher(self, slopes: list[Any], n: int = 1) -> Callable[[Any], Any]:
        """The damped Fisher matrix times a vector: the exact second derivative of the divergence, by backprop twice.

        slopes: its first derivatives, whose graph serves all products; n: rows that the divergence is a mean over.
        """
        used = [(g, i) for i, g in enumerate(slopes) if g is not None and g.requires_grad]

        def product(v: Any) -> Any:
            parts = self.moving.split(v)
            second = grad([g for g, _ in used], self.params, [parts[i] for _, i in used])
            return self.mean(self.joined(second), n) + self.config.cg_damping * v

        return product

    def search(
        self, direction: Any, rows: dict[str, Tree], advantage: Any, old: Any, gain: float
    ) -> tuple[bool, float, float]:
        """Go the longest step of a shrinking series that improves on `gain` within the limit; whether there was one.

        Then its surrogate and divergence; else all parameters are as they were.
        """
        config, before = self.config, [p.array.copy() for p in self.params]
        size = 1.0
        for _ in range(config.line_search_max_iter):
            for p, start, move in zip(self.params, before, self.moving.split(size * direction)):
                p.array = start + move
            with np.errstate(all="ignore"):  # ratios far beyond the limit
                new = self.acting_model.distribution(rows["obs"])
                gained = self.mean_of_all(surrogate(new, rows, advantage).array, len(advantage))
                kl = self.mean_of_all(F.average(kl_divergence(old, new)).array, len(advantage))
            if kl <= config.target_kl and gained > gain:
                return True, gained, kl
            size *= config.line_search_shrinking_factor
        for p, start in zip(self.params, before):
            p.array = start
        return False, gain, 0.0

    def mean(self, vector: Any, n: int) -> Any:
        """A vector that is a mean over n rows as one over those of all ranks, in its place."""
        if self.comm is not None:
            self.comm.mean_(vector, n)
        return vector

    def joined(self, gradients: list[Any]) -> Any:
        """Gradients as one vector, zeros where there is none."""
        return self.moving.join(
            [p.xp.zeros_like(p.array) if g is None else g.array for p, g in zip(self.params, gradients)]
        )


def surrogate(distribution: Any, rows: dict[str, Tree], advantage: Any) -> Any:
    """What the policy may gain: the mean of ratio times advantage (eq. 14)."""
    return F.average(F.exp(distribution.log_prob(rows["action"]) - rows["log_prob"]) * advantage)


def conjugate_gradient(product: Callable[[Any], Any], b: Any, steps: int, tolerance: float = 1e-10) -> Any:
    """x with A x = b for a positive definite A, given as product(v) = A v (Hestenes and Stiefel 1952).

    It ends after `steps` products, or when the square of the residual is at most tolerance.
    """
    x, residual = xp_of(b).zeros_like(b), b.copy()
    p, square = residual.copy(), float(residual.dot(residual))
    for _ in range(steps):
        if not square > tolerance:
            break
        z = product(p)
        alpha = square / float(p.dot(z))
        x += alpha * p
        residual -= alpha * z
        before, square = square, float(residual.dot(residual))
        p = residual + (square / before) * p
    return x
