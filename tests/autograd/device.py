"""A stand-in for CuPy: arrays that live "elsewhere" and refuse whatever CuPy refuses.

No conversion to NumPy behind one's back, no NumPy array, not even 0-d, in an operation or an index, no scalar results.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


def inside(value: Any) -> Any:
    """What NumPy computes with; TypeError for an array that is not on the device."""
    if isinstance(value, Array):
        return value.hidden
    if isinstance(value, np.ndarray):
        raise TypeError(f"unsupported type {type(value)}: a NumPy array of shape {value.shape} met a device array")
    if isinstance(value, (list, tuple)):
        return type(value)(map(inside, value))
    return value


def outside(result: Any) -> Any:
    if isinstance(result, (list, tuple)):
        return type(result)(map(outside, result))
    return Array(result) if isinstance(result, (np.ndarray, np.generic)) else result


class Array(NDArrayOperatorsMixin):
    __hash__ = None

    def __init__(self, hidden: Any):
        self.hidden = np.asarray(hidden)

    def __array__(self, *args: Any, **named: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        if any(hasattr(x, "node") for x in inputs):
            return NotImplemented
        named = {k: inside(v) for k, v in named.items()}
        result = getattr(ufunc, method)(*map(inside, inputs), **named)
        return None if method == "at" else outside(result)

    def __array_function__(self, func: Any, types: Any, args: Any, named: Any) -> Any:
        raise TypeError(f"numpy.{func.__name__} does not take device arrays; use the array's own module")

    shape, ndim, size, dtype, flags, nbytes, strides = (
        property(lambda self, name=name: getattr(self.hidden, name))
        for name in ("shape", "ndim", "size", "dtype", "flags", "nbytes", "strides")
    )
    T = property(lambda self: Array(self.hidden.T))

    def __len__(self) -> int:
        return len(self.hidden)

    def __getitem__(self, index: Any) -> Array:
        return Array(self.hidden[inside(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.hidden[inside(index)] = inside(value)

    def item(self) -> Any:
        return self.hidden.item()

    def __bool__(self) -> bool:
        return bool(self.hidden)

    def __float__(self) -> float:
        return float(self.hidden)

    def __int__(self) -> int:
        return int(self.hidden)

    def get(self, out: Any = None) -> np.ndarray:
        if out is not None:
            out[...] = self.hidden
        return self.hidden if out is None else out


def _method(name: str) -> Any:
    def method(self: Array, *args: Any, **named: Any) -> Any:
        return outside(getattr(self.hidden, name)(*inside(args), **{k: inside(v) for k, v in named.items()}))

    return method


for _name in ("sum", "mean", "max", "min", "reshape", "transpose", "ravel", "dot", "astype", "clip", "copy", "argmax"):
    setattr(Array, _name, _method(_name))
for _name in ("argmin", "cumsum", "cumprod", "prod", "any", "all", "repeat", "argsort", "take"):
    setattr(Array, _name, _method(_name))


def _function(name: str, module: Any = np) -> Any:
    def function(*args: Any, **named: Any) -> Any:
        return outside(getattr(module, name)(*inside(args), **{k: inside(v) for k, v in named.items()}))

    return function


def module() -> ModuleType:
    """What `import cupy` gives."""
    cupy = ModuleType("cupy")
    cupy.ndarray = Array
    for name in (
        "zeros",
        "zeros_like",
        "empty",
        "ones",
        "ones_like",
        "arange",
        "shares_memory",
        "ascontiguousarray",
        "concatenate",
        "where",
        "split",
        "broadcast_to",
        "dot",
        "matmul",
        "repeat",
        "full",
        "pad",
        "tile",
        "eye",
        "tril",
        "take_along_axis",
    ):
        setattr(cupy, name, _function(name))
    cupy.linalg = SimpleNamespace(**{name: _function(name, np.linalg) for name in ("inv", "det", "cholesky")})
    tricks = SimpleNamespace(as_strided=_function("as_strided", np.lib.stride_tricks))
    cupy.lib = SimpleNamespace(stride_tricks=tricks)
    cupy.asarray = cupy.array = lambda a, dtype=None: Array(np.array(getattr(a, "hidden", a), dtype))
    cupy.asnumpy = Array.get
    cupy.count_nonzero = lambda a: Array(np.count_nonzero(inside(a)))
    cupy.add = np.add
    return cupy


def scipy_module() -> ModuleType:
    """What `import cupyx.scipy` gives: SciPy's special functions on device arrays."""
    from scipy import special

    cupyx = ModuleType("cupyx.scipy")
    names = [name for name in dir(special) if not name.startswith("_")]
    cupyx.special = SimpleNamespace(**{name: _function(name, special) for name in names})
    return cupyx


def install(monkeypatch: Any) -> None:
    """Let `cupy` and `cupyx` be this stand-in for the length of a test."""
    monkeypatch.setitem(sys.modules, "cupy", module())
    monkeypatch.setitem(sys.modules, "cupyx", ModuleType("cupyx"))
    monkeypatch.setitem(sys.modules, "cupyx.scipy", scipy_module())
