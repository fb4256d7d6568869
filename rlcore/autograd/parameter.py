"""Parameter: a Variable that a Link owns, which knows where it lies in memory, and its constant twin."""

from __future__ import annotations

import copy
import itertools
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from rlcore.autograd.function import Leaf, next_order
from rlcore.autograd.initializers import as_initializer
from rlcore.autograd.variable import Variable, _checked
from rlcore.backend import is_array, xp_of


class Twin(Variable):
    """A parameter without its gradient: the same array, seen as a constant; what views are made of."""

    __slots__ = ("_parameter",)

    def __init__(self, parameter: Parameter):
        self.array, self.node, self._parameter = parameter.array, None, weakref.ref(parameter)

    def initialize(self, shape: Any) -> None:
        parameter = self._parameter()
        if parameter is None:
            raise RuntimeError("initialize: the model behind this view is gone")
        parameter.initialize(shape)

    def __deepcopy__(self, memo: dict[int, Any]) -> Twin:
        parameter = self._parameter()
        if parameter is None:
            raise RuntimeError("deepcopy: the model behind this view is gone")
        return copy.deepcopy(parameter, memo).const


class Parameter(Variable):
    """An array that a Link owns and an optimizer updates.

    initializer: an Initializer, a number, an array, or None; shape None: known at the first call. order: the order of
    the axes in memory, as the kernels want them (Linear's W of shape (out, in) lies as (in, out)).
    """

    __slots__ = ("__weakref__", "_update_enabled", "buffer", "const", "initializer", "memory_order", "mover", "start")

    def __init__(self, initializer: Any = None, shape: Any = None, *, order: tuple[int, ...] | None = None):
        if is_array(initializer) and shape is None:
            shape = initializer.shape
        self.initializer, self.memory_order = as_initializer(initializer), order
        self.node, self.buffer, self.start = Leaf(self.initializer.dtype), None, 0
        self._update_enabled, self.mover = True, None  # mover: what brings arrays to the parameter's device
        _set_array(self, None)
        self.const = Twin(self)
        if shape is not None:
            self.initialize(shape)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "array":
            object.__setattr__(self, name, value)
        elif self.array is None:
            raise ValueError("array: this parameter's shape is not known yet; call initialize(shape) first")
        elif _checked(value).shape != self.shape:
            raise ValueError(f"array: expected shape {self.shape}, got {value.shape}")
        else:
            self.array[...] = value
            self.touch()

    @property
    def is_initialized(self) -> bool:
        return self.array is not None

    @property
    def update_enabled(self) -> bool:
        """Whether optimizers change this parameter."""
        return self._update_enabled

    @update_enabled.setter
    def update_enabled(self, enabled: bool) -> None:
        self._update_enabled = bool(enabled)
        changed()  # an optimizer looks again

    def initialize(self, shape: int | Iterable[int]) -> None:
        """Settle the shape and draw the first values."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if self.array is not None:
            raise ValueError(f"initialize: this parameter has shape {self.shape} already")
        given = getattr(getattr(self.initializer, "fill_value", None), "shape", ())
        if given not in ((), shape):
            raise ValueError(f"initialize: the initial array has shape {given}, the parameter {shape}")
        array = self.laid(np.empty(self.memory_shape(shape), self.node.dtype))
        self.initializer(array)
        self._take(array)

    def settle(self, values: Any) -> None:
        """Take shape and values from an array, drawing nothing."""
        array = self.laid(xp_of(values).empty(self.memory_shape(values.shape), self.node.dtype))
        array[...] = values
        self._take(array)

    def _take(self, array: Any) -> None:
        if self.mover is not None:
            array = self.laid(self.mover(self.in_memory(array)))
        self.bind(array, None, None, 0)
        changed()

    def in_memory(self, array: Any) -> Any:
        """An array of this parameter's axes as it lies in memory: the inverse of `laid`."""
        return array if self.memory_order is None else array.transpose(self.memory_order)

    def memory_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape with its axes in memory order."""
        return shape if self.memory_order is None else tuple([shape[axis] for axis in self.memory_order])

    def laid(self, memory: Any) -> Any:
        """A C-contiguous array in memory order, seen with this parameter's axes."""
        return memory if self.memory_order is None else memory.transpose(np.argsort(self.memory_order).tolist())

    def bind(self, array: Any, slot: Any, buffer: Any, start: int) -> None:
        """Take another array (and memory for the gradient): the one place that replaces `.array`."""
        _set_array(self, array)
        leaf = self.node
        if leaf.grad is not None and slot is not None:
            slot[...] = leaf.grad
            leaf.grad = slot
        leaf.dtype, leaf.shape, leaf.slot = array.dtype, array.shape, slot
        self.buffer, self.start = buffer, start
        self.const.array = array

    def touch(self) -> None:
        """Note that the array has changed: a graph that read it before refuses to go back over it."""
        self.node.written = next_order()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        twin = Parameter(self.initializer, order=self.memory_order)
        twin.node.dtype, twin._update_enabled, twin.mover = self.node.dtype, self._update_enabled, self.mover
        memo[id(self)], twin.name = twin, self.name
        if self.array is not None:
            twin.settle(self.array)
        changed()  # an optimizer copied along finds its parameters again
        return twin


_set_array: Any = vars(Variable)["array"].__set__

# changes with every structure and layout: whoever keeps slices of buffers compares it, and derives them again
version = 0
_next_version = itertools.count(1).__next__  # += could give two threads' changes one number


def changed() -> None:
    global version
    version = _next_version()
