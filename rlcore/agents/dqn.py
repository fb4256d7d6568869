"""Deep Q-network (Mnih et al. 2015) and Double DQN (van Hasselt et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore import rng as rngs
from rlcore.agents.base import Agent, Descent, Policy, means_of, rows_of
from rlcore.autograd import Link
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.buffers import Replay
from rlcore.explorers import EpsilonGreedy, Greedy
from rlcore.fields import Count, Fraction, Natural, Positive, Probability, Rate, Schedule, check_fields
from rlcore.networks import value_network
from rlcore.stream import Step


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


class DQN(Agent):
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
        self.actor = self.q = q
        self.target = q.copy()
        self.optimizer, self.replay, self.explorer = optimizer, replay, explorer
        self.descend = Descent(q, optimizer, config.max_grad_norm)
        self.config, self.rng = config, rng
        self.acting_q, self.target_q = q.view(), self.target.view()
        self.t = 0  # rows observed
        self.due = 0  # updates owed
        self.n_updates = 0

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

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        self.replay.add(obs, action, step, extra, stream)
        config, before = self.config, max(self.t, self.config.learning_starts)
        self.t += len(step.reward)
        if self.t > before:
            rounds = self.t // config.update_every - before // config.update_every
            self.due += rounds * config.gradient_steps

    def update(self) -> dict[str, Any]:
        if not self.due or not len(self.replay):
            return {}
        if not self.n_updates:
            self.target.copyparams(self.q)  # whose sizes, and values, may have been given since
        self.optimizer.learning_rate = self.config.learning_rate(self.t)
        means = means_of([self.learn(self.replay.sample(self.config.batch_size)) for _ in range(self.due)])
        self.due = 0
        if self.descend.skipped:
            means["faults/nonfinite_update"] = self.descend.skipped
        means["learning_rate"] = self.optimizer.learning_rate
        means["rollout/exploration_rate"] = self.config.epsilon(self.t)
        return means

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

    def state(self) -> dict[str, Any]:
        return {
            "t": self.t, "due": self.due, "n_updates": self.n_updates, "rng": rngs.state_of(self.rng),
            "q": self.q.state(), "target": self.target.state(), "optimizer": self.optimizer.state(),
            "replay": self.replay.state(), "explorer": self.explorer.state(), "descent": self.descend.state(),
        }  # fmt: skip

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming what is wrong, unless `load` can take this state."""
        if missing := sorted(self.state().keys() ^ state.keys()):
            raise ValueError(f"load: the state is not of a {type(self).__name__}: it differs in {', '.join(missing)}")
        for name in ("t", "due", "n_updates"):
            if type(state[name]) is not int:
                raise ValueError(f"load: {name} must be a whole number, got {state[name]!r}")
        self.q.check(state["q"])
        self.target.check(state["target"])
        self.optimizer.check(state["optimizer"])
        self.replay.check(state["replay"])
        self.explorer.check(state["explorer"])
        self.descend.check(state["descent"])
        rngs.check(self.rng, state["rng"])

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.replay.load(state["replay"])
        self.q.load(state["q"])
        self.target.load(state["target"])
        self.optimizer.load(state["optimizer"])
        self.explorer.load(state["explorer"])
        self.descend.load(state["descent"])
        rngs.restore(self.rng, state["rng"])
        self.t, self.due, self.n_updates = state["t"], state["due"], state["n_updates"]


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
