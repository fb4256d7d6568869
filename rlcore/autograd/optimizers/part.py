"""Part: one run of parameters as an optimizer's step and its hooks see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rlcore.autograd.functions.parts import dealt
from rlcore.autograd.optimizers.sharing import Elsewhere
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.storage import Run
from rlcore.backend import xp_of

BLOCK = 1 << 16  # elements: the five vectors of Adam (1.3 MB) stay in a core's cache, 1.7 times faster than in one go
THREADED = 1 << 19  # elements, from which blocks of twice the size (fewer waits for the interpreter) go to threads
CLEAN_EVERY = 64  # steps


class Part:
    """Parameters that lie side by side and have taken the same number of steps at the same rate.

    `data`, `grad`: vectors, which hooks change in place; `params`, and their `names`; `t`: the number of this step,
    from 1. grad is the parameters' own, but a copy where the parameters are float16 (then in float32) or the loss is
    scaled (then divided by the scale).
    """

    __slots__ = (
        "block", "blocks", "data", "factor", "grad", "has_master", "members", "names", "n_inputs", "params", "rounded",
        "source", "t", "threads",
    )  # fmt: skip
    members: Sequence[int]  # the numbers of the parameters
    params: list[Parameter]
    names: list[str]
    factor: float  # of the learning rate
    t: int

    def __init__(
        self,
        run: Run | Elsewhere,
        copy: Any,
        state: list[Any],
        scratch: list[list[Any]],
        block: int,
        in_float32: bool,
        has_master: bool,
    ) -> None:
        self.data, self.source = run.data, run.grad
        self.grad = self.source if copy is None else copy
        self.has_master, self.n_inputs = has_master, 2 + len(scratch[0]) - in_float32
        self.blocks: list[list[Any]] = []  # [p, g, *scratch, *state]
        self.rounded: list[Any] = []  # the float16 parameters behind each block
        self.block = block
        slices = list(self.slices())
        self.threads = len(scratch) if len(self.data) >= THREADED else 1
        for i, s in enumerate(slices):
            mine = scratch[i * self.threads // len(slices)]
            p, free = self.data[s], [v[: s.stop - s.start] for v in mine]
            vectors = [v[s] for v in state]
            if in_float32:
                self.rounded.append(p)
                p = free.pop()
                if has_master:
                    p = vectors.pop()
            self.blocks.append([p, self.grad[s], *free, *vectors])

    def slices(self) -> Iterator[slice]:
        """Slices of about equal size, of at most a block."""
        size = len(self.data)
        n = -(-size // max(self.block, 1))
        length = -(-size // max(n, 1) // 16) * 16  # whole cache lines
        return (slice(i, min(i + length, size)) for i in range(0, size, max(length, 1)))

    def step(self, step: Callable[..., None], numbers: list[Any]) -> None:
        """Step block by block, dealt to threads where each has scratch of its own."""
        if self.threads == 1:
            for vectors in self.blocks:
                step(*vectors, *numbers)
            return

        def share(w: int) -> None:
            for i, vectors in enumerate(self.blocks):
                if i * self.threads // len(self.blocks) == w:
                    step(*vectors, *numbers)

        dealt(self.threads, share)

    def step_in_float32(self, step: Callable[..., None], numbers: list[Any]) -> None:
        """Step on float32 values of the float16 parameters: on masters kept between steps, or on fresh ones."""
        for half, vectors in zip(self.rounded, self.blocks):
            p = vectors[0]
            if self.has_master:  # where it no longer rounds to the parameter, someone has written to that
                p[...] = xp_of(p).where(p.astype(half.dtype) != half, half, p)
            else:
                p[...] = half
            step(*vectors, *numbers)
            half[...] = p

    def clean(self) -> None:
        """Subnormal numbers of the state become 0.

        The average of a gradient that stays 0 (a dead ReLU's) decays to one and no further: when three in ten had come
        to this, a step of Adam took 22 times as long.
        """
        for vectors in self.blocks:
            tmp = vectors[2]
            for v in vectors[self.n_inputs :]:
                np.absolute(v, out=tmp)
                v *= tmp >= float(np.finfo(v.dtype).tiny)
