"""Runs whose agent learns in several processes: folders, going on, signals, and what the command line says."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlcore.agents import A3C
from rlcore.api import Run
from rlcore.cli import main
from rlcore.harness import load_state, newest_state

QUICK = {"hidden": (8,), "eval_every": 200, "eval_episodes": 2, "checkpoint_every": 200, "log_every": 70}
WORDS = ["--env", "CartPole-v1", "--hidden", "8", "--eval-every", "400", "--eval-episodes", "2", "--no-tuned"]
WORDS += ["--checkpoint-every", "400"]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert multiprocessing.active_children() == []


def test_a_run_of_two_workers_is_kept_and_goes_on_in_one_process(tmp_path):
    run = Run(A3C, env="CartPole-v1", seed=4, workers=2, folder=tmp_path / "run", **QUICK)
    run.learn(600)
    assert run.t == run.agent.t == 600
    run.close()
    header = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (header["algorithm"], header["envs"]["workers"], header["n_envs"]) == ("a3c", 2, 1)
    rows = [line.split("\t") for line in (tmp_path / "run" / "scores.tsv").read_text().splitlines()]
    assert rows[-1][0] == "600"
    scalars = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    assert {"train/loss", "train/learning_rate", "time/fps", "eval/mean_reward"} <= {tag for s in scalars for tag in s}
    path, state = newest_state(tmp_path / "run" / "checkpoints")
    assert path.name == "step-000000000600"
    agent = state["parts"]["agent"]
    assert agent["t"] == 600
    assert agent["n_updates"] in (118, 119, 120)
    assert agent["optimizer"]["ms"].any()
    assert load_state(tmp_path / "run" / "best")["actor"].keys() == agent["model"].keys()

    config = tmp_path / "run" / "config.json"
    config.write_text(json.dumps(header | {"envs": {**header["envs"], "workers": 1}}))
    one = Run.resume(tmp_path / "run", steps=700)
    assert (one.t, one.agent.n_updates) == (600, agent["n_updates"])
    assert one.agent.model.state()["policy"].keys() == agent["model"]["policy"].keys()
    one.learn(100)
    assert one.t == one.agent.t == 700
    one.close()


def test_one_process_is_the_ordinary_run():
    def parameters(**settings):
        run = Run(A3C, env="CartPole-v1", seed=1, hidden=(8,), **settings).learn(100)
        return run.agent.model.flat.tobytes()

    assert parameters() == parameters(workers=1) == parameters(workers=0)


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_with_two(tmp_path):
    Run(A3C, env="CartPole-v1", folder=tmp_path / "run", **QUICK).learn(300)
    config = tmp_path / "run" / "config.json"
    header = json.loads(config.read_text())
    config.write_text(json.dumps(header | {"envs": {**header["envs"], "workers": 2}}))
    run = Run.resume(tmp_path / "run", steps=600)
    start = run.agent.model.flat.copy()
    run.learn(300)
    assert (run.t, run.agent.t) == (600, 600)
    assert run.agent.n_updates > 110
    assert (run.agent.model.flat != start).any()
    assert run.evaluate(2).shape == (2,)
    run.learn(100)  # and once more
    assert run.t == 700
    run.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["dqn", "--workers", "2"],
            "workers 2: only vector 'process' has some, it is 'auto', or an asynchronous algorithm",
        ),
        (
            ["a3c", "--workers", "2", "--normalize-obs"],
            "workers 2: normalize_obs and normalize_reward learn from what one",
        ),
        (
            ["a3c", "--workers", "2", "--no-use-rms-prop"],
            "Adam counts its steps, which processes cannot",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, words, message):
    with pytest.raises(SystemExit, match=f"^rlcore: .*{message}"):
        main(["train", *words, "--root", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_workers_step_environments_where_asked():
    run = Run(A3C, env="CartPole-v1", n_envs=2, vector="process", workers=2, hidden=(8,)).learn(20)
    assert (run.env.workers, run.t) == (2, 20)
    run.close()


# the command
def command(folder: Path, *words: str) -> subprocess.Popen:
    code = "from rlcore.cli import main; main()"
    line = [sys.executable, "-c", code, "train", "a3c", "--workers", "2", "--folder", str(folder), *WORDS, *words]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(what, seconds: float = 120):
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    assert what()


def gone(pids: list[int]) -> bool:
    return not any(
        Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() for pid in pids
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_run_which_goes_on(tmp_path, number):
    run = command(tmp_path / "run", "--steps", "1000000")
    wait_for(
        lambda: (tmp_path / "run" / "checkpoints").is_dir() and list((tmp_path / "run" / "checkpoints").glob("step-*"))
    )
    workers = children(run.pid)
    assert len(workers) >= 2
    run.send_signal(number)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == (75 if number == signal.SIGTERM else 130), out
    wait_for(lambda: gone(workers), 10)
    again = Run.resume(tmp_path / "run", steps=1_000_000)
    t = again.t
    assert f"at step {t:,} and saved" in out or number == signal.SIGINT
    assert again.learn(500).t == t + 500 == again.agent.t
    again.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_run_that_is_killed(tmp_path):
    run = command(tmp_path / "run", "--steps", "1000000")
    wait_for(lambda: (tmp_path / "run" / "scalars.jsonl").exists() or run.poll() is not None)
    workers = children(run.pid)
    run.kill()
    run.communicate()
    assert len(workers) >= 2
    wait_for(lambda: gone(workers), 10)
