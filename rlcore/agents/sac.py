"""Soft actor-critic with a temperature that is fixed or learned (Haarnoja et al. 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from rlcore.agents.continuous import BoxPolicy, Continuous, ContinuousConfig, adams, columns_of
from rlcore.agents.descent import Descent
from rlcore.agents.off_policy import replay_of
from rlcore.autograd import Link, Parameter
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Optimizer
from rlcore.backend import to_cpu
from rlcore.buffers import Replay
from rlcore.continuous import Critics, GaussianActor, UnitBox, actor, critics
from rlcore.fields import Count, Range, Weight
from rlcore.losses import soft_policy_loss

Nats = Annotated[float, Range(-1e6, 1e6)]


@dataclass(frozen=True)
class SACConfig(ContinuousConfig):
    """Settings of SAC, by default those of Stable-Baselines3; steps are rows, one per environment and step."""

    ent_coef: Weight | str = "auto"  # weight of the entropy; "auto": learned, from 1; "auto_0.1": learned, from 0.1
    target_entropy: Nats | str = "auto"  # to which a learned weight leads; "auto": -1 for each number of an action
    target_update_interval: Count = 1  # updates between target updates

    def __post_init__(self) -> None:
        super().__post_init__()
        self.first_ent_coef()
        self.goal_entropy(1)

    def first_ent_coef(self) -> tuple[float, bool]:
        """The weight of the entropy at the start, and whether it is learned."""
        text = str(self.ent_coef)
        learned = text == "auto" or text.startswith("auto_")
        coef = 1.0 if text == "auto" else _number(text.removeprefix("auto_"))
        if not 0 <= coef <= 1e6 or (learned and coef == 0):
            raise ValueError(f"ent_coef must be a number from 0 on, 'auto', or 'auto_0.1', got {self.ent_coef!r}")
        return coef, learned

    def goal_entropy(self, n: int) -> float:
        """The entropy, in nats, to which a learned weight leads policies of n numbers."""
        goal = -float(n) if self.target_entropy == "auto" else _number(self.target_entropy)
        if not math.isfinite(goal):
            raise ValueError(f"target_entropy must be a finite number or 'auto', got {self.target_entropy!r}")
        return goal


def _number(text: Any) -> float:
    """A number; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


class Temperature(Link):
    """The weight of the entropy, by its logarithm."""

    def __init__(self, start: float):
        super().__init__()
        self.log = Parameter(math.log(start), 1)

    def forward(self) -> Any:
        return F.exp(self.log)


class SAC(Continuous):
    """Maximises the return and alpha times the policy's entropy: soft Q-learning with the lesser of two critics.

    actor: observations to a squashed Gaussian. optimizers: of "actor", "critic" and, where alpha is learned,
    "temperature".
    """

    Config = SACConfig

    def __init__(
        self,
        actor: GaussianActor,
        critic: Critics,
        optimizers: dict[str, Optimizer],
        replay: Replay,
        box: UnitBox,
        config: SACConfig,
        rng: np.random.Generator,
    ):
        super().__init__(actor, critic, optimizers, replay, box, config, rng)
        self.goal_entropy = config.goal_entropy(box.size)
        coef, self.learned = config.first_ent_coef()
        self.alpha: Any = np.array([coef], np.float32)  # if it is not learned
        if self.learned:
            self.temperature = Temperature(coef)
            self.descend["temperature"] = Descent(self.temperature, optimizers["temperature"], self.limit)

    def to_device(self, device: Any) -> SAC:
        super().to_device(device)
        self.alpha = self.there(self.alpha)
        return self

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: SACConfig, rng: np.random.Generator) -> SAC:
        """Adam, and MLPs on vectors, dicts, tuples or images; the actions must be a Box with finite bounds."""
        box = UnitBox(action_space, cls.__name__)
        init, sampling, own = rng.spawn(3)
        pi = actor(observation_space, config.hidden, box.size, init, GaussianActor)
        q = critics(observation_space, config.hidden, box.size, 2, init)
        names = ("actor", "critic", "temperature") if config.first_ent_coef()[1] else ("actor", "critic")
        replay = replay_of(columns_of(observation_space, box), config, sampling)
        return cls(pi, q, adams(config, *names), replay, box, config, own)

    def explore(self, obs: Any) -> np.ndarray:
        return to_cpu(self.acting_actor.draw(self.there(obs), self.rngs["acting"])[0].array)

    def learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Critics (eq. 5 to 7), actor (eq. 9), temperature (eq. 18), target critics; {} if left out."""
        alpha, rng = np.exp(self.temperature.log.array) if self.learned else self.alpha, self.rngs["learning"]
        next_action, next_log_prob = self.acting_actor.draw(batch["next_obs"], rng)
        next_q = self.target_q(batch["next_obs"], next_action).array.min(axis=0)
        stats = self.learn_critic(batch, next_q - alpha * next_log_prob.array)
        if not stats:
            return {}
        action, log_prob = self.actor.draw(batch["obs"], rng)
        loss = soft_policy_loss(log_prob, self.fixed_critic(batch["obs"], action), alpha)
        self.descend["actor"](loss, batch, len(action.array))
        stats |= {"actor_loss": loss.array, "ent_coef": alpha[0]}
        if self.learned:
            above = log_prob.array.mean() + self.goal_entropy
            loss = F.sum(self.temperature.log * -above)
            self.descend["temperature"](loss, batch, len(action.array))
            stats["ent_coef_loss"] = loss.array
        if self.n_updates % self.config.target_update_interval == 0:
            self.target_critic.soft_copyparams(self.critic, self.config.tau)
        return stats

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> BoxPolicy:
        """The squashed mean, or draws."""
        model = self.acting_actor
        if deterministic:
            return BoxPolicy(lambda obs: np.tanh(model.raw(obs).array), self.box, self.there, model.raw)
        draws = rng or self.rngs["policy"]
        return BoxPolicy(lambda obs: model.draw(obs, draws)[0].array, self.box, self.there)

    def parts(self) -> dict[str, Any]:
        return super().parts() | ({"temperature": self.temperature} if self.learned else {})
