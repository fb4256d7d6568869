"""One environment: made from an id or a callable, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any, Literal

import gymnasium

from rlcore.envs.atari import register_atari

Make = Callable[[], gymnasium.Env[Any, Any]]


def maker(make: str | Make, **kwargs: Any) -> Make:
    """A callable that gives one environment, from itself or a Gymnasium id, before which `module:` is imported.

    kwargs, such as render_mode="rgb_array", go to the environment. Other processes can be sent it if they can be sent
    `make`, an id always.
    """
    if callable(make):
        return partial(make, **kwargs) if kwargs else make
    if not isinstance(make, str):
        raise TypeError(f"env: expected a Gymnasium id or a callable that gives a gymnasium.Env, got {make!r}")
    module, _, name = make.rpartition(":")
    try:
        if module:
            import_module(module)
        if name.startswith("ALE/"):
            register_atari()
        spec = gymnasium.spec(name)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        near = get_close_matches(name, gymnasium.registry, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        if isinstance(error, gymnasium.error.NamespaceNotFound) and not module:
            hint = "; in MODULE:ID a module is imported first, one that registers it"
        raise ValueError(f"unknown environment id {make!r}{hint} ({type(error).__name__}: {error})") from None
    # by its spec, as another process may not have it registered; Streams checks what Gymnasium's checker would
    return partial(by_spec, spec, **kwargs)


def by_spec(spec: Any, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """An environment by its spec; ImportError names the extra that it needs."""
    try:
        return gymnasium.make(spec, disable_env_checker=True, **kwargs)
    except gymnasium.error.DependencyNotInstalled as error:
        extra = next((name for name in ("box2d", "mujoco") if name in str(spec.entry_point)), None)
        if extra is None:
            raise
        raise ImportError(f'{spec.id} needs the extra {extra}: pip install "rlcore[{extra}]" ({error})') from None


def reseed_of(make: Make) -> Literal["episode", "once"]:
    """How `make`, or what a partial of it calls, wants episodes seeded, by an attribute `reseed`."""
    return getattr(make.func if isinstance(make, partial) else make, "reseed", "episode")


def new_envs(make: Make, k: int) -> list[Any]:
    """k environments; TypeError or ValueError unless each is a gymnasium.Env of its own."""
    envs = [make() for _ in range(k)]
    for env in envs:
        if not isinstance(env, gymnasium.Env):
            raise TypeError(f"make must give a gymnasium.Env, it gave {type(env).__name__}")
    if len({id(env.unwrapped) for env in envs}) < len(envs):
        raise ValueError("make gave the same environment twice; it must make a new one at each call")
    return envs


def name_of(env: Any) -> str:
    """The id of an environment, or its class."""
    return getattr(env.unwrapped.spec, "id", type(env.unwrapped).__name__)
