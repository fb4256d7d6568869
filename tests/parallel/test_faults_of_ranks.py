"""Ranks that raise, die, hang and are told to leave, under the real mpiexec."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from time import monotonic, sleep

import pytest

from rlcore.harness import newest_state
from rlcore.parallel.mpiexec import find_mpi
from rlcore.parallel.processes import mapped
from tests.parallel.jobs import GUARDED, PAIR, STEPS
from tests.parallel.launching import (
    ROOT,
    alive,
    children,
    ended,
    gone,
    launched,
    line,
    needs_mpi,
    pids,
    running,
    script,
)

pytestmark = pytest.mark.mpi
END_S = 60  # what is measured in README.md takes a few seconds; a test machine may be busy


@pytest.mark.fault(36)
@pytest.mark.parametrize(
    ("what", "code", "told"),
    [("raise", 1, ["in <module>", 'raise KeyError("the cat is out")', "rank 1 has failed: KeyError"]), ("exit", 3, [])],
)
def test_a_rank_that_fails_ends_the_job(tmp_path, what, code, told):
    needs_mpi()
    graves = tmp_path / "graves"
    begun = monotonic()
    done = launched("-n", 3, "--", script(tmp_path, STEPS), what, 1, RLCORE_TOMBSTONES=str(graves))
    assert done.returncode == code
    assert monotonic() - begun < END_S
    assert all(text in done.stderr for text in told), done.stderr
    assert "start 2" not in done.stderr
    assert [path.name for path in graves.iterdir()] == ["rank-1.json"]


@pytest.mark.fault(36)
def test_a_guarded_rank_ends_the_job_without_the_launcher(tmp_path):
    needs_mpi()
    command = [*find_mpi().command(2), sys.executable, script(tmp_path, GUARDED)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "RLCORE_TOMBSTONES": str(tmp_path / "graves")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=END_S, check=False)
    assert done.returncode == 3
    assert "rank 1 has failed:" in done.stderr
    assert (tmp_path / "graves" / "rank-1.json").exists()


@pytest.mark.fault(37)
def test_a_rank_that_hangs_is_ended_and_all_are_started_again(tmp_path):
    needs_mpi()
    done = launched("-n", 2, "--heartbeat", 2, "--", script(tmp_path, STEPS), int(signal.SIGSTOP), 1)
    assert done.returncode == 0, done.stderr
    assert "has not beaten for 2 s (a signal or a debugger has stopped it); it is ended" in done.stderr
    assert "start 2, from the newest checkpoint" in done.stderr
    assert done.stdout.count("done") == 2


@pytest.mark.fault(37)
def test_a_rank_that_waits_for_one_that_works_is_left_alone(tmp_path):
    needs_mpi()
    done = launched("-n", 2, "--heartbeat", 1, "--max-restarts", 0, "--", script(tmp_path, STEPS), "slow", 1)
    assert done.returncode == 0, done.stderr
    assert "has not beaten" not in done.stderr


def rows(child, saved, at_least):
    """How many rows the learner has saved, once there are so many."""
    while child.poll() is None:
        if saved.exists() and (n := int(saved.read_text())) >= at_least:
            return n
        sleep(0.01)
    raise AssertionError(child.communicate())


def kill_actors(folder, goal, kills, rng):
    """An elastic job of four ranks of which so many actors are killed, each once the learner has had 20 rows more."""
    saved, row = folder / "rows", 0
    with running("-n", 4, "--elastic", "--max-restarts", 0, "--", script(folder, PAIR), goal, saved) as child:
        found = pids(child, 4)
        for rank in rng.sample([1, 2, 3], kills):
            rows(child, saved, row + 20)
            sleep(rng.uniform(0, 0.3))
            os.kill(found[rank], signal.SIGKILL)
            row = rows(child, saved, 0)
        return ended(child)


@pytest.mark.fault(34)
def test_actors_that_are_killed_do_not_stop_the_others(tmp_path):
    needs_mpi(elastic=True)
    done = kill_actors(tmp_path, 400, 2, random.Random(0))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("lost") == 2
    assert "learned" in done.stdout
    assert done.stderr.count("has died; the others go on") == 2


@pytest.mark.fault(34)
@pytest.mark.slow
def test_thirty_jobs_survive_the_death_of_an_actor(tmp_path):
    needs_mpi(elastic=True)
    rng = random.Random(1)
    codes = []
    for i in range(30):
        (tmp_path / str(i)).mkdir()
        codes.append(kill_actors(tmp_path / str(i), 300, 1, rng).returncode)
    assert codes == [0] * 30


def kill_and_resume(folder, whom, rng, elastic=False):
    """A job whose learner or mpiexec is killed: how many seconds after it the learner went on."""
    saved, words = folder / "rows", ["--elastic"] if elastic else []
    with running("-n", 3, *words, "--", script(folder, PAIR), 400, saved) as child:
        found = pids(child, 3)
        rows(child, saved, 50)
        sleep(rng.uniform(0, 0.3))
        os.kill(found[0] if whom == "learner" else children(child.pid)[0], signal.SIGKILL)
        killed, had = monotonic(), rows(child, saved, 0)
        start = int(line(child, "again")[0])
        took = monotonic() - killed
        done = ended(child)
    assert had - 10 <= start < 400  # what was learned since the checkpoint is lost, no more
    assert done.returncode == 0, done.stderr
    assert "learned" in done.stdout
    return took


@pytest.mark.fault(35, 41)
@pytest.mark.parametrize("whom", ["learner", "mpiexec"])
def test_a_job_goes_on_from_its_checkpoint(tmp_path, whom):
    needs_mpi(elastic=whom == "learner")
    assert kill_and_resume(tmp_path, whom, random.Random(0), elastic=whom == "learner") < END_S


@pytest.mark.fault(35, 41)
@pytest.mark.slow
def test_ten_jobs_go_on_within_ten_seconds(tmp_path):
    needs_mpi()
    rng = random.Random(2)
    times = []
    for i in range(10):
        (tmp_path / str(i)).mkdir()
        times.append(kill_and_resume(tmp_path / str(i), ("learner", "mpiexec")[i % 2], rng))
    print("seconds from the kill to the next start:", *(f"{seconds:.1f}" for seconds in sorted(times)))
    assert max(times) < 10


@pytest.mark.fault(34, 35)
@pytest.mark.slow
@pytest.mark.parametrize("whom", ["actor", "learner"])
def test_training_outlives_its_ranks(tmp_path, whom):
    needs_mpi(elastic=whom == "actor")
    folder, elastic = tmp_path / "run", ["--elastic"] * (whom == "actor")
    train = ["train", "dqn", "--parallel", "actors", "--steps", 20_000, "--folder", folder, "--checkpoint-every", 2_000]
    with running("-n", 3, *elastic, "--", *train) as child:
        while not newest_state(folder / "checkpoints"):
            assert child.poll() is None, child.communicate()
            sleep(0.2)
        ranks = children(children(child.pid)[0])  # in the order of their ranks
        os.kill(ranks[whom == "actor"], signal.SIGKILL)
        had = newest_state(folder / "checkpoints")[1]["t"]
        done = ended(child)
    assert done.returncode == 0, done.stderr
    assert newest_state(folder / "checkpoints")[1]["t"] == 20_000
    starts = [int(t.replace(",", "")) for t in re.findall(r"from step ([\d,]+), in", done.stdout)]
    assert len(starts) == 1 + (whom == "learner")
    assert starts[-1] >= had * (whom == "learner")


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGINT", 130)])
def test_ranks_are_told_to_save_and_leave(tmp_path, name, code):
    needs_mpi()
    with running("-n", 3, "--", script(tmp_path, STEPS), "on", 0) as child:
        found = pids(child, 3)
        sleep(0.5)
        child.send_signal(getattr(signal, name))
        done = ended(child)
    assert done.returncode == code, done.stderr
    assert done.stdout.count("done") == 3
    assert not any(map(alive, found.values()))


@pytest.mark.fault(41)
def test_nothing_outlives_a_launcher_that_is_killed(tmp_path):
    needs_mpi()
    place = tmp_path / "place"
    place.mkdir()
    with running("-n", 3, "--", script(tmp_path, STEPS), "on", 0, TMPDIR=str(place)) as child:
        found = pids(child, 3)
        sleep(1.5)  # the launcher looks for shared memory once a second
        noted = set().union(*map(mapped, found.values()))
    assert gone(list(found.values()), 3)
    assert noted
    assert list(place.iterdir())
    assert launched("-n", 1, "--", "-m", "this", TMPDIR=str(place)).returncode == 0  # which sweeps
    assert not list(place.iterdir())
    assert not any(map(os.path.exists, noted))


@pytest.mark.fault(34)
def test_actors_are_added_back(tmp_path):
    needs_mpi(elastic=True)
    words = ["-n", 3, "--elastic", "--refill", 0.3, "--", script(tmp_path, PAIR), 600, tmp_path / "rows"]
    with running(*words) as child:
        found = pids(child, 3)
        rows(child, tmp_path / "rows", 20)
        os.kill(found[2], signal.SIGKILL)
        again = pids(child, 3)
        done = ended(child)
    assert done.returncode == 0, done.stderr
    assert not set(again.values()) & set(found.values())
    assert "learned" in done.stdout
