"""Evaluation on all ranks: each plays a share of the episodes, and all get what came of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlcore.agents.base import Policy
from rlcore.envs.base import VectorEnv
from rlcore.harness.evaluate import Evaluation, PutOff, evaluate
from rlcore.harness.record import Recorder
from rlcore.parallel.base import Comm


def joint_evaluate(
    policy: Policy, env: VectorEnv, episodes: int, comm: Comm, stop: Callable[[], bool] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths (episodes,) on all ranks: episode k is the (k // size)-th of rank k % size.

    env: its seed must be this rank's own, of `rank_seed` say, else ranks play the same episodes: ValueError. PutOff, on
    all ranks, if stop() was true on one.
    """
    if episodes < 1:
        raise ValueError(f"joint_evaluate: episodes must be at least 1, got {episodes}")
    size, most = comm.size, -(-episodes // comm.size)
    own = len(range(comm.rank, episodes, size))
    found = np.zeros((most, 2))
    seed = getattr(env, "seed", comm.rank)  # of a stranger nothing is known
    put_off = False
    try:
        if own:
            found[:own] = np.transpose(evaluate(policy, env, own, stop))
    except PutOff:
        put_off = True
    head = [[float(put_off), 0.0], [float(seed >> 32), float(seed % 2**32)]]
    everybodys = comm.allgather(np.concatenate((head, found)))
    if everybodys[:, 0, 0].any():
        raise PutOff
    if len(np.unique(everybodys[:, 1], axis=0)) < size:
        raise ValueError(
            f"joint_evaluate: the environments of two ranks have one seed, here {seed}, and play the same episodes; "
            "give each rank's one of its own, rank_seed(seed, comm)"
        )
    merged = everybodys[:, 2:].transpose(1, 0, 2).reshape(most * size, 2)[:episodes]
    return merged[:, 0].copy(), merged[:, 1].astype(np.int64)


class Unrecorded(Recorder):
    """In the place of a recorder on ranks that record nothing."""

    def __init__(self, *args: Any):
        self.n_envs = 0

    def __call__(self, *args: Any) -> None:
        pass

    scalar = score = histogram = flush_files = clear_files = __call__  # type: ignore[assignment]


class JointEvaluation(Evaluation):
    """An `Evaluation` on all ranks, of which rank 0 alone records the result and keeps the best policy.

    As a hook, and in run and catch_up, it is called by all ranks at the same row. env: see `joint_evaluate`.
    """

    def __init__(self, comm: Comm, agent: Any, env: VectorEnv, every: int, episodes: int, *args: Any, **named: Any):
        super().__init__(agent, env, every, episodes, *args, **named)
        self.comm = comm
        if comm.rank:
            self.recorder, self.best, self.video = Unrecorded(), None, None

    def play(self) -> tuple[np.ndarray, np.ndarray]:
        return joint_evaluate(self.agent.policy(), self.env, self.episodes, self.comm, self.stop)
