"""What a user names or hands over as an environment becomes a VectorEnv."""

from __future__ import annotations

import sys
from operator import index
from typing import Any

import gymnasium

from rlcore.envs.base import VectorEnv
from rlcore.envs.foreign import ForeignEnv
from rlcore.envs.vector import SerialEnv


def make_env(env: Any, n_envs: int | None = None, seed: int | None = None) -> VectorEnv:
    """A VectorEnv from a Gymnasium id, a callable that gives a gymnasium.Env, or a vector environment.

    n_envs and seed are 1 and 0, or those of a vector environment; ValueError if it has others than are given.
    """
    if isinstance(env, (VectorEnv, gymnasium.vector.VectorEnv)):
        made = env if isinstance(env, VectorEnv) else ForeignEnv(env, 0 if seed is None else seed)
        for name, wanted in (("n_envs", n_envs), ("seed", seed)):
            has = getattr(made, name, wanted)
            if wanted is not None and has != wanted:
                raise ValueError(f"env: the vector environment has {name} {has}, not {wanted}; make it with that one")
        return made
    if isinstance(env, gymnasium.Env) or not (isinstance(env, str) or callable(env)):
        raise TypeError(f"env: expected an id, a callable that gives a gymnasium.Env, or a vector env, got {env!r}")
    return SerialEnv(env, 1 if n_envs is None else index(n_envs), 0 if seed is None else seed)


def refuse_unseen_module(env: Any, remedy: str) -> None:
    """ValueError if an id that a file gave would import a module, which runs code, and is not imported already."""
    module = env.rpartition(":")[0] if isinstance(env, str) else ""
    if module and module not in sys.modules:
        raise ValueError(f"the file names the environment {env!r}, but no file may import a module: {remedy}")
