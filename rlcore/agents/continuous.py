"""Learning continuous actions from a replay: what DDPG, TD3 and SAC share."""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import Any

import numpy as np

from rlcore.agents.base import Policy, rows_of
from rlcore.agents.descent import Descent
from rlcore.agents.off_policy import OffPolicy
from rlcore.autograd import Link
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.buffers import Replay
from rlcore.continuous import Actor, Critics, UnitBox
from rlcore.losses import squared_errors
from rlcore.stream import Step
from rlcore.tree import leaves

GENERATORS = ("acting", "learning", "policy")


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
        return {"learning_rate": rate, "n_updates": self.n_updates}

    def learn_critic(self, batch: dict[str, Any], next_value: Any) -> dict[str, Any]:
        """Half the mean square of Q(s, a) against the bootstrapped return, summed over critics; {} if left out."""
        goal = batch["reward"] + batch["discount"] * next_value
        q = self.critic(batch["obs"], batch["action"])
        loss = squared_errors(q, goal, batch.get("weight"))
        if not self.descend["critic"](loss, batch):
            return {}
        if "weight" in batch:
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
    """Acts by a function of observations to actions within [-1, 1]; raw: what tanh makes these of, for an export."""

    def __init__(self, actions: Any, box: UnitBox, raw: Any = None):
        self.actions, self.box, self.raw = actions, box, raw

    def __call__(self, obs: Any) -> Any:
        return self.box.to_env(self.actions(obs))

    def exported(self) -> tuple[Any, dict[str, Any]]:
        return super().exported() if self.raw is None else (self.raw, self.box.exported())


def adams(config: Any, *names: str) -> dict[str, Optimizer]:
    """An Adam for each name."""
    return {name: Adam(config.learning_rate(0), corrected_eps=True) for name in names}


def replay_of(observation_space: Any, box: UnitBox, config: Any, rng: np.random.Generator) -> Replay:
    """A replay of observations and of actions as numbers within [-1, 1]."""
    columns = {"obs": rows_of(observation_space), "action": ((box.size,), np.float32)}
    return Replay(config.buffer_size, columns, rng, config.n_step, config.gamma)
