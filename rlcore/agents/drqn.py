"""Deep recurrent Q-network (Hausknecht and Stone 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcore.agents.base import Policy, rows_of
from rlcore.agents.dqn import DQN
from rlcore.agents.off_policy import shares_frames
from rlcore.agents.recurrent import RecurrentPolicy, Remembered
from rlcore.autograd import as_array
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Optimizer
from rlcore.backend import to_cpu, xp_of
from rlcore.bodies import MASK, body_of, followed, one_image
from rlcore.buffers import FrameSequences, SequenceReplay
from rlcore.buffers.columns import zeros
from rlcore.explorers import EpsilonGreedy, Greedy
from rlcore.fields import Count, Fraction, Natural, Positive, Probability, Rate, Schedule, Updates, check_fields
from rlcore.networks import Recurrent, mlp
from rlcore.q_networks import Dueling, of_actions
from rlcore.returns import n_step_returns
from rlcore.stream import Step
from rlcore.tree import Tree, leaves, map_


@dataclass(frozen=True)
class DRQNConfig:
    """Settings of DRQN; steps are rows, one per environment and step."""

    learning_rate: Rate = Schedule(1e-3)  # of Adam
    buffer_size: Count = 100_000  # rows: a transition each, and one more for each episode
    learning_starts: Natural = 1_000  # rows before the first update
    batch_size: Count = 32  # sequences per update
    sequence_length: Count = 10  # transitions of a sequence, as Hausknecht and Stone 2015
    burn_in: Natural = 0  # transitions before them that bring the recurrent state up to date and are not learned from
    stored_state: bool = True  # sequences begin with the state in which was acted; else with zeros, as the paper's
    gamma: Fraction = 0.99  # discount per step
    n_step: Count = 1  # rewards summed before bootstrapping, up to the end of the sequence
    update_every: Count = 4  # rows between rounds of updates
    gradient_steps: Updates = 1  # updates in a round; -1: as many as there were rows
    target_update_interval: Count = 250  # updates between target updates
    tau: Fraction = 1.0  # step of the target towards the network; 1 copies it
    epsilon: Probability = Schedule(1.0, 0.05, 10_000)  # probability of a random action
    max_grad_norm: Positive = 10.0  # L2 norm to which the gradient is clipped, as the paper's
    hidden: tuple[Count, ...] = (64,)  # units of the layers before the LSTM; an image has those of Mnih et al. 2015
    lstm_hidden_size: Count = 64  # units of the LSTM
    dueling: bool = False  # value and advantages have streams of their own, of as many units (Wang et al. 2016)
    adam_eps: Positive = 1e-8  # of Adam, added to the root of the second moment
    share_frames: bool | None = None  # the replay keeps each frame of a stack once; none: of stacks (not 3, H, W) uint8

    def __post_init__(self) -> None:
        check_fields(self)
        if self.buffer_size < (least := self.batch_size + self.sequence_length + self.burn_in):
            raise ValueError(
                f"buffer_size {self.buffer_size} is smaller than {least}, batch_size {self.batch_size} and the rows of "
                f"a sequence, sequence_length {self.sequence_length} and burn_in {self.burn_in}"
            )

    @property
    def exploration(self) -> Schedule:
        return self.epsilon


class DRQN(DQN):
    """Q-learning with a network that remembers, from sequences of transitions of one episode.

    q: a `Recurrent`, or a Link like it. The recurrent state of the streams that it acts for goes into the replay as
    "h", and is zeroed where an episode ends. The rest as DQN.
    """

    Config: type = DRQNConfig

    def __init__(
        self,
        q: Recurrent,
        optimizer: Optimizer,
        replay: SequenceReplay,
        explorer: Any,
        config: Any,
        rng: np.random.Generator,
        start: int = 0,
        masked: bool = False,
    ):
        super().__init__(q, optimizer, replay, explorer, config, rng, start, masked)
        self.remembered = Remembered(self.acting_q)

    @classmethod
    def network(
        cls, observation_space: Any, n_actions: int, config: Any, rng: np.random.Generator, outputs: int = 1
    ) -> Recurrent:
        return recurrent_q_network(observation_space, n_actions, config, rng)

    @classmethod
    def replay_of(cls, columns: dict[str, Any], q: Any, config: Any, rng: np.random.Generator) -> SequenceReplay:
        state = map_(lambda a: (a.shape[1:], a.dtype), q.initial(0))
        return cls.sequences({**columns, "h": state}, config, rng)

    @classmethod
    def sequences(cls, columns: dict[str, Tree], config: Any, rng: np.random.Generator) -> SequenceReplay:
        """The replay of a config's settings."""
        kind = FrameSequences if shares_frames(columns, config) else SequenceReplay
        return kind(config.buffer_size, columns, rng, config.sequence_length, config.gamma, config.burn_in)

    def act(self, obs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        h = self.remembered.of(len(next(leaves(obs))))
        q, after = self.acting_q(self.there(obs), h)
        action = self.explorer(to_cpu(q.array), self.t, obs[MASK] != 0 if self.masked else None)
        self.remembered.keep(after)
        return action + self.start if self.start else action, {"h": map_(to_cpu, h)}

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        super().observe(obs, action, step, extra, stream)
        self.forget(step.ended | ~step.valid, stream)

    def forget(self, over: Any, stream: int = 0) -> None:
        self.remembered.forget(over, stream)

    def loss(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """The mean Huber loss of Q(s, a) along the sequences against their returns, and their priorities (n,)."""
        mask = batch["mask"]
        steps, n = mask.shape
        obs, h, target_h, reset = self.burnt_in(batch)
        q = self.q(obs, h, reset)[0]
        goal = self.goal(obs, batch, q.array, self.target_q(obs, target_h, reset)[0].array)
        chosen = of_actions(F.reshape(q[:-1], (steps * n, -1)), (batch["action"] * mask).ravel())
        error = (goal - chosen.array.reshape(steps, n)) * mask
        weight = (mask * (batch.get("weight", 1) / mask.sum())).astype(error.dtype)
        losses = F.huber_loss(chosen, goal.ravel(), delta=1.0, reduce="no")
        return F.sum(losses * weight.ravel()), self.priority(abs(error), mask)

    def rows_in(self, batch: dict[str, Any]) -> int:
        return int(batch["mask"].sum())

    def burnt_in(self, batch: dict[str, Any]) -> tuple[Tree, Tree, Tree, Any]:
        """The observations to learn from, and states of network and target network before them."""
        b, obs = self.config.burn_in, batch["obs"]
        h = batch["h"] if self.config.stored_state else self.acting_q.initial(batch["mask"].shape[1])
        if not b:
            return obs, h, h, None
        reset, early, obs = batch["reset"], map_(lambda a: a[:b], obs), map_(lambda a: a[b:], obs)
        h, target_h = (map_(as_array, q(early, h, reset[:b])[1]) for q in (self.online_q, self.target_q))
        return obs, h, target_h, reset[b:]

    def goal(self, obs: Tree, batch: dict[str, Any], q: Any, values: Any) -> Any:
        """What Q(s, a) should be (T, n): n-step returns, with the best of the target network's values (T + 1, n, A)."""
        return self.returns(batch, picked(values, self.best_of(values, obs, batch)))

    def returns(self, batch: dict[str, Any], value: Any) -> Any:
        """n-step returns (T, n) with the values of all observations (T + 1, n)."""
        return n_step_returns(batch["reward"], batch["discount"], value, batch["mask"], self.config.n_step)

    def best_of(self, values: Any, obs: Tree, batch: dict[str, Any]) -> Any:
        """The actions (T + 1, n) of the largest values (T + 1, n, A), of those that are allowed."""
        if not self.masked:
            return values.argmax(axis=2)
        mask = obs[MASK] != 0
        if not (mask.any(axis=2)[1:] | ~batch["mask"] | (batch["discount"] == 0)).all():
            raise ValueError("the action mask of a state in which an episode goes on, or is cut, forbids every action")
        return xp_of(mask).where(mask, values, -np.inf).argmax(axis=2)

    def priority(self, error: Any, mask: Any) -> Any:
        """The priorities (n,) of sequences with such absolute errors (T, n)."""
        return error.sum(axis=0) / mask.sum(axis=0)

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> Policy:
        """Greedy, or epsilon-greedy with the present epsilon."""
        explorer: Any = Greedy()
        if not deterministic:
            explorer = EpsilonGreedy(self.config.exploration(self.t), self.rng if rng is None else rng)

        def choose(q: Any, obs: Any) -> Any:
            return explorer(to_cpu(q.array), 0, obs[MASK] != 0 if self.masked else None) + self.start

        mask = {"mask": MASK} if self.masked else {}
        return RecurrentPolicy(self.acting_q, choose, {"kind": "argmax", "start": self.start, **mask}, self.there)

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "remembered": self.remembered}


def picked(values: Any, action: Any) -> Any:
    """values[..., action]: (T, n, A) and (T, n) to (T, n)."""
    return xp_of(values).take_along_axis(values, action[:, :, None], axis=2)[:, :, 0]


def recurrent_q_network(observation_space: Any, n_actions: int, config: Any, rng: np.random.Generator) -> Recurrent:
    """Layers, an LSTM, and a head with values of the actions; on one image a NatureCNN instead of the layers."""
    body, size = body_of(observation_space, rng)
    if config.hidden and not one_image(body):
        *layers, _ = mlp(size, config.hidden, 1, rng)
        body, size = followed(body, layers), config.hidden[-1]
    units, head = config.lstm_hidden_size, None
    if config.dueling:
        head = Dueling(mlp(units, (units,), 1, rng), mlp(units, (units,), n_actions, rng), n_actions)
    ndim = map_(lambda rows: len(rows.shape), zeros((), rows_of(observation_space)))
    return Recurrent(body, ndim, size, units, n_actions, head=head, rng=rng)
