"""How each kind of vector environment begins episodes: what it makes of a mask of streams, and of seeds."""

from __future__ import annotations

import sys
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from rlcore.tree import leaves, map_


class Resets:
    """Of a kind that nothing is known of: all streams begin together, or those of a mask where that is its only way."""

    exact = False  # an episode's seed and its actions lead to where it is
    reseed: Literal["episode", "once"] = "episode"  # what costs little here
    anew = False  # seen: a lost life ends the game, as ale_py's episodic_life has it
    why = "its episodes do not begin by seeds of their own"  # and it is not exact

    def __init__(self, env: Any, mode: AutoresetMode):
        self.env = env
        self.at_once = mode is AutoresetMode.DISABLED  # streams may begin an episode at any time, by a mask
        self._waits = mode is AutoresetMode.NEXT_STEP  # it resets by itself, and spends a row on it
        base = _bare(env.unwrapped)
        self.trusted = base is not None  # to leave the streams outside a mask alone, whatever its wrappers show of them
        self._seedless = base is PoolResets
        self._one_seed = False  # reset() takes one seed for all streams, as some of Gymnasium's own do

    def begin(self, mask: np.ndarray | None, seeds: list[int | None] | None) -> tuple[Any, dict[str, Any]]:
        """Reset the streams of a mask, all if None; observations of all streams or of those, and infos."""
        if self._seedless or seeds is None:
            return self._reset(mask, None)
        if not self._one_seed:
            try:
                return self._reset(mask, seeds)
            except (gymnasium.error.Error, TypeError):
                if self.exact or mask is not None:  # it is known to take a list, or the first reset has shown it
                    raise
        given = self._reset(mask, seeds[0 if mask is None else int(mask.argmax())])
        self._one_seed = True
        return given

    def _reset(self, mask: np.ndarray | None, seed: Any) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=seed, options=None if mask is None else {"reset_mask": mask.copy()})

    def later(self, ended: np.ndarray, over: np.ndarray) -> np.ndarray | None:
        """Streams whose next row is spent on a reset, of those that ended and those whose game is over; None: none."""
        return ended if self._waits and ended.any() else None

    def games(
        self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Raw rewards, ends that end no game, streams that began one by themselves (None: none): what infos tell."""
        return reward, None, None

    def shares(self, info: dict[str, Any], i: int) -> bool | None:
        """Whether stream i gave a last observation in the array that holds a first one by now; None: nobody knows."""
        now = getattr(self.env.unwrapped, "_env_obs", None) if isinstance(self.env.unwrapped, SyncVectorEnv) else None
        if now is None:
            return None
        pairs = zip(leaves(info["final_obs"][i]), leaves(now[i]))
        return any(np.shares_memory(np.asarray(a), np.asarray(b)) for a, b in pairs)


class SeededResets(Resets):
    """Of Gymnasium's own, as long as nobody has changed how they reset and step."""

    exact = True

    def __init__(self, env: Any, mode: AutoresetMode):
        super().__init__(env, mode)
        self.at_once, self._waits = True, False
        if getattr(env.spec, "namespace", None) == "ALE":  # a seeded reset costs 20 times a plain one
            self.reseed = "once"
        self.reseed = getattr(next(iter(getattr(env, "env_fns", ())), None), "reseed", self.reseed)


class AtariResets(SeededResets):
    """Of ale_py's vector environment: seeds are those of the mask alone, and cost 0.1 s each."""

    reseed = "once"
    why = "only its first episodes are seeded (a seed costs 0.1 s an episode: reseed='episode')"

    def __init__(self, env: Any, mode: AutoresetMode):
        super().__init__(env, mode)
        self._lives = self._frames = np.zeros(env.num_envs, np.int32)

    def _reset(self, mask: np.ndarray | None, seed: Any) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            seed = np.array(seed)[slice(None) if mask is None else mask]
        obs, info = super()._reset(mask, seed)
        self._lives, self._frames = info["lives"].copy(), info["episode_frame_number"].copy()
        return obs, info

    def games(
        self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Rewards are as they come: reward_clipping=False where the raw ones are wanted."""
        # after a lost life the game goes on (life_loss_info), until a stream is seen to begin another (episodic_life)
        lives, frames = info["lives"], info["episode_frame_number"]
        alone = (frames < self._frames) & ~(terminated | truncated)
        some = bool(alone.any())
        self.anew |= some
        lost = terminated & ~truncated & (lives > 0) & (lives < self._lives)
        self._lives, self._frames = lives.copy(), frames.copy()
        return reward, lost & (not self.anew), alone if some else None


class PoolResets(Resets):
    """Of EnvPool: it has its own seed from when it was made, and gives the rows of a mask alone."""

    reseed = "once"
    why = "EnvPool takes no seeds after it was made"

    def __init__(self, env: Any, mode: AutoresetMode):
        super().__init__(env, mode)
        self.at_once = True

    def later(self, ended: np.ndarray, over: np.ndarray) -> np.ndarray | None:
        lost = ended & ~over
        return lost if lost.any() else None

    def begin(self, mask: np.ndarray | None, seeds: list[int | None] | None) -> tuple[Any, dict[str, Any]]:
        obs, info = self._reset(mask, None)
        order = np.argsort(info["env_id"])
        return map_(lambda array: array[order], obs), info

    def games(
        self, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        if "lives" not in info or "terminated" not in info:
            return reward, None, None
        return info.get("reward", reward), terminated & (info["terminated"] == 0), None


def mode_of(env: Any) -> AutoresetMode:
    """The mode that an environment's metadata say; ValueError if they do not."""
    mode = env.metadata.get("autoreset_mode")
    try:
        return AutoresetMode(mode)
    except ValueError:
        known = ", ".join(m.name for m in AutoresetMode)
        raise ValueError(
            f"{type(env).__name__}: metadata['autoreset_mode'] is {mode!r}, so it is not known which rows "
            f"are transitions; set it to one of gymnasium.vector.AutoresetMode's {known}"
        ) from None


def resets_of(env: Any, mode: AutoresetMode) -> Resets:
    """How an environment is reset; ValueError where that is known to go wrong."""
    base = env.unwrapped
    if isinstance(base, AsyncVectorEnv) and not base.shared_memory and mode is AutoresetMode.NEXT_STEP:
        raise ValueError(
            f"{env}: without shared memory and in the mode NEXT_STEP, Gymnasium's workers ignore the first action "
            "after a reset of an ended episode; use shared_memory=True, or autoreset_mode SAME_STEP or DISABLED"
        )
    if getattr(base, "batch_size", env.num_envs) != env.num_envs or getattr(base, "is_async", False):
        raise ValueError(f"{type(env).__name__}: gives a part of its streams at each step; use batch_size = num_envs")
    return (_bare(env) or Resets)(env, mode)


def _bare(env: Any) -> type[Resets] | None:
    """The known kind that an environment, without wrappers, is of; a subclass that resets otherwise is of none."""
    atari, pool = sys.modules.get("ale_py.vector_env"), sys.modules.get("envpool.python.envpool")
    kinds: list[tuple[Any, type[Resets]]] = [(SyncVectorEnv, SeededResets), (AsyncVectorEnv, SeededResets)]
    kinds += [(atari.AtariVectorEnv, AtariResets)] if atari else []
    for known, resets in kinds:
        if isinstance(env, known) and all(getattr(type(env), f) is getattr(known, f) for f in ("reset", "step")):
            return resets if getattr(env, "worker", None) is None else None  # of Async, which may be anybody's
    return PoolResets if pool and isinstance(env, pool.EnvPoolMixin) else None
