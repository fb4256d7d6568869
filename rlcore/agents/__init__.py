"""Agents: one file per family."""

from rlcore.agents.base import Agent, Policy
from rlcore.agents.dqn import DQN, DoubleDQN, DQNConfig

__all__ = ["DQN", "Agent", "DQNConfig", "DoubleDQN", "Policy"]
