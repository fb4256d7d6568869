"""Wrapper: a VectorEnv around another one, which changes what all its streams see, do or get."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from rlcore.envs.base import Episodes, VectorEnv, no_transition, refuse_others
from rlcore.envs.batch import empty_batch
from rlcore.stream import Step
from rlcore.tree import Tree, map_, named_leaves


class Wrapper(VectorEnv):
    """Passes everything on; a wrapper overrides what it changes.

    settings: its arguments by name, JSON scalars: `on` makes it anew of them, and a state of others is refused.
    Episodes in `step.info` are counted by the innermost environment: raw rewards, whole games, whatever wrappers do.
    """

    learns = False  # whether its own state is something learned without which no policy acts as it did

    def __init__(self, env: VectorEnv, **settings: Any):
        if not isinstance(env, VectorEnv):
            raise TypeError(
                f"{type(self).__name__}: expected a VectorEnv, such as SerialEnv or what make_env gives, got {env!r}"
            )
        self.env, self.settings = env, settings
        self.n_envs = env.n_envs
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.obs: Any = None  # until reset() or load(), also around an environment that runs
        self._torn = False  # a step was interrupted: the environment inside may be ahead

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
        """What this wrapper itself remembers, but for `obs`."""
        return {}

    def check_own(self, state: dict[str, Any]) -> None:
        """ValueError, before anything changes, unless `load_own` can take this."""

    def load_own(self, state: dict[str, Any]) -> None:
        """Take an `own_state()` back; `obs` is in place already."""

    def on(self, env: VectorEnv) -> VectorEnv:
        """The same wrapper around another environment, to evaluate on: nothing learned there, rewards left raw."""
        return type(self)(env, **self.settings)

    def exported(self) -> dict[str, Any]:
        """What a policy needs to act without this wrapper, arrays and JSON scalars with a "kind"; {} if nothing.

        What differs between the leaves of nested observations is nested as they are, with None where one stays.
        """
        return {}

    # the VectorEnv
    @property
    def resumable(self) -> Literal["own", "replay", "no"] | None:  # type: ignore[override]
        return self.env.resumable

    @property
    def seed(self) -> int:
        """The seed of the innermost environment."""
        return getattr(self.env, "seed", 0)

    def reset(self) -> Any:
        self._torn = True  # until the end, as in step()
        self.obs, self._torn = self.first(self.env.reset()), False
        return self.obs

    def step(self, action: Any) -> Step:
        if self.obs is None:
            raise ValueError(f"{type(self).__name__}: call reset() before step()")
        action, torn = self.act(action), self._torn
        self._torn = True
        step = self.env.step(action)
        if torn:  # its rows follow from observations that nobody saw: the streams are cut
            step = no_transition(step.obs, self.n_envs)._replace(info=step.info)
        step = self.after(step)
        self.obs, self._torn = step.obs, False
        return step

    def restart(self, which: np.ndarray) -> tuple[Any, Episodes]:
        raise ValueError(f"put what cuts episodes inside {type(self).__name__}, next to the environment")

    def state(self) -> dict[str, Any]:
        state = {
            "wrapper": type(self).__name__,
            "settings": self.settings,
            "started": self.obs is not None,
            "torn": self._torn,
            "own": self.own_state(),
            "env": self.env.state(),
        }
        return state if self.obs is self.env.obs else {**state, "obs": self.obs}

    def check(self, state: dict[str, Any]) -> None:
        refuse_others(state, {"wrapper": type(self).__name__})
        refuse_others(state["settings"], self.settings)
        if state["started"] and "obs" in state:
            saved, own = (_layout(obs) for obs in (state["obs"], empty_batch(self.observation_space, self.n_envs)))
            if saved != own:
                raise ValueError(f"load: the state of {type(self).__name__} has obs {saved}, here they are {own}")
        self.check_own(state["own"])
        self.env.check(state["env"])

    def load(self, state: dict[str, Any]) -> Any:
        self.check(state)
        self.obs = None  # not started, should the environment inside fail
        inside = self.env.load(state["env"])
        if not state["started"]:
            self.obs = self.first(inside)
        elif "obs" in state:
            like = empty_batch(self.observation_space, self.n_envs)  # for a file gives tuples back as lists
            self.obs = map_(lambda _, leaf: np.asarray(leaf), like, state["obs"])
        else:
            self.obs = inside
        self._torn = state["torn"]
        self.load_own(state["own"])  # after first(), which may count what it sees
        return self.obs

    def render(self, stream: int = 0) -> np.ndarray:
        return self.env.render(stream)

    def close(self) -> None:
        self.env.close()


def twin(trained: VectorEnv, bare: VectorEnv) -> VectorEnv:
    """An environment to evaluate on: bare, in the wrappers of the one trained on, as `Wrapper.on` puts them."""
    return trained.on(twin(trained.env, bare)) if isinstance(trained, Wrapper) else bare


def learning(env: VectorEnv) -> list[Wrapper]:
    """The wrappers that learn, outermost first; the own states of a twin's serve those of the one trained on."""
    if not isinstance(env, Wrapper):
        return []
    return [*([env] if env.learns else []), *learning(env.env)]


def innermost(env: VectorEnv) -> VectorEnv:
    """What all wrappers are around."""
    return innermost(env.env) if isinstance(env, Wrapper) else env


def _layout(obs: Tree) -> dict[str, str]:
    arrays = {path: np.asarray(leaf) for path, leaf in named_leaves(obs)}
    return {path: f"{array.shape} {array.dtype}" for path, array in arrays.items()}
