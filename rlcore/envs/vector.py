"""SerialEnv: several Gymnasium environments stepped one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from rlcore.envs.base import VectorEnv, episode_seed
from rlcore.envs.capture import capture, load_captured, probe
from rlcore.stream import Step
from rlcore.tree import leaves, map_

Make = Callable[[], gymnasium.Env[Any, Any]]


class SerialEnv(VectorEnv):
    """N environments from `make`, a Gymnasium id or a callable that gives a gymnasium.Env.

    reseed "episode": every episode has a seed of its own, `episode_seed`; "once": only the first of each stream, for
    environments in which a seeded reset is dear.
    """

    def __init__(
        self, make: str | Make, n_envs: int = 1, seed: int = 0, reseed: Literal["episode", "once"] = "episode"
    ):
        if n_envs < 1:
            raise ValueError(f"SerialEnv: n_envs must be at least 1, got {n_envs}")
        if reseed not in ("episode", "once"):
            raise ValueError(f"SerialEnv: reseed must be 'episode' or 'once', got {reseed!r}")
        self.make = maker(make)
        self.n_envs, self.seed, self.reseed = n_envs, seed, reseed
        self.envs = [self.make() for _ in range(n_envs)]
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self.resumable = None
        self.obs: Any = None
        self._sets = [self._arrays(), self._arrays()]  # a Step's arrays hold until step() has been called twice more
        self._turn = 0
        self._valid = np.ones(n_envs, bool)
        self._numbers = [0] * n_envs  # of the running episodes
        self._returns = [0.0] * n_envs
        self._lengths = [0] * n_envs
        self._actions: list[list[Any]] | None = [[] for _ in self.envs]  # of the running episodes; None: not needed
        self._whole = isinstance(self.action_space, spaces.Discrete)  # actions reach the environment as int
        self._nested = isinstance(self.action_space, (spaces.Dict, spaces.Tuple))
        self._first = True  # the next step is the first after a reset, whose shapes are checked

    def _arrays(self) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
        n = self.n_envs
        return empty_batch(self.observation_space, n), np.zeros(n, np.float32), np.zeros(n, bool), np.zeros(n, bool)

    def reset(self) -> Any:
        self._turn = 0
        self.obs = self._sets[0][0]
        for i in range(self.n_envs):
            self._numbers[i] = i
            self._begin(i, self.obs)
        self._first = True
        return self.obs

    def _begin(self, i: int, obs: Any) -> None:
        """Reset stream i and put its first observation into obs."""
        number = self._numbers[i]
        seeded = self.reseed == "episode" or number < self.n_envs
        first, _ = self.envs[i].reset(seed=episode_seed(self.seed, number) if seeded else None)
        self._check(i, first, "reset()")
        _put(obs, i, first)
        self._returns[i], self._lengths[i] = 0.0, 0
        if self._actions is not None:
            self._actions[i] = []

    def step(self, action: Any) -> Step:
        self._turn = turn = 1 - self._turn
        obs, reward, terminated, truncated = self._sets[turn]
        actions = action.tolist() if self._whole else action
        plain = type(obs) is np.ndarray
        ended: list[int] = []
        for i, env in enumerate(self.envs):
            a = actions[i] if not self._nested else map_(lambda part, i=i: part[i], actions)
            o, r, over, cut, _ = env.step(a)
            if self._first:
                self._check(i, o, "step()")
            if plain:
                obs[i] = o
            else:
                _put(obs, i, o)
            reward[i] = r
            if r - r != 0:
                raise ValueError(f"{self._name(i)} gave the reward {r} in step {self._lengths[i] + 1}")
            self._returns[i] += r
            self._lengths[i] += 1
            if self._actions is not None:
                self._actions[i].append(a if self._whole else map_(np.copy, a))
            terminated[i] = over
            truncated[i] = cut and not over
            if over or cut:
                ended.append(i)
        self._first = False
        if plain and obs.dtype.kind == "f":
            flat = obs.ravel()
            norm = flat.dot(flat)  # a fifth of the time of isfinite().all()
            if norm - norm != 0:
                self._refuse_non_finite(obs)
        final, info = obs, {}
        if ended:
            final = map_(np.copy, obs)
            info["episode"] = self._end(ended, obs)
        self.obs = obs
        return Step(obs, reward, terminated, truncated, final, self._valid, info)

    def _end(self, ended: list[int], obs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Begin the next episodes; (stream, return, length) of those that ended."""
        returns, lengths = [self._returns[i] for i in ended], [self._lengths[i] for i in ended]
        for i in ended:
            self._numbers[i] += self.n_envs
            self._begin(i, obs)
        return np.array(ended), np.array(returns), np.array(lengths)

    def _name(self, i: int) -> str:
        return f"environment {i} ({getattr(self.envs[i].spec, 'id', type(self.envs[i].unwrapped).__name__)})"

    def _check(self, i: int, obs: Any, call: str) -> None:
        """ValueError unless the observation has the shapes and kinds of dtype that the space promises."""
        try:
            found = list(leaves(map_(_compared, _tree_of(self.observation_space), obs)))
        except (KeyError, TypeError, IndexError):
            raise ValueError(f"{self._name(i)}: {call} gave {type(obs).__name__}, not {self.observation_space}") from None
        for shape, dtype, got_shape, got_dtype in found:
            if shape != got_shape or not np.can_cast(got_dtype, dtype, "same_kind"):
                raise ValueError(
                    f"{self._name(i)}: {call} gave an observation of shape {got_shape} {got_dtype}, its observation_space "
                    f"promises {shape} {dtype}"
                )

    def _refuse_non_finite(self, obs: np.ndarray) -> None:
        for i, row in enumerate(obs):
            if not np.isfinite(row).all():
                raise ValueError(f"{self._name(i)} gave the observation {row} in step {self._lengths[i]}")

    def state(self) -> dict[str, Any]:
        if self.obs is None:
            return {"started": False}
        if self.resumable is None:
            self.resumable = "own" if probe(self.make) else "replay" if self.reseed == "episode" else "no"
            if self.resumable != "replay":
                self._actions = None
        if self.resumable == "own":
            streams = {str(i): capture(env) for i, env in enumerate(self.envs)}
        else:
            streams = {str(i): _stacked(actions) for i, actions in enumerate(self._actions or [])}
        return {
            "started": True,
            "resumable": self.resumable,
            "numbers": list(self._numbers),
            "returns": list(self._returns),
            "lengths": list(self._lengths),
            "obs": self.obs,
            "streams": streams,
        }

    def load(self, state: dict[str, Any]) -> Any:
        if not state["started"]:
            return self.reset()
        if len(state["numbers"]) != self.n_envs:
            raise ValueError(f"load: the state is of {len(state['numbers'])} environments, here are {self.n_envs}")
        self.reset()
        self.resumable = state["resumable"]
        self._actions = None if self.resumable == "own" else [[] for _ in self.envs]
        self._numbers = [int(k) for k in state["numbers"]]
        self.obs = map_(lambda own, saved: _filled(own, saved), self._sets[self._turn][0], state["obs"])
        scratch = map_(np.copy, self.obs)
        for i, env in enumerate(self.envs):
            if self.resumable == "no":
                continue  # its running episode cannot be had again: a new one has begun
            self._begin(i, scratch)
            if self.resumable == "own":
                load_captured(env, state["streams"][str(i)])
            else:
                self._replay(i, state["streams"][str(i)], scratch)
        if self.resumable == "no":
            return self.reset()
        self._returns = [float(r) for r in state["returns"]]
        self._lengths = [int(n) for n in state["lengths"]]
        return self.obs

    def _replay(self, i: int, actions: dict[str, Any], scratch: Any) -> None:
        """Bring a stream to where it was by its episode's actions."""
        for k in range(actions["n"]):
            a = map_(lambda part, k=k: part[k], actions["actions"])
            a = int(a) if self._whole else a
            _put(scratch, i, self.envs[i].step(a)[0])
            self._actions[i].append(a)  # type: ignore[index]
        for there, here in zip(leaves(scratch), leaves(self.obs), strict=True):
            if there[i].tobytes() != here[i].tobytes():
                raise ValueError(
                    f"{self._name(i)} is not deterministic: the same seed and actions led to {there[i]}, not to {here[i]}; "
                    "it cannot be resumed exactly"
                )

    def close(self) -> None:
        for env in self.envs:
            env.close()


