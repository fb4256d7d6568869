"""SerialEnv: several Gymnasium environments stepped one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from difflib import get_close_matches
from importlib import import_module
from operator import index
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from rlcore.envs.base import VectorEnv, episode_seed, no_transition, refuse_others
from rlcore.envs.batch import LARGEST, Leaf, complaint, empty_batch, finite, infinite_row, put, row, structure
from rlcore.envs.capture import capture, levels, load_captured, probe
from rlcore.stream import Step
from rlcore.tree import leaves, map_

Make = Callable[[], gymnasium.Env[Any, Any]]


class SerialEnv(VectorEnv):
    """N environments from `make`, a Gymnasium id or a callable that gives a new gymnasium.Env at each call.

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
        self.n_envs, self.seed, self.reseed = n_envs, index(seed), reseed
        self.envs = [self.make() for _ in range(n_envs)]
        _refuse_others(self.envs)
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self._promised = structure(self.observation_space)
        self._acting = structure(self.action_space, "actions")
        self.resumable = None
        self.obs: Any = None
        self._fresh_arrays()
        self._valid = np.ones(n_envs, bool)
        self._numbers = [0] * n_envs  # of the running episodes
        self._returns = [0.0] * n_envs
        self._lengths = [0] * n_envs
        self._actions: list[list[Any]] | None = [[] for _ in self.envs]  # of the running episodes; None: not needed
        self._whole = isinstance(self.action_space, spaces.Discrete)  # actions reach the environment as int
        self._nested = isinstance(self.action_space, (spaces.Dict, spaces.Tuple))
        self._dtype = None if self._nested else self._acting.dtype  # of a batch of actions, where it is one array
        self._rows = None if self._nested else (n_envs, *self._acting.shape)
        self._first = True  # the next step is the first after a reset, whose shapes are checked
        self._lost = True  # no way back into the running episodes, or none yet: the next step begins new ones

    def _fresh_arrays(self) -> None:
        """Two sets, for a Step's arrays hold until step() has been called twice more; what was given out is let go."""
        n, space = self.n_envs, self.observation_space
        self._sets = [
            (empty_batch(space, n), np.zeros(n, np.float32), np.zeros(n, bool), np.zeros(n, bool)) for _ in range(2)
        ]
        self._turn = 0

    def reset(self) -> Any:
        self._numbers = list(range(self.n_envs))
        return self._begin_all()

    def _begin_all(self) -> Any:
        self._fresh_arrays()
        self.obs = self._sets[0][0]
        for i in range(self.n_envs):
            self._begin(i, self.obs, seeded=True)
        self._first, self._lost = True, False
        return self.obs

    def _begin(self, i: int, obs: Any, seeded: bool) -> None:
        """Reset stream i and put its first observation into obs."""
        first, _ = self.envs[i].reset(seed=episode_seed(self.seed, self._numbers[i]) if seeded else None)
        self._check(i, first, "reset()")
        put(obs, i, first)
        if not finite(row(obs, i)):
            raise ValueError(f"{self._name(i)}: reset() gave the observation {first}, which is not finite")
        self._returns[i], self._lengths[i] = 0.0, 0
        if self._actions is not None:
            self._actions[i] = []

    def step(self, action: Any) -> Step:
        if self._lost:
            return self._begin_anew()
        if type(action) is not np.ndarray or action.dtype is not self._dtype or action.shape != self._rows:
            action = map_(self._checked, self._acting, action)
        self._lost = True  # until the end: an error or an interruption leaves some streams a step ahead of the others
        self._turn = turn = 1 - self._turn
        obs, reward, terminated, truncated = self._sets[turn]
        actions = action.tolist() if self._whole else map_(np.array, action)  # environments may write into theirs
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
                put(obs, i, o)
            r = float(r)  # a float32 would make the sum a float32
            if not -LARGEST <= r <= LARGEST:
                k = self._lengths[i] + 1
                raise ValueError(f"{self._name(i)} gave the reward {r} in step {k}, which is not a finite float32")
            reward[i] = r
            self._returns[i] += r
            self._lengths[i] += 1
            if self._actions is not None:
                self._actions[i].append(a if self._whole else map_(lambda part, i=i: np.array(part[i]), action))
            terminated[i] = over
            truncated[i] = cut and not over
            if over or cut:
                ended.append(i)
        self._first = False
        if not finite(obs):
            i = infinite_row(obs, self.n_envs)
            k = self._lengths[i]
            raise ValueError(f"{self._name(i)} gave the observation {row(obs, i)} in step {k}, which is not finite")
        final, info = obs, {}
        if ended:
            final = map_(np.copy, obs)
            info["episode"] = self._end(ended, obs)
        self.obs, self._lost = obs, False
        return Step(obs, reward, terminated, truncated, final, self._valid, info)

    def _end(self, ended: list[int], obs: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Begin the next episodes; (stream, return, length) of those that ended."""
        returns, lengths = [self._returns[i] for i in ended], [self._lengths[i] for i in ended]
        for i in ended:
            self._numbers[i] += self.n_envs
            self._begin(i, obs, seeded=self.reseed == "episode")
        return np.array(ended), np.array(returns), np.array(lengths)

    def _begin_anew(self) -> Step:
        """Begin the episodes after the lost ones, in rows that are no transitions."""
        if self.obs is None:
            raise ValueError("SerialEnv: call reset() before step()")
        self._numbers = [k + self.n_envs for k in self._numbers]
        return no_transition(self._begin_all(), self.n_envs)

    def _made(self) -> dict[str, Any]:
        chain = [type(level).__name__ for level in levels(self.envs[0])]
        return {"env": _id(self.envs[0]), "wrappers": chain, "n_envs": self.n_envs, "reseed": self.reseed}

    def _name(self, i: int) -> str:
        return f"environment {i} ({_id(self.envs[i])})"

    def _checked(self, leaf: Leaf, action: Any) -> np.ndarray:
        """A batch of actions as an array; ValueError if it has not one row for each environment."""
        action = np.asarray(action)
        if action.shape != (self.n_envs, *leaf.shape) or action.dtype.kind == "f" != leaf.dtype.kind:
            wanted = f"{(self.n_envs, *leaf.shape)} {leaf.dtype}"
            raise ValueError(f"SerialEnv: actions of shape {action.shape} {action.dtype}; expected {wanted}")
        return action

    def _check(self, i: int, obs: Any, call: str) -> None:
        if wrong := complaint(self._promised, obs):
            raise ValueError(f"{self._name(i)}: {call} gave {wrong}")

    def state(self) -> dict[str, Any]:
        made = {**self._made(), "seed": self.seed, "started": self.obs is not None}
        if self.obs is None:
            return made
        if self.resumable is None and not self._lost:
            self.resumable = "own" if probe(self.make) else "replay" if self.reseed == "episode" else "no"
            if self.resumable != "replay":
                self._actions = None
        how = "no" if self._lost else self.resumable
        if how == "own":
            streams = {str(i): capture(env) for i, env in enumerate(self.envs)}
        else:
            streams = {str(i): _stacked(actions) for i, actions in enumerate(self._actions or [])}
        return {
            **made,
            "resumable": how,
            "numbers": list(self._numbers),
            "returns": list(self._returns),
            "lengths": list(self._lengths),
            "obs": self.obs,
            "streams": streams,
        }

    def check(self, state: dict[str, Any]) -> None:
        refuse_others(state, self._made())
        if state["started"]:
            map_(_alike, self._sets[0][0], state["obs"])

    def load(self, state: dict[str, Any]) -> Any:
        self.check(state)
        if not state["started"]:
            self.seed = state["seed"]
            return self.reset()
        state = deepcopy(state)  # it may be this environment's own, whose arrays the resets overwrite
        saved = map_(lambda _, leaf: np.asarray(leaf), self._sets[0][0], state["obs"])
        self.obs, self._lost = None, True  # not started, should an environment fail
        self.seed = state["seed"]  # which later episodes follow from
        how = state["resumable"]
        self.resumable = None if how == "no" else how  # "no" may come of an interrupted step
        self._numbers = [int(k) for k in state["numbers"]]
        self._actions = None if how == "own" else [[] for _ in self.envs]
        scratch = map_(np.copy, saved)
        for i, env in enumerate(self.envs):
            if how == "no":
                break
            self._begin(i, scratch, seeded=True)
            if how == "own":
                load_captured(env, state["streams"][str(i)])
            else:
                self._replay(i, state["streams"][str(i)], scratch, saved, state["returns"][i])
        self._returns = [float(r) for r in state["returns"]]
        self._lengths = [int(n) for n in state["lengths"]]
        self._first, self._lost = True, how == "no"
        self._fresh_arrays()
        self.obs = saved
        return saved

    def _replay(self, i: int, taken: dict[str, Any], scratch: Any, saved: Any, total: float) -> None:
        """Bring a stream to where it was by its episode's actions; observation and return must come out the same."""
        sum_, over = 0.0, False
        for k in range(taken["n"]):
            a = map_(lambda _, part, k=k: part[k], self._acting, taken["actions"])
            a = int(a) if self._whole else a
            o, r, terminated, truncated, _ = self.envs[i].step(a)
            put(scratch, i, o)
            sum_ += float(r)
            over = over or terminated or truncated
            self._actions[i].append(a)  # type: ignore[index]
        same = [there[i].tobytes() == here[i].tobytes() for there, here in zip(leaves(scratch), leaves(saved))]
        if over or sum_ != total or not all(same):
            raise ValueError(
                f"{self._name(i)} is not deterministic: the same seed and actions led to {row(scratch, i)} and the "
                f"return {sum_}, not to {row(saved, i)} and {total}; to resume, it must draw from its np_random alone"
            )

    def close(self) -> None:
        for env in self.envs:
            env.close()


def maker(make: str | Make) -> Make:
    """A callable that gives one environment, from itself or a Gymnasium id, before which `module:` is imported."""
    if callable(make):
        return make
    if not isinstance(make, str):
        raise TypeError(f"SerialEnv: expected a Gymnasium id or a callable that gives a gymnasium.Env, got {make!r}")
    module, _, name = make.rpartition(":")
    try:
        if module:
            import_module(module)
        gymnasium.spec(name)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        near = get_close_matches(name, gymnasium.registry, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ValueError(f"unknown environment id {make!r}{hint} ({type(error).__name__})") from None
    return lambda: gymnasium.make(name, disable_env_checker=True)  # SerialEnv checks what that one would


def _refuse_others(envs: list[Any]) -> None:
    """TypeError or ValueError unless each of what `make` gave is an environment of its own."""
    for env in envs:
        if not isinstance(env, gymnasium.Env):
            raise TypeError(f"SerialEnv: make must give a gymnasium.Env, it gave {type(env).__name__}")
    if len({id(env.unwrapped) for env in envs}) < len(envs):
        raise ValueError("SerialEnv: make gave the same environment twice; it must make a new one at each call")


def _id(env: Any) -> str:
    return getattr(env.unwrapped.spec, "id", type(env.unwrapped).__name__)


def _alike(own: np.ndarray, saved: Any) -> None:
    saved = np.asarray(saved)
    if (saved.shape, saved.dtype) != (own.shape, own.dtype):
        raise ValueError(f"load: the state has obs as {saved.shape} {saved.dtype}, here it is {own.shape} {own.dtype}")


def _stacked(actions: list[Any]) -> dict[str, Any]:
    """An episode's actions as arrays with a leading axis of its length."""
    if not actions:
        return {"n": 0}
    return {"n": len(actions), "actions": map_(lambda *parts: np.stack([np.asarray(p) for p in parts]), *actions)}
