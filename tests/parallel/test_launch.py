"""The launcher: how ranks are started, what their ends mean, and that the real mpiexec does so."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from rlcore.cli import main
from rlcore.commands.launch import plan
from rlcore.parallel import launch as launcher
from rlcore.parallel.faults import Tombstone
from rlcore.parallel.heartbeat import FAILED, LEFT, RUNS, Slot
from rlcore.parallel.mpiexec import MPI, MPICH, OPEN_MPI, candidates, find_mpi, vendor_of, version_of
from rlcore.parallel.supervise import Settings
from rlcore.parallel.verdict import KILLED, TIMEOUT, Ended, exit_code, meaning, verdict
from tests.parallel.jobs import STEPS
from tests.parallel.launching import launched, needs_mpi, script

OMPI5 = MPI(OPEN_MPI, (5, 0, 11), Path("mpiexec"))
VERSIONS = {  # what libraries and mpiexecs say of themselves
    "Open MPI v5.0.11, package: Open MPI user@localhost Distribution, ident: 5.0.11, repo rev: v5": (
        OPEN_MPI,
        (5, 0, 11),
    ),
    "mpiexec (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/": (OPEN_MPI, (5, 0, 11)),
    "mpirun (Open MPI) 4.1.6": (OPEN_MPI, (4, 1, 6)),
    "MPICH Version:      5.0.2\nMPICH Release date: Fri Sep 25": (MPICH, (5, 0, 2)),
    "HYDRA build details:\n    Version:          4.3.0": (MPICH, (4, 3, 0)),
    "Intel(R) MPI Library for Linux* OS, Version 2021.14 Build 2024": (MPICH, (2021, 14)),
    "mpiexec of my own 1.0": (None, (1, 0)),
    "": (None, ()),
}


@pytest.mark.parametrize("text", VERSIONS)
def test_vendor_and_version(text):
    assert (vendor_of(text), version_of(text)) == VERSIONS[text]


def test_flags_of_open_mpi(monkeypatch):
    plain = ["mpiexec", "-n", "4", "--oversubscribe", "--bind-to", "none", "--output", "rank"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert OMPI5.command(4) == plain
    assert OMPI5.command(4, elastic=True) == [*plain, "--with-ft", "ulfm"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert OMPI5.command(4) == [*plain, "--allow-run-as-root"]
    assert "--tag-output" in OMPI5._replace(version=(4, 1, 6)).command(4)


def test_flags_of_mpich():
    mpich = MPI(MPICH, (5, 0, 2), Path("mpiexec"))
    assert mpich.command(4) == ["mpiexec", "-n", "4", "-prepend-rank"]
    with pytest.raises(ValueError, match=r"--elastic needs Open MPI 5, and mpi4py uses MPICH 5\.0\.2"):
        mpich.command(4, elastic=True)
    with pytest.raises(ValueError, match=r"mpi4py uses Open MPI 4\.1\.6"):
        OMPI5._replace(version=(4, 1, 6)).command(4, elastic=True)


def fake(folder: Path, name: str, text: str) -> Path:
    """A program that does what a shell does with a text."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_mpiexec_of_the_same_mpi_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("RLCORE_MPIEXEC", raising=False)
    python = fake(tmp_path, "python", "echo Open MPI v5.0.11")
    (tmp_path / "other").mkdir()
    fake(tmp_path, "mpiexec", "echo HYDRA build details:")
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    with pytest.raises(ValueError, match=r"uses Open MPI, and no mpiexec of it was found \(.*mpiexec is of MPICH\)"):
        find_mpi(str(python))
    right = fake(tmp_path / "other", "mpiexec", "echo 'mpiexec (Open MPI) 5.0.11'")
    assert find_mpi(str(python)) == MPI(OPEN_MPI, (5, 0, 11), right)
    beside = fake(tmp_path, "mpirun", "echo 'mpirun (Open MPI) 5.0.11'")
    assert find_mpi(str(python)).mpiexec == beside
    monkeypatch.setenv("RLCORE_MPIEXEC", str(right))
    assert candidates(OPEN_MPI, str(python)) == [right]


