"""Monitoring that fails, listens to nobody, keeps time, and leaks nothing."""

from __future__ import annotations

import gc
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import pytest

import rlcore
from rlcore.agents import DQN, DQNConfig
from rlcore.envs import SerialEnv
from rlcore.harness import Evaluation, Progress, Recorder, train
from rlcore.memory import resident_bytes
from rlcore.rng import generator
from tests.harness.fakes import lines, scalars, scores
from tests.test_house import modules

CONFIG = DQNConfig(learning_starts=20, update_every=1, gradient_steps=1, batch_size=8, hidden=(8,), buffer_size=200)
ROOT = Path(__file__).parents[2]


class Session:
    """A small DQN run with all that monitors it."""

    def __init__(self, folder: Path, every: int = 20):
        self.env = SerialEnv("CartPole-v1")
        self.agent = DQN.from_spaces(self.env.observation_space, self.env.action_space, CONFIG, generator(0))
        self.recorder = Recorder(folder, 1, every)
        watch = Evaluation(self.agent, SerialEnv("CartPole-v1", 2, 5), 50, 2, self.recorder)
        self.hooks = [self.recorder, watch, Progress(self.recorder, 10**6)]
        self.t = 0

    def go_on(self, steps: int, *more) -> None:
        self.t = train(self.agent, self.env, self.t + steps, [*self.hooks, *more], self.t)


@contextmanager
def locked(folder: Path):
    """Nobody may write into the folder: modes stop root as little as they matter to it, so root is somebody else."""
    mode = folder.stat().st_mode
    folder.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(mode)


@pytest.mark.fault(11)
def test_a_folder_without_permission_is_written_to_later(tmp_path):
    session = Session(tmp_path)
    session.go_on(40)
    with locked(tmp_path):
        with pytest.warns(UserWarning, match="cannot be written: .*Permission denied") as caught:
            session.go_on(80)
        assert session.recorder.state()["files"] is None  # how long they are is not known: none is cut by it
    assert len(caught) == 1
    session.go_on(80)
    assert [t for t, _ in scalars(tmp_path)["time/episodes"]] == list(range(20, 201, 20))
    assert sorted({row["t"] for row in lines(tmp_path)}) == sorted({*range(20, 201, 20), 50, 150})
    assert [row["steps"] for row in scores(tmp_path)] == ["50", "100", "150", "200"]
    assert lines(tmp_path)[-1]["faults/recorder"] > 0


@pytest.mark.fault(11)
def test_where_checkpoints_cannot_be_written_nothing_starts(tmp_path):
    settings = dict(hidden=(8,), learning_starts=20, batch_size=8, buffer_size=200)
    run = rlcore.DQN("CartPole-v1", folder=tmp_path / "new", **settings)
    rlcore.DQN("CartPole-v1", folder=tmp_path / "old", **settings).learn(20)
    with locked(tmp_path), pytest.raises(PermissionError, match="new"):
        run.learn(20)
    with locked(tmp_path / "old"), pytest.raises(PermissionError, match="old"):
        rlcore.Run.resume(tmp_path / "old")
    assert run.t == 0
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert rlcore.Run.resume(tmp_path / "old").learn(20).t == run.learn(40).t == 40


@pytest.mark.fault(11)
def test_a_folder_that_is_deleted_while_it_trains(tmp_path):
    session = Session(tmp_path / "run")
    session.go_on(60)
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(UserWarning, match="cannot be written: .*No such file") as caught:
        session.go_on(140)
    assert len(caught) == 1
    assert [t for t, _ in scalars(tmp_path / "run")["time/episodes"]] == list(range(80, 201, 20))
    assert [row["steps"] for row in scores(tmp_path / "run")] == ["100", "150", "200"]


FULL = """
import resource, signal, sys, warnings
from pathlib import Path
from tests.faults.test_monitoring import Session
warnings.simplefilter("error")
session = Session(Path(sys.argv[1]), 5)
session.go_on(100)
whole = resource.getrlimit(resource.RLIMIT_FSIZE)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
room = max(path.stat().st_size for path in Path(sys.argv[1]).iterdir()) + 100  # of a line, a part can be written
resource.setrlimit(resource.RLIMIT_FSIZE, (room, whole[1]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    session.go_on(500)
print(len(caught), caught[0].message, session.recorder.faults > 10)
resource.setrlimit(resource.RLIMIT_FSIZE, whole)
session.go_on(100)
"""


