"""A run killed at any moment and resumed ends with the numbers of one that was never killed, clocks excepted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlcore.harness import newest_state
from rlcore.rng import generator
from rlcore.tree import Ring

STEPS, N = 3_000, 1_000  # of the run, and after which it may be killed
SETTINGS = ["--steps", str(STEPS), "--checkpoint-every", "500", "--eval-every", "700", "--eval-episodes", "3"]
SETTINGS += ["--learning-starts", "200", "--update-every", "8", "--gradient-steps", "2", "--hidden", "16"]
SETTINGS += ["--buffer-size", "1500", "--epsilon", "linear:1:0.1:1000"]  # the ring wraps
CLOCKS = ("elapsed", "since_flush", "files", "sizes")  # of the recorder; event files hold the time of each line


def start(folder: Path, *more: str) -> subprocess.Popen:
    code = "from rlcore.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "dqn", "--folder", str(folder), *SETTINGS, *more]
    root = Path(__file__).parents[1]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(root)}
    )


def finish(child: subprocess.Popen) -> str:
    out = child.communicate(timeout=120)[0].decode()
    assert child.returncode == 0, out
    return out


def kill_after(folder: Path, child: subprocess.Popen, steps: int, delay: float) -> bool:
    """SIGKILL the child some time after a checkpoint of at least so many steps; whether it was still running."""
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        names = [p.name for p in (folder / "checkpoints").glob("step-*")]
        if names and int(max(names)[5:]) >= steps:
            break
        time.sleep(0.002)
    time.sleep(delay)
    running = child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return running


def compare(path: str, one, two):
    """Equal trees, bit for bit."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one:
            if key not in CLOCKS:
                compare(f"{path}/{key}", one[key], two[key])
    elif isinstance(one, Ring):
        assert one.written == two.written, path
        compare(path, one.array, two.array)
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype, path
        assert one.tobytes() == two.tobytes(), path
    else:
        assert one == two, path


def scores(folder: Path) -> list[list[str]]:
    rows = [line.split("\t") for line in (folder / "scores.tsv").read_text().splitlines()]
    return [row[:2] + row[3:] for row in rows]  # without the column `elapsed`


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows, without clocks."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    clocks = ("time/fps", "time/time_elapsed", "time/memory_mb")
    tags = [tag for tag in events.Tags()["scalars"] if tag not in clocks]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def check_kills(tmp_path: Path, kills: int, n_envs: int, seed: int):
    rng = generator(seed)
    whole = tmp_path / "whole"
    finish(start(whole, "--n-envs", str(n_envs)))
    path, state = newest_state(whole / "checkpoints")
    assert path.name == f"step-{STEPS:012d}" or n_envs > 1
    killed = tmp_path / "killed"
    child, interrupted = start(killed, "--n-envs", str(n_envs)), 0
    for _ in range(kills):
        interrupted += kill_after(killed, child, N, float(rng.uniform(0, 0.3)))
        child = start(killed, "--n-envs", str(n_envs), "--resume")
    out = finish(child)
    assert interrupted, "the runs ended before they could be killed"
    assert "from step 0," not in out
    again, resumed = newest_state(killed / "checkpoints")
    assert again.name == path.name
    compare("", state, resumed)
    assert scores(whole) == scores(killed)
    assert scalars(whole) == scalars(killed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
@pytest.mark.parametrize("n_envs", [1, 3])
def test_killed_and_resumed(tmp_path, n_envs):
    check_kills(tmp_path, kills=2, n_envs=n_envs, seed=n_envs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
@pytest.mark.parametrize("seed", range(10))
def test_killed_and_resumed_many_times(tmp_path, seed):
    check_kills(tmp_path, kills=5, n_envs=1 + seed % 2 * 7, seed=seed)
