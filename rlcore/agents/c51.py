"""Categorical DQN, C51 (Bellemare et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from rlcore.agents.dqn import DQN, DQNConfig
from rlcore.autograd import Link
from rlcore.autograd import functions as F
from rlcore.fields import Range
from rlcore.losses import action_cross_entropy, mean_of
from rlcore.q_networks import CategoricalQ, of_actions

Value = Annotated[float, Range(-1e9, 1e9)]
Atoms = Annotated[int, Range(2, 100_000)]


@dataclass(frozen=True)
class CategoricalDQNConfig(DQNConfig):
    """Settings of C51: DQN's, and the atoms."""

    v_min: Value = -10.0  # the lowest return that can be told, as Bellemare et al. 2017
    v_max: Value = 10.0  # the highest
    n_atoms: Atoms = 51  # returns that have a probability, evenly spaced from v_min to v_max
    double: bool = False  # the network chooses the successor's action, the target network values it

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.acting_priorities:
            raise ValueError(
                "C51's priorities are cross-entropies, which acting does not know: leave acting_priorities out"
            )
        if self.v_min >= self.v_max:
            raise ValueError(f"v_min must be below v_max, got {self.v_min} and {self.v_max}")


class CategoricalDQN(DQN):
    """DQN that learns the distribution of returns, as probabilities of fixed atoms.

    q: a `CategoricalQ`, or a Link like it.
    """

    Config = CategoricalDQNConfig

    @classmethod
    def network(
        cls, observation_space: Any, n_actions: int, config: Any, rng: np.random.Generator, outputs: int = 1
    ) -> Link:
        model = super().network(observation_space, n_actions, config, rng, config.n_atoms)
        return CategoricalQ(model, n_actions, config.v_min, config.v_max, config.n_atoms)

    def loss(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """The mean cross-entropy of Z(s, a) against the projected distribution of returns (algorithm 1); each one's."""
        atoms = self.target.atoms
        probs = F.softmax(self.target_q.outputs(batch["next_obs"]), axis=2).array
        following = of_actions(probs, self.next_action(batch, probs @ atoms)).array
        goal = F.categorical_projection(following, batch["reward"], batch["discount"], atoms).array
        losses = action_cross_entropy(self.q.outputs(batch["obs"]), batch["action"], goal)
        return mean_of(losses, batch), losses.array

    def next_action(self, batch: dict[str, Any], values: Any) -> Any:
        return self.best(batch, self.online_q(batch["next_obs"]).array if self.config.double else values)
