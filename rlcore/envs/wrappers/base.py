"""Wrapper: a VectorEnv around another one, which changes what all its streams see, do or get."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from rlcore.envs.base import VectorEnv, refuse_others
from rlcore.stream import Step


class Wrapper(VectorEnv):
    """Passes everything on; a wrapper overrides what it changes.

    Episodes in `step.info` are counted by the innermost environment: raw rewards, whole games, whatever wrappers do.
    """

    def __init__(self, env: VectorEnv):
        self.env = env
        self.n_envs = env.n_envs
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.obs: Any = None if env.obs is None else self.first(env.obs)

    # what a wrapper overrides
    def first(self, obs: Any) -> Any:
        """The observations after a reset of all streams."""
        return obs

    def act(self, action: Any) -> Any:
        """What the inner environment is to do."""
        return action

    def after(self, step: Step) -> Step:
        """The inner environment's step as it is to be seen; must not write into its arrays."""
        return step

    def own_state(self) -> dict[str, Any]:
        """What this wrapper itself remembers."""
        return {}

    def check_own(self, state: dict[str, Any]) -> None:
        """ValueError, before anything changes, unless `load_own` can take this."""

    def load_own(self, state: dict[str, Any]) -> None:
        """Take an `own_state()` back."""

    def on(self, env: VectorEnv) -> VectorEnv:
        """The same wrapper around another environment, to evaluate on: nothing learned there, rewards left raw."""
        return type(self)(env)

    # the VectorEnv
    @property
    def resumable(self) -> Literal["own", "replay", "no"] | None:  # type: ignore[override]
        return self.env.resumable

    @property
    def seed(self) -> int:
        """The seed of the innermost environment."""
        return getattr(self.env, "seed", 0)

    def reset(self) -> Any:
        self.obs = self.first(self.env.reset())
        return self.obs

    def step(self, action: Any) -> Step:
        step = self.after(self.env.step(self.act(action)))
        self.obs = step.obs
        return step

    def restart(self, which: np.ndarray) -> tuple[Any, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        raise ValueError(f"put what cuts episodes inside {type(self).__name__}, next to the environment")

    def state(self) -> dict[str, Any]:
        return {"wrapper": type(self).__name__, "env": self.env.state(), "own": self.own_state(), "obs": self.obs}

    def check(self, state: dict[str, Any]) -> None:
        refuse_others(state, {"wrapper": type(self).__name__})
        self.check_own(state["own"])
        self.env.check(state["env"])

    def load(self, state: dict[str, Any]) -> Any:
        self.check(state)
        self.env.load(state["env"])
        self.load_own(state["own"])
        self.obs = state["obs"]
        return self.obs

    def close(self) -> None:
        self.env.close()


def twin(trained: VectorEnv, bare: VectorEnv) -> VectorEnv:
    """An environment to evaluate on: bare, in the wrappers of the one trained on, as `Wrapper.on` puts them."""
    return trained.on(twin(trained.env, bare)) if isinstance(trained, Wrapper) else bare


def innermost(env: VectorEnv) -> VectorEnv:
    """What all wrappers are around."""
    return innermost(env.env) if isinstance(env, Wrapper) else env
