"""Deep Q-network (Mnih et al. 2015) and Double DQN (van Hasselt et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.agents.base import Policy, rows_of
from rlcore.agents.descent import Descent
from rlcore.agents.off_policy import OffPolicy
from rlcore.autograd import Link
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.buffers import Replay
from rlcore.explorers import EpsilonGreedy, Greedy
from rlcore.fields import Count, Fraction, Natural, Positive, Probability, Rate, Schedule, check_fields
from rlcore.networks import value_network


@dataclass(frozen=True)
class DQNConfig:
    """Settings of DQN; steps are rows, one per environment and step."""

    learning_rate: Rate = Schedule(1e-3, 1e-4, 50_000)  # of Adam
    buffer_size: Count = 100_000  # rows: a transition each, and one more for each episode
    learning_starts: Natural = 1_000  # rows before the first update
    batch_size: Count = 64  # transitions per update
    gamma: Fraction = 0.99  # discount per step
    n_step: Count = 4  # rewards summed before bootstrapping (without correction, as Hessel et al. 2018)
    update_every: Count = 128  # rows between rounds of updates: in rounds, data comes from a policy that holds still
    gradient_steps: Count = 128  # updates in a round
    target_update_interval: Count = 128  # updates between target updates
    tau: Fraction = 1.0  # step of the target towards the network; 1 copies it
    epsilon: Probability = Schedule(1.0, 0.04, 8_000)  # probability of a random action
    max_grad_norm: Positive = 10.0  # L2 norm to which the gradient is clipped
    hidden: tuple[Count, ...] = (128, 128)  # units of the hidden layers; images have those of Mnih et al. 2015 instead

    def __post_init__(self) -> None:
        check_fields(self)
        if self.buffer_size < self.batch_size:
            raise ValueError(f"buffer_size {self.buffer_size} is smaller than batch_size {self.batch_size}")


class DQN(OffPolicy):
    """Q-learning with a target network and uniform replay.

    q: a Link, observations (N, ...) to action values (N, A). explorer: of `rlcore.explorers`. rng: what a stochastic
    policy draws from if it is given none.
    """

    Config = DQNConfig

    def __init__(
        self,
        q: Link,
        optimizer: Optimizer,
        replay: Replay,
        explorer: Any,
        config: DQNConfig,
        rng: np.random.Generator,
    ):
        super().__init__(replay, config)
        self.actor = self.q = q
        self.target = q.copy()
        self.optimizer, self.explorer, self.rng = optimizer, explorer, rng
        self.descend = Descent(q, optimizer, config.max_grad_norm)
        self.acting_q, self.target_q = q.view(), self.target.view()

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: DQNConfig, rng: np.random.Generator) -> DQN:
        """Adam, the network of `value_network`, epsilon-greedy exploration; the actions must be Discrete."""
        if type(action_space).__name__ != "Discrete" or action_space.start != 0:
            raise ValueError(f"{cls.__name__} needs a Discrete action space that starts at 0, got {action_space}")
        init, sampling, acting, own = rng.spawn(4)
        q = value_network(observation_space, config.hidden, int(action_space.n), init)
        optimizer = Adam(config.learning_rate(0), corrected_eps=True)
        columns = {"obs": rows_of(observation_space), "action": ((), np.int64)}
        replay = Replay(config.buffer_size, columns, sampling, config.n_step, config.gamma)
        return cls(q, optimizer, replay, EpsilonGreedy(config.epsilon, acting), config, own)

    def act(self, obs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return self.explorer(self.acting_q(obs).array, self.t), {}

    def begin(self) -> dict[str, Any]:
        if not self.n_updates:
            self.target.copyparams(self.q)  # whose sizes, and values, may have been given since
        rate = self.optimizer.learning_rate = self.config.learning_rate(self.t)
        return {"learning_rate": rate, "rollout/exploration_rate": self.config.epsilon(self.t)}

    def learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update, {} if left out: the Huber loss of Q(s, a) against the bootstrapped return, then the target."""
        goal = batch["reward"] + batch["discount"] * self.next_value(batch["next_obs"])
        q = F.select_item(self.q(batch["obs"]), batch["action"])
        loss = F.huber_loss(q, goal, delta=1.0, reduce="mean")
        if not self.descend(loss, batch):
            return {}
        self.n_updates += 1
        if self.n_updates % self.config.target_update_interval == 0:
            self.target.soft_copyparams(self.q, self.config.tau)
        return {"loss": loss.array}

    def next_value(self, obs: Any) -> Any:
        """The value of successors, (N,): the largest of the target network's."""
        return self.target_q(obs).array.max(axis=1)

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> QPolicy:
        """Greedy, or epsilon-greedy with the present epsilon."""
        if deterministic:
            return QPolicy(self.acting_q, Greedy())
        return QPolicy(self.acting_q, EpsilonGreedy(self.config.epsilon(self.t), self.rng if rng is None else rng))

    def descents(self) -> tuple[Descent, ...]:
        return (self.descend,)

    def parts(self) -> dict[str, Any]:
        return {
            "replay": self.replay, "q": self.q, "target": self.target, "optimizer": self.optimizer,
            "explorer": self.explorer, "descent": self.descend, "rng": self.rng,
        }  # fmt: skip


class DoubleDQN(DQN):
    """The network chooses the successor's action, the target network values it (van Hasselt et al. 2016, eq. 4)."""

    def next_value(self, obs: Any) -> Any:
        best = self.acting_q(obs).array.argmax(axis=1)
        return F.select_item(self.target_q(obs), best).array


class QPolicy(Policy):
    """Picks actions by their values."""

    def __init__(self, q: Link, explorer: Any):
        self.q, self.explorer = q, explorer

    def __call__(self, obs: Any) -> np.ndarray:
        return self.explorer(self.q(obs).array, 0)

    def exported(self) -> tuple[Any, dict[str, Any]]:
        return self.q, {"kind": "argmax", "start": 0}
