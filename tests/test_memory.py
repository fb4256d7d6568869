"""What memory is there, as the files of /proc and /sys say, and buffers that do not fit."""

import mmap
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from rlcore import memory
from rlcore.buffers import Replay, Rollout
from rlcore.buffers.columns import row_bytes
from rlcore.rng import generator
from rlcore.stream import Step

GiB = 2**30
COLUMNS = {"obs": ((4, 84, 84), np.uint8), "action": ((), np.int64)}
MEMINFO = "MemTotal: 99 kB\nMemAvailable: {} kB\n"


def files(tmp_path, monkeypatch, **texts):
    for name, text in texts.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    monkeypatch.setattr(memory, "_limit", lambda: float("inf"))


@pytest.mark.fault(32)
def test_the_machine_says_what_is_available(tmp_path, monkeypatch):
    files(tmp_path, monkeypatch, proc__meminfo=MEMINFO.format(5 * 2**20))
    assert memory.available() == 5 * GiB


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    ("cgroup", "folder", "limit", "used"),
    [
        ("0::/a/b\n", "sys/fs/cgroup", "memory.max", "memory.current"),
        ("3:cpu:/x\n4:memory:/a/b\n0::/\n", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_a_control_group_may_leave_less(tmp_path, monkeypatch, cgroup, folder, limit, used):
    files(
        tmp_path, monkeypatch, proc__meminfo=MEMINFO.format(50 * 2**20), proc__self__cgroup=cgroup,
    )  # fmt: skip
    assert memory.available() == 50 * GiB  # nothing but the group's name
    for at, most, now, cached in (("a/b", "max", GiB, 0), ("a", 9 * GiB, 4 * GiB, GiB), ("", 8 * GiB, 0, 0)):
        (tmp_path / folder / at).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / at / limit).write_text(f"{most}\n")
        (tmp_path / folder / at / used).write_text(f"{now}\n")
        (tmp_path / folder / at / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")
    assert memory.available() == 6 * GiB


def test_the_real_figures_can_be_read():
    assert 2**20 < memory.available() <= 2**50


def test_a_row_has_so_many_bytes():
    assert row_bytes(COLUMNS) == 4 * 84 * 84 + 8
    assert row_bytes({"x": (((2,), np.float32), ((), bool))}) == 9


@pytest.mark.fault(32)
def test_a_replay_that_does_not_fit_is_refused_with_both_figures(monkeypatch):
    rows = 100_000
    needed = rows * (4 * 84 * 84 + 8 + 4 + 9)
    monkeypatch.setattr(memory, "available", lambda: needed / 0.8 - 1)
    with pytest.raises(ValueError, match=r"a replay of 100000 rows would take 2.63 GiB, more than 80% of the 3.29 GiB"):
        Replay(rows, COLUMNS, generator(0))
    monkeypatch.setattr(memory, "available", lambda: needed / 0.8)
    assert Replay(rows, COLUMNS, generator(0)).capacity == rows  # memory is touched when it is written, row by row


@pytest.mark.fault(32)
def test_a_rollout_that_does_not_fit_is_refused(monkeypatch):
    rollout = Rollout(1_000, {"obs": ((1_000,), np.float32)})
    monkeypatch.setattr(memory, "available", lambda: 1e6)
    flag, obs = np.zeros(8, bool), np.zeros((8, 1_000), np.float32)
    with pytest.raises(ValueError, match=r"rollout of 1000 steps of 8 streams .* lower n_steps or n_envs"):
        rollout.add(Step(obs, np.zeros(8, np.float32), flag, flag, obs, ~flag, {}), obs=obs)
    assert rollout.columns == {}


@pytest.mark.fault(32)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is Linux's")
def test_in_a_process_with_a_limit_the_refusal_comes_at_once():
    code = """
        import resource, time
        import rlcore
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        limit = size + 2**30
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        rlcore.DQN("CartPole-v1", buffer_size=1_000_000)
        start = time.perf_counter()
        try:
            rlcore.DQN("CartPole-v1", buffer_size=40_000_000)
        except ValueError as error:
            print(time.perf_counter() - start < 5, error)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("True a replay of 40000000 rows would take 1.38 GiB, more than 80% of the "), (
        out.stdout
    )
    assert "lower buffer_size" in out.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="known on Linux only")
def test_what_is_held_is_the_resident_memory():
    with open("/proc/self/status") as file:
        (kib,) = [int(line.split()[1]) for line in file if line.startswith("VmRSS")]
    before = memory.resident_bytes()
    assert abs(before - kib * 1024) < 20e6
    with mmap.mmap(-1, 50_000_000) as block:  # new pages, which no allocator has kept
        for _ in range(50):
            block.write(b"x" * 1_000_000)
        assert 40e6 < memory.resident_bytes() - before < 80e6


def test_what_is_held_is_unknown_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    assert memory.resident_bytes() is None
