"""grad(): derivatives as values, of any order, without touching what backward() uses."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from rlcore.autograd.function import Function, Leaf, record
from rlcore.autograd.functions.array import cast
from rlcore.autograd.variable import Variable, handle
from rlcore.backend import xp_of


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, *, enable_double_backprop: bool = False
) -> list[Variable | None]:
    """Gradients of outputs with respect to inputs, None where there is no path between them.

    outputs, inputs: a Variable or a list; grad_outputs: as many as outputs, None for ones. Uses nothing up, touches no
    `.grad` and visits only what lies between. With enable_double_backprop the results can be differentiated again.
    """
    outputs, inputs = _variables("outputs", outputs), _variables("inputs", inputs)
    seeds = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(outputs)
    if isinstance(grad_outputs, dict):  # an op with several outputs: gradients by number, those of unused ones missing
        outputs, seeds = [outputs[k] for k in grad_outputs], list(grad_outputs.values())
    if len(seeds) != len(outputs):
        raise ValueError(f"grad: {len(outputs)} outputs but {len(seeds)} grad_outputs; give one for each, or None")
    starts = [(v.node, _seed(v, g, enable_double_backprop)) for v, g in zip(outputs, seeds)]
    found = pull(starts, {v.node for v in inputs} - {None}, enable_double_backprop)
    return [None if v.node not in found else _like(found[v.node], v) for v in inputs]


class _Joined(Function):
    """Where passes from several outputs start as one."""

    def __init__(self, seeds: list[Any]):
        self.seeds = seeds

    def forward(self, *xs: Any) -> Any:
        return xp_of(xs[0]).ones((), xs[0].dtype)

    def backward(self, gy: Any) -> Any:
        return self.seeds if len(self.seeds) > 1 else self.seeds[0]


def backward(outputs: Any, grad_outputs: Any = None, *, enable_double_backprop: bool = False) -> None:
    """Add the gradients of several outputs to `.grad` of every leaf in one pass, which uses their graphs up.

    outputs: a list of Variables; grad_outputs: one for each; None for the output's own `.grad`, or for one element 1.
    """
    outputs = _variables("outputs", outputs, "backward")
    if not outputs:
        raise ValueError("backward: expected one output or more, got none")
    seeds = [v.grad for v in outputs] if grad_outputs is None else list(grad_outputs)
    if len(seeds) != len(outputs):
        raise ValueError(f"backward: {len(outputs)} outputs but {len(seeds)} grad_outputs; give one for each, or None")
    for v, g in zip(outputs, seeds):
        if g is None and v.size != 1:
            raise ValueError(f"backward: a Variable of shape {v.shape} needs a gradient first: set its .grad")
    seeds = [_seed(v, g, enable_double_backprop, "backward") for v, g in zip(outputs, seeds)]
    _Joined(seeds).apply(*outputs).backward(enable_double_backprop=enable_double_backprop)


def pull(starts: Any, wanted: set[Any], traced: bool, ends: Any = frozenset()) -> dict[Any, Any]:
    """Gradients at the wanted vertices, from (vertex, gradient) pairs; nothing passes through a vertex of ends.

    traced: gradients are Variables, and what is computed with them is recorded.
    """
    needed = _between([vertex for vertex, _ in starts], wanted, ends)
    found: dict[Any, Any] = {}
    heap: list[tuple[int, Any]] = []

    def arrive(vertex: Any, g: Any) -> None:
        if vertex in found:
            found[vertex] = found[vertex] + g
            return
        found[vertex] = g
        if vertex not in ends and any(e in needed for e in vertex.edges):
            heappush(heap, (vertex.order, vertex))

    with record(traced):
        for vertex, g in starts:
            if vertex in needed:
                arrive(vertex, g)
        while heap:
            op = heappop(heap)[1]
            if op.saved is None:
                raise RuntimeError("grad: backward() has used this graph up; pass retain_graph=True to it")
            g = found[op] if op in wanted else found.pop(op)
            edges = op.edges
            for e in edges:
                if isinstance(e, Leaf):
                    e.check(op.order)
            if traced:
                gs = op.trace(g, tuple([e if e in needed else None for e in edges]))
            else:
                op.edges = tuple([_PLAIN if e in needed else None for e in edges])
                try:
                    gs = op.backward(g, *op.saved)
                finally:
                    op.edges = edges
            for e, g in zip(edges, (gs,) if len(edges) == 1 else gs, strict=True):
                if e in needed and g is not None:
                    arrive(e, g)
    return found


class _Plain:
    """Stands for a vertex while an op is asked: its gradient is wanted, and no memory waits for it."""

    out = Function.out


_PLAIN = _Plain()


def _variables(name: str, group: Any, caller: str = "grad") -> list[Variable]:
    group = list(group) if isinstance(group, (list, tuple)) else [group]
    for v in group:
        if not isinstance(v, Variable):
            raise TypeError(f"{caller}: {name} must be Variables, got {type(v).__name__}")
    return group


def _between(starts: list[Any], wanted: set[Any], ends: Any) -> set[Any]:
    """The vertices on a path from starts to wanted, both included, that leads through none of ends."""
    seen, stack = set(), [v for v in starts if v is not None]
    while stack:
        vertex = stack.pop()
        if vertex not in seen:
            seen.add(vertex)
            if vertex not in ends:
                stack.extend(e for e in vertex.edges if e is not None)
    needed: set[Any] = set()
    for vertex in sorted(seen, key=lambda v: -v.order):  # oldest first: what a vertex leads to is known when it comes
        if vertex in wanted or (vertex not in ends and any(e in needed for e in vertex.edges)):
            needed.add(vertex)
    return needed


def _seed(v: Variable, g: Any, traced: bool, caller: str = "grad") -> Any:
    if g is None:
        g = xp_of(v.array).ones_like(v.array)
    array = g.array if isinstance(g, Variable) else g
    if array.shape != v.shape:
        raise ValueError(f"{caller}: grad_outputs has shape {array.shape} for an output of shape {v.shape}")
    if traced and isinstance(g, Variable):
        return g if g.dtype == v.dtype else cast(g, v.dtype)
    array = array.astype(v.dtype, copy=False)
    return handle(array, None) if traced else array


def _like(g: Any, v: Variable) -> Variable:
    if isinstance(g, Variable):
        return g if g.dtype == v.dtype else cast(g, v.dtype)
    return handle(xp_of(v.array).asarray(g, dtype=v.dtype), None)
