"""Statistics of all ranks' rows: the moments of environments' wrappers, and batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from rlcore.autograd import Link
from rlcore.autograd.functions import normalization
from rlcore.autograd.functions.channels import Frame
from rlcore.autograd.links import BatchNormalization
from rlcore.backend import xp_of
from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper
from rlcore.envs.wrappers.normalize import Moments
from rlcore.parallel.base import Comm
from rlcore.tree import leaves

L = TypeVar("L", bound=Link)


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

    def exchange(self) -> None:
        """Take in the rows that the other ranks have seen since the last exchange, if there are moments to move.

        The rows of all ranks are counted in order of rank, so that the moments are the same on all, bit for bit.
        """
        if not self.moments:
            return
        own = [np.concatenate(([m.own.count], m.own.mean, m.own.var)) for m in self.moments if m.own is not None]
        everybodys = self.comm.allgather(np.concatenate(own))
        at = 0
        for moments in self.moments:
            d = len(moments.mean)
            moments.join([(p[at], p[at + 1 : at + 1 + d], p[at + 1 + d : at + 1 + 2 * d]) for p in everybodys])
            at += 1 + 2 * d


def moments_of(env: VectorEnv) -> Iterator[Moments]:
    """The running moments of all wrappers that change with what they see, outermost first."""
    while isinstance(env, Wrapper):
        if getattr(env, "training", True):
            yield from (m for m in leaves(getattr(env, "moments", ())) if isinstance(m, Moments))
        env = env.env


class _Normalization(normalization.BatchNormalization):
    """By the moments of all ranks' batches, whose gradient goes through them as well."""

    composite = False  # type: ignore[assignment]

    def __init__(self, keys: tuple[int, ...], eps: float, frame: Frame, mean: Any, var: Any, comm: Comm):
        super().__init__(keys, eps, frame, mean, var)
        self.comm = comm

    def backward(self, gy: Any, x: Any, gamma: Any, beta: Any, mean: Any, inv: Any) -> Any:
        """Ranks' losses are means, which their optimizers weight by rows: so are the sums in the input's gradient."""
        ex, egamma, ebeta = self.edges
        frame = self.frame
        g3, x3 = frame.of(gy), frame.of(x)
        g_sum, gx_sum = frame.sums(g3, x3, mean)
        ggamma, gx = gx_sum * inv, None
        if ex is not None:
            sums = xp_of(g_sum).stack((g_sum, ggamma))
            self.comm.mean_(sums, frame.m)
            a, share = gamma.astype(inv.dtype, copy=False) * inv, -1 / (frame.m or 1)
            b = a * inv * sums[1] * share
            gx = frame.back(frame.combined(g3, x3, a, b, a * sums[0] * share - b * mean), x)
        return gx, egamma and ggamma.astype(gamma.dtype, copy=False), ebeta and g_sum.astype(beta.dtype, copy=False)


class MultiNodeBatchNormalization(BatchNormalization):
    """BatchNormalization by the moments of all ranks' batches: two exchanges in forward, one in backward.

    With rows of one size, and gradients that are means weighted by rows, N ranks are one with all rows. All ranks call
    it in the same order; a view of it, which acts or evaluates as often as it likes, goes by the running moments, which
    are the same on all ranks. In test mode it is BatchNormalization.
    """

    def __init__(self, comm: Comm, *args: Any, **named: Any):
        super().__init__(*args, **named)
        self.comm = comm

    def __deepcopy__(self, memo: dict[int, Any]) -> MultiNodeBatchNormalization:
        memo[id(self.comm)] = self.comm
        return super().__deepcopy__(memo)

    def _by_batch(self, x: Any, gamma: Any, beta: Any, decay: float, update: bool) -> Any:
        if "_viewed_link" in self.__dict__:
            moments = self.avg_mean, self.avg_var
            return normalization.fixed_batch_normalization(x, gamma, beta, *moments, self.eps, self.axis)
        keys = normalization._keys("MultiNodeBatchNormalization", x, gamma, self.axis, beta=beta)
        frame, mean, var = normalization._moments(x, keys)
        own = mean.copy()
        m = self.comm.mean_(mean, frame.m)
        var = var + (own - mean) ** 2
        self.comm.mean_(var, frame.m)
        y = _Normalization(keys, self.eps, frame, mean, var, self.comm).apply(x, gamma, beta)
        if update:
            normalization._update(self.avg_mean, self.avg_var, decay, mean, var, m)
        return y


def synchronized(model: L, comm: Comm) -> L:
    """The model, with each BatchNormalization in it made a MultiNodeBatchNormalization, in place.

    Before it is given to an agent, whose views of it are of the kinds of links that there are.
    """
    for link in list(model.links()):
        if type(link) is BatchNormalization:
            link.__class__ = MultiNodeBatchNormalization
            link.comm = comm
    return model
