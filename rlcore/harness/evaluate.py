"""Evaluation on fixed episodes, apart from training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.agents.base import Agent, Policy
from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers import learning
from rlcore.harness.loop import due
from rlcore.harness.record import Recorder
from rlcore.harness.storage import save_state
from rlcore.parallel.heartbeat import beat
from rlcore.stream import Step

LONG = 100_000  # steps after which somebody who waits for the first episode is told
LONGEST = 1_000_000  # steps of an episode, after which it is taken for one that never ends


class PutOff(Exception):
    """An evaluation was left before its end, to be done later."""


def evaluate(
    policy: Policy, env: VectorEnv, episodes: int, stop: Callable[[], bool] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths (episodes,) of episodes 0, 1, 2 ... of env, which starts over.

    Stream i plays the episodes i, i + n_envs, ...: a quota each, for the first to finish would favour short ones.
    ValueError if one does not end in 1,000,000 steps; PutOff after a step at which stop() is true.
    """
    if episodes < 1:
        raise ValueError(f"evaluate: episodes must be at least 1, got {episodes}")
    obs = env.reset()
    policy.reset()
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    number, left = np.arange(env.n_envs), episodes
    k, begun, limit = 0, np.zeros(env.n_envs, np.int64), LONGEST  # steps; those at which the episodes began
    while left:
        step = env.step(policy(obs))
        if stop is not None and stop():
            raise PutOff
        obs, k = step.obs, k + 1
        beat()
        if "episode" in step.info:
            for i, total, length in zip(*step.info["episode"]):
                if number[i] < episodes:
                    returns[number[i]], lengths[number[i]] = total, length
                    left -= 1
                number[i] += env.n_envs
                begun[i] = k
        cut = step.ended | ~step.valid  # not each of them ends a game: a life may be lost, an environment fail
        if cut.any():
            policy.reset(cut)
        if k == LONG and not begun[number < episodes].all():
            warnings.warn(
                f"an episode of an evaluation has not ended in {k:,} steps yet; where episodes may never end, give "
                "them a time_limit (--time-limit)",
                stacklevel=2,
            )
        if k == limit:
            limit = int(begun[number < episodes].min(initial=k)) + LONGEST
            if limit == k:
                raise ValueError(
                    f"evaluate: an episode has not ended in {LONGEST:,} steps; cut it with time_limit "
                    "(--time-limit), or wrap the environment in gymnasium.wrappers.TimeLimit"
                )
    return returns, lengths


class Evaluation:
    """A hook: every so many rows, evaluate the deterministic policy, record it, and keep the best in `best`.

    video: films what env plays, with `record(name, episodes)`, which arms it for the next episodes of stream 0; at the
    first and every `video_every`-th evaluation. A disk that does not take the best costs a warning, never the run.
    """

    def __init__(
        self,
        agent: Agent,
        env: VectorEnv,
        every: int,
        episodes: int,
        recorder: Recorder,
        best: Path | None = None,
        video: Any = None,
        video_every: int = 1,
        video_episodes: int = 1,
    ):
        for name, number in (("every", every), ("video_every", video_every), ("video_episodes", video_episodes)):
            if number < 1:
                raise ValueError(f"Evaluation: {name} must be at least 1, got {number}")
        self.agent, self.env, self.every, self.episodes = agent, env, every, episodes
        self.recorder, self.best, self.best_mean = recorder, best, -np.inf
        self.video, self.video_every, self.video_episodes = video, video_every, video_episodes
        self.done = 0  # evaluations so far
        self.faults = 0  # best policies that could not be written
        self.stop: Callable[[], bool] | None = None  # whether to leave an evaluation: it may take longer than there is
        self.owed = 0  # the row of one that was left

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        if due(t, len(step.reward), self.every):
            self.owed = t
            self.catch_up()

    def catch_up(self) -> None:
        """Do the evaluation that was left, if there is one; to be called before the policy changes."""
        if self.owed:
            with suppress(PutOff):
                self.run(self.owed)
                self.owed = 0

    def play(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths of the episodes; PutOff if it is to be done later."""
        return evaluate(self.agent.policy(), self.env, self.episodes, self.stop)

    def run(self, t: int) -> np.ndarray:
        """Evaluate now; gives the returns. What fails in it says so: ValueError if it was one, else RuntimeError."""
        try:
            if self.video is not None and self.done % self.video_every == 0:
                self.video.record(f"step-{t:012d}", self.video_episodes)
            returns, lengths = self.play()
        except PutOff:
            raise
        except Exception as error:
            kind = ValueError if isinstance(error, ValueError) else RuntimeError
            raise kind(f"the evaluation at row {t:,} failed ({type(error).__name__}: {error})") from error
        self.done += 1
        self.recorder.score(t, returns)
        self.recorder.scalar("eval/mean_reward", returns.mean(), t)
        self.recorder.scalar("eval/mean_ep_length", lengths.mean(), t)
        if returns.mean() > self.best_mean:
            self._keep(t, float(returns.mean()))
        return returns

    def _keep(self, t: int, mean: float) -> None:
        try:
            if self.best is not None:
                learned = [wrapper.own_state() for wrapper in learning(self.env)]  # which moves on with training
                save_state(self.best, {"t": t, "mean": mean, "actor": self.agent.actor.state(), "learned": learned})
        except OSError as error:
            self.faults += 1
            self.recorder.scalar("faults/best", self.faults, t)
            if self.faults == 1:
                warnings.warn(f"the policy of row {t:,}, the best so far, is not kept: {error}", stacklevel=4)
        else:
            self.best_mean = mean

    def state(self) -> dict[str, Any]:
        best = self.best_mean if np.isfinite(self.best_mean) else None
        return {"best_mean": best, "done": self.done, "owed": self.owed}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        best, counts = state.get("best_mean"), [state.get("done"), state.get("owed")]
        if not (best is None or isinstance(best, float)) or not all(isinstance(n, int) and n >= 0 for n in counts):
            raise ValueError(f"load: an evaluation has best_mean, done and owed, got {state!r}")

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.best_mean = -np.inf if state["best_mean"] is None else state["best_mean"]
        self.done, self.owed = state["done"], state["owed"]