@pytest.mark.fault(45)
@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("ModuleNotFoundError: No module named 'mpi4py'", r'pip install "rlcore\[mpi\]"$'),
        ("RuntimeError: cannot load MPI library", r'pip install "rlcore\[mpi\]" \(mpi4py: RuntimeError: cannot load'),
    ],
)
def test_without_mpi_it_says_what_to_install(tmp_path, monkeypatch, says, told):
    python = fake(tmp_path, "python", f'echo "{says}" >&2; exit 1')
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(launcher, "find_mpi", lambda: find_mpi(str(python)))
    with pytest.raises(SystemExit, match=told):
        main(["launch", "-n", "2", "--", "script.py"])


def test_an_unknown_mpi_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"mpi4py uses 'My MPI 1\.0'; start the script by the mpiexec of that MPI"):
        find_mpi(str(fake(tmp_path, "python", "echo My MPI 1.0")))


WRONG = {
    "ranks": (0, "-n must be at least 1, got 0"),
    "max_restarts": (-1, "--max-restarts must not be negative, got -1"),
    "heartbeat_s": (-1.0, "--heartbeat must be seconds, 0 or more, got -1.0"),
    "timeout_s": (float("nan"), "--timeout must be seconds, 0 or more, got nan"),
    "refill_s": (5.0, "--refill is of jobs that outlive their ranks: give --elastic, too"),
}


@pytest.mark.fault(47)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_refused(name):
    value, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        Settings(**{"ranks": 2, name: value})


def test_what_is_started():
    settings = Settings(4, elastic=True, max_restarts=1)
    assert plan(["job.py", "--my_option", "1"], settings) == (["job.py", "--my_option", "1"], settings)
    assert plan(["train", "dqn"], settings) == (["-m", "rlcore", "train", "dqn"], settings)
    with pytest.raises(ValueError, match="--elastic is of ranks of MPI, and a3c learns in workers that share memory"):
        plan(["train", "a3c"], settings)
    settings = Settings(4, max_restarts=1)
    one = Settings(1, max_restarts=1)
    assert plan(["train", "a3c"], settings) == (["-m", "rlcore", "train", "a3c", "--workers", "4"], one)
    assert plan(["train", "a3c", "--workers=2"], settings)[0][-1] == "--workers=2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train", "Missing subcommand"),
        ("train nosuch", "Available subcommands: dqn"),
        ("train dqn --nosuch 1", "Unrecognized options: --nosuch"),
        ("train dqn --batch-size 0", "batch_size must be at least 1, got 0"),
        ("train dqn --seeds 0..2", "start ranks once for each --seed"),
        ("train ppo --config nosuch.json", "nosuch.json"),
    ],
)
def test_what_is_wrong_with_train_is_told_once_and_before_there_are_ranks(words, message, capfd, monkeypatch):
    monkeypatch.setattr("rlcore.commands.launch.launch", lambda *args: pytest.fail("ranks were started"))
    with pytest.raises(SystemExit) as end:
        main(["launch", "-n", "3", "--", *words.split()])
    told = "".join(capfd.readouterr()) + str(end.value)
    assert told.count(message) == 1


def test_the_words_of_a_script_are_left_as_they_are(monkeypatch):
    seen = []
    monkeypatch.setattr("rlcore.commands.launch.launch", lambda *args: seen.append(args) or Ended(0, ""))
    main(["launch", "-n", "3", "--max_restarts", "2", "--", "job.py", "--my_option", "-n", "7", "--help"])
    assert seen == [(["job.py", "--my_option", "-n", "7", "--help"], Settings(3, max_restarts=2))]
    with pytest.raises(SystemExit, match="what is to be started"):
        main(["launch", "-n", "3"])


def test_a_restart_of_train_resumes():
    words = ["-m", "rlcore", "train", "dqn"]
    assert launcher._resumed(words, 0) == []
    assert launcher._resumed(words, 1) == ["--resume"]
    assert launcher._resumed([*words, "--resume"], 1) == []
    assert launcher._resumed(["job.py", "train"], 1) == []


