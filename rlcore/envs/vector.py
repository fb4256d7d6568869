"""SerialEnv: several Gymnasium environments stepped one after the other in this process."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from operator import index
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.envs import resume
from rlcore.envs.base import EnvError, Episodes, VectorEnv, no_transition, refuse_others
from rlcore.envs.batch import Leaf, structure
from rlcore.envs.capture import levels, probe
from rlcore.envs.layout import carve, layout
from rlcore.envs.single import Make, maker, name_of, new_envs, reseed_of
from rlcore.envs.streams import OnFault, Reseed, Streams, told
from rlcore.stream import Step
from rlcore.tree import Tree, map_, put

RESTARTS = 10  # of environments that failed, within so many rows:
ROWS = 100_000


class OwnEnv(VectorEnv):
    """What SerialEnv and ProcessEnv share: all but where the environments are and how word gets there."""

    def __init__(self, env: Any, make: Make, n_envs: int, seed: int, reseed: Reseed, on_fault: OnFault):
        self.make, self.n_envs, self.seed, self.reseed, self.on_fault = make, n_envs, index(seed), reseed, on_fault
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self._made = {
            "env": name_of(env),
            "wrappers": [type(level).__name__ for level in levels(env)],
            "n_envs": n_envs,
            "reseed": reseed,
        }
        self.resumable = None
        self.obs: Any = None
        self._turn = 0
        self._rows = 0  # stepped so far
        self._restarts: deque[int] = deque()  # the row of each
        self._valid = np.ones(n_envs, bool)
        self._acting = structure(self.action_space, "actions")
        nested = isinstance(self.action_space, (spaces.Dict, spaces.Tuple))
        self._dtype = None if nested else self._acting.dtype  # of a batch of actions, where it is one array
        self._shape = None if nested else (n_envs, *self._acting.shape)
        self._lost = True  # no way back into the running episodes, or none yet: the next step begins new ones

    def _arrays(self, memory: dict[str, Any], parts: list[slice]) -> None:
        """The arrays of a `layout`, and the streams of each Streams."""
        self._memory, self._parts, self._sets = memory, parts, memory["sets"]

    # where the environments are
    @abstractmethod
    def _act(self, turn: int, action: Tree) -> bool:
        """Streams.step in all: whether there is more to see than obs and reward."""

    @abstractmethod
    def _ask(self, command: str, args: list[tuple[Any, ...] | None]) -> list[Any]:
        """What COMMANDS[command] gives of each Streams with its arguments; those with None are not asked."""

    def _ask_all(self, command: str, *args: Any) -> list[Any]:
        return self._ask(command, [args for _ in self._parts])

    # the VectorEnv
    def reset(self) -> Any:
        self._memory["number"][:] = np.arange(self.n_envs)
        return self._begin_all()

    def _begin_all(self) -> Any:
        self._lost = True
        self._ask_all("begin", self.seed)
        self.obs = map_(np.copy, self._memory["last"])  # none of the sets, which Steps may be looking at
        self._lost = False
        return self.obs

    def step(self, action: Any) -> Step:
        if self._lost:
            return self._begin_anew()
        if type(action) is not np.ndarray or action.dtype is not self._dtype or action.shape != self._shape:
            action = map_(self._checked, self._acting, action)
        self._lost = True  # until the end: an error or an interruption leaves some streams a step ahead of the others
        self._turn = turn = 1 - self._turn
        self._rows += self.n_envs
        some = self._act(turn, action)
        obs, reward, terminated, truncated = self._sets[turn]
        final, valid, info = self._more(obs, terminated, truncated) if some else (obs, self._valid, {})
        self.obs, self._lost = obs, False
        return Step(obs, reward, terminated, truncated, final, valid, info)

    def _more(self, obs: Any, terminated: np.ndarray, truncated: np.ndarray) -> tuple[Any, np.ndarray, dict[str, Any]]:
        """The true successors, the rows that are transitions, and the episodes to report."""
        final, valid, last = obs, self._valid, self._memory["last"]
        ended = (terminated | truncated).nonzero()[0]
        if len(ended):
            if type(obs) is np.ndarray:
                final = obs.copy()
                final[ended] = last[ended]
            else:
                final = map_(np.copy, obs)
                put(final, ended, map_(lambda array: array[ended], last))
        if self.on_fault == "restart":
            valid = ~self._memory["faulty"]
            self._memory["faulty"][:] = False
        episodes = self._told()
        return final, valid, {"episode": episodes} if len(episodes[0]) else {}

    def _told(self) -> Episodes:
        memory = self._memory
        which = memory["told"].nonzero()[0]
        memory["told"][which] = False
        return which, memory["return"][which], memory["length"][which]

    def _begin_anew(self) -> Step:
        """Begin the episodes after the lost ones, in rows that are no transitions."""
        if self.obs is None:
            raise ValueError(f"{type(self).__name__}: call reset() before step()")
        self._memory["number"] += self.n_envs
        return no_transition(self._begin_all(), self.n_envs)

    def restart(self, which: np.ndarray) -> tuple[Any, Episodes]:
        if self.obs is None:
            raise ValueError(f"{type(self).__name__}: call reset() before restart()")
        streams = np.asarray(which).nonzero()[0]
        if self._lost or not len(streams):  # then no episode is running
            return self.obs, self._told()
        self._lost = True
        inside = [[i - part.start for i in streams.tolist() if part.start <= i < part.stop] for part in self._parts]
        self._ask("restart", [(mine,) if mine else None for mine in inside])
        put(self.obs, streams, map_(lambda array: array[streams], self._memory["last"]))
        self._memory["faulty"][:] = self._lost = False
        return self.obs, self._told()

    def _count(self, faults: list[str]) -> None:
        """Warn of each restart; EnvError if there were too many of late."""
        for fault in faults:
            self._restarts.append(self._rows)
            while self._restarts[0] < self._rows - ROWS:
                self._restarts.popleft()
            if len(self._restarts) > RESTARTS:
                raise EnvError(f"more than {RESTARTS} restarts of environments within {ROWS} rows, the last: {fault}")
            warnings.warn(f"restarted: {fault}", RuntimeWarning, stacklevel=4)

    def _checked(self, leaf: Leaf, action: Any) -> np.ndarray:
        """A batch of actions as an array; ValueError if it has not one row for each environment."""
        action = np.asarray(action)
        if action.shape != (self.n_envs, *leaf.shape) or action.dtype.kind == "f" != leaf.dtype.kind:
            wanted = f"{(self.n_envs, *leaf.shape)} {leaf.dtype}"
            raise ValueError(
                f"{type(self).__name__}: actions of shape {action.shape} {action.dtype}; expected {wanted}"
            )
        return action.astype(leaf.dtype, copy=False)

    def render(self, stream: int = 0) -> np.ndarray:
        if not 0 <= stream < self.n_envs:
            raise ValueError(f"render: stream must be 0 to {self.n_envs - 1}, got {stream}")
        inside = [part.start <= stream < part.stop for part in self._parts]
        (picture,) = self._ask(
            "render", [(stream - p.start,) if here else None for p, here in zip(self._parts, inside)]
        )
        return picture

    # states
    def state(self) -> dict[str, Any]:
        made = {**self._made, "seed": self.seed, "started": self.obs is not None}
        if self.obs is None:
            return made
        if self.resumable is None and not self._lost:
            own, *_ = self._ask("probe", [(), *[None] * (len(self._parts) - 1)])
            self.resumable = "own" if own else "replay" if self.reseed == "episode" else "no"
        how = "no" if self._lost or self.resumable is None else self.resumable
        running: dict[str, list[Any]] = {"returns": [0.0] * self.n_envs, "lengths": [0] * self.n_envs, "streams": []}
        if not self._lost:
            told = self._ask_all("state", how)
            running = {name: [one for part in told for one in part[name]] for name in running}
        streams = {str(i): stream for i, stream in enumerate(running["streams"])}
        numbers = self._memory["number"].tolist()
        return {**made, "resumable": how, "numbers": numbers, **running, "obs": self.obs, "streams": streams}

    def check(self, state: dict[str, Any]) -> None:
        refuse_others(state, self._made)
        if state["started"]:
            map_(_alike, self._memory["last"], state["obs"])

    def load(self, state: dict[str, Any]) -> Any:
        self.check(state)
        if not state["started"]:
            self.seed = state["seed"]
            return self.reset()
        state = deepcopy(state)  # it may be this environment's own, whose arrays the resets overwrite
        saved = map_(lambda _, leaf: np.asarray(leaf), self._memory["last"], state["obs"])
        self.obs, self._lost = None, True  # not started, should an environment fail
        self.seed = state["seed"]  # which later episodes follow from
        how = state["resumable"]
        self.resumable = None if how == "no" else how  # "no" may come of an interrupted step
        self._memory["number"][:] = state["numbers"]
        streams = [state["streams"].get(str(i)) for i in range(self.n_envs)]
        running = {"returns": state["returns"], "lengths": state["lengths"], "streams": streams, "obs": saved}
        self._ask("load", [(how, self.seed, _rows(running, part)) for part in self._parts])
        self._lost = how == "no"
        self.obs = saved
        return saved


class SerialEnv(OwnEnv):
    """N environments from `make`, a Gymnasium id or a callable that gives a new gymnasium.Env at each call.

    reseed "episode": every episode has a seed of its own, `episode_seed`; "once": only the first of each stream, for
    environments in which a seeded reset is dear; None: what `make` asks for. on_fault "restart": a new environment
    takes the place of one that raises or gives what is no number, in a row that is no transition, up to 10 times in
    100,000 rows.
    """

    def __init__(
        self,
        make: str | Make,
        n_envs: int = 1,
        seed: int = 0,
        reseed: Reseed | None = None,
        on_fault: OnFault = "raise",
    ):
        made = maker(make)
        reseed = reseed_of(made) if reseed is None else reseed
        refuse_settings("SerialEnv", n_envs, reseed, on_fault)
        envs = new_envs(made, n_envs)
        super().__init__(envs[0], made, n_envs, seed, reseed, on_fault)
        self._arrays(carve(layout(self.observation_space, self.action_space, n_envs)), [slice(0, n_envs)])
        self._streams = Streams(made, envs, self._memory, 0, n_envs, reseed, on_fault)

    @property
    def envs(self) -> list[Any]:
        """The environments, to look into."""
        return self._streams.envs

    def _act(self, turn: int, action: Tree) -> bool:
        some = self._streams.step(turn, action)
        if self._streams.faults:
            self._count(self._streams.take_faults())
        return some

    def _ask(self, command: str, args: list[tuple[Any, ...] | None]) -> list[Any]:
        given = [] if args[0] is None else [COMMANDS[command](self._streams, *args[0])]
        self._count(self._streams.take_faults())
        return given

    def close(self) -> None:
        try:
            self._streams.close()
        except EnvError as error:
            if self.on_fault == "raise":
                raise
            warnings.warn(told(error), RuntimeWarning, stacklevel=2)


COMMANDS: dict[str, Callable[..., Any]] = {
    "begin": Streams.begin,
    "restart": Streams.restart,
    "render": Streams.render,
    "close": Streams.close,
    "probe": lambda streams: probe(streams.make),
    "state": resume.state_of,
    "load": resume.load,
}


def refuse_settings(kind: str, n_envs: int, reseed: str, on_fault: str) -> None:
    """ValueError for settings that there are not."""
    if n_envs < 1:
        raise ValueError(f"{kind}: n_envs must be at least 1, got {n_envs}")
    if reseed not in ("episode", "once"):
        raise ValueError(f"{kind}: reseed must be 'episode' or 'once', got {reseed!r}")
    if on_fault not in ("raise", "restart"):
        raise ValueError(f"{kind}: on_fault must be 'raise' or 'restart', got {on_fault!r}")


def _rows(running: dict[str, Any], part: slice) -> dict[str, Any]:
    return {**{k: v[part] for k, v in running.items() if k != "obs"}, "obs": map_(lambda a: a[part], running["obs"])}


def _alike(own: np.ndarray, saved: Any) -> None:
    saved = np.asarray(saved)
    if (saved.shape, saved.dtype) != (own.shape, own.dtype):
        raise ValueError(f"load: the state has obs as {saved.shape} {saved.dtype}, here it is {own.shape} {own.dtype}")
