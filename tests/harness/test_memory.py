"""Memory of the process, against what the kernel says elsewhere."""

import sys

import numpy as np
import pytest

from rlcore.harness.memory import resident_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="known on Linux only")
def test_it_is_the_resident_memory():
    with open("/proc/self/status") as file:
        (kib,) = [int(line.split()[1]) for line in file if line.startswith("VmRSS")]
    before = resident_bytes()
    assert abs(before - kib * 1024) < 20e6
    block = np.ones(50_000_000, np.uint8)
    assert 40e6 < resident_bytes() - before < 80e6
    assert block[-1] == 1


def test_it_is_unknown_elsewhere(monkeypatch):
    def missing(*args):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert resident_bytes() is None