@pytest.mark.fault(39)
def test_signals_of_one_second_are_one(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(launcher, "monotonic", lambda: clock[0])
    with launcher._noting() as names:
        for seconds in (0.0, 0.9, 0.2):
            clock[0] += seconds
            signal.raise_signal(signal.SIGUSR1)
    assert names == ["SIGUSR1", "SIGUSR1"]


@pytest.mark.parametrize(
    ("returned", "vendor", "code"),
    [(0, None, 0), (-9, None, 137), (137, OPEN_MPI, 137), (9, MPICH, 137), (9, OPEN_MPI, 9), (1, MPICH, 1)],
)
def test_exit_codes_are_those_of_shells(returned, vendor, code):
    assert exit_code(returned, vendor) == code


def test_exit_codes_in_words():
    assert meaning(75) == "saved, and to be started again"
    assert "SIGKILL" in meaning(137)
    assert "SIGSEGV" in meaning(139)
    assert meaning(134) == "killed by SIGABRT"
    assert meaning(3) == "exit code 3"
    assert meaning(128 + 33) == "killed by signal 33"


def slots(*states: tuple[int, int], essential: int | None = None, joined: bool = True) -> list[Slot]:
    """Slots of ranks in these states, with these codes."""
    made = [Slot(np.zeros(Slot.WIDTH, np.int64)) for _ in states]
    for rank, (slot, (state, code)) in enumerate(zip(made, states)):
        slot.numbers[Slot.JOINED] = joined
        slot.numbers[Slot.ESSENTIAL] = rank == essential
        slot.go(state, code)
    return made


def stone(rank: int, kind: str = "KeyError", code: int = 1) -> Tombstone:
    return Tombstone(rank, 7, "here", "2026-01-01T00:00:00", code, kind, "'cat'\nmore", "Traceback")


DONE, DEAD, SAVED, RAISED = (LEFT, 0), (RUNS, 0), (LEFT, 75), (FAILED, 1)
ENDS = [  # returned by mpiexec, states, tombstones, elastic: the code, whether to start again, what is said
    (0, slots(DONE, DONE), [], False, 0, False, "done"),
    (0, slots(SAVED, SAVED), [], False, 75, False, "saved"),
    (0, slots(DONE, SAVED), [], False, 75, False, "saved"),
    (0, slots((LEFT, 130), DONE), [], False, 130, False, "interrupted"),
    (139, slots(DONE, DONE), [], False, 139, False, "after all ranks had left: killed by SIGSEGV"),
    (1, slots(DEAD, RAISED), [stone(1)], False, 1, False, "rank 1 has failed: KeyError: 'cat'$"),
    (3, slots(DEAD, (FAILED, 3)), [stone(1, "SystemExit", 3)], False, 3, False, "rank 1 has failed"),
    (137, slots(DEAD, DONE), [], False, 137, True, "killed by SIGKILL"),
    (-9, slots(DEAD, RAISED), [stone(1, "OSError")], False, 137, True, "mpiexec was killed by SIGKILL"),
    (3, slots(DEAD, DEAD), [], False, 3, False, "exit code 3"),
    (1, slots((0, 0), (0, 0)), [], False, 1, False, "no rank was started"),
    (0, slots(DONE, DEAD), [], True, 0, False, "done"),
    (0, slots(DONE, RAISED), [stone(1)], True, 0, False, "done"),
    (0, slots(DEAD, DONE, essential=0), [], True, 1, True, "a rank has died"),
    (0, slots(RAISED, DONE, essential=0), [stone(0)], True, 1, False, "rank 0 has failed"),
    (1, slots(DONE, RAISED, joined=False), [stone(1)], True, 1, False, "rank 1 has failed"),
    (1, slots(DEAD, RAISED), [stone(1, "RankLost")], True, 1, True, "rank 1: 'cat'$"),
]


@pytest.mark.parametrize(("returned", "states", "stones", "elastic", "code", "again", "words"), ENDS)
def test_how_a_job_has_ended(returned, states, stones, elastic, code, again, words):
    found = verdict(returned, OPEN_MPI, states, stones, elastic)
    assert (found.code, found.again) == (code, again)
    assert re.search(words, found.words)


def test_why_a_job_was_killed_comes_after_what_its_ranks_say():
    hung = Ended(KILLED, "rank 1 has not beaten", True)
    assert verdict(1, OPEN_MPI, slots(DEAD, DEAD), [], False, hung) == hung
    assert verdict(1, OPEN_MPI, slots(DEAD, RAISED), [stone(1)], False, hung).code == 1
    assert verdict(143, OPEN_MPI, slots(DONE, DONE), [], False, hung).code == 0  # MPI has not ended with its ranks
    late = Ended(TIMEOUT, "--timeout is over")
    assert verdict(1, OPEN_MPI, slots(DEAD, RAISED), [stone(1)], False, late) == late


# one rank, which needs no MPI
ALONE = """
    import os, sys
    from rlcore.parallel.comm import world

    print(world().size, sys.argv[1:], os.environ["OPENBLAS_NUM_THREADS"], os.environ["RLCORE_RESTART"], sys.path[0])
    if os.environ["RLCORE_RESTART"] < sys.argv[1]:
        os.kill(os.getpid(), 9)
    if sys.argv[2] != "0":
        raise SystemExit(int(sys.argv[2]))
"""


def test_one_rank_is_started_again_as_often_as_it_may_be(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    path = script(tmp_path, ALONE)
    done = launched("-n", 1, "--max-restarts", 2, "--", path, 2, 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"1 ['2', '0'] 1 2 {tmp_path}"
    assert done.stderr.count("killed by SIGKILL") == 2
    done = launched("-n", 1, "--max-restarts", 0, "--", path, 1, 0)
    assert done.returncode == 137
    assert "--max-restarts 0 are used up" in done.stderr


@pytest.mark.parametrize(("ranks", "term"), [(1, "xterm"), (2, "dumb")])
def test_ranks_whose_lines_are_passed_on_do_not_draw(monkeypatch, ranks, term):
    def job(command, env, *settings):
        raise InterruptedError(env["TERM"])

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(launcher, "find_mpi", lambda: OMPI5)
    monkeypatch.setattr(launcher, "Job", job)
    with pytest.raises(InterruptedError, match=term):
        launcher.launch(["script.py"], Settings(ranks))


HANGS = """
    import time
    from rlcore.parallel.heartbeat import beat

    beat()
    time.sleep(1_000)
"""


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    ("option", "code", "said"),
    [("--heartbeat", 137, "has not beaten for 1 s"), ("--timeout", 124, "--timeout is over")],
)
def test_what_hangs_is_ended(tmp_path, option, code, said):
    done = launched("-n", 1, option, 1 if code == 137 else 4, "--max-restarts", 0, "--", script(tmp_path, HANGS))
    assert done.returncode == code
    assert said in done.stderr
    assert ('job.py", line 6 in <module>' in done.stderr) == (code == 137)  # where it hangs


@pytest.mark.mpi
def test_ranks_are_as_many_as_asked_for(tmp_path):
    needs_mpi()
    place = tmp_path / "place"
    place.mkdir()
    done = launched("-n", 3, "--", script(tmp_path, STEPS), "end", 0, TMPDIR=str(place))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sorted(line for line in lines if "done" in line) == [f"[rank {r}] done {r} 3" for r in range(3)]
    assert not list(place.iterdir())


@pytest.mark.mpi
@pytest.mark.fault(38)
def test_a_wrong_mpiexec_is_refused(tmp_path):
    """By its version, or, if it lies, by ranks that find themselves alone."""
    needs_mpi()
    path = script(tmp_path, STEPS)
    other = {OPEN_MPI: "HYDRA build details:", MPICH: "mpiexec (Open MPI) 5.0.11"}[find_mpi().vendor]
    done = launched("-n", 3, "--", path, "end", 0, RLCORE_MPIEXEC=str(fake(tmp_path, "other", f"echo '{other}'")))
    assert done.returncode == 1
    assert "no mpiexec of it was found" in done.stderr
    same = {OPEN_MPI: "mpiexec (Open MPI) 5.0.11", MPICH: "HYDRA build details:"}[find_mpi().vendor]
    lonely = f"""
        [ "$1" = --version ] && echo '{same}' && exit
        while [ "$1" != {sys.executable} ]; do shift; done
        "$@" & "$@" & "$@"
        wait
    """
    done = launched("-n", 3, "--", path, "end", 0, RLCORE_MPIEXEC=str(fake(tmp_path, "lonely", lonely)))
    assert done.returncode == 1
    assert "3 ranks were asked for" in done.stderr
    assert "done" not in done.stdout
