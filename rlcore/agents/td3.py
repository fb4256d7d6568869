"""Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018): three changes to DDPG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlcore.agents.ddpg import DDPG, DDPGConfig
from rlcore.distributions.base import normal_noise
from rlcore.fields import Count, Weight


@dataclass(frozen=True)
class TD3Config(DDPGConfig):
    """Settings of TD3, by default those of Stable-Baselines3, with Fujimoto et al.'s noise; steps are rows."""

    policy_delay: Count = 2  # updates of the critics between those of actor and targets
    target_policy_noise: Weight = 0.2  # deviation of the noise on actions in successors, in halves of the range
    target_noise_clip: Weight = 0.5  # limit of that noise, in halves of the range


class TD3(DDPG):
    """DDPG with the lesser of two critics for a target, smoothed over actions, and an actor that learns more rarely."""

    Config = TD3Config
    N_CRITICS = 2

    def next_action(self, obs: Any) -> Any:
        action, limit = super().next_action(obs), self.config.target_noise_clip
        noise = self.config.target_policy_noise * normal_noise(action, action.shape, self.rngs["learning"])
        return (action + noise.clip(-limit, limit)).clip(-1, 1)

    def learn_actor(self, batch: dict[str, Any]) -> dict[str, Any]:
        return super().learn_actor(batch) if self.n_updates % self.config.policy_delay == 0 else {}
