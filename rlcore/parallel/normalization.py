"""Statistics of all ranks' rows: the moments of environments' wrappers, and batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.envs.wrappers.normalize import Moments
from rlcore.parallel.base import Comm
from rlcore.tree import leaves


class SharedMoments:
    """The running moments of an environment's wrappers, joined with those of other ranks at each `exchange`."""

    def __init__(self, env: VectorEnv, comm: Comm):
        self.comm, self.moments = comm, list(moments_of(env))
        for moments in self.moments:
            if moments.own is None:  # else they come from a state, in which they were shared
                moments.count = float(comm.bcast_(np.array([moments.count]))[0])
                comm.bcast_(moments.mean)
                comm.bcast_(moments.var)
                moments.share()

    def exchange(self, flag: bool = False) -> bool:
        """Take in the rows that the other ranks have seen since the last exchange; whether the flag is set on any.

        The rows of all ranks are counted in order of rank, so that the moments are the same on all, bit for bit.
        """
        if not self.moments:
            return bool(self.comm.max_(np.array([flag], np.float64))[0])
        own = [np.concatenate(([m.own.count], m.own.mean, m.own.var)) for m in self.moments if m.own is not None]
        everybodys = self.comm.allgather(np.concatenate((*own, [flag])))
        at = 0
        for moments in self.moments:
            d = len(moments.mean)
            moments.join([(p[at], p[at + 1 : at + 1 + d], p[at + 1 + d : at + 1 + 2 * d]) for p in everybodys])
            at += 1 + 2 * d
        return bool(everybodys[:, -1].any())


def moments_of(env: VectorEnv) -> Iterator[Moments]:
    """The running moments of all wrappers that change with what they see, outermost first."""
    while isinstance(env, Wrapper):
        if getattr(env, "training", True):
            yield from (m for m in leaves(getattr(env, "moments", ())) if isinstance(m, Moments))
        env = env.env
