"""ForeignEnv: somebody else's vector environment, in any of Gymnasium's auto-reset modes, as a stream of Steps."""

from __future__ import annotations

import warnings
from copy import deepcopy
from functools import partial
from operator import index
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from rlcore.envs.base import Episodes, VectorEnv, episode_seed, no_transition, refuse_others
from rlcore.envs.batch import Leaf, row, structure
from rlcore.envs.foreign_workers import Workers
from rlcore.envs.intake import Intake
from rlcore.envs.records import record_key, records
from rlcore.envs.resets import mode_of, resets_of
from rlcore.stream import Step
from rlcore.tree import leaves, map_


class ForeignEnv(VectorEnv):
    """Wraps a gymnasium.vector.VectorEnv, ale_py's AtariVectorEnv or an EnvPool, which says its `autoreset_mode`.

    Gymnasium's Sync and Async, ale_py's and EnvPool's begin the next episode at once, whatever their mode; of others
    (wrapped ones, those with a class of their own) the row that NEXT_STEP spends on a reset comes with valid=False.
    reseed is "episode" or "once" as in SerialEnv; None: "once" for ale_py, where a seed costs 0.1 s; EnvPool has its
    own seed. With mask_from_info observations are {"obs", "action_mask"}. Returns of episodes are those of a
    RecordEpisodeStatistics inside, else sums of the rewards as they come.
    """

    def __init__(
        self,
        vector_env: Any,
        seed: int = 0,
        reseed: Literal["episode", "once"] | None = None,
        mask_from_info: bool = False,
    ):
        if not isinstance(vector_env, gymnasium.vector.VectorEnv):
            raise TypeError(f"ForeignEnv: expected a gymnasium.vector.VectorEnv, got {type(vector_env).__name__}")
        if reseed not in ("episode", "once", None):
            raise ValueError(f"ForeignEnv: reseed must be 'episode' or 'once', got {reseed!r}")
        self.mode = mode_of(vector_env)
        self.env: Any = vector_env
        self.seed, self.n_envs = index(seed), vector_env.num_envs
        self._resets = resets_of(vector_env, self.mode)
        self.reseed = reseed or self._resets.reseed
        self.resumable = "replay" if self._resets.exact and self.reseed == "episode" else "no"
        self._workers = Workers(vector_env)
        self._record_key = record_key(vector_env, self.mode)
        self._intake = Intake(vector_env, mask_from_info, self.mode is AutoresetMode.SAME_STEP)
        self.observation_space, self.action_space = self._intake.space, vector_env.single_action_space
        self._acting = structure(self.action_space, "actions")
        nested = isinstance(self.action_space, (spaces.Dict, spaces.Tuple))
        self._dtype = None if nested else self._acting.dtype  # of a batch of actions, where it is one array
        self._rows = None if nested else (self.n_envs, *self._acting.shape)
        self.obs: Any = None
        self._numbers = np.arange(self.n_envs)  # of the running episodes
        self._valid = np.ones(self.n_envs, bool)
        self._clear()
        self._lost = True  # no way back into the running episodes, or none yet: the next step begins new ones
        self._said = False  # that it cannot be resumed exactly

    def _clear(self) -> None:
        """No episode is running, and what was given out is let go."""
        self._intake.clear()
        self._later: np.ndarray | None = None  # streams whose next row is spent on a reset
        self._returns, self._lengths = np.zeros(self.n_envs), self._intake.lengths
        self._lengths[:] = 0
        self._actions: list[Any] | None = None if self.resumable == "no" else []  # batches of the latest steps

    # beginning episodes
    def reset(self) -> Any:
        self._numbers = np.arange(self.n_envs)
        return self._begin_all()

    def _begin_all(self) -> Any:
        self._lost = True
        self._clear()
        obs = self._intake.turn()
        self._begin(self._valid, obs)
        self.obs, self._lost = obs, False
        return self.obs

    def _begin(self, mask: np.ndarray, obs: Any) -> None:
        """Begin the episodes `_numbers` in the streams of a mask, `_valid` for all, and put what they show into obs."""
        some = None if mask is self._valid else mask
        seeds: list[int | None] | None = None
        if some is None or self.reseed == "episode":
            numbers = zip(self._numbers.tolist(), mask.tolist())
            seeds = [episode_seed(self.seed, k) if here else None for k, here in numbers]
        first, info = self._workers.ask(self._resets.begin, some, seeds)
        if some is not None and not self._resets.trusted:
            self._intake.refuse_disturbed(obs, mask, first)
        self._intake.rows(obs, mask, first, info)

    def _next(self, which: np.ndarray) -> None:
        """The streams go over to their next episodes."""
        self._returns[which], self._lengths[which] = 0.0, 0
        self._numbers[which] += self.n_envs
        if self._actions is not None:
            del self._actions[: len(self._actions) - int(self._lengths.max())]

    def restart(self, which: np.ndarray) -> tuple[Any, Episodes]:
        if not self._resets.at_once:
            return super().restart(which)
        if self.obs is None:
            raise ValueError("ForeignEnv: call reset() before restart()")
        cut = np.array([], np.int64) if self._lost else np.flatnonzero(which)  # lost: no episode is running
        returns, lengths = self._returns, self._lengths
        if self._record_key is not None:
            returns, lengths = [
                np.array(self._workers.ask(self.env.unwrapped.call, f"episode_{what}"))
                for what in ("returns", "lengths")
            ]
        episodes = cut, returns[cut].astype(float), lengths[cut].astype(np.int64)
        if len(cut):
            self._lost = True
            self._next(cut)
            if self._later is not None:
                self._later[cut] = False
            self._begin(np.array(which, bool), self.obs)
            self._lost = False
        return self.obs, episodes

    # stepping
    def step(self, action: Any) -> Step:
        if self._lost:
            return self._begin_anew()
        if type(action) is not np.ndarray or action.dtype is not self._dtype or action.shape != self._rows:
            action = map_(self._checked, self._acting, action)
        self._lost = True  # until the end: an error or an interruption leaves some streams a step ahead of the others
        try:
            obs, reward, terminated, truncated, info = self._workers.ask(
                self.env.step,
                map_(np.array, action),  # environments may write into theirs
            )
        except KeyboardInterrupt:
            if self._workers.interrupted:  # and not this process: here somebody catches the signal, to end in peace
                return no_transition(self.obs, self.n_envs)
            raise
        reward = self._intake.reward(reward)
        terminated = np.array(terminated, bool)
        truncated = np.asarray(truncated, bool) & ~terminated
        obs = self._intake.step(obs, info, terminated)
        raw, lost, alone = self._resets.games(reward, terminated, truncated, info)
        valid, idle = self._valid, alone if self._later is None else self._later
        if idle is not None:
            valid = ~idle
            reward, raw = np.where(valid, reward, 0), np.where(valid, raw, 0)
            terminated, truncated = terminated & valid, truncated & valid
        self._returns += raw
        self._lengths += valid
        if self._actions is not None:
            self._actions.append(map_(np.array, action))
        final: Any = obs
        told: dict[str, Any] = {}
        ended = terminated | truncated
        if idle is not None or True in ended.tolist():
            over = ended if lost is None else ended & ~lost
            final, told = self._end(obs, ended, truncated, over if alone is None else over | alone, info)
        self.obs, self._lost = obs, False
        return Step(obs, reward.astype(np.float32), terminated, truncated, final, valid, told)

    def _end(
        self, obs: Any, ended: np.ndarray, truncated: np.ndarray, over: np.ndarray, info: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Go on to the next episodes, in obs, where one is over; true successors, and what is told of episodes."""
        final, same_step = obs, self.mode is AutoresetMode.SAME_STEP
        if same_step and (over & ended).any():
            final = self._intake.last(obs, info, over & ended, truncated)
            self._intake.look_for_sharing(obs, final, self.obs, over & ended, partial(self._resets.shares, info))
        self._later = self._resets.later(ended, over)
        which = over.nonzero()[0]
        episodes: Episodes | None = (which, self._returns[which], self._lengths[which])
        if self._record_key is not None:
            episodes = records(info, self._record_key)
        if len(which):
            self._next(which)
            if self._resets.at_once and not (same_step and self.reseed == "once"):
                final = map_(np.copy, obs) if final is obs else final
                self._begin(over, obs)
        return final, {"episode": episodes} if episodes is not None and len(episodes[0]) else {}

    def _begin_anew(self) -> Step:
        """Begin the episodes after the lost ones, in rows that are no transitions."""
        if self.obs is None:
            raise ValueError("ForeignEnv: call reset() before step()")
        self._numbers += self.n_envs
        return no_transition(self._begin_all(), self.n_envs)

    def _checked(self, leaf: Leaf, action: Any) -> np.ndarray:
        """A batch of actions as an array; ValueError if it has not one row for each environment."""
        action = np.asarray(action)
        if action.shape != (self.n_envs, *leaf.shape) or action.dtype.kind == "f" != leaf.dtype.kind:
            wanted = f"{(self.n_envs, *leaf.shape)} {leaf.dtype}"
            raise ValueError(f"ForeignEnv: actions of shape {action.shape} {action.dtype}; expected {wanted}")
        return action

    # resuming
    def state(self) -> dict[str, Any]:
        state = {**self._made(), "seed": self.seed, "started": self.obs is not None}
        if self.obs is None:
            return state
        if self.resumable == "no" and not self._said:
            self._said = True
            warnings.warn(
                f"{self._intake.name} cannot be resumed exactly, as {self._resets.why}: "
                "a resumed run drops the episodes that were running and begins new ones",
                stacklevel=2,
            )
        state |= {"resumable": "no" if self._lost else self.resumable, "numbers": self._numbers, "obs": self.obs}
        state["anew"] = self._resets.anew
        if state["resumable"] == "replay":
            n = int(self._lengths.max())
            taken = map_(lambda *parts: np.stack(parts), *self._actions[-n:]) if n else None  # type: ignore[index]
            state |= {"lengths": self._lengths, "returns": self._returns, "actions": taken}
        return state

    def check(self, state: dict[str, Any]) -> None:
        refuse_others(state, self._made())
        if state["started"]:
            self._intake.refuse_unlike(state["obs"])

    def load(self, state: dict[str, Any]) -> Any:
        self.check(state)
        if not state["started"]:
            self.seed = state["seed"]
            return self.reset()
        state = deepcopy(state)  # it may be this environment's own, whose arrays the resets overwrite
        saved = self._intake.nested(state["obs"])
        self.obs, self._lost = None, True  # not started, should an environment fail
        self.seed, self._numbers, self._resets.anew = state["seed"], np.array(state["numbers"]), state["anew"]
        self._clear()
        if state["resumable"] == self.resumable == "replay":
            self._replay(state, saved)
            self._lost = False
        self.obs = saved
        return saved

    def _replay(self, state: dict[str, Any], saved: Any) -> None:
        """Bring the streams to where they were by their actions; observations and returns must come out the same.

        The longest episode begins at once, one of k actions when k are left. A stream that waits plays the longest's:
        those actions are possible there, and end nothing.
        """
        numbers, lengths, returns = self._numbers, np.asarray(state["lengths"]), np.asarray(state["returns"])
        last, longest = int(lengths.max()), int(lengths.argmax())
        total, begun, ended = np.zeros(self.n_envs), ~self._valid, ~self._valid
        obs = self._intake.turn()
        for k in range(last + 1):
            due = lengths == last - k
            begun = begun | due
            if (mask := due | ended | (k == 0)).any():
                self._numbers = np.where(begun, numbers, numbers[longest])
                self._begin(mask if k else self._valid, obs)
            if k < last:
                action = map_(lambda _, part, k=k: np.array(part[k]), self._acting, state["actions"])
                self._actions.append(map_(np.copy, action))  # type: ignore[union-attr]
                map_(lambda part: part.__setitem__(~begun, part[longest]), action)  # noqa: B023
                given, reward, terminated, truncated, info = self._workers.ask(self.env.step, action)
                reward = self._intake.reward(reward)
                terminated, truncated = np.array(terminated, bool), np.asarray(truncated, bool)
                lost = self._resets.games(reward, terminated, truncated, info)[1]
                ended = terminated | truncated if lost is None else (terminated | truncated) & ~lost
                obs = self._intake.step(given, info, terminated)
                total += np.where(begun, reward, 0)
                if (ended & begun).any():
                    break
        pairs = [(a, b) for a, b in zip(leaves(obs), leaves(saved))]
        for i in range(self.n_envs):
            if (ended & begun)[i] or total[i] != returns[i] or any(a[i].tobytes() != b[i].tobytes() for a, b in pairs):
                raise ValueError(
                    f"stream {i} of {self._intake.name} is not deterministic: the same seed and actions led to "
                    f"{row(obs, i)} and the return {total[i]}, not to {row(saved, i)} and {returns[i]}; made with "
                    "reseed='once' it goes on without the episodes that were running"
                )
        self._numbers, self._lengths[:], self._returns[:] = numbers, lengths, returns

    def _made(self) -> dict[str, Any]:
        name = getattr(self.env.spec, "id", type(self.env.unwrapped).__name__)
        return {"env": name, "n_envs": self.n_envs}

    def close(self) -> None:
        self._workers.close()
