"""The graph: ops and their edges, what is recorded, and the way back, backward().

A vertex is an op (`Function`), a `Slot` (one of several outputs of an op) or a `Leaf` (where a gradient stays).
Vertices know earlier vertices and never a Variable: a graph holds no reference cycle and dies with the last handle.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from heapq import heappop, heappush, heappushpop
from typing import Any

from rlcore.backend import xp_of

# ops count down, so that a heap gives the newest first; a leaf has order 0
next_order = itertools.count(-1, -1).__next__
_recording: ContextVar[bool] = ContextVar("recording", default=True)  # per thread; a read costs at most 20 ns
recording, set_recording = _recording.get, _recording.set

UFUNCS: dict[Any, Any] = {}  # the op that NumPy's ufunc is on a Variable: each module of functions adds its own


@contextmanager
def record(on: bool) -> Iterator[None]:
    """A `with` block in which this thread records the graph, or does not."""
    token = _recording.set(on)
    try:
        yield
    finally:
        _recording.reset(token)


def no_backprop_mode() -> Any:
    """A `with` block in which this thread records no graph."""
    return record(False)


def force_backprop_mode() -> Any:
    """A `with` block in which this thread records the graph, also inside `no_backprop_mode()`."""
    return record(True)


@cache
def inputs_of(forward: Any) -> list[str]:
    """The names of forward's inputs."""
    return list(inspect.signature(forward).parameters)[1:]


def name_of(op: Any) -> str:
    """The public name of an op: `HuberLoss` is `huber_loss`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(op).__name__).lower()


class Function:
    """One op and one vertex of the graph.

    A subclass gives `forward(self, *arrays) -> array`, `backward(self, gy, *saved)` and the names of what backward
    needs in `saves`: inputs of forward, `y` for the output (`y0 y1` of several), or attributes that forward has set.
    backward returns one array for one input, else a tuple with None where `self.edges[i]` is None. Numbers and axes are
    given to `__init__`. `F.tanh(x)` is `Tanh().apply(x)`: one object for each application.
    """

    __slots__ = ("__dict__", "edges", "g", "order", "saved")
    saves = ""
    composite: Any = None  # for saved attributes that depend on inputs: the op by other ops; False: unknown
    many = False  # True: forward returns a tuple, and backward gets a dict of output gradients by number
    grad: Any = None  # set by backward(retain_grad=True), read by Variable.grad

    forward: Any
    backward: Any
    edges: Any
    saved: Any
    order: int
    g: Any

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        cls.apply = Function.apply  # type: ignore[method-assign]  # not the parent's, which may be written out already

    def apply(self, *inputs: Any, **named: Any) -> Any:
        """Compute the op, and record it when an input needs a gradient; written out for the op at its first call."""
        cls = type(self)
        from rlcore.autograd.apply import written_out

        cls.apply = written_out(cls)  # type: ignore[method-assign]
        return self.apply(*inputs, **named)

    @property
    def label(self) -> str:
        """The op's name for people."""
        return name_of(self)

    slot: Any = None  # as a Leaf has it; none waits here

    def add(self, g: Any, order: int) -> None:
        """Drop a gradient: only a vertex cut by `unchain_backward` has order 0 and is asked."""

    add_traced = add

    def out(self, dtype: Any) -> None:
        """No memory is waiting for this vertex's gradient."""

    def trace(self, g: Any, edges: Any = None) -> Any:
        """Backward on Variables: the same text as on arrays, or through the op's composite; edges: those asked for."""
        saved, real = self._saved_as_variables(), self.edges
        edges = real if edges is None else edges
        if self.composite is None:
            self.edges = edges
            try:
                return self.backward(g, *saved)
            finally:
                self.edges = real
        if self.composite is False:
            raise ValueError(f"{name_of(self)} has no second derivative: it defines no composite formula")
        from rlcore.autograd.functions.math import identity
        from rlcore.autograd.grad import grad

        given = dict(zip(type(self).saves.split(), saved, strict=True))
        inputs = [given[name] for name in inputs_of(type(self).forward)]
        asked = [i for i, e in enumerate(edges) if e is not None]
        for i in asked:  # a fresh vertex for each use of an input, so that partial derivatives stay partial
            inputs[i] = identity(inputs[i])
        gs: list[Any] = [None] * len(inputs)
        for i, gi in zip(
            asked, grad(self.composite(*inputs), [inputs[i] for i in asked], g, enable_double_backprop=True)
        ):
            gs[i] = gi
        return gs[0] if len(gs) == 1 else gs

    def _saved_as_variables(self) -> list[Any]:
        from rlcore.autograd.variable import handle

        names, out = inputs_of(type(self).forward), []
        for name, array in zip(type(self).saves.split(), self.saved, strict=True):
            if name in names:
                edge = self.edges[names.index(name)]
                out.append(array if edge is None else handle(array, edge))
            elif name == "y":
                out.append(handle(array, self))
            elif re.fullmatch(r"y\d+", name):
                out.append(handle(array, Slot(self, int(name[1:]))))
            else:
                out.append(array)
        return out


