"""Run folders: one writer each; the right one is found again; nothing private is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rlcore.harness import RunFolder, folder
from rlcore.harness.config import load_config
from rlcore.harness.folder import find_resumable, new_path, safe, same_run

CONFIG = {
    "algorithm": "dqn",
    "env": "CartPole-v1",
    "seed": 3,
    "steps": 100,
    "agent": {"gamma": 0.9, "hidden": [64, 64]},
}


def make(root, config=CONFIG, finished=False):
    """A run folder that nobody holds any more."""
    run = RunFolder.create(new_path(root, config["env"], config["algorithm"], config["seed"]), config)
    if finished:
        run.finish()
    run.close()
    return run.path


def found(root, config=CONFIG):
    """The path of the run that is to be resumed."""
    run = find_resumable(root, config["env"], config["algorithm"], config)
    if run is None:
        return None
    run.close()
    return run.path


@contextmanager
def held(path):
    """Another process holds the folder; gives its number."""
    code = f"""
        import time
        from rlcore.harness import RunFolder
        run = RunFolder.open({str(path)!r})
        print("held", flush=True)
        time.sleep(60)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "held\n"
        yield child.pid
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_new_folder(tmp_path):
    run = RunFolder.create(tmp_path / "runs" / "a", CONFIG)
    assert sorted(p.name for p in run.path.iterdir()) == ["commit.txt", "config.json", "lock"]
    assert load_config(run.path / "config.json") == CONFIG == run.config
    run.close()
    run.close()  # once more does no harm
    again = RunFolder.open(run.path)
    assert again.config == CONFIG
    again.close()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_exists_is_refused(tmp_path, kind):
    path = tmp_path / "a"
    path.mkdir() if kind == "folder" else path.write_text("mine")
    with pytest.raises(ValueError, match="a exists; choose another folder, or resume it with --resume"):
        RunFolder.create(path, CONFIG)
    assert list(tmp_path.rglob("*")) == [path]


@pytest.mark.parametrize("what", ["nothing", "empty", "file"])
def test_what_is_no_run_folder_is_refused(tmp_path, what):
    path = tmp_path / "a"
    if what == "empty":
        path.mkdir()
    if what == "file":
        path.write_text("")
    with pytest.raises(ValueError, match=r"a is no run folder: it has no config\.json"):
        RunFolder.open(path)
    assert not (path / "lock").exists()


def test_a_folder_that_another_process_holds_is_refused(tmp_path):
    path = make(tmp_path)
    with held(path) as pid:
        start = time.monotonic()
        with pytest.raises(BlockingIOError, match=f"{path.name} is being written to by process {pid} on .+ since 20"):
            RunFolder.open(path)
        assert time.monotonic() - start < 2
        assert found(tmp_path) is None
    RunFolder.open(path).close()  # its end sets the folder free, though it was killed


def test_two_writers_in_one_process_are_refused(tmp_path):
    run = RunFolder.create(tmp_path / "a", CONFIG)
    with pytest.raises(BlockingIOError, match=f"by process {os.getpid()} on"):
        RunFolder.open(tmp_path / "a")
    run.close()


def test_a_folder_is_locked_before_it_can_be_found(tmp_path, monkeypatch):
    seen, really = [], folder.save_config

    def save(path, config):
        really(path, config)
        seen.append(found(tmp_path))  # another process looks just now

    monkeypatch.setattr(folder, "save_config", save)
    make(tmp_path)
    assert seen == [None]
    assert found(tmp_path) is not None


def test_links_are_not_followed(tmp_path):
    path, mine = make(tmp_path), tmp_path / "mine"
    mine.write_text("precious")
    (path / "lock").unlink()
    (path / "lock").symlink_to(mine)
    with pytest.raises(OSError, match="no regular file"):
        RunFolder.open(path)
    assert found(tmp_path) is None
    (path / "lock").unlink()
    run = RunFolder.open(path)
    (path / "finished").symlink_to(tmp_path / "new")
    with pytest.raises(OSError, match="no regular file"):
        run.finish()
    run.close()
    assert mine.read_text() == "precious"
    assert not (tmp_path / "new").exists()


def test_what_is_no_json_makes_no_folder(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        RunFolder.create(tmp_path / "a", {**CONFIG, "seed": Path()})
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_fails_locks_nothing(tmp_path, monkeypatch):
    def full(path, config):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "save_config", full)
    with pytest.raises(OSError, match="No space left"):
        RunFolder.create(tmp_path / "a", CONFIG)
    monkeypatch.undo()
    (tmp_path / "a" / "config.json").write_text(json.dumps(CONFIG))
    RunFolder.open(tmp_path / "a").close()


def test_paths_of_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(folder.time, "strftime", lambda form: "20260102-030405")
    base = tmp_path / "ALE_Pong-v5" / "dqn"
    paths = []
    for _ in range(3):
        paths.append(new_path(tmp_path, "ALE/Pong-v5", "dqn", 7))
        paths[-1].mkdir(parents=True)
    assert paths == [base / f"20260102-030405{n}-s7" for n in ("", ".2", ".3")]
    assert sorted(paths) == paths  # the newest is the last by name


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("CartPole-v1", "CartPole-v1"), ("ALE/Pong-v5", "ALE_Pong-v5"), ("my_module:Env-v0", "my_module_Env-v0"),
        ("..", "_"), (".", "_"), ("", "_"), ("../../etc/passwd", "_.._etc_passwd"), ("/etc", "_etc"),
        (".hidden", "hidden"), ("a\\b", "a_b"), ("a\0b\nc", "a_b_c"), ("ü" * 3, "_"), ("~root", "_root"),
    ],
)  # fmt: skip
def test_odd_names_are_safe(tmp_path, name, there):
    assert safe(name) == there
    path = new_path(tmp_path, name, "dqn", 0)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert len(path.relative_to(tmp_path).parts) == 3
    path.mkdir(parents=True)


