"""The graph behind some Variables as text in graphviz's dot language; graphviz itself is not needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore.autograd.function import Leaf, Slot
from rlcore.autograd.function_calls import FunctionHook
from rlcore.autograd.grad import grad
from rlcore.autograd.variable import Variable, handle

_VARIABLE = {"shape": "ellipse", "fillcolor": "#E0E0E0", "style": "filled"}
_ANY = np.empty(0, np.float32)
_FUNCTION = {"shape": "box", "fillcolor": "#6495ED", "style": "filled"}


class ComputationalGraph:
    """Nodes and edges of a graph: nodes are (number, label, is_function), edges pairs of numbers."""

    def __init__(
        self,
        nodes: list[tuple[int, str, bool]],
        edges: list[tuple[int, int]],
        variable_style: dict[str, str] | None = None,
        function_style: dict[str, str] | None = None,
        rankdir: str = "TB",
    ):
        if rankdir not in ("TB", "BT", "LR", "RL"):
            raise ValueError(f"rankdir must be TB, BT, LR or RL, got {rankdir!r}")
        self.nodes, self.edges, self.rankdir = nodes, edges, rankdir
        self.variable_style = _VARIABLE if variable_style is None else variable_style
        self.function_style = _FUNCTION if function_style is None else function_style

    def dump(self, format: str = "dot") -> str:
        """The graph in the dot language; write it to a file and run `dot -Tpng` on it."""
        if format != "dot":
            raise ValueError(f"dump: only the format 'dot' is known, got {format!r}")
        lines = ["digraph graphname {", f"  rankdir={self.rankdir};"]
        for number, label, is_function in self.nodes:
            style = {"label": label} | (self.function_style if is_function else self.variable_style)
            lines.append(f"  {number} [{', '.join(f'{k}={_quoted(v)}' for k, v in style.items())}];")
        lines += [f"  {a} -> {b};" for a, b in self.edges]
        return "\n".join([*lines, "}"]) + "\n"


def build_computational_graph(
    outputs: Any,
    remove_split: bool = True,
    variable_style: dict[str, str] | None = None,
    function_style: dict[str, str] | None = None,
    rankdir: str = "TB",
    remove_variable: bool = False,
    show_name: bool = True,
    *,
    link: Any = None,
) -> ComputationalGraph:
    """The graph from some Variables back to its leaves: Variables as ellipses, functions as boxes.

    Names are those of outputs, and of link's parameters, by path. Constants are no part of a graph. The shapes of what
    lies between come from a pass backward that uses nothing up; after `backward()` without retain_graph=True they are
    not known any more.
    remove_split is accepted and has no effect: a value used several times is one node.
    """
    outputs = [outputs] if isinstance(outputs, Variable) else list(outputs)
    vertices = _vertices([v.node for v in outputs])
    names = {v.node: v.name for v in outputs if v.name}
    if link is not None:
        names |= {p.node: path for path, p in link.namedparams(include_uninit=False)}
    if not show_name:
        names = {}
    kinds = _kinds(outputs, vertices)
    nodes: list[tuple[int, str, bool]] = []
    edges: list[tuple[int, int]] = []
    ends: dict[Any, int | None] = {}  # the number by which what comes later refers to a vertex

    def node(label: str, is_function: bool, sources: Any = ()) -> int:
        nodes.append((len(nodes), label, is_function))
        numbers = dict.fromkeys(ends.get(s) for s in sources)
        edges.extend((number, len(nodes) - 1) for number in numbers if number is not None)
        return len(nodes) - 1

    for vertex in vertices:
        if isinstance(vertex, Leaf) or vertex.order == 0:
            ends[vertex] = None if remove_variable else node(_label(names.get(vertex), kinds.get(vertex)), False)
            continue
        if isinstance(vertex, Slot):
            at = ends[vertex.edges[0]]
        else:
            at = node(vertex.label, True, vertex.edges)
        ends[vertex] = at
        if not vertex.many and not remove_variable:
            ends[vertex] = node(_label(names.get(vertex), kinds.get(vertex)), False)
            edges.append((at, ends[vertex]))  # type: ignore[arg-type]
    return ComputationalGraph(nodes, edges, variable_style, function_style, rankdir)


def _vertices(starts: list[Any]) -> list[Any]:
    """All vertices behind some, each after those that it comes from, in an order that depends on nothing else."""
    found: dict[Any, None] = {}
    stack = [(v, False) for v in reversed(starts) if v is not None]
    while stack:
        vertex, ready = stack.pop()
        if ready:
            found[vertex] = None
        elif vertex not in found:
            stack.append((vertex, True))
            stack.extend((e, False) for e in reversed(vertex.edges) if e is not None)
    return list(found)


class _Shapes(FunctionHook):
    """Notes the gradients' shapes and dtypes, which are those of what the ops have computed."""

    quiet = True

    def __init__(self, kinds: dict[Any, Any]):
        self.kinds = kinds

    def before_backward(self, op: Any, saved: dict[str, Any], out_grad: tuple[Any, ...]) -> None:
        for k, g in enumerate(out_grad):
            if g is not None:
                self.kinds.setdefault((op, k) if op.many else op, (tuple(g.shape), g.dtype))


def _kinds(outputs: list[Any], vertices: list[Any]) -> dict[Any, Any]:
    """vertex -> (shape, dtype), where they can be found."""
    kinds: dict[Any, Any] = {v: (v.shape, v.dtype) for v in vertices if isinstance(v, Leaf)}
    kinds |= {v.node: (v.shape, v.dtype) for v in outputs}
    if all(v.order == 0 or v.saved is not None for v in vertices):
        with _Shapes(kinds):
            starts = [v for v in outputs if v.creator is not None]
            grad(starts, [handle(_ANY, v) for v in vertices if v.order == 0])
    for v in vertices:
        if isinstance(v, Slot):
            kinds.setdefault(v, kinds.get((v.edges[0], v.k)))
    return kinds


def _label(name: str | None, kind: Any) -> str:
    shape, dtype = kind or ((), "")
    known = f"({', '.join(map(str, shape))}), {dtype}" if shape else str(dtype)
    return f"{name}: {known}" if name and known else name or known


def _quoted(text: str) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
