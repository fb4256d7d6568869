"""Deep deterministic policy gradient (Lillicrap et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlcore.agents.continuous import BoxPolicy, Continuous, ContinuousConfig, adams, columns_of
from rlcore.agents.off_policy import replay_of
from rlcore.autograd import functions as F
from rlcore.autograd.optimizers import Optimizer
from rlcore.backend import to_cpu
from rlcore.buffers import Replay
from rlcore.continuous import Actor, Critics, UnitBox, actor, critics
from rlcore.fields import Count, Rate, Schedule, Weight
from rlcore.noise import KINDS, Gaussian
from rlcore.stream import Step


@dataclass(frozen=True)
class DDPGConfig(ContinuousConfig):
    """Settings of DDPG, by default those of Stable-Baselines3, with Fujimoto et al.'s noise; steps are rows."""

    learning_rate: Rate = Schedule(1e-3)  # of Adam, for actor and critic
    hidden: tuple[Count, ...] = (400, 300)  # units of the hidden layers, of actor and critic each
    action_noise: tuple[Weight, ...] = (0.1,)  # its deviation, in halves of the range: one, or one for each number
    noise_type: Literal["normal", "ornstein-uhlenbeck"] = "normal"  # each step's own, or one that drifts


class DDPG(Continuous):
    """A critic learns by Q-learning with the actor's actions, and the actor climbs the critic; noise explores.

    noise: of `rlcore.noise`.
    """

    Config: type = DDPGConfig
    N_CRITICS = 1

    def __init__(
        self,
        actor: Actor,
        critic: Critics,
        optimizers: dict[str, Optimizer],
        replay: Replay,
        noise: Gaussian,
        box: UnitBox,
        config: DDPGConfig,
        rng: np.random.Generator,
    ):
        super().__init__(actor, critic, optimizers, replay, box, config, rng)
        self.noise, self.target_actor = noise, actor.copy()
        self.target_mu = self.target_actor.view()

    @classmethod
    def from_spaces(cls, observation_space: Any, action_space: Any, config: Any, rng: np.random.Generator) -> DDPG:
        """Adam, and MLPs on vectors, dicts, tuples or images; the actions must be a Box with finite bounds."""
        box = UnitBox(action_space, cls.__name__)
        if (given := len(config.action_noise)) not in (1, box.size):
            raise ValueError(
                f"action_noise has {given} numbers and an action {box.size}: give one for all of them, or one for each"
            )
        init, sampling, exploring, own = rng.spawn(4)
        pi = actor(observation_space, config.hidden, box.size, init)
        q = critics(observation_space, config.hidden, box.size, cls.N_CRITICS, init)
        noise = KINDS[config.noise_type](np.full(box.size, config.action_noise, np.float32), exploring)
        replay = replay_of(columns_of(observation_space, box), config, sampling)
        return cls(pi, q, adams(config, "actor", "critic"), replay, noise, box, config, own)

    def explore(self, obs: Any) -> np.ndarray:
        return noisy(to_cpu(self.acting_actor(self.there(obs)).array), self.noise)

    def observe(self, obs: Any, action: Any, step: Step, extra: dict[str, Any], stream: int = 0) -> None:
        super().observe(obs, action, step, extra, stream)
        self.forget(step.ended | ~step.valid, stream)

    def forget(self, over: Any, stream: int = 0) -> None:
        self.noise.reset(over, stream)

    def begin(self) -> dict[str, Any]:
        if not self.n_updates:
            self.target_actor.copyparams(self.actor)
        return super().begin()

    def learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The critic towards the target networks' value of successors, then the actor; {} if left out."""
        next_obs = batch["next_obs"]
        next_value = self.target_q(next_obs, self.next_action(next_obs)).array.min(axis=0)
        stats = self.learn_critic(batch, next_value)
        return stats and {**stats, **self.learn_actor(batch)}

    def next_action(self, obs: Any) -> Any:
        """What is done in successors, (N, n)."""
        return self.target_mu(obs).array

    def learn_actor(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One step up the first critic (eq. 6), and both target networks after their networks."""
        loss = -F.average(self.fixed_critic.first(batch["obs"], self.actor(batch["obs"])))
        self.descend["actor"](loss, batch, len(batch["reward"]))
        self.target_actor.soft_copyparams(self.actor, self.config.tau)
        self.target_critic.soft_copyparams(self.critic, self.config.tau)
        return {"actor_loss": loss.array}

    def policy(self, deterministic: bool = True, rng: np.random.Generator | None = None) -> BoxPolicy:
        """The actor's actions, or these with independent normal noise of the same deviation."""
        model = self.acting_actor
        if deterministic:
            return BoxPolicy(lambda obs: model(obs).array, self.box, self.there, model.raw)
        noise = Gaussian(self.noise.scale, rng or self.rngs["policy"])
        return BoxPolicy(lambda obs: noisy(to_cpu(model(obs).array), noise), self.box, self.there)

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "target_actor": self.target_actor, "noise": self.noise}


def noisy(action: Any, noise: Any) -> Any:
    """Actions (N, n) with noise, within [-1, 1]."""
    return (action + noise(len(action))).clip(-1, 1)
