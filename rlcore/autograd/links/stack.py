"""Stack: a Sequential whose dense layers are one vertex of the graph, which small networks notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import rlcore.autograd.parameter as _parameter
from rlcore.autograd.chain import Sequential
from rlcore.autograd.dual import one_minus, ones_for, product, rectified, where_positive
from rlcore.autograd.function import Function, next_order, recording
from rlcore.autograd.function_calls import SWAP
from rlcore.autograd.functions import activation, connection
from rlcore.autograd.functions.math import identity
from rlcore.autograd.functions.skinny import LARGE, outer_product, times, times_transposed
from rlcore.autograd.links.connection import Linear
from rlcore.autograd.variable import Variable, handle

__all__ = ["Stack"]

_new, _linear = object.__new__, Linear.__dict__["forward"]


class Layer(NamedTuple):
    """A linear layer and what follows it, as arrays."""

    M: Any  # (in, out)
    b: Any  # (out,) or None
    act: Any  # F.relu, F.tanh or None
    large: bool  # whether M is
    slot: Any  # memory that waits for the gradient of W; None: there is none
    slot_M: Any  # the same as (in, out)


class Layers(Function):
    """A run of dense layers in one vertex, whose edges lead to the input and to each W and b in order."""

    saves = "ys layers"  # ys: the input and what each layer gave

    def backward(self, gy: Any, ys: list[Any], layers: list[Layer]) -> Any:
        edges = self.edges
        gs: list[Any] = [None] * len(edges)
        one = ones_for(gy)
        for k in range(len(layers) - 1, -1, -1):
            M, _, act, large, slot, slot_M = layers[k]
            x, y, W, b = ys[k], ys[k + 1], edges[2 * k + 1], edges[2 * k + 2]
            if act is activation.relu:
                gy = where_positive(gy, y)
            elif act is activation.tanh:
                slope = one_minus(y * y)
                slope *= gy
                gy = slope
            if W is not None:
                if slot is not None and W.out(gy.dtype) is slot and not large:
                    x.T.dot(gy, out=slot_M)
                    gs[2 * k + 1] = slot
                else:
                    gs[2 * k + 1] = outer_product(x, gy, W) if large else product(x, gy, W)
            if b is not None:
                gs[2 * k + 2] = one.dot(gy, out=b.out(gy.dtype))
            if k or edges[0] is not None:
                gy = times_transposed(gy, M) if large else gy.dot(M.T)
        if edges[0] is not None:
            gs[0] = gy
        return gs

    def trace(self, g: Any, edges: Any = None) -> Any:
        """Backward on Variables, by the ops of the layers."""
        from rlcore.autograd.grad import grad

        ys, layers = self.saved
        arrays = [ys[0], *(a for layer in layers for a in (layer.M.T, layer.b))]
        # a fresh vertex for each input, so that partial derivatives stay partial
        inputs = [a if e is None else identity(handle(a, e)) for a, e in zip(arrays, self.edges)]
        y = inputs[0]
        for k, layer in enumerate(layers):
            y = connection.linear(y, *inputs[2 * k + 1 : 2 * k + 3])
            y = y if layer.act is None else layer.act(y)
        asked = [i for i, e in enumerate(self.edges if edges is None else edges) if e is not None]
        gs: list[Any] = [None] * len(inputs)
        for i, gi in zip(asked, grad(y, [inputs[i] for i in asked], g, enable_double_backprop=True)):
            gs[i] = gi
        return gs


class Run:
    """Links and functions in a row that are dense layers, computed at once."""

    def __init__(self, parts: Sequence[Any]):
        self.parts = parts
        self.layers: list[Layer] = []
        self.edges: list[Any] = []
        for part in parts:
            if isinstance(part, Linear):
                M, b = part.W.array.T, None if part.b is None else part.b.array
                W = part.W.node
                slot = None if W is None else W.slot
                act, large = activation.relu if part.relu else None, M.size >= LARGE
                self.layers.append(Layer(M, b, act, large, slot, None if slot is None else slot.T))
                self.edges += [W, None if part.b is None else part.b.node]
            else:
                self.layers[-1] = self.layers[-1]._replace(act=part)
        self.size, self.dtype = len(self.layers[0].M), self.layers[0].M.dtype
        self.learns = any(self.edges)

    def __call__(self, x: Any) -> Any:
        node = None
        a = x
        if isinstance(x, Variable):
            node, a = x.node, x.array
        plain = a.dtype is self.dtype and a.ndim == 2 and a.shape[1] == self.size
        if not plain or SWAP.users or Linear.__call__ is not _linear:  # a hook wants to see each layer
            for part in self.parts:
                x = part(x)
            return x
        ys = [a]
        for M, b, act, large, _, _ in self.layers:
            a = times(a, M) if large else a.dot(M)
            if b is not None:
                a += b
            if act is activation.relu:
                rectified(a, out=a)
            elif act is activation.tanh:
                np.tanh(a, out=a)
            ys.append(a)
        y = _new(Variable)
        y.array, y.node = a, None
        if (self.learns or node is not None) and recording():
            op = y.node = Layers()
            op.edges, op.order, op.g, op.saved = (node, *self.edges), next_order(), None, (ys, self.layers)
        return y


class Stack(Sequential):
    """A Sequential that computes Linears with what follows them, `F.relu`, `F.tanh` or nothing, in one vertex.

    Values, gradients and names of parameters are a Sequential's. Hooks see each layer by itself.
    """

    def forward(self, *xs: Any) -> Any:
        plan = self.__dict__.get("_plan_cache")
        if plan is None or plan[0] != _parameter.version:
            plan = self.__dict__["_plan_cache"] = (_parameter.version, self._planned())
        x = xs[0] if len(xs) == 1 else xs
        for part in plan[1]:
            x = part(*x) if type(x) is tuple else part(x)
        return x

    def _planned(self) -> list[Callable[..., Any]]:
        """The layers, those that are computed at once as a Run."""
        groups: list[list[Any]] = []
        for part in self._children:
            run = groups[-1] if groups and dense(groups[-1][0]) else []
            if run and goes_on(run, part):
                run.append(part)
            else:
                groups.append([part])
        return [Run(group) if dense(group[0]) else group[0] for group in groups]


def dense(part: Any) -> bool:
    """Whether a layer is a Linear that has its weights, and no hook."""
    return type(part) is Linear and part.W.array is not None


def goes_on(run: list[Any], part: Any) -> bool:
    """Whether a layer belongs to the run of dense layers before it, in which no weight may come twice."""
    if part is activation.relu or part is activation.tanh:
        return dense(run[-1]) and not run[-1].relu
    return dense(part) and all(part.W is not other.W for other in run if dense(other))
