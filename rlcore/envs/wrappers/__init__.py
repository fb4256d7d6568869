"""Wrappers of ours: around a VectorEnv, on all its streams at once."""

from rlcore.envs.wrappers.base import Wrapper, innermost, twin

__all__ = ["Wrapper", "innermost", "twin"]
