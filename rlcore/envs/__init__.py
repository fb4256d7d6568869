"""Environments: everything is a VectorEnv that gives one stream of Steps."""

from rlcore.envs.base import EnvError, VectorEnv, episode_seed
from rlcore.envs.foreign import ForeignEnv
from rlcore.envs.masks import MaskFromInfo
from rlcore.envs.process import ProcessEnv
from rlcore.envs.vector import SerialEnv

__all__ = ["EnvError", "ForeignEnv", "MaskFromInfo", "ProcessEnv", "SerialEnv", "VectorEnv", "episode_seed"]