@pytest.mark.fault(11)
def test_files_that_may_not_grow_are_written_later(tmp_path):
    """By the kernel's limit on their size, as of a full disk: the same error in the middle of a write."""
    done = python(FULL, str(tmp_path))
    assert re.fullmatch(r"1 the logs in .*: .*File too large; training goes on.* True\n", done.stdout)
    assert [t for t, _ in scalars(tmp_path)["time/episodes"]] == list(range(5, 701, 5))
    assert [row["steps"] for row in scores(tmp_path)] == [str(t) for t in range(50, 701, 50)]
    rows = [row["t"] for row in lines(tmp_path) if "time/fps" in row]
    assert rows == list(range(5, 701, 5))


LISTENS = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("socket.") else None)
from rlcore.cli import main
main()
print("sockets:", *sorted(set(seen)))
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.fault(19)
def test_training_opens_no_socket(tmp_path):
    """Nothing listens, so nobody can be let in: the host's name is asked for, to name a file."""
    options = ["--steps", "300", "--learning-starts", "50", "--log-every", "100", "--folder", str(tmp_path / "run")]
    done = python(LISTENS, "train", "dqn", *options)
    assert done.stdout.splitlines()[-1] == "sockets: socket.gethostname"


@pytest.mark.fault(46)
def test_a_clock_that_is_set_back_makes_no_negative_time(tmp_path, monkeypatch, capsys):
    session, offset, really = Session(tmp_path), [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: really() + offset[0])

    def set_back(t, step, stats):
        offset[0] = -3600.0 * (t >= 100)

    session.go_on(200, set_back)
    session.hooks[-1].close()
    found = scalars(tmp_path)
    assert all(1 < rate < 1e6 for _, rate in found["time/fps"])
    elapsed = [seconds for _, seconds in found["time/time_elapsed"]]
    assert elapsed == sorted(elapsed)
    assert 0 < elapsed[0] < elapsed[-1] < 600
    with (tmp_path / "scores.tsv").open() as file:
        clocks = [float(line.split("\t")[2]) for line in list(file)[1:]]
    assert clocks == sorted(clocks)
    assert 0 < clocks[0] < clocks[-1] < 600
    assert 1 < float(capsys.readouterr().out.split(" steps/s")[0].split()[-1].replace(",", "")) < 1e6
    session = Session(tmp_path)  # a process after the jump: its file is read after the first one
    session.recorder.scalar("x", 1.0, 200)
    session.recorder.flush_files()
    assert [t for t, _ in scalars(tmp_path)["time/total_timesteps"]] == list(range(20, 201, 20))
    assert len(list(tmp_path.glob("events.*"))) == 2


WALL = {
    "rlcore.harness.record": "labels of events",
    "rlcore.harness.events": "names of files, labels of events",
    "rlcore.harness.files": "the age of what killed writers left",
    "rlcore.parallel.processes": "the age of what killed launchers left",
}


@pytest.mark.fault(46)
def test_no_interval_is_taken_from_the_clock_on_the_wall():
    sources = {module.name: module.source for module in modules()}
    assert {name for name, source in sources.items() if "time.time" in source} == WALL.keys()
    lines = [line for source in sources.values() for line in re.findall(r"from time import (.*)", source)]
    known = {"monotonic", "monotonic_ns", "perf_counter", "sleep"}
    assert {name for line in lines for name in line.split(", ")} <= known


def growth(session: Session, warm: int, updates: int, *hooks) -> float:
    """Bytes that Python holds more, per update."""
    session.go_on(warm, *hooks)
    tracemalloc.start()
    try:
        session.go_on(200, *hooks)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        session.go_on(updates, *hooks)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / updates
    finally:
        tracemalloc.stop()


@pytest.mark.fault(33)
def test_training_leaks_nothing(tmp_path):
    assert growth(Session(tmp_path), 400, 1500) < 40
    rows = [row for row in lines(tmp_path) if "time/fps" in row]
    assert all("time/memory_mb" in row for row in rows) == bool(resident_bytes())  # by which other leaks show
    assert len(rows) > 100


def test_a_leak_is_found(tmp_path):
    kept = []
    assert growth(Session(tmp_path), 100, 300, lambda t, step, stats: kept.append(step.obs.copy())) > 40


@pytest.mark.slow
@pytest.mark.fault(33)
def test_training_leaks_nothing_in_twenty_thousand_updates(tmp_path):
    """By the memory of the process, which counts what is not Python's, too."""
    session = Session(tmp_path, 1000)
    session.go_on(5_000)
    before, peak = resident_bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    session.go_on(20_000)
    assert (resident_bytes() - before) / 20_000 < 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024 / 20_000 < 1024
    rows = [row["time/memory_mb"] for row in lines(tmp_path) if "time/memory_mb" in row]
    assert len(rows) == 25
    assert rows[-1] - rows[5] < 20
