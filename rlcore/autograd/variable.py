"""Variable: a light handle on an array and the vertex that made it."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

import rlcore.autograd.functions.array as _array
import rlcore.autograd.functions.linalg as _linalg
import rlcore.autograd.functions.math as _math
import rlcore.autograd.functions.reduction as _reduction
import rlcore.autograd.functions.rounding as _rounding
from rlcore.autograd.dual import beside
from rlcore.autograd.function import UFUNCS, Leaf, Slot, backward, next_order, record
from rlcore.autograd.functions.indexing import get_item
from rlcore.backend import is_array, xp_of

_new = object.__new__


def handle(array: Any, node: Any) -> Variable:
    """A Variable on an array and a vertex, None for a constant."""
    v = _new(Variable)
    v.array, v.node = array, node
    return v


def as_variable(x: Any) -> Variable:
    """x itself if it is a Variable, else a constant: an array costs no gradient."""
    return x if isinstance(x, Variable) else handle(_checked(x), None)


def as_array(x: Any) -> Any:
    """The array of a Variable, or x itself."""
    return x.array if isinstance(x, Variable) else x


def _checked(data: Any) -> Any:
    if is_array(data):
        return data
    if isinstance(data, np.generic):
        return np.asarray(data)
    raise TypeError(f"Variable: expected a NumPy or CuPy array, got {type(data).__name__}; wrap it in numpy.asarray()")


def _refuse(what: str, instead: str) -> Callable[..., Any]:
    def refused(self: Variable, *args: Any, **named: Any) -> Any:
        raise TypeError(f"{what} a Variable is not recorded in the graph; {instead}")

    return refused


class Variable:
    """An array in a computation, and where it came from.

    A float array given by the user gets a gradient in `.grad` after `backward()`; integers, and arrays given to
    functions directly, do not. `.array` is always an array, 0-d for a scalar.
    """

    __slots__ = ("_name", "array", "node")
    __array_priority__ = 200.0
    __hash__ = None  # type: ignore[assignment]

    array: Any
    node: Any  # an op, a Slot, a Leaf; None for a constant
    name = property(lambda self: getattr(self, "_name", None), lambda self, name: setattr(self, "_name", name))

    def __init__(self, data: Any, *, name: str | None = None, grad: Any = None, requires_grad: bool = True):
        self.array = _checked(data)
        self.name = name
        self.node = Leaf(self.array.dtype, self.array.shape) if requires_grad and self.array.dtype.kind == "f" else None
        if grad is not None:
            self.grad = grad

    # what it is
    data: Any = property(attrgetter("array"), lambda self, data: setattr(self, "array", data))
    shape: Any = property(attrgetter("array.shape"))
    ndim: Any = property(attrgetter("array.ndim"))
    size: Any = property(attrgetter("array.size"))
    dtype: Any = property(attrgetter("array.dtype"))

    @property
    def xp(self) -> Any:
        return xp_of(self.array)

    @property
    def requires_grad(self) -> bool:
        return self.node is not None

    @property
    def creator(self) -> Any:
        """The op that made this Variable, None for a leaf or a constant."""
        node = self.node
        return None if node is None or node.order == 0 else node.edges[0] if isinstance(node, Slot) else node

    def item(self) -> Any:
        return self.array.item()

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        return f"variable({self.array!r})"

    # gradients
    @property
    def grad(self) -> Any:
        """The gradient, an array of this shape; None before backward() and after cleargrad()."""
        return None if self.node is None else self.node.grad

    @grad.setter
    def grad(self, g: Any) -> None:
        if g is None:
            self.cleargrad()
            return
        if self.node is None:
            raise ValueError("grad: this Variable is a constant and has no gradient")
        g = _checked(g)
        if g.shape != self.shape:
            raise ValueError(f"grad: expected shape {self.shape}, got {g.shape}")
        self.cleargrad()
        if isinstance(self.node, Leaf):
            self.node.add(g, next_order())
        else:
            self.node.grad = g.astype(self.dtype, copy=False)

    @property
    def grad_var(self) -> Variable | None:
        """The gradient as a Variable, with its graph after backward(enable_double_backprop=True)."""
        if self.grad is None:
            return None
        traced = self.node.grad_var if isinstance(self.node, Leaf) else None
        return handle(self.grad, None) if traced is None else traced

    def cleargrad(self) -> None:
        if isinstance(self.node, Leaf):
            self.node.clear()
        elif self.node is not None:
            self.node.grad = None

    def addgrad(self, var: Variable) -> None:
        """Add the gradient of var, if it has one, to this gradient."""
        if var.grad is not None:
            self.grad = var.grad.copy() if self.grad is None else self.grad + var.grad

    def copydata(self, var: Variable) -> None:
        """Write the elements of var into this array."""
        if var.shape != self.shape:
            raise ValueError(f"copydata: expected shape {self.shape}, got {var.shape}")
        self.array[...] = var.array
        if isinstance(self.node, Leaf):
            self.node.written = next_order()  # older graphs may not come back over it

    def backward(
        self,
        retain_grad: bool = False,
        enable_double_backprop: bool = False,
        loss_scale: float | None = None,
        *,
        retain_graph: bool = False,
    ) -> None:
        """Add the gradient of this Variable to `.grad` of every leaf that it depends on.

        Starts from `.grad`, or from ones for a Variable of one element. Uses the graph up unless retain_graph.
        """
        if self.node is None:
            raise RuntimeError(
                "backward: this Variable has no graph: none of its inputs needs a gradient, or it was computed under "
                "no_backprop_mode()"
            )
        g = None if isinstance(self.node, Leaf) else self.node.grad
        if g is None:
            if self.array.size != 1:
                raise ValueError(f"backward: a Variable of shape {self.shape} needs a gradient first: set its .grad")
            g = _ONE.get(self.array.dtype) if self.array.ndim == 0 and isinstance(self.array, np.ndarray) else None
            if g is None:
                g = self.xp.ones_like(self.array)
        if loss_scale is not None:
            g = g * loss_scale
        if enable_double_backprop:
            with record(True):
                backward(self.node, handle(g, None), create=True, keep=retain_grad)
        else:
            backward(self.node, g, keep=retain_grad, retain=retain_graph)

    def unchain(self) -> None:
        """Cut the graph at this Variable: a gradient that reaches it is dropped."""
        if self.creator is not None:
            self.node.order, self.node.edges, self.node.saved = 0, (), None

    def unchain_backward(self) -> None:
        """Cut the graph behind this Variable: what reaches an earlier vertex is dropped (truncated backpropagation)."""
        stack = [self.node]
        while stack:
            vertex = stack.pop()
            if vertex is not None and vertex.order != 0:
                stack.extend(vertex.edges)
                vertex.order, vertex.edges, vertex.saved = 0, (), None

    # shape
    @property
    def T(self) -> Variable:
        return _array.Transpose(None).apply(self)

    def reshape(self, *shape: Any) -> Variable:
        return _array.reshape(self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def transpose(self, *axes: Any) -> Variable:
        return _array.transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Variable:
        return _reduction.Sum(axis, keepdims).apply(self)

    def mean(self, axis: Any = None, keepdims: bool = False, *, weights: Any = None) -> Variable:
        return _reduction.average(self, axis, weights, keepdims)

    def astype(self, dtype: Any) -> Variable:
        return _array.cast(self, dtype)

    def __getitem__(self, index: Any) -> Variable:
        return get_item(self, index)

    # arithmetic
    def __add__(self, other: Any) -> Variable:
        return _math.Add().apply(self, beside(self, other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Variable:
        return _math.Sub().apply(self, beside(self, other))

    def __rsub__(self, other: Any) -> Variable:
        return _math.Sub().apply(beside(self, other), self)

    def __mul__(self, other: Any) -> Variable:
        return _math.Mul().apply(self, beside(self, other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Variable:
        return _math.Div().apply(self, beside(self, other))

    def __rtruediv__(self, other: Any) -> Variable:
        return _math.Div().apply(beside(self, other), self)

    def __rfloordiv__(self, other: Any) -> Variable:
        return _rounding.floor_divide(beside(self, other), self)

    def __pow__(self, other: Any) -> Variable:
        return _math.Pow().apply(self, beside(self, other))

    def __rpow__(self, other: Any) -> Variable:
        return _math.Pow().apply(beside(self, other), self)

    def __matmul__(self, other: Any) -> Variable:
        return _linalg.Matmul().apply(self, beside(self, other))

    def __rmatmul__(self, other: Any) -> Variable:
        return _linalg.Matmul().apply(beside(self, other), self)

    def __floordiv__(self, other: Any) -> Variable:
        return _rounding.floor_divide(self, beside(self, other))

    dot = __matmul__
    __pos__ = _math.identity

    def __neg__(self) -> Variable:
        return _math.Neg().apply(self)

    def __abs__(self) -> Variable:
        return _math.Absolute().apply(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        op = UFUNCS.get(ufunc)
        if op is None or method != "__call__" or named:
            raise TypeError(
                f"numpy.{ufunc.__name__} of a Variable is not an op; use a function of rlcore's F, or .array"
            )
        return op().apply(*[beside(self, x) for x in inputs])

    def __array_function__(self, func: Any, types: Any, args: Any, named: Any) -> Any:
        raise TypeError(f"numpy.{func.__name__} of a Variable is not recorded in the graph; use F.{func.__name__}")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse("comparing", "compare its .array")  # type: ignore
    __bool__ = _refuse("the truth of", "test its .array")
    __array__ = _refuse("numpy.asarray() of", "use its .array")


_ONE = {np.dtype(t): np.ones((), t) for t in (np.float16, np.float32, np.float64)}
for _one in _ONE.values():
    _one.flags.writeable = False
