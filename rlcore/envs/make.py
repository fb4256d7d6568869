"""What a user names or hands over as an environment becomes a VectorEnv, wrapped as its settings say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium

from rlcore.envs.atari import Atari, atari, atari_vector
from rlcore.envs.base import VectorEnv
from rlcore.envs.foreign import ForeignEnv
from rlcore.envs.masks import masked
from rlcore.envs.process import ProcessEnv
from rlcore.envs.single import maker
from rlcore.envs.vector import SerialEnv
from rlcore.envs.wrappers import (
    ClipReward,
    FlattenObservation,
    FrameStack,
    LastActionReward,
    NormalizeObservation,
    NormalizeReward,
    RandomizeAction,
    RecordVideo,
    RescaleAction,
    ScaleReward,
    TimeLimit,
    innermost,
    twin,
)
from rlcore.fields import Count, Fraction, Natural, Positive, check_fields, whole

Wrap = Callable[[VectorEnv], VectorEnv]
MAKING = (  # fields of how environments are made
    "env_kwargs", "mask_from_info", "vector", "workers", "env_timeout", "on_fault", "atari",
)  # fmt: skip


@dataclass(frozen=True)
class EnvConfig:
    """How environments are made, and what is put around them, in this order; wrappers of rewards only for training."""

    env_kwargs: dict[str, Any] = field(default_factory=dict)  # what gymnasium.make is given besides the id, as JSON
    mask_from_info: bool = False  # info["action_mask"] becomes part of what is observed, for algorithms to keep to
    vector: Literal["auto", "serial", "process"] = "auto"  # here, or in processes; auto: here, ale_py's own for Atari
    workers: Natural = 0  # processes of vector process (0: one per core), or such as learn (a3c; 0: this one)
    env_timeout: Positive = 60.0  # seconds that a step in another process may take
    on_fault: Literal["raise", "restart"] = "raise"  # whether an environment that fails ends the run, or is made anew
    atari: Literal["dqn", "machado"] | None = None  # protocol by which env, an Atari game, is played
    time_limit: Natural = 0  # steps after which an episode is truncated; 0: only as the environment itself does
    randomize_action: Fraction = 0.0  # probability of a random action in the place of the agent's
    rescale_action: bool = False  # Box actions from [-1, 1] to their bounds
    flatten_obs: bool = False  # nested observations as one vector
    normalize_obs: bool = False  # by running mean and standard deviation, clipped to 10
    frame_stack: Count = 1  # newest observations seen as one
    last_action_reward: bool = False  # observations come with the last action and reward, as R2D2's do in its paper
    reward_scale: Positive = 1.0  # factor of rewards
    normalize_reward: bool = False  # by the running standard deviation of the discounted return, clipped to 10
    reward_gamma: Fraction = 0.99  # discount of that return: give the agent's gamma
    clip_reward: Positive | None = None  # bound of a reward's size

    def __post_init__(self) -> None:
        check_fields(self)
        try:
            json.dumps(self.env_kwargs)
        except TypeError as error:
            raise TypeError(f"env_kwargs takes JSON values ({error}); for others give env as a callable") from None
        if (self.env_kwargs or self.mask_from_info) and self.atari is not None:
            raise ValueError(f"env_kwargs, mask_from_info: the protocol {self.atari!r} says how Atari games are made")


def make_env(
    env: Any, n_envs: int | None = None, seed: int | None = None, config: EnvConfig | None = None
) -> VectorEnv:
    """A VectorEnv from a Gymnasium id, a callable that gives a gymnasium.Env, or a vector environment; wrapped.

    n_envs and seed are 1 and 0, or those of a vector environment; ValueError if it has others than are given.
    """
    config = EnvConfig() if config is None else config
    if config.workers and config.vector != "process":
        raise ValueError(
            f"workers {config.workers}: only vector 'process' has some, it is {config.vector!r}, or an asynchronous "
            "algorithm, a3c"
        )
    if isinstance(env, (VectorEnv, gymnasium.vector.VectorEnv)):
        plain = EnvConfig()
        if unheard := [name for name in MAKING if getattr(config, name) != getattr(plain, name)]:
            raise ValueError(
                f"{', '.join(unheard)}: the vector environment is made already; make it so, or give an id or a callable"
            )
        made = env if isinstance(env, VectorEnv) else ForeignEnv(env, 0 if seed is None else seed)
        for name, wanted in (("n_envs", n_envs), ("seed", seed)):
            has = getattr(made, name, wanted)
            if wanted is not None and has != wanted:
                raise ValueError(f"env: the vector environment has {name} {has}, not {wanted}; make it with that one")
        return wrapped(made, config)
    if isinstance(env, gymnasium.Env) or not (isinstance(env, str) or callable(env)):
        raise TypeError(f"env: expected an id, a callable that gives a gymnasium.Env, or a vector env, got {env!r}")
    return wrapped(
        _bare(env, 1 if n_envs is None else whole("n_envs", n_envs), 0 if seed is None else seed, config), config
    )


def _bare(env: Any, n_envs: int, seed: int, config: EnvConfig) -> VectorEnv:
    if config.atari is not None:
        if config.vector == "auto" and n_envs > 1:
            if config.on_fault == "restart":
                raise ValueError("on_fault 'restart': ale_py restarts no games; give vector 'serial' or 'process'")
            if config.time_limit:
                raise ValueError("time_limit: ale_py ends no game of several early; give vector 'serial' or 'process'")
            # 0.1 s a game, to resume exactly
            return atari_vector(_game(env), n_envs, seed, config.atari, reseed="episode")
        env = atari(_game(env), config.atari)
    env = _single(env, config)
    if config.vector == "process":
        workers = config.workers or None
        return ProcessEnv(env, n_envs, seed, workers, timeout_s=config.env_timeout, on_fault=config.on_fault)
    return SerialEnv(env, n_envs, seed, on_fault=config.on_fault)


def _single(env: Any, config: EnvConfig, **more: Any) -> Any:
    """A callable that gives one environment."""
    make = maker(env, **{**config.env_kwargs, **more})
    return partial(masked, make) if config.mask_from_info else make


def _game(env: Any) -> str:
    if not isinstance(env, str):
        raise ValueError(f"atari: an Atari game is named by its id, ALE/Pong-v5 say, got {env!r}")
    return env.rpartition(":")[2]


def wrapped(env: VectorEnv, config: EnvConfig) -> VectorEnv:
    """An environment in the wrappers that a config asks for."""
    wraps: list[tuple[bool, Wrap]] = [
        (config.time_limit > 0, lambda env: TimeLimit(env, config.time_limit)),
        (config.randomize_action > 0, lambda env: RandomizeAction(env, config.randomize_action)),
        (config.rescale_action, RescaleAction),
        (config.flatten_obs, FlattenObservation),
        (config.normalize_obs, NormalizeObservation),
        (config.frame_stack > 1, lambda env: FrameStack(env, config.frame_stack)),
        (config.last_action_reward, lambda env: LastActionReward(env, 1.0 if config.atari == "dqn" else None)),
        (config.reward_scale != 1, lambda env: ScaleReward(env, config.reward_scale)),
        (config.normalize_reward, lambda env: NormalizeReward(env, config.reward_gamma)),
        (config.clip_reward is not None, lambda env: ClipReward(env, -config.clip_reward, config.clip_reward)),  # type: ignore[operator]
    ]
    for asked, wrap in wraps:
        env = wrap(env) if asked else env
    return env


def evaluation_env(
    trained: VectorEnv, env: Any, n_envs: int, seed: int, config: EnvConfig, videos: Path | None = None
) -> VectorEnv:
    """A second environment, with the wrappers of the one trained on as far as a policy needs them.

    videos: the outermost wrapper is a RecordVideo into that folder.
    """
    if config.atari is not None:
        env = atari(_game(env), config.atari, evaluation=True)
    elif isinstance(env, Atari):
        env = env.evaluation
    elif videos is not None and isinstance(env, str):
        env = _single(env, config, render_mode="rgb_array")
    else:
        env = _single(env, config)
    bare, inner = SerialEnv(env, n_envs, seed), innermost(trained)
    if isinstance(inner, SerialEnv) and bare.envs[0].unwrapped is inner.envs[0].unwrapped:
        raise ValueError("env: the callable gave the environment of the training again; it must make a new one")
    second = twin(trained, bare)
    return second if videos is None else RecordVideo(second, videos)


def refuse_unseen_module(env: Any, remedy: str) -> None:
    """ValueError if an id that a file gave would import a module, which runs code, and is not imported already."""
    module = env.rpartition(":")[0] if isinstance(env, str) else ""
    if module and module not in sys.modules:
        raise ValueError(f"the file names the environment {env!r}, but no file may import a module: {remedy}")
