"""Evaluation on fixed episodes, apart from training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rlcore.agents.base import Agent, Policy
from rlcore.envs.base import VectorEnv
from rlcore.harness.loop import due
from rlcore.harness.record import Recorder
from rlcore.harness.storage import save_state
from rlcore.stream import Step

LONGEST = 1_000_000  # steps of an episode, after which it is taken for one that never ends


def evaluate(policy: Policy, env: VectorEnv, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths (episodes,) of episodes 0, 1, 2 ... of env, which starts over.

    Stream i plays the episodes i, i + n_envs, ...: a quota each, for the first to finish would favour short ones.
    ValueError if one does not end in 1,000,000 steps.
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
        obs, k = step.obs, k + 1
        if "episode" in step.info:
            for i, total, length in zip(*step.info["episode"]):
                if number[i] < episodes:
                    returns[number[i]], lengths[number[i]] = total, length
                    left -= 1
                number[i] += env.n_envs
                begun[i] = k
            policy.reset(step.ended)
        if k == limit:
            limit = int(begun[number < episodes].min(initial=k)) + LONGEST
            if limit == k:
                raise ValueError(
                    f"evaluate: an episode has not ended in {LONGEST:,} steps; wrap the environment in "
                    "gymnasium.wrappers.TimeLimit"
                )
    return returns, lengths


class Evaluation:
    """A hook: every so many rows, evaluate the deterministic policy, record it, and keep the best in `best`."""

    def __init__(
        self, agent: Agent, env: VectorEnv, every: int, episodes: int, recorder: Recorder, best: Path | None = None
    ):
        self.agent, self.env, self.every, self.episodes = agent, env, every, episodes
        self.recorder, self.best, self.best_mean = recorder, best, -np.inf

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        if due(t, len(step.reward), self.every):
            self.run(t)

    def run(self, t: int) -> np.ndarray:
        """Evaluate now; gives the returns."""
        returns, lengths = evaluate(self.agent.policy(), self.env, self.episodes)
        self.recorder.score(t, returns)
        self.recorder.scalar("eval/mean_reward", returns.mean(), t)
        self.recorder.scalar("eval/mean_ep_length", lengths.mean(), t)
        if returns.mean() > self.best_mean:
            self.best_mean = float(returns.mean())
            if self.best is not None:
                save_state(self.best, {"t": t, "mean": self.best_mean, "actor": self.agent.actor.state()})
        return returns

    def state(self) -> dict[str, Any]:
        return {"best_mean": self.best_mean if np.isfinite(self.best_mean) else None}

    def load(self, state: dict[str, Any]) -> None:
        self.best_mean = -np.inf if state["best_mean"] is None else state["best_mean"]
