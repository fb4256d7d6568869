"""Learning continuous actions from a replay: what DDPG, TD3 and SAC share."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.agents.base import Policy, rows_of
from rlcore.agents.descent import Descent
from rlcore.agents.off_policy import OffPolicy
from rlcore.autograd import Link
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.backend import to_cpu
from rlcore.buffers import Prioritized, Replay
from rlcore.continuous import Actor, Critics, UnitBox
from rlcore.fields import (
    Count,
    Fraction,
    Natural,
    Positive,
    Probability,
    Rate,
    Schedule,
    Updates,
    check_fields,
)
from rlcore.losses import squared_errors
from rlcore.stream import Step
from rlcore.tree import leaves

GENERATORS = ("acting", "learning", "policy")


@dataclass(frozen=True)
class ContinuousConfig:
    """Settings that all of them have, by default those of Stable-Baselines3; steps are rows."""

    learning_rate: Rate = Schedule(3e-4)  # of Adam, for all networks
    buffer_size: Count = 1_000_000  # rows: a transition each, and one more for each episode
    learning_starts: Natural = 100  # rows before the first update; until then actions are uniform
    batch_size: Count = 256  # transitions per update
    tau: Fraction = 0.005  # step of the target networks towards the networks; 1 copies them
    gamma: Fraction = 0.99  # discount per step
    n_step: Count = 1  # rewards summed before bootstrapping (without correction, as Hessel et al. 2018)
    update_every: Count = 1  # rows between rounds of updates
    gradient_steps: Updates = 1  # updates in a round; -1: as many as there were rows
    max_grad_norm: Positive | None = None  # L2 norm to which each network's gradient is clipped; none: not at all
    hidden: tuple[Count, ...] = (256, 256)  # units of the hidden layers, of actor and critics each
    prioritized: bool = False  # transitions of large errors are drawn more often (Schaul et al. 2016)
    priority_alpha: Fraction = 0.6  # how much more: 0 draws uniformly, 1 in proportion to the error
    priority_beta: Probability = Schedule(0.4, 1.0, 1_000_000)  # how much of the bias the weights take back

    def __post_init__(self) -> None:
        check_fields(self)
        if self.buffer_size < self.batch_size:
            raise ValueError(f"buffer_size {self.buffer_size} is smaller than batch_size {self.batch_size}")


class Continuous(OffPolicy):
    """Critics learn from a replay what actions within a Box are worth, and an actor learns from the critics.

    actor: an `Actor`, or a Link like it; critic: `Critics`; optimizers: of both, by these names; box: what the actor's
    numbers mean. Until `learning_starts` actions are uniform. rng: acting, learning and stochastic policies draw from
    children of it.
    """

    def __init__(
        self,
        actor: Actor,
        critic: Critics,
        optimizers: dict[str, Optimizer],
        replay: Replay,
        box: UnitBox,
        config: Any,
        rng: np.random.Generator,
    ):
        super().__init__(replay, config)
        self.actor, self.critic, self.box, self.optimizers = actor, critic, box, optimizers
        self.target_critic = critic.copy()
        self.acting_actor, self.fixed_critic, self.target_q = actor.view(), critic.view(), self.target_critic.view()
        self.rngs = dict(zip(GENERATORS, rng.spawn(len(GENERATORS))))
        self.limit = config.max_grad_norm or sys.float_info.max  # of the gradients' norms
        models: dict[str, Link] = {"actor": actor, "critic": critic}
        self.descend = {name: Descent(model, optimizers[name], self.limit) for name, model in models.items()}

    def act(self, obs: Any) -> tuple[Any, dict[str, Any]]:
        if self.t < self.config.learning_starts:
            shape = len(next(leaves(obs))), self.box.size
            unit = 2 * self.rngs["acting"].random(shape, np.float32) - 1
        else:
            unit = self.explore(obs)
        return self.box.to_env(unit), {"action": unit}

    @abstractmethod
    def explore(self, obs: Any) -> np.ndarray:
        """Actions (N, n) for training, within [-1, 1]."""

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        super().observe(obs, extra["action"], step, {}, stream)

    def begin(self) -> dict[str, Any]:
        if not self.n_updates:
            self.target_critic.copyparams(self.critic)  # whose sizes, and values, may have been given since
        rate = self.config.learning_rate(self.t)
        for optimizer in self.optimizers.values():
            optimizer.learning_rate = rate
        return {"learning_rate": rate}

    def learn_critic(self, batch: dict[str, Any], next_value: Any) -> dict[str, Any]:
        """Half the mean square of Q(s, a) against the bootstrapped return, summed over critics; {} if left out."""
        goal = batch["reward"] + batch["discount"] * next_value
        q = self.critic(batch["obs"], batch["action"])
        loss = squared_errors(q, goal, batch.get("weight"))
        if not self.descend["critic"](loss, batch, len(goal)):
            return {}
        if isinstance(self.replay, Prioritized):
            self.replay.update(batch["row"], abs(q.array - goal).mean(axis=0))
        self.n_updates += 1
        return {"critic_loss": loss.array}

    def descents(self) -> tuple[Descent, ...]:
        return tuple(self.descend.values())

    def parts(self) -> dict[str, Any]:
        return {
            "replay": self.replay, "actor": self.actor, "critic": self.critic, "target_critic": self.target_critic,
            "optimizers": self.optimizers, "descents": self.descend, "rngs": self.rngs,
        }  # fmt: skip


class BoxPolicy(Policy):
    """Acts by a function of observations to actions within [-1, 1], there where the networks are.

    raw: what tanh makes these of, for an export.
    """

    def __init__(self, actions: Any, box: UnitBox, there: Callable[[Any], Any], raw: Any = None):
        self.actions, self.box, self.there, self.raw = actions, box, there, raw

    def __call__(self, obs: Any) -> Any:
        return self.box.to_env(to_cpu(self.actions(self.there(obs))))

    def exported(self) -> tuple[Any, dict[str, Any]]:
        return super().exported() if self.raw is None else (self.raw, self.box.exported())


def adams(config: Any, *names: str) -> dict[str, Optimizer]:
    """An Adam for each name."""
    return {name: Adam(config.learning_rate(0), corrected_eps=True) for name in names}


def columns_of(observation_space: Any, box: UnitBox) -> dict[str, Any]:
    """What a replay keeps of a row, actions as numbers within [-1, 1]."""
    return {"obs": rows_of(observation_space), "action": ((box.size,), np.float32)}
