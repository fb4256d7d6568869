"""Learning from a replay: what DQN and its family, DDPG, TD3 and SAC share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.agents.base import Agent
from rlcore.agents.descent import Descent
from rlcore.buffers import FrameReplay, Prioritized, PrioritizedFrames, Replay
from rlcore.stream import Step
from rlcore.tree import Tree


class OffPolicy(Agent):
    """Keeps rows in a replay; every `update_every` rows `gradient_steps` updates fall due, each on a batch of its own.

    Its config has learning_starts, update_every, gradient_steps (-1: as many as rows) and batch_size.
    """

    COUNTS = ("t", "due", "n_updates")
    replay: Any  # a Prioritized where batches have weights
    _fed = False  # every rank has had something to learn from

    def __init__(self, replay: Replay, config: Any):
        self.replay, self.config = replay, config
        self.t = 0  # rows observed
        self.due = 0  # updates owed
        self.n_updates = 0

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        self.replay.add(obs, action, step, extra, stream)
        config, before = self.config, max(self.t, self.config.learning_starts)
        self.t += len(step.reward)
        if self.t > before:
            rounds = self.t // config.update_every - before // config.update_every
            self.due += rounds * (config.update_every if config.gradient_steps < 0 else config.gradient_steps)

    def update(self) -> dict[str, Any]:
        if not self.due or not (len(self.replay) if self.comm is None else self._all_fed()):
            return {}
        settings = self.begin()
        means = means_of([self.learn(self.drawn()) for _ in range(self.due)])
        self.due = 0
        if skipped := sum([descent.skipped for descent in self.descents()]):
            means["faults/nonfinite_update"] = skipped
        return means | settings | {"n_updates": self.n_updates}

    def drawn(self) -> dict[str, Any]:
        """A batch from the replay, where the networks are; the numbers of its rows stay on the host."""
        batch = self.replay.sample(self.config.batch_size)
        return {**self.there(batch), "row": batch["row"]}

    def _all_fed(self) -> bool:
        """Whether all ranks have something to learn from."""
        self._fed = self._fed or not self.anywhere(not len(self.replay))
        return self._fed

    @abstractmethod
    def begin(self) -> dict[str, Any]:
        """Before the updates of a round: move what depends on time; what to record of it."""

    @abstractmethod
    def learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update, which counts itself in n_updates; its statistics, {} if it was left out."""

    @abstractmethod
    def descents(self) -> Sequence[Descent]:
        """The guarded steps that `learn` takes."""


def replay_of(columns: dict[str, Tree], config: Any, rng: np.random.Generator, frames: bool = False) -> Replay:
    """The replay of a config's settings; frames: of stacks it keeps each frame once."""
    rows = config.buffer_size, columns, rng, config.n_step, config.gamma
    if not config.prioritized:
        return (FrameReplay if frames else Replay)(*rows)
    kind: Any = PrioritizedFrames if frames else Prioritized
    return kind(*rows, alpha=config.priority_alpha, beta=config.priority_beta)


def shares_frames(columns: dict[str, Tree], config: Any) -> bool:
    """Whether a replay keeps each frame of a stack once: by the config's share_frames, or if observations are stacks.

    For such are taken (k, H, W) uint8 of more than one frame that are no colours.
    """
    spec = columns["obs"]
    if config.share_frames is not None:
        return config.share_frames
    if not (isinstance(spec, tuple) and len(spec) == 2 and spec[1] == np.uint8 and len(spec[0]) == 3):
        return False
    k, *image = spec[0]
    return k not in (1, 3) and k < min(image)


def means_of(stats: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The means of updates' statistics, each over the updates that gave it."""
    given: dict[str, list[Any]] = {}
    for update in stats:
        for name, number in update.items():
            given.setdefault(name, []).append(number)
    return {name: sum(numbers) / len(numbers) for name, numbers in given.items()}
