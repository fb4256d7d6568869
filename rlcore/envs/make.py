"""What a user names or hands over as an environment becomes a VectorEnv, wrapped as its settings say."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from operator import index
from typing import Any, Literal

import gymnasium

from rlcore.envs.base import VectorEnv
from rlcore.envs.foreign import ForeignEnv
from rlcore.envs.vector import SerialEnv
from rlcore.envs.wrappers import innermost, twin


@dataclass(frozen=True)
class EnvConfig:
    """How environments are made from an id or a callable, and what is put around them; 0, False and None: nothing."""

    vector: Literal["serial", "process"] = "serial"  # in this process, or in worker processes with shared memory

    def __post_init__(self) -> None:
        if self.vector not in ("serial", "process"):
            raise ValueError(f"vector must be 'serial' or 'process', got {self.vector!r}")


def make_env(
    env: Any, n_envs: int | None = None, seed: int | None = None, config: EnvConfig | None = None
) -> VectorEnv:
    """A VectorEnv from a Gymnasium id, a callable that gives a gymnasium.Env, or a vector environment.

    n_envs and seed are 1 and 0, or those of a vector environment; ValueError if it has others than are given.
    """
    config = EnvConfig() if config is None else config
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


def evaluation_env(trained: VectorEnv, env: Any, n_envs: int, seed: int) -> VectorEnv:
    """A second environment, with the wrappers of the one trained on as far as a policy needs them."""
    bare, inner = SerialEnv(env, n_envs, seed), innermost(trained)
    if isinstance(inner, SerialEnv) and bare.envs[0] is inner.envs[0]:
        raise ValueError("env: the callable gave the environment of the training again; it must make a new one")
    return twin(trained, bare)


def refuse_unseen_module(env: Any, remedy: str) -> None:
    """ValueError if an id that a file gave would import a module, which runs code, and is not imported already."""
    module = env.rpartition(":")[0] if isinstance(env, str) else ""
    if module and module not in sys.modules:
        raise ValueError(f"the file names the environment {env!r}, but no file may import a module: {remedy}")
