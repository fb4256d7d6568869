"""The model of scaling by hand-computed times, and benchmarks of ranks and of a GPU at a small size."""

import math
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "experiments" / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from alpha_beta import Link, Machine, doubling, efficiency, fastest, link_of, ring, tree, two_level  # noqa: E402

sys.path.remove(str(BENCHMARKS))

NODES = Machine("two a node", Link(1.0, 10.0), Link(3.0, 4.0), adding=20.0, per_node=2)
NO_MPI = find_spec("mpi4py") is None or not (
    shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
)


@pytest.mark.parametrize(
    ("exchange", "p", "seconds"),
    [
        (ring, 2, 2 * 1 + 20 * 2 / 10 + 20 / 20),  # half the bytes there, half back
        (ring, 4, 4 * 1 + 2 * 3 + 30 * 2 / 4 + 30 / 20),  # each way two hops inside and one between, as slow as that
        (tree, 2, 2 * (1 + 40 / 10) + 40 / 20),
        (tree, 4, 2 * (1 + 40 / 10) + 2 * (3 + 40 / 4) + 2 * 40 / 20),
        (doubling, 4, (1 + 40 / 10) + (3 + 80 / 4) + 2 * 40 / 20),  # two ranks' bytes leave a node
        (two_level, 4, (2 * 1 + 20 * 2 / 10 + 20 / 20) + (3 + 40 / 4 + 20 / 20)),  # doubling between, a half a rank
    ],
)
def test_times_of_an_allreduce_by_hand(exchange, p, seconds):
    assert exchange(40, p, NODES) == pytest.approx(seconds)


@pytest.mark.parametrize("exchange", [ring, tree, doubling, two_level])
def test_one_rank_exchanges_nothing(exchange):
    assert exchange(40, 1, NODES) == 0


def test_a_ring_of_equal_hops_is_the_sum_of_its_steps():
    link, p, n = Link(2.0, 8.0), 24, 96.0
    steps = [link.latency + n / p / link.bandwidth] * (2 * (p - 1)) + [n / p / 5] * (p - 1)
    assert ring(n, p, Machine("", link, link, adding=5.0)) == pytest.approx(sum(steps))


def test_trees_are_for_short_messages_and_rings_for_long_ones():
    flat = Machine("", Link(1e-6, 1e9), Link(1e-6, 1e9), math.inf, per_node=1)
    assert fastest(8, 64, flat) == ("doubling", pytest.approx(6 * (1e-6 + 8e-9)))
    assert fastest(1e9, 64, flat) == ("ring", pytest.approx(2 * 63 * 1e-6 + 2 * 63 / 64))


def test_efficiency_is_the_share_of_computing_or_with_overlap_of_the_longer_one():
    assert efficiency(3, 1) == 0.75
    assert efficiency(3, 1, overlapped=True) == 1
    assert efficiency(3, 4, overlapped=True) == 0.75


def test_a_link_is_fitted_to_the_smallest_message_and_to_long_ones():
    long = [(100_008, 6.0, 0.0), (200_008, 2.0, 0.0), (300_008, 4.0, 0.0)]  # 20, 200 and 100 thousand bytes a second
    assert link_of([*long, (8, 1.0, 0.0), (1_000, 9.0, 0.0)]) == Link(1.0, 100_000.0)


def run(*args):
    env = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parents[1])}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=300, env=env, check=False)


@pytest.mark.mpi
@pytest.mark.skipif(NO_MPI, reason="needs mpi4py and mpiexec")
def test_scaling_measures_messages_and_prints_the_model_beside_what_was_published():
    done = run(str(BENCHMARKS / "scaling.py"), "--blocks", "1")
    assert done.returncode == 0, done.stderr
    assert "| 8,388,608 | " in done.stdout
    assert "| 128 | 90 % (18.4 ms) | 94 % (10.1 ms) | 90 % |" in done.stdout  # 1.87 ms of hops, 16.5 of bytes
    assert "| Nature CNN | 25 GbE, TCP |" in done.stdout


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.skipif(NO_MPI, reason="needs mpi4py and mpiexec")
def test_parallel_measures_all_its_rows():
    done = run(str(BENCHMARKS / "parallel.py"), "--blocks", "1")
    assert done.returncode == 0, done.stderr
    kinds = ["mean over 2 ranks", "chunks of 28,096 bytes", "a rank that waits", "PPO training", "IMPALA acting"]
    assert all(re.search(rf"^\| {kind}.*(met|MISSED) *\| *$", done.stdout, re.M) for kind in kinds), done.stdout


def test_updates_on_a_device_are_timed_against_their_graph():
    code = f"""import sys
sys.path[:0] = [{str(BENCHMARKS)!r}, {str(BENCHMARKS.parents[1])!r}]
import timing, gpu
from contextlib import nullcontext
from types import SimpleNamespace as Named
from tests.autograd import device  # which stands in for CuPy; its graph of an update is the update
sys.modules["cupy"] = cupy = device.module()
stream = nullcontext(Named(synchronize=lambda: None))
cupy.cuda = Named(Stream=lambda non_blocking: stream)
gpu.CALLS, gpu.PAIRS = 1, 3
gpu.captured = lambda update, stream: Named(launch=lambda stream: update())
print(timing.table([gpu.row("17-256-256-6, batch 256")]))"""
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert re.search(r"17-256-256-6.*eager.*(met|MISSED) *\| *$", done.stdout), done.stdout


@pytest.mark.skipif(find_spec("cupy") is not None, reason="there is a CuPy")
def test_updates_on_a_gpu_are_left_out_where_there_is_none():
    done = run(str(BENCHMARKS / "gpu.py"))
    assert done.returncode == 0, done.stderr
    assert "skipped: it needs CuPy" in done.stdout


@pytest.mark.parametrize("name", ["scaling.py", "parallel.py"])
def test_a_benchmark_says_what_it_needs_where_there_is_no_mpi(name, monkeypatch):
    monkeypatch.setenv("RLCORE_MPIEXEC", "no-such-program")
    done = run(str(BENCHMARKS / name))
    assert done.returncode == 0, done.stderr
    assert re.search("skipped: .*pip install", done.stdout), done.stdout
