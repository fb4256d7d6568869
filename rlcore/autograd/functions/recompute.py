"""Functions that are computed again in backward, so that nothing of them is kept in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rlcore import rng as _rng
from rlcore.autograd.config import config, using_config
from rlcore.autograd.function import Function, Leaf, next_order, record, recording
from rlcore.autograd.functions.math import identity

__all__ = ["forget"]


class Forget(Function):
    """One vertex for all that a function computes; its edges lead to its arguments and to what it uses beside them."""

    saves = "xs"
    many = True

    def __init__(self, func, xs, ys, outer, before):
        self.func, self.xs, self.ys, self.outer = func, xs, ys, outer
        self.state, self.train = before

    def forward(self, *inputs):
        ys = self.ys
        del self.ys
        return ys

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """The random state and the mode of the first run."""
        rng = _rng.generator(0)
        _rng.restore(rng, self.state)
        with _rng.using(rng), using_config("train", self.train), using_config("in_recomputing", True), record(True):
            yield

    def backward(self, gys, xs):
        from rlcore.autograd.variable import handle

        with self._as_before():
            inputs = [handle(x, Leaf(x.dtype, x.shape) if e is not None else None) for x, e in zip(xs, self.edges)]
            return self._gradients(inputs, gys, self.edges, traced=False)

    def trace(self, g, edges=None):
        from rlcore.autograd.variable import handle

        (xs,) = self.saved
        with self._as_before():
            inputs = [handle(x, None) if e is None else identity(handle(x, e)) for x, e in zip(xs, self.edges)]
            return self._gradients(inputs, g, self.edges if edges is None else edges, traced=True)

    def _gradients(self, inputs, gys, asked, traced):
        from rlcore.autograd.grad import pull

        ys = self.func(*inputs)
        ys = ys if isinstance(ys, tuple) else (ys,)
        starts = []
        for k, y in enumerate(ys):
            g = gys[k]
            if g is not None and y.node is not None:
                if g.shape != y.shape:
                    raise ValueError(
                        f"forget: output {k} of {self.func} had shape {g.shape}, the second time {y.shape}"
                    )
                starts.append((y.node, g))
        vertices = [*[v.node for v in inputs], *self.outer]
        wanted = {v for v, e in zip(vertices, asked, strict=True) if e is not None and v is not None}
        found = pull(starts, wanted, traced, ends=frozenset(v for v in vertices if v is not None))
        gs = tuple([found.get(v) for v in vertices])
        return gs[0] if len(gs) == 1 else gs


def _used(ys, own, mark):
    """The vertices outside of a computation that its results come from: leaves, and ops older than mark."""
    seen, outer, stack = set(), [], [y.node for y in ys]
    while stack:
        vertex = stack.pop()
        if vertex is None or vertex in seen or vertex in own:
            continue
        seen.add(vertex)
        if isinstance(vertex, Leaf) or mark < vertex.order < 0:
            outer.append(vertex)
        else:  # one that has been cut has no edges
            stack.extend(vertex.edges)
    return outer


def forget(func, *xs):
    """func(*xs), of which nothing is kept: backward computes it again (Chen et al. 2016, sublinear memory cost).

    func takes Variables and returns a Variable or a tuple of them; it may use parameters and other Variables, draws the
    same random numbers from rlcore's default generator again, and must have no other effect: config.in_recomputing is
    True in the second run, in which links leave their statistics alone.
    """
    from rlcore.autograd.variable import Variable, as_variable, handle

    xs = tuple(map(as_variable, xs))
    if not recording():
        return func(*xs)
    before = _rng.state_of(_rng.default()), config.train
    mark = next_order()
    inputs = [handle(x.array, None if x.node is None else Leaf(x.dtype, x.shape)) for x in xs]
    result = func(*inputs)
    ys = result if isinstance(result, tuple) else (result,)
    for y in ys:
        if not isinstance(y, Variable):
            raise TypeError(f"forget: func must return a Variable or a tuple of Variables, got {type(y).__name__}")
    own = {v.node for v in inputs if v.node is not None}
    outer = _used(ys, own, mark)
    arrays = tuple([x.array for x in xs])
    op = Forget(func, arrays, tuple([y.array for y in ys]), tuple(outer), before)
    vs = op.apply(*xs, *[handle(None, vertex) for vertex in outer])
    return vs if isinstance(result, tuple) else vs[0]
