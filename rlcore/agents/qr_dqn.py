"""Quantile-regression DQN (Dabney et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from rlcore.agents.dqn import DQN, DQNConfig
from rlcore.autograd import Link
from rlcore.autograd import functions as F
from rlcore.fields import Count, Range
from rlcore.losses import mean_of
from rlcore.q_networks import QuantileQ, of_actions

Kappa = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True)
class QRDQNConfig(DQNConfig):
    """Settings of QR-DQN: DQN's, and the quantiles."""

    n_quantiles: Count = 200  # of the return of each action, as Dabney et al. 2018
    kappa: Kappa = 1.0  # up to which the loss is quadratic, by which it is divided; 0 is plain quantile regression

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.acting_priorities:
            raise ValueError(
                "QR-DQN's priorities are losses of quantiles, which acting does not know: leave acting_priorities out"
            )


class QRDQN(DQN):
    """DQN that learns the distribution of returns by its quantiles.

    q: a `QuantileQ`, or a Link like it.
    """

    Config = QRDQNConfig

    @classmethod
    def network(
        cls, observation_space: Any, n_actions: int, config: Any, rng: np.random.Generator, outputs: int = 1
    ) -> Link:
        return QuantileQ(super().network(observation_space, n_actions, config, rng, config.n_quantiles), n_actions)

    def loss(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """The mean quantile Huber loss of Z(s, a) against the bootstrapped returns (algorithm 1), and each one's."""
        quantiles = self.target_q.outputs(batch["next_obs"]).array
        following = of_actions(quantiles, self.next_action(batch, quantiles.mean(axis=2))).array
        goal = batch["reward"][:, None] + batch["discount"][:, None] * following
        z = of_actions(self.q.outputs(batch["obs"]), batch["action"])
        losses = F.quantile_huber_loss(z, goal, delta=self.config.kappa, reduce="sum_along_second_axis")
        return mean_of(losses, batch), losses.array
