"""Agents: one file per family."""

from rlcore.agents.base import Agent, NonFiniteError, Policy
from rlcore.agents.dqn import DQN, DoubleDQN, DQNConfig
from rlcore.agents.ppo import PPO, PPOConfig

__all__ = ["DQN", "PPO", "Agent", "DQNConfig", "DoubleDQN", "NonFiniteError", "PPOConfig", "Policy"]
