"""Many seeds of one command: which, how, and what becomes of the ones that fail."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlcore.cli import main
from rlcore.commands.seeds import seeds_of, without

ROOT = Path(__file__).parents[2]
QUICK = ["--learning-starts", "50", "--update-every", "10", "--gradient-steps", "1", "--hidden", "8"]


@pytest.fixture(autouse=True)
def children_find_the_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def folders(root: Path) -> dict[int, Path]:
    return {int(path.name.rpartition("-s")[2]): path for path in (root / "CartPole-v1" / "dqn").iterdir()}


@pytest.mark.parametrize(
    ("text", "seeds"), [("0..3", [0, 1, 2, 3]), ("7", [7]), ("0,2..4, 9", [0, 2, 3, 4, 9]), ("5..5", [5])]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "4..1", "-1", "1..", "a", "0...3", "1 2"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ValueError, match=r"--seeds takes numbers and ranges as in 0\.\.9 or 0,2,5, got"):
        seeds_of(text)


def test_a_seed_twice_is_refused():
    with pytest.raises(ValueError, match=r"names a seed twice"):
        seeds_of("0..3,2")


def test_options_leave_with_their_values():
    words = ["train", "dqn", "--seeds", "0..1", "--gamma", ".9", "--jobs=2", "--seed", "3", "--seedling"]
    assert without(words, "--seeds", "--jobs", "--seed") == ["train", "dqn", "--gamma", ".9", "--seedling"]


def test_each_seed_is_the_run_it_would_be_alone(tmp_path, capfd):
    many, alone = tmp_path / "many", tmp_path / "alone"
    words = ["train", "dqn", "--steps", "300", "--eval-every", "100", "--eval-episodes", "2", *QUICK]
    main([*words, "--seeds", "0,2", "--jobs", "2", "--root", str(many)])
    out = capfd.readouterr().out
    main([*words, "--seed", "2", "--root", str(alone)])
    assert set(folders(many)) == {0, 2}
    assert "[seed 0] mean return" in out
    assert "[seed 2] mean return" in out
    rows = [(folders(root)[2] / "scores.tsv").read_text().splitlines() for root in (many, alone)]
    one, two = ([row.split("\t")[:2] + row.split("\t")[3:] for row in part] for part in rows)  # without `elapsed`
    assert one == two
    assert len(one) == 4
    configs = [json.loads((folders(root)[2] / "config.json").read_text()) for root in (many, alone)]
    assert configs[0] == configs[1]


def test_files_of_the_working_folder_are_not_taken_for_modules(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "copy.py").write_text("raise SystemExit('not the copy that was meant')")
    main(["train", "dqn", "--steps", "20", "--seeds", "0", *QUICK])
    assert "[seed 0] mean return" in capfd.readouterr().out


def test_a_run_that_fails_ends_no_other(tmp_path, capfd, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(  # found first: seed 1 is refused in its own process
        "import sys\nif '--seed' in sys.argv and sys.argv[-1] == '1':\n    sys.exit('no such luck')\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    with pytest.raises(SystemExit, match=r"rlcore: 1 of 3 runs failed: seeds 1"):
        main(
            [
                "train",
                "dqn",
                "--steps",
                "60",
                "--seeds",
                "0..2",
                "--jobs",
                "1",
                "--root",
                str(tmp_path / "runs"),
                *QUICK,
            ]
        )
    assert set(folders(tmp_path / "runs")) == {0, 2}


def test_what_is_wrong_is_said_once_before_any_run(tmp_path):
    with pytest.raises(SystemExit, match="gamma must be within"):
        main(["train", "dqn", "--seeds", "0..2", "--gamma", "2", "--root", str(tmp_path)])
    with pytest.raises(SystemExit, match="with --seeds give --root"):
        main(["train", "dqn", "--seeds", "0..2", "--folder", str(tmp_path / "one")])
    with pytest.raises(SystemExit, match="--jobs must not be negative, got -1"):
        main(["train", "dqn", "--seeds", "0..2", "--jobs", "-1"])
    assert list(tmp_path.iterdir()) == []


def test_seeds_are_not_of_ranks(tmp_path, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="start ranks once for each --seed instead"):
        main(["train", "dqn", "--seeds", "0..2", "--root", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(39)
def test_a_signal_reaches_the_runs_which_save(tmp_path):
    words = ["train", "dqn", "--steps", "10000000", "--seeds", "0..2", "--jobs", "2", "--root", str(tmp_path), *QUICK]
    parent = subprocess.Popen([sys.executable, "-m", "rlcore", *words], stdout=subprocess.PIPE, text=True)
    try:
        lines = [parent.stdout.readline() for _ in range(2)]
        time.sleep(0.5)
        parent.send_signal(signal.SIGTERM)
        out = parent.communicate(timeout=60)[0]
    finally:
        parent.kill()
    assert parent.returncode == 75, (lines, out)
    runs = folders(tmp_path)
    assert len(runs) == 2  # the third had not begun, and does not
    for folder in runs.values():
        assert list((folder / "checkpoints").glob("step-*"))
        assert not (folder / "finished").exists()
