"""Memory of the process, against what the kernel says elsewhere."""

import mmap
import sys

import pytest

from rlcore.harness.memory import resident_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="known on Linux only")
def test_it_is_the_resident_memory():
    with open("/proc/self/status") as file:
        (kib,) = [int(line.split()[1]) for line in file if line.startswith("VmRSS")]
    before = resident_bytes()
    assert abs(before - kib * 1024) < 20e6
    with mmap.mmap(-1, 50_000_000) as block:  # new pages, which no allocator has kept
        block.write(b"x" * 50_000_000)
        assert 40e6 < resident_bytes() - before < 80e6


def test_it_is_unknown_elsewhere(monkeypatch):
    def missing(*args):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert resident_bytes() is None
