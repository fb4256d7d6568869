"""NumPy or CuPy, alignment, and a stand-in for CuPy where there is none."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from rlcore.backend import aligned, is_array, to_cpu, xp_of


@pytest.fixture
def cupy(monkeypatch):
    """A module that looks like CuPy to the functions here."""
    module = ModuleType("cupy")

    class ndarray:
        dtype = np.dtype(np.float32)

    module.ndarray = ndarray
    module.asnumpy = lambda array: np.full(2, 7.0)
    module.empty = lambda size, dtype: ("empty", size, dtype)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_numpy():
    array = np.ones(2)
    assert xp_of(array) is np
    assert xp_of(1.0) is np
    assert to_cpu(array) is array
    assert [is_array(x) for x in (array, np.float64(1), [1], 1.0, None)] == [True, False, False, False, False]


def test_cupy(cupy):
    array = cupy.ndarray()
    assert xp_of(array) is cupy
    assert xp_of(np.ones(2)) is np
    assert is_array(array)
    assert is_array(np.ones(2))
    assert to_cpu(array).tolist() == [7, 7]
    assert aligned(3, array) == ("empty", 3, np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 7, 64, 1001])
def test_aligned(size, dtype):
    like = np.ones((2, 2), dtype)
    for _ in range(10):
        vector = aligned(size, like)
        assert (vector.shape, vector.dtype, vector.ctypes.data % 64) == ((size,), dtype, 0) or size == 0
        assert vector.flags.writeable
