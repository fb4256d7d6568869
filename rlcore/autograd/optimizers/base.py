"""What every optimizer shares: runs, step counts, state, hooks, learning rates and loss scaling.

An optimizer keeps its parameters, and its state in their order. It works on runs, the maximal slices of parameters that
lie side by side, have a gradient, and have taken the same number of steps at the same rate: nearly always one. A
parameter without a gradient is left alone and keeps its own step count, as in PyTorch; so is one that has
`update_enabled` False. Parameters of float16 are stepped in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, TypeVar

import numpy as np

import rlcore.autograd.parameter as _parameter
from rlcore.autograd.function import next_order
from rlcore.autograd.functions.parts import workers
from rlcore.autograd.link import Link
from rlcore.autograd.optimizers.part import BLOCK, CLEAN_EVERY, THREADED, Part
from rlcore.autograd.optimizers.reducing import Reduce, Reducing
from rlcore.autograd.optimizers.scaling import LossScaling
from rlcore.autograd.optimizers.sharing import Sharing
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.storage import offsets, runs
from rlcore.backend import aligned, to_cpu, xp_of

Self = TypeVar("Self", bound="Optimizer")
Hook = Callable[[list[Part]], None]
Rate = float | Callable[[int], float]


class Optimizer(LossScaling, Sharing, Reducing):
    """Updates the parameters of a link by their gradients; subclasses give `numbers` and `step`.

    learning_rate: a number, to be changed at any time, or a schedule: a function of the number of updates so far.
    """

    slots: tuple[str, ...] = ()  # names of the state vectors, which start as zeros
    chainer_form: Mapping[str, tuple[float, float]] = {}  # factor and summand by which a slot becomes Chainer's array
    n_scratch = 1  # scratch vectors that a step needs

    def __init__(self, learning_rate: Rate):
        self.learning_rate = learning_rate
        if not callable(learning_rate) and not learning_rate >= 0:
            raise ValueError(f"{type(self).__name__}: the learning rate must not be negative, got {learning_rate}")
        self.t = 0  # updates so far
        self.target: Any = None  # the Link
        self._hooks: dict[str, dict[str, Hook]] = {"pre": {}, "post": {}}
        self._params: list[Parameter] = []
        self._active: list[tuple[int, Any]] = []  # number and vertex of each parameter that may be updated
        self._steps: list[int] = []  # updates so far of each parameter
        self._scales: list[tuple[Any, float]] = []
        self._factors: list[float] = []  # of the learning rate, for each parameter
        self._names: list[str] = []
        self._state: list[Any] = []  # a vector for each slot
        self._used: list[int] | None = None  # the parameters that had a gradient in the last update
        self._parts: list[Part] = []  # what they lie in
        self._scratch: list[list[Any]] = []  # vectors for each thread
        self._block = 0  # their size
        self._scalars: list[Any] = []
        self._version = -1

    def setup(self: Self, link: Link, reduce: Reduce | None = None) -> Self:
        """Take charge of a link's parameters, whose sizes may still be unknown; reduce: see `Reducing`."""
        self.target, self._version, self.reduce = link, -1, reduce or self.reduce
        return self

    def numbers(self, rate: float, t: int) -> tuple[float, ...]:
        """The numbers of the formula at step t, counted from 1."""
        raise NotImplementedError

    step: Any  # step(p, g, *scratch, *state, *numbers) changes p by g in place; the vectors are of one size

    @property
    def learning_rate(self) -> float:
        return self._rate if self._schedule is None else self._schedule(self.t)

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        self._schedule = value if callable(value) else None
        self._rate = 0.0 if callable(value) else value

    @property
    def lr(self) -> float:
        """The learning rate, in Chainer's word."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: Rate) -> None:
        self.learning_rate = value

    def scale(self: Self, link: Link | Parameter, factor: float) -> Self:
        """Multiply the learning rate of a sub-link's parameters, or of one parameter; the last call counts."""
        if not factor >= 0:
            raise ValueError(f"scale: the factor must not be negative, got {factor}")
        self._scales = [*((k, f) for k, f in self._scales if k is not link), (link, factor)]
        self._version = -1
        return self

    # hooks
    def add_hook(self, hook: Hook, name: str | None = None, timing: str = "auto") -> None:
        """Call hook(parts) before each step, or after it if timing is "post"; see `optimizer_hooks`.

        name: hook.name or hook.__name__ if None. timing "auto": hook.timing, else "pre".
        """
        if not callable(hook):
            raise TypeError(f"add_hook: the hook must be callable, got {type(hook).__name__}")
        if getattr(hook, "call_for_each_param", False):
            raise TypeError(f"add_hook: a {type(hook).__name__} wants (rule, param); here hooks get runs of parameters")
        timing = getattr(hook, "timing", "pre") if timing == "auto" else timing
        name = name or getattr(hook, "name", None) or getattr(hook, "__name__", None)
        if timing not in self._hooks:
            raise ValueError(f"add_hook: timing must be 'pre', 'post' or 'auto', got {timing!r}")
        if name is None:
            raise ValueError(f"add_hook: a {type(hook).__name__} has no name; pass name=")
        if any(name in hooks for hooks in self._hooks.values()):
            raise KeyError(f"add_hook: there is a hook {name!r} already; remove it, or pass another name=")
        self._hooks[timing][name] = hook

    def remove_hook(self, name: str) -> None:
        for hooks in self._hooks.values():
            if hooks.pop(name, None) is not None:
                return
        raise KeyError(f"remove_hook: there is no hook {name!r}, only {[*self._hooks['pre'], *self._hooks['post']]}")

    def call_hooks(self, timing: str, parts: list[Part]) -> None:
        """Call the hooks of one timing, the first added first."""
        for hook in self._hooks[timing].values():
            hook(parts)

    def update(self, lossfun: Callable[..., Any] | None = None, *args: Any, weight: float = 1, **named: Any) -> None:
        """One step by the gradients at hand; given lossfun, compute loss and gradients first.

        Gradients of several backward() add up; for the mean over n batches call `loss.backward(loss_scale=1 / n)`.
        weight: of this rank's gradients in the mean that `reduce` makes; where all have 0 there is no step.
        """
        self._check_setup("update")
        if lossfun is not None:
            loss = lossfun(*args, **named)
            self.target.cleargrads()
            loss.backward(loss_scale=self.loss_scale)
        if self._version != _parameter.version:
            self._lay()
        here = [i for i, leaf in self._active if leaf.grad is not None]
        used = here if self.reduce is None else self._reduced(weight)
        if used is None:
            return
        if used != self._used:
            self._used, self._parts = used, self._cut(used)
        ready = (self.loss_scale is None and not self._in_float32) or self._take_gradients(self._parts)
        if ready and self._parts:
            self._step(self._parts)
        self.t += 1
        if self._growth is not None:
            self.update_loss_scale()

    def _check_setup(self, caller: str) -> None:
        if self.target is None:
            raise RuntimeError(f"{caller}: this optimizer has no parameters yet; call setup(link) first")

    def _step(self, parts: list[Part]) -> None:
        steps, rate, now = self._steps, self.learning_rate, next_order()
        for part in parts:
            part.t = steps[part.members[0]] + 1
        if self._hooks["pre"]:
            self.call_hooks("pre", parts)
        for part in parts:
            t = part.t
            numbers = self._beside(part.grad, self.numbers(rate * part.factor, t))
            if part.rounded:
                part.step_in_float32(self.step, numbers)
            else:
                part.step(self.step, numbers)
            if t % CLEAN_EVERY == 0:
                part.clean()
            for i, p in zip(part.members, part.params):
                steps[i] = t
                p.node.written = now
        self._renew()
        if self._hooks["post"]:
            self.call_hooks("post", parts)

    def _beside(self, vector: Any, values: tuple[float, ...]) -> list[Any]:
        """The values as 0-d arrays beside vector.

        A Python number costs 0.3 us more an operation, and a captured graph would keep it.
        """
        kept = self._scalars
        if len(kept) != len(values) or kept[0].dtype != vector.dtype or type(kept[0]) is not type(vector):
            kept = self._scalars = [xp_of(vector).empty((), vector.dtype) for _ in values]
        for array, value in zip(kept, values):
            array[()] = value
        return kept

    def _slots(self) -> tuple[str, ...]:
        return (*self.slots, "master") if self._master and self._in_float32 else self.slots

    def _lay(self) -> None:
        """Find the parameters, bring them into flat storage, and bring the state into their present order."""
        named = list(self.target.namedparams(include_uninit=False))
        params = [p for _, p in named]
        size, at = sum(p.size for p in params), offsets(params)
        self._in_float32 = bool(params) and params[0].dtype == np.float16
        like = params[0].array.astype(np.float32) if self._in_float32 else params[0].array if params else None
        slots = self._slots()
        if params and self._state and xp_of(self._state[0]) is not xp_of(like):  # the model has moved
            self._state = [xp_of(like).asarray(to_cpu(vector)) for vector in self._state]
        if [id(p) for p in params] != [id(p) for p in self._params] or len(slots) != len(self._state):
            if self._shared is not None:
                raise RuntimeError("a model that is shared has got other parameters: share it again, with all of them")
            before = dict(zip(map(id, self._params), zip(offsets(self._params), self._steps)))
            state = [aligned(size, like) for _ in slots] if params else []
            for i, vector in enumerate(state):
                vector[...] = 0
                for p, start in zip(params, at):
                    if id(p) in before and i < len(self._state):
                        old = before[id(p)][0]
                        vector[start : start + p.size] = self._state[i][old : old + p.size]
            self._steps = [before[id(p)][1] if id(p) in before else 0 for p in params]
            self._params, self._state = params, state  # what is no longer there is let go before laying out
        factors = {id(p): f for k, f in self._scales for p in ([k] if isinstance(k, Parameter) else k.params())}
        self._factors = [factors.get(id(p), 1.0) for p in params]
        self._names = [path.rsplit("/", 1)[1] for path, _ in named]
        self._active = [(i, p.node) for i, p in enumerate(params) if p.update_enabled]
        self.target.flatten()
        threads, n = min(len(params), 1), self.n_scratch + self._in_float32
        self._block = size  # on a device in one go: each block costs a launch
        if params and xp_of(like) is np:
            if size >= THREADED and not self._in_float32:
                threads = workers.count
            self._block = min(size, BLOCK if threads == 1 else 2 * BLOCK)
        self._scratch = [[aligned(self._block, like) for _ in range(n)] for _ in range(threads)]
        copied = self._in_float32 or self.loss_scale is not None
        self._copies = aligned(size, like) if copied and params else None
        self._used, self._version = None, _parameter.version
        self._place()

    def _cut(self, used: list[int]) -> list[Part]:
        """The runs of these parameters, cut where the step count or the rate changes."""
        at, keys, parts = offsets(self._params), list(zip(self._steps, self._factors)), []
        groups: list[list[int]] = []
        for i in used:
            if groups and groups[-1][-1] == i - 1 and keys[i - 1] == keys[i]:
                groups[-1].append(i)
            else:
                groups.append([i])
        for group in groups:
            for run in runs([self._params[i] for i in group]):
                members = group[run.first : run.last]
                here = slice(at[members[0]], at[members[0]] + run.stop - run.start)
                copy = None if self._copies is None else self._copies[here]
                state = [v[here] for v in self._state]
                part = Part(
                    self._stepped(run, here), copy, state, self._scratch, self._block, self._in_float32, self._master
                )
                part.members, part.factor = members, self._factors[members[0]]
                part.params, part.names = [self._params[i] for i in members], [self._names[i] for i in members]
                parts.append(part)
        return parts

    def state(self) -> dict[str, Any]:
        """Step counts, and state vectors in the order of the parameters, whose paths are named."""
        self._check_setup("state")
        self._lay()
        names = [path for path, _ in self.target.namedparams(include_uninit=False)]
        counts = {"t": self.t, "steps": list(self._steps), "parameters": names}
        return {**counts, **self.scaling_state(), **dict(zip(self._slots(), self._state))}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming the first wrong entry, unless `load` can take this state."""
        here = self.state()
        for name in [*here, *state]:
            if name not in state or name not in here:
                where = "missing from the state" if name not in state else "not a part of this optimizer's state"
                raise ValueError(f"load: {name!r} is {where}")
        for name in ("t", "steps", *self.scaling_state()):
            given = state[name] if name == "steps" else [state[name]]
            if not all(isinstance(n, Real) for n in given):
                raise ValueError(f"load: {name!r} must hold numbers, got {state[name]!r}")
        if any(p.array is None for p in self.target.params()):
            return  # sizes still unknown come with the link's state, and are compared in load
        if len(state["steps"]) != len(here["steps"]):
            raise ValueError(f"load: 'steps' has {len(state['steps'])} entries, expected {len(here['steps'])}")
        if list(state["parameters"]) != here["parameters"]:
            raise ValueError(f"load: the state is of parameters {state['parameters']}, here are {here['parameters']}")
        for slot, vector in zip(self._slots(), self._state):
            given = state[slot]
            if not hasattr(given, "dtype") or given.shape != vector.shape or given.dtype != vector.dtype:
                got = f"{given.shape} {given.dtype}" if hasattr(given, "dtype") else type(given).__name__
                raise ValueError(f"load: optimizer state {slot!r} is {got}, expected {vector.shape} {vector.dtype}")

    def load(self, state: dict[str, Any]) -> None:
        """Take a `state()` back, after `check`; load the link first, so that all sizes are known."""
        self.check(state)
        for slot, vector in zip(self._slots(), self._state):
            vector[...] = xp_of(vector).asarray(state[slot])
        self.load_scaling(state)
        self.t, self._steps, self._used = int(state["t"]), [int(n) for n in state["steps"]], None
