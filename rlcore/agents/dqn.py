"""Deep Q-network (Mnih et al. 2015) and Double DQN (van Hasselt et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.agents.base import Policy, rows_of
from rlcore.agents.descent import Descent
from rlcore.agents.off_policy import OffPolicy, replay_of, shares_frames
from rlcore.autograd import Link
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Adam, Optimizer
from rlcore.backend import to_cpu, xp_of
from rlcore.bodies import MASK, split_mask
from rlcore.buffers import Replay
from rlcore.buffers.prioritized import ESTIMATES
from rlcore.explorers import EpsilonGreedy, Greedy
from rlcore.fields import Count, Fraction, Natural, Positive, Probability, Rate, Schedule, Updates, check_fields
from rlcore.losses import mean_of
from rlcore.q_networks import is_noisy, of_actions, q_network, with_noise

EPSILON = Schedule(1.0, 0.04, 8_000)  # where the weights are not noisy


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
    gradient_steps: Updates = 128  # updates in a round; -1: as many as there were rows
    target_update_interval: Count = 128  # updates between target updates
    tau: Fraction = 1.0  # step of the target towards the network; 1 copies it
    epsilon: Probability | None = None  # probability of a random action; none: linear:1:0.04:8000, 0 if noisy
    max_grad_norm: Positive = 10.0  # L2 norm to which the gradient is clipped
    hidden: tuple[Count, ...] = (128, 128)  # units of the hidden layers; images have those of Mnih et al. 2015 instead
    dueling: bool = False  # value and advantages have streams of their own (Wang et al. 2016)
    noisy: bool = False  # linear layers have noise of learnt scale, by which it explores (Fortunato et al. 2018)
    noisy_sigma: Positive = 0.5  # scale of that noise at the start, sigma_0 there
    adam_eps: Positive = 1e-8  # of Adam, added to the root of the second moment
    prioritized: bool = False  # transitions of large errors are drawn more often (Schaul et al. 2016)
    priority_alpha: Fraction = 0.6  # how much more often: 0 not at all, 1 in proportion to the error
    priority_beta: Probability = Schedule(0.4, 1.0, 1_000_000)  # share of the bias by this that weights take back
    acting_priorities: bool = False  # a new transition has the error by the values it was acted with, not the largest
    share_frames: bool | None = None  # the replay keeps each frame of a stack once; none: of stacks (not 3, H, W) uint8

    def __post_init__(self) -> None:
        check_fields(self)
        if self.buffer_size < self.batch_size:
            raise ValueError(f"buffer_size {self.buffer_size} is smaller than batch_size {self.batch_size}")
        if self.acting_priorities and not self.prioritized:
            raise ValueError("acting_priorities are those of a prioritized replay: it needs prioritized")

    @property
    def exploration(self) -> Schedule:
        """epsilon, or what it is where none is given."""
        if self.epsilon is None:
            return Schedule(0.0) if self.noisy else EPSILON
        return self.epsilon


class DQN(OffPolicy):
    """Q-learning with a target network and replay.

    q: a Link, observations (N, ...) to action values (N, A). explorer: of `rlcore.explorers`. rng: what a stochastic
    policy draws from if it is given none; noise of the weights is drawn from children of it. start: the first action's
    number. masked: observations are dicts whose "action_mask" (N, A) is nonzero for the actions that are allowed.
    """

    Config: type = DQNConfig

    def __init__(
        self,
        q: Link,
        optimizer: Optimizer,
        replay: Replay,
        explorer: Any,
        config: DQNConfig,
        rng: np.random.Generator,
        start: int = 0,
        masked: bool = False,
    ):
        super().__init__(replay, config)
        self.actor = self.q = q
        self.target = q.copy()
        self.optimizer, self.explorer, self.rng, self.start, self.masked = optimizer, explorer, rng, start, masked
        self.estimates = getattr(config, "acting_priorities", False)
        self.descend = Descent(q, optimizer, config.max_grad_norm)
        self.mean_q, self.acting_q, self.online_q, self.target_q = q.view(), q.view(), q.view(), self.target.view()
        self.noise = dict(zip(("acting", "learning"), rng.spawn(2))) if is_noisy(q) else {}
        if self.noise:
            with_noise(self.acting_q, self.noise["acting"])
            for learning in (self.q, self.online_q, self.target_q):
                with_noise(learning, self.noise["learning"])

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: Any, rng: np.random.Generator) -> DQN:
        """Adam, the network of `q_network`, epsilon-greedy exploration; the actions must be Discrete."""
        if type(action_space).__name__ != "Discrete":
            raise ValueError(f"{cls.__name__} needs a Discrete action space, got {action_space}")
        init, sampling, acting, own = rng.spawn(4)
        masked, seen = split_mask(observation_space, action_space)
        q = cls.network(seen, int(action_space.n), config, init)
        optimizer = Adam(config.learning_rate(0), eps=config.adam_eps, corrected_eps=True)
        columns = {"obs": rows_of(observation_space), "action": ((), np.int64)}
        if getattr(config, "acting_priorities", False):
            columns |= dict.fromkeys(ESTIMATES, ((), np.float32))
        replay = cls.replay_of(columns, q, config, sampling)
        explorer = EpsilonGreedy(config.exploration, acting)
        return cls(q, optimizer, replay, explorer, config, own, int(action_space.start), masked)

    @classmethod
    def network(
        cls, observation_space: Any, n_actions: int, config: DQNConfig, rng: np.random.Generator, outputs: int = 1
    ) -> Link:
        """What q is by default, with so many numbers for each action."""
        sigma0 = config.noisy_sigma if config.noisy else None
        options: Any = dict(outputs=outputs, dueling=config.dueling, sigma0=sigma0)
        return q_network(observation_space, n_actions, config.hidden, rng, **options)

    @classmethod
    def replay_of(cls, columns: dict[str, Any], q: Any, config: Any, rng: np.random.Generator) -> Replay:
        """The replay by default."""
        return replay_of(columns, config, rng, shares_frames(columns, config))

    def act(self, obs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        mask = obs[MASK] != 0 if self.masked else None
        values = to_cpu(self.acting_q(self.there(obs)).array)
        action = self.explorer(values, self.t, mask)
        extra = estimated(values, action, mask) if self.estimates else {}
        return action + self.start if self.start else action, extra

    def begin(self) -> dict[str, Any]:
        if not self.n_updates:
            self.target.copyparams(self.q)  # whose sizes, and values, may have been given since
        rate = self.optimizer.learning_rate = self.config.learning_rate(self.t)
        return {"learning_rate": rate, "rollout/exploration_rate": self.config.exploration(self.t)}

    def learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update, {} if left out: a step down the loss, then the target."""
        if self.start:
            batch = {**batch, "action": batch["action"] - self.start}
        loss, error = self.loss(batch)
        if not self.descend(loss, batch, 1 if self.comm is None else self.rows_in(batch)):
            return {}
        if "weight" in batch:
            self.replay.update(batch["row"], error)
        self.n_updates += 1
        if self.n_updates % self.config.target_update_interval == 0:
            self.target.soft_copyparams(self.q, self.config.tau)
        return {"loss": loss.array}

    def loss(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """The mean Huber loss of Q(s, a) against the bootstrapped return, and the errors (N,)."""
        values = self.target_q(batch["next_obs"]).array
        goal = batch["reward"] + batch["discount"] * of_actions(values, self.next_action(batch, values)).array
        q = F.select_item(self.q(batch["obs"]), batch["action"])
        if "weight" in batch:
            return mean_of(F.huber_loss(q, goal, delta=1.0, reduce="no"), batch), goal - q.array
        return F.huber_loss(q, goal, delta=1.0, reduce="mean"), goal - q.array  # one vertex

    def rows_in(self, batch: dict[str, Any]) -> int:
        """The transitions that the loss is a mean over."""
        return len(batch["reward"])

    def next_action(self, batch: dict[str, Any], values: Any) -> Any:
        """The successors' actions (N,): the best of the target network's values (N, A)."""
        return self.best(batch, values)

    def best(self, batch: dict[str, Any], values: Any) -> Any:
        """The successors' actions (N,) of the largest values, of those that are allowed."""
        if not self.masked:
            return values.argmax(axis=1)
        mask = batch["next_obs"][MASK] != 0
        if not (mask.any(axis=1) | (batch["discount"] == 0)).all():
            raise ValueError("the action mask of a state in which an episode goes on, or is cut, forbids every action")
        return xp_of(mask).where(mask, values, -np.inf).argmax(axis=1)

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> Policy:
        """Greedy, by the weights without noise; or epsilon-greedy with the present epsilon, by weights with noise."""
        if deterministic:
            return QPolicy(self.mean_q, Greedy(), self.start, self.masked, self.there)
        rng = self.rng if rng is None else rng
        explorer = EpsilonGreedy(self.config.exploration(self.t), rng)
        return QPolicy(with_noise(self.q.view(), rng), explorer, self.start, self.masked, self.there)

    def descents(self) -> tuple[Descent, ...]:
        return (self.descend,)

    def parts(self) -> dict[str, Any]:
        noise = {"noise": self.noise} if self.noise else {}
        return {
            "replay": self.replay, "q": self.q, "target": self.target, "optimizer": self.optimizer,
            "explorer": self.explorer, "descent": self.descend, "rng": self.rng, **noise,
        }  # fmt: skip


class DoubleDQN(DQN):
    """The network chooses the successor's action, the target network values it (van Hasselt et al. 2016, eq. 4)."""

    def next_action(self, batch: dict[str, Any], values: Any) -> Any:
        return self.best(batch, self.online_q(batch["next_obs"]).array)


def estimated(values: Any, action: Any, mask: Any) -> dict[str, Any]:
    """What gives a new transition its error: the values (N,) of the actions, and of the best ones."""
    best = values if mask is None else np.where(mask, values, -np.inf)
    return dict(zip(ESTIMATES, (of_actions(values, action).array, best.max(axis=1))))


class QPolicy(Policy):
    """Picks actions by their values."""

    def __init__(self, q: Link, explorer: Any, start: int, masked: bool, there: Callable[[Any], Any]):
        self.q, self.explorer, self.start, self.masked, self.there = q, explorer, start, masked, there

    def __call__(self, obs: Any) -> np.ndarray:
        values = to_cpu(self.q(self.there(obs)).array)
        return self.explorer(values, 0, obs[MASK] != 0 if self.masked else None) + self.start

    def exported(self) -> tuple[Any, dict[str, Any]]:
        return self.q, {"kind": "argmax", "start": self.start, **({"mask": MASK} if self.masked else {})}
