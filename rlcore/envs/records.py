"""The episodes that Gymnasium's RecordEpisodeStatistics has seen end, from the infos of a vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from rlcore.envs.base import Episodes


def record_key(env: Any, mode: AutoresetMode) -> str | None:
    """Where one around the vector environment, or around each of its own, puts its records; None if there is none."""
    level, base = env, env.unwrapped
    while level is not base:
        if isinstance(level, RecordEpisodeStatistics):
            # at a reset of single streams it forgets what it knows of all
            return None if mode is AutoresetMode.DISABLED else getattr(level, "_stats_key", "episode")
        level = level.env
    if isinstance(base, (SyncVectorEnv, AsyncVectorEnv)) and all(base.call("has_wrapper_attr", "_stats_key")):
        return str(base.call("_stats_key")[0])
    return None


def records(info: dict[str, Any], key: str) -> Episodes | None:
    """The records of one step; None if there are none."""
    info = info if key in info else info.get("final_info", {})
    if key not in info:
        return None
    which = np.flatnonzero(info[f"_{key}"])
    return which, np.asarray(info[key]["r"], float)[which], np.asarray(info[key]["l"], np.int64)[which]