def maker(make: str | Make) -> Make:
    """A callable that gives one environment, from a Gymnasium id or from itself."""
    if callable(make):
        return make
    try:
        gymnasium.spec(make)
    except gymnasium.error.Error as error:
        near = get_close_matches(make, gymnasium.registry, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"unknown environment id {make!r}{hint} ({type(error).__name__})") from None
    return lambda: gymnasium.make(make, disable_env_checker=True)  # SerialEnv checks what that one would


def empty_batch(space: Any, n: int) -> Any:
    """Zeros for n observations of a space; floats are float32."""
    return map_(lambda spec: np.zeros((n, *spec[0]), np.float32 if spec[1].kind == "f" else spec[1]), _tree_of(space))


class _Leaf(list):  # type: ignore[type-arg]
    """(shape, dtype): a list, so that trees see it as a leaf."""


def _tree_of(space: Any) -> Any:
    """(shape, dtype) of a space's leaves, nested as its observations."""
    if isinstance(space, spaces.Dict):
        return {k: _tree_of(s) for k, s in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple([_tree_of(s) for s in space.spaces])
    if getattr(space, "shape", None) is None or space.dtype is None or space.dtype.kind not in "biuf":
        raise ValueError(f"observations of {space} are no arrays; wrap the environment so that they are")
    return _Leaf((space.shape, np.dtype(space.dtype)))


def _compared(promised: Any, obs: Any) -> Any:
    array = np.asarray(obs)
    return _Leaf((promised[0], promised[1], array.shape, array.dtype))


def _put(obs: Any, i: int, value: Any) -> None:
    if type(obs) is np.ndarray:
        obs[i] = value
    else:
        map_(lambda array, v: array.__setitem__(i, v), obs, value)


def _filled(own: np.ndarray, saved: Any) -> np.ndarray:
    own[...] = saved
    return own


def _stacked(actions: list[Any]) -> dict[str, Any]:
    """An episode's actions as arrays with a leading axis of its length."""
    if not actions:
        return {"n": 0}
    return {"n": len(actions), "actions": map_(lambda *parts: np.stack([np.asarray(p) for p in parts]), *actions)}
