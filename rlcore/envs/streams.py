"""Streams: environments stepped one after the other, which write into arrays they are given."""

from __future__ import annotations

import traceback
import warnings
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import RecordEpisodeStatistics

from rlcore.envs.base import EnvError, episode_seed
from rlcore.envs.batch import LARGEST, Leaf, beyond, complaint, finite, row, structure
from rlcore.envs.capture import levels
from rlcore.envs.single import Make, name_of
from rlcore.tree import Tree, map_, put

Reseed = Literal["episode", "once"]
OnFault = Literal["raise", "restart"]
ndarray = np.ndarray  # found faster
TRIES = 3  # new environments in a row that may fail before a stream is given up


class Streams:
    """Streams `first` to `first + len(envs) - 1` of n_envs; `memory` has their rows of the arrays of a `layout`."""

    def __init__(
        self,
        make: Make,
        envs: list[Any],
        memory: dict[str, Any],
        first: int,
        n_envs: int,
        reseed: Reseed,
        on_fault: OnFault,
    ):
        self.make, self.envs, self.memory = make, envs, memory
        self.first, self.n_envs, self.reseed, self.on_fault = first, n_envs, reseed, on_fault
        self.seed = 0
        self.at: Any = [-1, 0]  # the environment that is at work, and t; a worker shares them, should it hang
        self.faults: list[str] = []  # what was restarted since somebody looked
        self._dirty = [True, True]  # sets in which some `terminated` or `truncated` may be left
        self.t = 0  # steps ever
        self.begun = memory["begun"]  # t at which the running episodes began
        self.returns = [0.0] * len(envs)
        self.log: list[list[Any]] | None = None  # the running episodes' actions, if they may lead there again
        if reseed == "episode":
            self.log = [[] for _ in envs]
        space, acting = envs[0].observation_space, envs[0].action_space
        self._promised, self._sets = structure(space), memory["sets"]
        plain = self._promised if isinstance(self._promised, Leaf) else None
        self._shape, self._dtype = plain and plain.shape, plain and plain.dtype  # of an observation that is an array
        self.acting = structure(acting, "actions")
        self.whole = isinstance(acting, spaces.Discrete)  # actions reach the environment as int
        self._nested = isinstance(acting, (spaces.Dict, spaces.Tuple))
        self._warned = False  # of an observation out of bounds
        self._records = [recorder(env) for env in envs]
        self._recorded = self._records[0] is not None

    # episodes
    def begin(self, seed: int) -> None:
        """Begin the episodes `number`, with their first observations in `last`."""
        self.seed = seed
        self.memory["told"][:] = self.memory["faulty"][:] = False
        for i in range(len(self.envs)):
            self._begin(i, self.memory["last"], seeded=True)

    def _begin(self, i: int, into: Any, seeded: bool) -> None:
        """Begin an episode, in a new environment if this one fails and may be replaced."""
        try:
            self.reset(i, into, seeded)
        except Exception as error:
            self._replace(i, error, into)

    def reset(self, i: int, into: Any, seeded: bool) -> None:
        """Reset stream i and put its first observation into row i; EnvError or ValueError if it fails."""
        self.at[0] = i
        self.begun[i], self.returns[i] = self.t, 0.0
        if self.log is not None:
            self.log[i] = []
        try:
            obs, _ = self.envs[i].reset(seed=self._seed(i) if seeded else None)
        except Exception as error:
            raise self._located(i, "reset()", error) from error
        self._check(i, obs, "reset()")
        put(into, i, obs)
        if not finite(into[i : i + 1] if type(into) is ndarray else row(into, i)):
            raise ValueError(f"{self.name(i)}: reset() gave the observation {obs}, which is not finite")
        self.at[0] = -1

    def _replace(self, i: int, error: Exception, into: Any) -> None:
        """Raise, or put a new environment in the place of one that failed and begin the next episode in it."""
        if self.on_fault == "raise":
            raise error
        for _ in range(TRIES):
            self.faults.append(told(error))
            with suppress(Exception):
                self.envs[i].close()
            self.memory["number"][i] += self.n_envs
            try:
                self.envs[i] = self.make()
                self._records[i] = recorder(self.envs[i])
                self.reset(i, into, seeded=True)
                return
            except Exception as again:
                error = again
        raise error

    def _seed(self, i: int) -> int:
        return episode_seed(self.seed, self.memory["number"][i])

    def restart(self, which: list[int]) -> None:
        """Cut episodes between two steps; the first observations of the next ones are in `last`."""
        for i in which:
            self._next(i, self.memory["last"])

    def _next(self, i: int, into: Any) -> None:
        """Begin the next episode of stream i; report the one before, or the whole game that its reset cut short."""
        total, length, record = self.returns[i], self.t - self.begun[i], self._records[i]
        if record is not None:
            total, length = record.episode_returns, record.episode_lengths
            since, games = record.episode_start_time, record.episode_count
        self.memory["number"][i] += self.n_envs
        self._begin(i, into, self.reseed == "episode")
        if record is not None:
            if self.memory["told"][i] or record.episode_start_time == since:  # in full already, or it goes on
                return
            if over := record.episode_count - games:  # the reset played on to its end, as after the loss of a life
                total, length = record.return_queue[-over], record.length_queue[-over]
        self._tell(i, total, length)

    def _tell(self, i: int, total: float, length: int) -> None:
        memory = self.memory
        memory["told"][i], memory["return"][i], memory["length"][i] = True, total, length

    # steps
    def step(self, turn: int, action: Tree) -> bool:
        """Act in all; whether there is more to see than obs and reward: ends, episodes to report, faulty rows."""
        obs, reward, terminated, truncated = self._sets[turn]
        if self._dirty[turn]:
            terminated[:] = truncated[:] = self._dirty[turn] = False
        self.t = self.at[1] = self.t + 1
        if self.whole:
            actions = kept = action.tolist()
        else:
            actions, kept = self._rows(action), None if self.log is None else self._rows(action)
        at, log, returns, recorded = self.at, self.log, self.returns, self._recorded
        shape, dtype = self._shape, self._dtype
        ended: list[int] = []
        some = False
        for i, env in enumerate(self.envs):
            at[0] = i
            try:
                o, r, over, cut, info = env.step(actions[i])
                r = float(r)  # a float32 would make the sum a float32
            except Exception as error:
                some = self._drop(i, turn, self._located(i, "step()", error))
                continue
            if type(o) is ndarray and o.dtype is dtype and o.shape == shape:
                obs[i] = o
            elif wrong := complaint(self._promised, o):
                some = self._drop(i, turn, ValueError(f"{self.name(i)}: step() gave {wrong}"))
                continue
            else:
                put(obs, i, o)
            if not -LARGEST <= r <= LARGEST:
                some = self._drop(i, turn, self._unsound(i, f"the reward {r}", "a finite float32", actions[i]))
                continue
            reward[i] = r
            returns[i] += r
            if log is not None:
                log[i].append(kept[i])
            if over or cut:
                (terminated if over else truncated)[i] = self._dirty[turn] = True
                ended.append(i)
            if recorded and (episode := info.get(self._records[i]._stats_key)):
                some = True
                self._tell(i, episode["r"], episode["l"])
        if not finite(obs):
            some = self._drop_infinite(turn, ended, actions)
        if ended:
            self._end(ended, turn)
        at[0] = -1
        return some or bool(ended)

    def _end(self, ended: list[int], turn: int) -> None:
        """Keep the true last observations and begin the next episodes."""
        obs, last = self._sets[turn][0], self.memory["last"]
        for i in ended:
            if type(obs) is ndarray:
                last[i] = obs[i]
            else:
                put(last, i, map_(lambda array, i=i: array[i], obs))
            self._next(i, obs)

    def _rows(self, action: Tree) -> Any:
        """The action of each environment, in memory of its own: some write into it."""
        batch = map_(np.array, action)
        if not self._nested:
            return batch
        return [map_(lambda part, i=i: part[i], batch) for i in range(len(self.envs))]

    def _drop(self, i: int, turn: int, error: Exception) -> bool:
        """Raise, or begin anew in a row that is no transition."""
        obs, reward, terminated, truncated = self._sets[turn]
        self._replace(i, error, obs)
        reward[i], self.memory["faulty"][i] = 0, True
        terminated[i] = truncated[i] = self.memory["told"][i] = False
        return True

    def _drop_infinite(self, turn: int, ended: list[int], actions: Any) -> bool:
        obs = self._sets[turn][0]
        for i in range(len(self.envs)):
            if not finite(row(obs, i)):
                self._drop(i, turn, self._unsound(i, f"the observation {row(obs, i)}", "finite", actions[i]))
                if i in ended:
                    ended.remove(i)
        return True

    def take_faults(self) -> list[str]:
        """What was restarted since the last call, in words."""
        taken, self.faults = self.faults, []
        return taken

    # words
    def name(self, i: int) -> str:
        """What to call an environment in messages."""
        return f"environment {self.first + i} ({name_of(self.envs[i])})"

    def _where(self, i: int) -> str:
        seed = f"seed {self._seed(i)}" if self.reseed == "episode" else "not seeded anew"
        return f"in step {self.t - self.begun[i]} of episode {self.memory['number'][i]} ({seed})"

    def _located(self, i: int, call: str, error: Exception) -> EnvError:
        made = EnvError(f"{self.name(i)} {self._where(i)}: {call} raised {type(error).__name__}: {error}")
        made.__cause__ = error
        return made

    def _unsound(self, i: int, what: str, wanted: str, action: Any) -> ValueError:
        where = self._where(i)
        return ValueError(f"{self.name(i)} gave {what} {where} under the action {action}, which is not {wanted}")

    def _check(self, i: int, obs: Any, call: str) -> None:
        if wrong := complaint(self._promised, obs):
            raise ValueError(f"{self.name(i)}: {call} gave {wrong}")
        if self.t:  # bounds that the first ones keep are taken to be meant
            return
        wrong, whole = beyond(self.envs[i].observation_space, obs)
        if whole:
            raise ValueError(f"{self.name(i)}: {call} gave {wrong}")
        if wrong and not self._warned:
            self._warned = True
            warnings.warn(f"{self.name(i)}: {call} gave {wrong}", stacklevel=2)

    def render(self, i: int) -> np.ndarray:
        """A picture of stream i, uint8 (H, W, 3)."""
        try:
            picture = self.envs[i].render()
        except NotImplementedError:  # of gymnasium.Env
            picture = None
        if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape[2:] == (3,)):
            mode = getattr(self.envs[i], "render_mode", None)
            raise ValueError(
                f"{self.name(i)} renders no pictures, its render_mode is {mode!r}; make it with "
                f'render_mode="rgb_array", an id by rlcore.envs.single.maker(id, render_mode="rgb_array")'
            )
        return picture

    def close(self) -> None:
        """Close all; EnvError of the first that raised."""
        errors = []
        for i, env in enumerate(self.envs):
            try:
                env.close()
            except Exception as error:
                errors.append(self._located(i, "close()", error))
        if errors:
            raise errors[0]


def recorder(env: Any) -> Any:
    """The level of a wrapper chain that counts whole games and raw rewards; None if there is none."""
    return next((level for level in reversed(levels(env)) if isinstance(level, RecordEpisodeStatistics)), None)


def told(error: BaseException) -> str:
    """An error in words, with the traceback of what the environment raised."""
    cause = error.__cause__
    return f"{error}\n\n{''.join(traceback.format_exception(cause))}" if cause is not None else str(error)
