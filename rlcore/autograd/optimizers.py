"""Optimizers: SGD, RMSprop and Adam as a few in-place operations on flat slices.

An optimizer keeps its parameters, and its state in their order. It works on runs, the maximal slices of parameters that
lie side by side, have a gradient, and have taken the same number of steps: nearly always one. A parameter without a
gradient is left alone and keeps its own step count, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

import rlcore.autograd.parameter as _parameter
from rlcore.autograd.function import next_order
from rlcore.autograd.link import Link
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.storage import offsets, runs
from rlcore.backend import aligned, xp_of

Self = TypeVar("Self", bound="Optimizer")
Hook = Callable[[list[Any]], None]


class _Part:
    """One run as a step sees it: values, gradients, state and scratch, and the numbers of its parameters."""

    __slots__ = ("data", "grad", "members", "state", "tmp")

    def __init__(self, data: Any, grad: Any, tmp: Any, state: list[Any], members: Sequence[int]):
        self.data, self.grad, self.tmp, self.state, self.members = data, grad, tmp, state, members


class Optimizer:
    """Updates the parameters of a link by their gradients; subclasses give `step`."""

    slots: tuple[str, ...] = ()  # names of the state vectors

    def __init__(self, learning_rate: float):
        if not learning_rate >= 0:
            raise ValueError(f"{type(self).__name__}: the learning rate must not be negative, got {learning_rate}")
        self.learning_rate = learning_rate
        self.t = 0  # updates so far
        self.target: Any = None  # the Link
        self._hooks: list[Hook] = []
        self._params: list[Parameter] = []
        self._leaves: list[Any] = []  # the vertices of _params
        self._steps: list[int] = []  # updates so far of each parameter
        self._state: list[Any] = []  # a vector for each slot
        self._whole: list[_Part] | None = None  # the parts while every parameter has a gradient
        self._tmp: Any = None
        self._scalars: list[Any] = []
        self._version = -1

    def setup(self: Self, link: Link) -> Self:
        """Take charge of a link's parameters, whose sizes may still be unknown."""
        self.target, self._version = link, -1
        return self

    @property
    def lr(self) -> float:
        """The learning rate, in Chainer's word."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: float) -> None:
        self.learning_rate = value

    def add_hook(self, hook: Hook, name: str | None = None) -> None:
        """Call hook(gradients) before each step: a list of vectors, to be changed in place; its name is not used."""
        self._hooks.append(hook)

    def update(self, lossfun: Callable[..., Any] | None = None, *args: Any, **named: Any) -> None:
        """One step by the gradients at hand; given lossfun, compute loss and gradients first."""
        if self.target is None:
            raise RuntimeError("update: this optimizer has no parameters yet; call setup(link) first")
        if lossfun is not None:
            loss = lossfun(*args, **named)
            self.target.cleargrads()
            loss.backward()
        if self._version != _parameter.version:
            self._lay()
        leaves, steps = self._leaves, self._steps
        used = [i for i, leaf in enumerate(leaves) if leaf.grad is not None]
        if len(used) < len(leaves):
            parts, self._whole = self._parts(used), None
        else:
            parts = self._whole = self._whole or self._parts(used)
        if self._hooks and parts:
            gradients = [part.grad for part in parts]
            for hook in self._hooks:
                hook(gradients)
        now = next_order()
        for part in parts:
            t = steps[part.members[0]] + 1
            self.step(part.data, part.grad, part.tmp, t, *part.state)
            for i in part.members:
                steps[i] = t
                leaves[i].written = now
        self.t += 1

    def step(self, p: Any, g: Any, tmp: Any, t: int, *state: Any) -> None:
        """Change p by g in place; tmp is scratch of their size; t counts this step from 1."""
        raise NotImplementedError

    def _lay(self) -> None:
        """Find the parameters, bring them into flat storage, and bring the state into their present order."""
        params = list(self.target.params(include_uninit=False))
        size = sum(p.size for p in params)
        if [id(p) for p in params] != [id(p) for p in self._params]:
            before = dict(zip(map(id, self._params), zip(offsets(self._params), self._steps)))
            state = [aligned(size, params[0].array) for _ in self.slots]
            for vector, old in zip(state, self._state or state):
                vector[...] = 0
                for p, at in zip(params, offsets(params)):
                    if id(p) in before:
                        start = before[id(p)][0]
                        vector[at : at + p.size] = old[start : start + p.size]
            self._steps = [before[id(p)][1] if id(p) in before else 0 for p in params]
            self._params, self._state = params, state  # what is no longer there is let go before laying out
        self._leaves = [p.node for p in params]
        self.target.flatten()
        self._tmp = aligned(size, params[0].array) if params else None
        self._whole, self._version = None, _parameter.version

    def _parts(self, used: list[int]) -> list[_Part]:
        """The runs of these parameters, cut where the step count changes."""
        at, steps, parts = offsets(self._params), self._steps, []
        groups: list[list[int]] = []
        for i in used:
            if groups and groups[-1][-1] == i - 1 and steps[i - 1] == steps[i]:
                groups[-1].append(i)
            else:
                groups.append([i])
        for group in groups:
            for run in runs([self._params[i] for i in group]):
                members = group[run.first : run.last]
                here = slice(at[members[0]], at[members[0]] + run.stop - run.start)
                parts.append(_Part(run.data, run.grad, self._tmp[here], [v[here] for v in self._state], members))
        return parts

    def state(self) -> dict[str, Any]:
        """Step counts, and state vectors in the order of the parameters, whose paths are named."""
        self._lay()
        names = [path for path, _ in self.target.namedparams(include_uninit=False)]
        return {"t": self.t, "steps": list(self._steps), "parameters": names, **dict(zip(self.slots, self._state))}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming the first wrong entry, unless `load` can take this state."""
        here = self.state()
        for name in [*here, *state]:
            if name not in state or name not in here:
                where = "missing from the state" if name not in state else "not a part of this optimizer's state"
                raise ValueError(f"load: {name!r} is {where}")
        if any(p.array is None for p in self.target.params()):
            return  # sizes still unknown come with the link's state, and are compared in load
        if len(state["steps"]) != len(here["steps"]):
            raise ValueError(f"load: 'steps' has {len(state['steps'])} entries, expected {len(here['steps'])}")
        if list(state["parameters"]) != here["parameters"]:
            raise ValueError(f"load: the state is of parameters {state['parameters']}, here are {here['parameters']}")
        for slot, vector in zip(self.slots, self._state):
            given = state[slot]
            if not hasattr(given, "dtype") or given.shape != vector.shape or given.dtype != vector.dtype:
                got = f"{given.shape} {given.dtype}" if hasattr(given, "dtype") else type(given).__name__
                raise ValueError(f"load: optimizer state {slot!r} is {got}, expected {vector.shape} {vector.dtype}")

    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back, after `check`; load the link first, so that all sizes are known."""
        self.check(state)
        for slot, vector in zip(self.slots, self._state):
            vector[...] = xp_of(vector).asarray(state[slot])
        self.t, self._steps, self._whole = int(state["t"]), [int(n) for n in state["steps"]], None

    def numbers(self, p: Any, *values: float) -> list[Any]:
        """The values as 0-d arrays beside p.

        A Python number costs 0.3 us more an operation, and a captured graph would keep it.
        """
        kept = self._scalars
        if len(kept) != len(values) or kept[0].dtype != p.dtype or type(kept[0]) is not type(p):
            kept = self._scalars = [xp_of(p).empty((), p.dtype) for _ in values]
        for array, value in zip(kept, values):
            array[()] = value
        return kept


class SGD(Optimizer):
    """p -= lr * g."""

    def __init__(self, lr: float = 0.01):
        super().__init__(lr)

    def step(self, p: Any, g: Any, tmp: Any, t: int, *state: Any) -> None:
        (rate,) = self.numbers(p, self.learning_rate)
        np.multiply(g, rate, out=tmp)
        p -= tmp


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(ms) + eps), ms a running mean of g^2 (Tieleman and Hinton 2012, lecture 6.5).

    eps_inside_sqrt: g / sqrt(ms + eps), as in TensorFlow and in A3C.
    """

    slots = ("ms",)

    def __init__(self, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8, eps_inside_sqrt: bool = False):
        super().__init__(lr)
        self.alpha, self.eps, self.eps_inside_sqrt = alpha, eps, eps_inside_sqrt

    def step(self, p: Any, g: Any, tmp: Any, t: int, *state: Any) -> None:
        (ms,) = state
        decay, rest, eps, rate = self.numbers(p, self.alpha, 1 - self.alpha, self.eps, self.learning_rate)
        np.multiply(g, g, out=tmp)
        tmp *= rest
        ms *= decay
        ms += tmp
        if self.eps_inside_sqrt:
            np.add(ms, eps, out=tmp)
            np.sqrt(tmp, out=tmp)
        else:
            np.sqrt(ms, out=tmp)
            tmp += eps
        np.divide(g, tmp, out=tmp)
        tmp *= rate
        p -= tmp


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1).

    eps: added to sqrt(v) before the bias correction of v (Chainer, TensorFlow), or after it if corrected_eps (PyTorch).
    The slots hold the sums of g and g^2, decayed by beta1 and beta2 at each step, without the paper's factors 1 - beta:
    these go into the step size with the bias correction, which saves two passes over memory of twelve.
    """

    slots = ("m", "v")

    def __init__(
        self,
        alpha: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        corrected_eps: bool = False,
    ):
        super().__init__(alpha)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"Adam: beta1 and beta2 must be within [0, 1), got {beta1} and {beta2}")
        self.beta1, self.beta2, self.eps, self.corrected_eps = beta1, beta2, eps, corrected_eps

    @property
    def alpha(self) -> float:
        """The learning rate, in Chainer's word."""
        return self.learning_rate

    @alpha.setter
    def alpha(self, value: float) -> None:
        self.learning_rate = value

    def step(self, p: Any, g: Any, tmp: Any, t: int, *state: Any) -> None:
        m, v = state
        b1, b2, correction = self.beta1, self.beta2, math.sqrt(1 - self.beta2**t)
        decay1, decay2, eps, rate = self.numbers(
            p,
            b1,
            b2,
            self.eps / math.sqrt(1 - b2) * (correction if self.corrected_eps else 1),
            self.learning_rate * correction / (1 - b1**t) * (1 - b1) / math.sqrt(1 - b2),
        )
        m *= decay1
        m += g
        v *= decay2
        np.multiply(g, g, out=tmp)
        v += tmp
        np.sqrt(v, out=tmp)
        tmp += eps
        np.divide(m, tmp, out=tmp)
        tmp *= rate
        p -= tmp
