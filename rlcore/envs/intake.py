"""Intake: what a vector environment gives is checked against its spaces and copied into arrays of ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlcore.envs.batch import LARGEST, beyond, complaint, empty_batch, finite, infinite_row, structure
from rlcore.tree import Tree, leaves, map_, put

DOUBT = 5  # ends of episodes that raise it


class Intake:
    """For n streams of a vector environment; with `masks`, action masks in infos become part of the observation."""

    def __init__(self, env: Any, masks: bool, same_step: bool):
        self.n = env.num_envs
        self.name = str(env) if len(str(env)) < 80 else type(env).__name__
        self.space, self.masks = env.single_observation_space, masks
        if masks:
            actions = env.single_action_space
            if not isinstance(actions, (spaces.Discrete, spaces.MultiDiscrete)):
                raise ValueError(f"ForeignEnv: only Discrete and MultiDiscrete actions can be masked, not {actions}")
            n = actions.n if isinstance(actions, spaces.Discrete) else actions.nvec.sum()
            self.space = spaces.Dict({"obs": self.space, "action_mask": spaces.MultiBinary(int(n))})
        self._promised = structure(self.space)
        self._same_step = same_step  # what a step shows is never the last of an episode
        self._ends = 0  # all of which look as if observations shared an array; DOUBT: one did not, or it was said
        self._seen = False  # first observations, whose bounds are checked
        self.lengths = np.zeros(self.n, np.int64)  # of the running episodes, for messages

    def clear(self) -> None:
        """Let go of what was given out."""
        self._sets = [empty_batch(self.space, self.n) for _ in range(2)]  # a Step's arrays hold for two steps
        self._turn = 0

    def turn(self) -> Tree:
        """The arrays whose turn it is."""
        self._turn = 1 - self._turn
        return self._sets[self._turn]

    def rows(self, obs: Tree, mask: np.ndarray, given: Tree, info: dict[str, Any]) -> None:
        """Put first observations into the streams of a mask: given are they alone, or those of all streams."""
        if len(next(leaves(given))) == self.n:
            given = map_(lambda array: np.asarray(array)[mask], given)
        if self.masks:
            given = {"obs": given, "action_mask": self._mask(info, mask)[mask]}
        self._put(obs, mask, given, int(mask.sum()), "reset()")
        if not self._seen:  # bounds that the first ones keep are taken to be meant
            self._refuse_beyond(obs)

    def step(self, given: Tree, info: dict[str, Any], terminated: np.ndarray) -> Tree:
        """The observations of a step; an action mask must be there unless all is over."""
        if self.masks:
            given = {"obs": given, "action_mask": self._mask(info, ~terminated | self._same_step)}
        obs = self.turn()
        self._put(obs, ..., given, self.n, "step()")
        return obs

    def last(self, obs: Tree, info: dict[str, Any], ended: np.ndarray, needed: np.ndarray) -> Tree:
        """obs with the last observations of the episodes that ended in this step, in which others have begun."""
        if "final_obs" not in info:
            raise ValueError(f"{self.name} resets in the SAME_STEP, but an episode ended without info['final_obs']")
        final, batch = map_(np.copy, obs), info["final_obs"]
        masks = self._mask(info.get("final_info", {}), needed) if self.masks else None
        for i in ended.nonzero()[0]:
            given = batch[i] if isinstance(batch, np.ndarray) else map_(lambda array, i=i: array[i], batch)
            if masks is not None:
                given = {"obs": given, "action_mask": masks[i]}
            if wrong := complaint(self._promised, given):
                raise ValueError(f"stream {i} of {self.name}: info['final_obs'] has {wrong}")
            put(final, i, given)
        self._refuse_infinite(final, "info['final_obs']")
        return final

    def look_for_sharing(
        self, obs: Tree, final: Tree, before: Tree, ended: np.ndarray, shares: Callable[[int], bool | None]
    ) -> None:
        """ValueError if first observations are written over last ones, in one array; a warning if it looks so."""
        lost = (
            "that SAME_STEP loses each episode's last observation; have it give copies, or use another autoreset_mode"
        )
        for i in ended.nonzero()[0].tolist():
            sure = shares(i)
            if sure:
                raise ValueError(f"stream {i} of {self.name} gives one array again and again, so {lost}")
            if sure is None and self._ends < DOUBT and not _same(i, before, obs):
                self._ends = self._ends + 1 if _same(i, final, obs) else DOUBT
                if self._ends == DOUBT and _same(i, final, obs):
                    warnings.warn(
                        f"{self.name}: so far each episode's last observation was the first of the next one; it may be "
                        f"that the environment gives one array again and again, and {lost}",
                        stacklevel=4,
                    )

    def reward(self, given: Any) -> np.ndarray:
        """Rewards (n,), each a finite float32."""
        reward = np.asarray(given)
        if reward.shape != (self.n,) or reward.dtype.kind not in "biuf":
            raise ValueError(f"{self.name} gave rewards of shape {reward.shape} {reward.dtype}, expected ({self.n},)")
        if not np.abs(reward).max() <= LARGEST:
            i = (np.abs(reward) <= LARGEST).argmin()
            raise ValueError(f"stream {i} of {self.name} gave the reward {reward[i]} in step {self.lengths[i] + 1}")
        return reward

    def refuse_disturbed(self, obs: Tree, mask: np.ndarray, given: Tree) -> None:
        """ValueError if a reset of the streams of a mask has changed what the others show."""
        if len(next(leaves(given))) != self.n:  # those of the mask alone
            return
        own = obs["obs"] if self.masks else obs
        same = map_(lambda a, b: np.array_equal(a[~mask], np.asarray(b)[~mask].astype(a.dtype)), own, given)
        if not all(leaves(same)):
            raise ValueError(
                f"{self.name}: reset(options={{'reset_mask': ...}}) changed streams outside the mask, so that no "
                "single stream can be reset, as autoreset_mode DISABLED needs it"
            )

    def nested(self, obs: Tree) -> Tree:
        """Saved observations, nested as the space is."""
        return map_(lambda _, leaf: np.asarray(leaf), self._sets[0], obs)

    def refuse_unlike(self, obs: Tree) -> None:
        """ValueError unless saved observations are of this space."""

        def alike(own: np.ndarray, saved: np.ndarray) -> None:
            if (saved.shape, saved.dtype) != (own.shape, own.dtype):
                there, here = f"{saved.shape} {saved.dtype}", f"{own.shape} {own.dtype}"
                raise ValueError(f"load: the state has obs as {there}, here it is {here}")

        map_(alike, self._sets[0], self.nested(obs))

    def _mask(self, info: dict[str, Any], needed: np.ndarray) -> np.ndarray:
        """Which actions are allowed (n, actions), all in streams that say nothing and need not."""
        mask = np.ones((self.n, self.space["action_mask"].n), np.int8)
        given: Any = info.get("action_mask")
        has = np.zeros(self.n, bool) if given is None else info.get("_action_mask", np.ones(self.n, bool))
        if (needed & ~has).any():
            i = (needed & ~has).argmax()
            raise ValueError(f"stream {i} of {self.name}: there is no info['action_mask'], which mask_from_info reads")
        for i in has.nonzero()[0]:
            one = np.concatenate([np.ravel(part) for part in given[i]]) if isinstance(given[i], tuple) else given[i]
            if np.shape(one) != mask[i].shape:
                raise ValueError(
                    f"stream {i} of {self.name}: info['action_mask'] has shape {np.shape(one)}, not {mask[i].shape}"
                )
            mask[i] = np.asarray(one) != 0
        return mask

    def _put(self, obs: Tree, where: Any, given: Tree, n: int, call: str) -> None:
        if type(obs) is np.ndarray:
            self._refuse_unlike(obs, given, n, call)
        else:
            try:
                map_(lambda own, new: self._refuse_unlike(own, new, n, call), obs, given)
            except (KeyError, IndexError, TypeError) as error:
                raise ValueError(f"{self.name}: {call} gave observations that are not of {self.space}") from error
        put(obs, where, given)
        self._refuse_infinite(obs, call)

    def _refuse_unlike(self, own: np.ndarray, given: Any, n: int, call: str) -> None:
        given = np.asarray(given)
        if given.shape != (n, *own.shape[1:]) or not np.can_cast(given.dtype, own.dtype, "same_kind"):
            raise ValueError(
                f"{self.name}: {call} gave observations of shape {given.shape} {given.dtype}, "
                f"its observation_space promises {(n, *own.shape[1:])} {own.dtype}"
            )

    def _refuse_beyond(self, obs: Tree) -> None:
        wrong, whole = beyond(self.space, obs)
        if whole:
            raise ValueError(f"{self.name}: reset() gave {wrong}")
        if wrong:
            warnings.warn(f"{self.name}: reset() gave {wrong}", stacklevel=6)
        self._seen = True

    def _refuse_infinite(self, batch: Tree, call: str) -> None:
        if not finite(batch):
            i = infinite_row(batch, self.n)
            k = self.lengths[i]
            raise ValueError(
                f"stream {i} of {self.name}: {call} gave NaN or infinity in the observation after step {k}"
            )


def _same(i: int, a: Tree, b: Tree) -> bool:
    """Whether row i is the same in both, bit for bit."""
    return all(x[i].tobytes() == y[i].tobytes() for x, y in zip(leaves(a), leaves(b)))