def stamps(monkeypatch, *names):
    """Runs are started at these times."""
    left = list(names)
    monkeypatch.setattr(folder.time, "strftime", lambda form: left.pop(0))


def test_the_newest_unfinished_run_is_found(tmp_path, monkeypatch):
    stamps(monkeypatch, "20260101-000000", "20260301-000000", "20260201-000000", "20260401-000000")
    make(tmp_path)
    newest = make(tmp_path)
    make(tmp_path)
    make(tmp_path, finished=True)
    assert found(tmp_path) == newest


def test_runs_that_are_held_are_skipped(tmp_path, monkeypatch):
    stamps(monkeypatch, "20260101-000000", "20260301-000000")
    older, newer = make(tmp_path), make(tmp_path)
    with held(newer):
        assert found(tmp_path) == older
    assert found(tmp_path) == newer


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 4}, {"agent": {"gamma": 0.9, "hidden": [64]}}, {"agent": {"gamma": 0.9, "hidden": [64, 64], "tau": 1}},
        {"n_envs": 2}, {"steps": 99},
    ],
)  # fmt: skip
def test_a_run_of_another_config_is_not_found(tmp_path, other):
    make(tmp_path)
    assert found(tmp_path, {**CONFIG, **other}) is None
    assert not same_run(CONFIG, {**CONFIG, **other})


def test_what_is_monitored_may_change(tmp_path):
    path = make(tmp_path, {**CONFIG, "monitor": {"keep": 3}})
    assert found(tmp_path, {**CONFIG, "monitor": {"keep": 4}}) == path
    run = RunFolder.open(path)
    run.config["monitor"] = {"keep": 4}
    run.extend(None)
    run.close()
    assert load_config(path / "config.json")["monitor"] == {"keep": 4}


def test_other_environments_and_algorithms_are_not_found(tmp_path):
    make(tmp_path)
    assert found(tmp_path, {**CONFIG, "env": "Acrobot-v1"}) is None
    assert found(tmp_path, {**CONFIG, "algorithm": "double-dqn"}) is None
    assert found(tmp_path / "elsewhere") is None


def test_steps_may_have_grown(tmp_path):
    unfinished = make(tmp_path)
    assert found(tmp_path, {**CONFIG, "steps": 1000}) == unfinished
    (unfinished / "finished").touch()
    assert found(tmp_path) is None
    assert found(tmp_path, {**CONFIG, "steps": 1000}) == unfinished


def test_extending_a_run(tmp_path):
    run = RunFolder.open(make(tmp_path, finished=True))
    (run.path / ".config.json.tmp").write_text("cut short")  # of one that was killed
    run.extend(1000)
    assert not (run.path / "finished").exists()
    assert load_config(run.path / "config.json") == {**CONFIG, "steps": 1000} == run.config
    for steps in (None, 5):  # fewer steps do not shorten it
        run.finish()
        run.extend(steps)
        assert not (run.path / "finished").exists()
        assert load_config(run.path / "config.json")["steps"] == 1000
    run.close()
    assert sorted(p.name for p in run.path.iterdir()) == ["commit.txt", "config.json", "lock"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"steps": 100}', '{"steps": null}', "{}"])
def test_damaged_neighbours_are_skipped(tmp_path, monkeypatch, text):
    stamps(monkeypatch, "20260101-000000", "20260301-000000", "20260301-000001")
    good, bad = make(tmp_path), make(tmp_path)
    (bad / "config.json").write_text(text)
    odd = make(tmp_path)
    (odd / "config.json").write_text(json.dumps({**CONFIG, "steps": "many"}))
    (bad.parent / "99999999-a-file").write_text("")
    (bad.parent / "99999999-empty").mkdir()
    assert found(tmp_path) == good


def test_the_commit_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert (make(tmp_path) / "commit.txt").read_text() == "no git checkout\n"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (make(tmp_path) / "commit.txt").read_text() == "no git\n"


def test_nothing_private_is_written(tmp_path, monkeypatch):
    """Neither the environment of the process nor its arguments nor what git knows of the remote."""
    canary = "canary-2f61b0"
    monkeypatch.chdir(tmp_path)
    for name, value in {"API_TOKEN": canary, "GIT_AUTHOR_NAME": canary}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["train", "--token", canary])
    subprocess.run(["git", "init", "-q", "."], check=True, capture_output=True)
    subprocess.run(
        ["git", "remote", "add", "origin", f"https://me:{canary}@example.org/x"], check=True, capture_output=True
    )
    author = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "first"], check=True, capture_output=True)
    path = make(tmp_path / "runs")
    assert len((path / "commit.txt").read_text().strip()) == 40
    texts = {file.name: file.read_text() for file in path.iterdir()}
    assert texts.keys() == {"commit.txt", "config.json", "lock"}
    assert not any(canary in text for text in texts.values())
    assert re.fullmatch(rf"process {os.getpid()} on \S+ since [-+: 0-9]+\n", texts["lock"])
    assert json.loads(texts["config.json"]) == CONFIG
    assert not any(str(Path.home()) in text for text in texts.values() if len(str(Path.home())) > 1)
