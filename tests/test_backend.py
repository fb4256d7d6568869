"""NumPy or CuPy, alignment, and a stand-in for CuPy where there is none."""

from __future__ import annotations

import os
import platform
import subprocess
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


FAULTS = """
import resource, sys
import numpy as np
import rlcore.backend

def work():
    arrays = [np.zeros(1 << 18, np.uint8) + 1 for _ in range(8)]

for _ in range(5):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_kept_unless_the_environment_settles_it():
    """20 times 8 arrays of 64 pages are 10,240 page faults where freed arrays go back to the system."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    for settings, kept in (({}, True), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False)):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS], env={**plain, **settings}, capture_output=True, text=True, check=True
        )
        assert (int(done.stdout) < 500) == kept
