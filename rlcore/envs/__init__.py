"""Environments: everything is a VectorEnv that gives one stream of Steps."""

from rlcore.envs.base import VectorEnv, episode_seed
from rlcore.envs.foreign import ForeignEnv
from rlcore.envs.vector import SerialEnv

__all__ = ["ForeignEnv", "SerialEnv", "VectorEnv", "episode_seed"]
