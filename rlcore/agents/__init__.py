"""Agents: one file per family."""

from rlcore.agents.a2c import A2C, A2CConfig
from rlcore.agents.base import Agent, Policy
from rlcore.agents.descent import NonFiniteError
from rlcore.agents.dqn import DQN, DoubleDQN, DQNConfig
from rlcore.agents.ppo import PPO, PPOConfig

__all__ = [
    "A2C",
    "A2CConfig",
    "ALGORITHMS",
    "DQN",
    "PPO",
    "Agent",
    "DQNConfig",
    "DoubleDQN",
    "NonFiniteError",
    "PPOConfig",
    "Policy",
]

ALGORITHMS: dict[str, type[Agent]] = {  # by the names that the command line knows
    "dqn": DQN,
    "double-dqn": DoubleDQN,
    "ppo": PPO,
    "a2c": A2C,
}
