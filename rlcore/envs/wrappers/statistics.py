"""EpisodeStatistics: what the newest episodes gave."""

from __future__ import annotations

import time
from collections import deque
from operator import index
from typing import Any

import numpy as np

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.stream import Step


class EpisodeStatistics(Wrapper):
    """Raw returns, lengths and seconds of the newest `window` episodes, named as Gymnasium's RecordEpisodeStatistics.

    return_queue, length_queue, time_queue: deques, oldest first. episode_count: of all episodes.
    """

    def __init__(self, env: VectorEnv, window: int = 100):
        super().__init__(env, window=index(window))
        if window < 1:
            raise ValueError(f"EpisodeStatistics: window must be at least 1 episode, got {window}")
        self.return_queue: deque[float] = deque(maxlen=window)
        self.length_queue: deque[int] = deque(maxlen=window)
        self.time_queue: deque[float] = deque(maxlen=window)
        self.episode_count = 0
        self._began = np.zeros(self.n_envs)  # by time.monotonic()

    def first(self, obs: Any) -> Any:
        self._began[:] = time.monotonic()
        return obs

    def after(self, step: Step) -> Step:
        if "episode" in step.info:
            stream, total, length = step.info["episode"]
            now = time.monotonic()
            self.return_queue.extend(total.tolist())
            self.length_queue.extend(length.tolist())
            self.time_queue.extend((now - self._began[stream]).tolist())
            self.episode_count += len(stream)
            self._began[stream] = now
        return step

    def own_state(self) -> dict[str, Any]:
        return {
            "returns": np.array(self.return_queue, np.float64),
            "lengths": np.array(self.length_queue, np.int64),
            "seconds": np.array(self.time_queue, np.float64),
            "episodes": self.episode_count,
            "running": time.monotonic() - self._began,
        }

    def check_own(self, state: dict[str, Any]) -> None:
        sizes = {len(state[name]) for name in ("returns", "lengths", "seconds")}
        if len(sizes) > 1 or np.shape(state["running"]) != (self.n_envs,):
            raise ValueError("load: EpisodeStatistics of a torn state, or of another number of environments")

    def load_own(self, state: dict[str, Any]) -> None:
        window = self.settings["window"]
        self.return_queue = deque(np.asarray(state["returns"]).tolist(), window)
        self.length_queue = deque(np.asarray(state["lengths"]).tolist(), window)
        self.time_queue = deque(np.asarray(state["seconds"]).tolist(), window)
        self.episode_count = state["episodes"]
        self._began = time.monotonic() - np.asarray(state["running"], np.float64)
