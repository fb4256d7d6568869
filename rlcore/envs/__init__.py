"""Environments: everything is a VectorEnv that gives one stream of Steps."""

from rlcore.envs.base import VectorEnv, episode_seed
from rlcore.envs.vector import SerialEnv

__all__ = ["SerialEnv", "VectorEnv", "episode_seed"]