class Slot:
    """The k-th output of an op that has several."""

    __slots__ = ("edges", "g", "grad", "k", "order", "saved")
    many, slot = False, None

    def __init__(self, function: Function, k: int):
        self.edges, self.saved, self.order, self.g, self.grad, self.k = (function,), (), next_order(), None, None, k

    def backward(self, g: Any) -> Any:
        return _Outputs({self.k: g})

    def trace(self, g: Any, edges: Any = None) -> Any:
        return _Outputs({self.k: g})

    add = add_traced = Function.add
    out = Function.out


class _Outputs(dict):
    """Gradients of some outputs of one op, by number; what a Slot passes on, and what the op's backward reads."""

    def __add__(self, other: _Outputs) -> _Outputs:
        both = _Outputs(self)
        for k, g in other.items():
            both[k] = both[k] + g if k in both else g
        return both

    def __missing__(self, k: int) -> None:
        return None


class Leaf:
    """Where a gradient stays: the vertex of a Parameter or of a user's Variable."""

    __slots__ = ("dtype", "grad", "grad_var", "shape", "slot", "written")
    order, edges = 0, ()

    def __init__(self, dtype: Any, shape: Any = None):
        self.dtype, self.shape, self.grad, self.grad_var, self.slot = dtype, shape, None, None, None
        self.written = 0  # the order at the last change of the array: older graphs may not come back over it

    def out(self, dtype: Any) -> Any:
        """Memory in which an op may write this leaf's gradient, if it is the first and of this dtype."""
        return self.slot if self.grad is None and self.dtype is dtype else None

    def check(self, order: int) -> None:
        """RuntimeError if the array has changed since an op of this order read it."""
        if self.written < order:
            raise RuntimeError(
                "a parameter was changed (update, load, copy or assignment) after the forward pass that reads it; "
                "run the forward pass again"
            )

    def add(self, g: Any, order: int) -> None:
        """Add g, a gradient from an op of this order; g is copied unless it was written into the slot."""
        if self.written < order:
            self.check(order)
        self.grad_var = None
        if self.grad is not None:
            self.grad += g
        elif g is self.slot:
            self.grad = g
        elif g.shape != self.shape:
            raise ValueError(f"backward: an op gave a gradient of shape {g.shape} for an input of shape {self.shape}")
        elif self.slot is not None:
            self.slot[...] = g
            self.grad = self.slot
        else:  # its own memory: g may be shared with another vertex, or read-only
            self.grad = xp_of(g).array(g, dtype=self.dtype)

    def add_traced(self, g: Any, order: int) -> None:
        before = self.grad_var
        self.add(g.array, order)
        self.grad_var = g if before is None else before + g

    def clear(self) -> None:
        self.grad = self.grad_var = None


def backward(node: Any, g: Any, *, create: bool = False, keep: bool = False, retain: bool = False) -> None:
    """Carry g from a vertex back to the leaves, each vertex once, newest first.

    create: run backward on Variables, so that the gradients can be differentiated; keep: leave `.grad` on every vertex;
    retain: leave the saved arrays for a second pass. A vertex with one waiting successor needs no heap.
    """
    if node.order == 0:
        (node.add_traced if create else node.add)(g, next_order())
        return
    plain = not (create or keep or retain)
    heap: list[tuple[int, Any]] = []
    n = node
    n.g = g
    try:
        while True:
            if n.saved is None:
                raise RuntimeError(
                    "backward: this graph has been used up; pass retain_graph=True to the first backward()"
                )
            order, edges = n.order, n.edges
            if plain:
                gs = n.backward(n.g, *n.saved)
                n.saved = None
            else:
                gs = n.trace(n.g) if create else n.backward(n.g, *n.saved)
                if keep and not n.many:
                    n.grad = n.g.array if create else xp_of(n.g).asarray(n.g)
                if not (create or retain):
                    n.saved = None
            n.g = None
            n = None
            for e, g in ((edges[0], gs),) if len(edges) == 1 else zip(edges, gs):
                if e is None or g is None:
                    continue
                if e.order == 0:
                    if create:
                        e.add_traced(g, order)
                    elif g is e.slot and e.grad is None and e.written >= order:  # the usual case of `add`, inlined
                        e.grad, e.grad_var = g, None
                    else:
                        e.add(g, order)
                elif e.g is not None:
                    e.g = e.g + g  # out of place: an op may have handed one array to both of its inputs
                elif n is None:
                    e.g = g
                    n = e
                else:
                    e.g = g
                    heappush(heap, (e.order, e))
            if heap:
                n = heappop(heap)[1] if n is None else heappushpop(heap, (n.order, n))[1]
            elif n is None:
                return
    except BaseException:
        if n is not None:
            n.g = None
        for _, waiting in heap:
            waiting.g = None
        raise
