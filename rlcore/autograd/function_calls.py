"""Function hooks: what is called around every op, by swapping the ops' methods while a hook is at work.

Without a hook nothing is swapped, so that hooks cost nothing. They belong to the thread that entered them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from rlcore.autograd.function import Function, inputs_of
from rlcore.autograd.swap import Swap
from rlcore.autograd.variable import as_array

H = TypeVar("H", bound="FunctionHook")

_hooks: ContextVar[tuple[Any, ...]] = ContextVar("hooks", default=())  # those of this thread
_going_back: ContextVar[Any] = ContextVar("going_back", default=None)  # the op whose backward this thread is in
at_work, going_back = _hooks.get, _going_back.get


class FunctionHook:
    """Called around every op in a `with` block: `with TimerHook() as hook: ...`.

    Subclasses give any of Chainer's four methods, or the wider `before_*` and `after_*`, which call them. Functions are
    ops, with a `label`; data and gradients are tuples of arrays, with None for what the op has not saved.
    """

    name = "FunctionHook"
    quiet = False  # True: NumPy does not warn of what the hook itself looks for (overflow, division by zero)

    def added(self, function: Any) -> None:
        """Called with None when the `with` block begins."""

    def deleted(self, function: Any) -> None:
        """Called with None when the `with` block ends."""

    def forward_preprocess(self, function: Any, in_data: Any) -> None:
        """Called before an op's forward."""

    def forward_postprocess(self, function: Any, in_data: Any) -> None:
        """Called after an op's forward."""

    def backward_preprocess(self, function: Any, in_data: Any, out_grad: Any) -> None:
        """Called before an op's backward."""

    def backward_postprocess(self, function: Any, in_data: Any, out_grad: Any) -> None:
        """Called after an op's backward."""

    def before_forward(self, op: Any, inputs: tuple[Any, ...]) -> None:
        self.forward_preprocess(op, inputs)

    def after_forward(self, op: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        self.forward_postprocess(op, inputs)

    def before_backward(self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...]) -> None:
        self.backward_preprocess(op, _in_data(op, saved), out_grad)

    def after_backward(
        self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...], in_grad: tuple[Any, ...]
    ) -> None:
        self.backward_postprocess(op, _in_data(op, saved), out_grad)

    def __enter__(self: H) -> H:
        if self in at_work():
            raise ValueError(f"{self.name}: this hook is at work already")
        self.added(None)
        SWAP.acquire()
        _hooks.set((*at_work(), self))
        return self

    def __exit__(self, *error: Any) -> None:
        _hooks.set(tuple(h for h in at_work() if h is not self))
        SWAP.release()
        self.deleted(None)


@contextmanager
def working(hooks: Sequence[FunctionHook]) -> Iterator[None]:
    """A `with` block in which these are this thread's hooks, and no others."""
    SWAP.acquire()
    token = _hooks.set(tuple(hooks))
    try:
        yield
    finally:
        _hooks.reset(token)
        SWAP.release()


def _in_data(op: Any, saved: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(saved.get(name) for name in inputs_of(type(op).forward))


def arranged(cls: type, apply: Any) -> Any:
    """The `apply` that an op gets at its first call: with the hooks around it if there are any at work."""
    with SWAP.lock:
        if not SWAP.users:
            return apply
        SWAP.wrap(cls)
    wrapper = _apply(apply)
    wrapper.plain = apply
    return wrapper


def _quietly(hooks: tuple[FunctionHook, ...]) -> Any:
    return np.errstate(all="ignore") if any(hook.quiet for hook in hooks) else nullcontext()


def _apply(plain: Any) -> Any:
    def apply(self: Any, *inputs: Any, **named: Any) -> Any:
        hooks = at_work()
        if not hooks:
            return plain(self, *inputs, **named)
        arrays = tuple(map(as_array, inputs))
        for hook in hooks:
            hook.before_forward(self, arrays)
        with _quietly(hooks):
            result = plain(self, *inputs, **named)
        outputs = tuple(map(as_array, result)) if self.many else (result.array,)
        for hook in hooks:
            hook.after_forward(self, arrays, outputs)
        return result

    return apply


def _around(op: Any, g: Any, saved: Any, call: Callable[[], Any]) -> Any:
    hooks = at_work()
    if not hooks or going_back() is op:  # of a class and its base class only the outer method counts
        return call()
    named = dict(zip(type(op).saves.split(), map(as_array, saved)))
    out_grad = tuple(as_array(g[k]) for k in range(max(g, default=-1) + 1)) if op.many else (as_array(g),)
    for hook in hooks:
        hook.before_backward(op, named, out_grad)
    token = _going_back.set(op)
    try:
        with _quietly(hooks):
            gs = call()
    finally:
        _going_back.reset(token)
    in_grad = tuple(map(as_array, gs)) if len(op.edges) > 1 else (as_array(gs),)
    for hook in hooks:
        hook.after_backward(op, named, out_grad, in_grad)
    return gs


def _backward(plain: Any) -> Any:
    def backward(self: Any, g: Any, *saved: Any) -> Any:
        return _around(self, g, saved, lambda: plain(self, g, *saved))

    return backward


def _trace(plain: Any) -> Any:
    def trace(self: Any, g: Any, edges: Any = None) -> Any:
        if not self.composite:  # goes through backward
            return plain(self, g, edges)
        return _around(self, g, self.saved, lambda: plain(self, g, edges))

    return trace


# an `apply` that has not been written out yet is wrapped then
SWAP = Swap(Function, {"apply": _apply, "backward": _backward, "trace": _trace}, left=Function.__dict__["apply"])
