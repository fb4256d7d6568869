"""The data files of tuned settings: each can be used, and says where it is from."""

import json

import pytest

from rlcore.agents import ALGORITHMS
from rlcore.api import Run
from rlcore.cli import main
from rlcore.envs.make import EnvConfig
from rlcore.harness import tuned as module
from rlcore.harness.config import from_dict
from rlcore.harness.tuned import FOLDER, overlaid, tuned

FILES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
ENTRIES = [(name, key) for name, data in FILES.items() if "same as" not in data for key in data]


def test_every_file_is_of_an_algorithm():
    assert FILES.keys() <= ALGORITHMS.keys()
    assert {data["same as"] for data in FILES.values() if "same as" in data} <= ALGORITHMS.keys()


@pytest.mark.parametrize(("name", "key"), ENTRIES)
def test_every_entry_can_be_used_and_names_its_source(name, key):
    entry = FILES[name][key]
    assert entry.keys() <= {"source", "steps", "n_envs", "agent", "envs"}
    assert len(entry["source"]) > 10
    assert entry["steps"] > 0
    from_dict(ALGORITHMS[name].Config, entry["agent"])
    from_dict(EnvConfig, entry.get("envs", {}))


def test_an_id_goes_before_a_pattern_and_needs_no_module(tmp_path, monkeypatch):
    module._entries.cache_clear()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    entries = {"ALE/*": {"source": "s", "steps": 1}, "ALE/Pong-v5": {"source": "s", "steps": 2}}
    (tmp_path / "a.json").write_text(json.dumps(entries))
    (tmp_path / "b.json").write_text('{"same as": "a"}')
    assert tuned("a", "ALE/Pong-v5") == {"steps": 2}
    assert tuned("b", "ale_py:ALE/Breakout-v5") == {"steps": 1}
    assert tuned("a", "Pong") == tuned("c", "ALE/Pong-v5") == {}
    module._entries.cache_clear()


def test_what_is_above_hides_what_is_below():
    below = {"steps": 1, "n_envs": 2, "agent": {"gamma": 0.9, "batch_size": 8}}
    above = {"steps": 5, "agent": {"gamma": 0.5}}
    assert overlaid(below, above) == {"steps": 5, "n_envs": 2, "agent": {"gamma": 0.5, "batch_size": 8}}
    assert below["agent"]["gamma"] == 0.9


def test_the_command_line_goes_before_a_file_and_that_before_what_is_tuned(tmp_path, monkeypatch):
    def config(*words):
        seen = []
        with monkeypatch.context() as patch:
            patch.setattr(Run, "learn", lambda run, *args, **options: seen.append(run))
            patch.setattr("rlcore.commands.train.report", lambda *args: None)
            main(["train", "dqn", "--root", str(tmp_path), *words])
        return seen[0].config

    (tmp_path / "c.yaml").write_text("agent:\n  gamma: 0.7\n  batch_size: 16\n")
    acrobot = ["--env", "Acrobot-v1"]
    assert (config(*acrobot).batch_size, config(*acrobot).gamma) == (128, 0.99)
    file = config(*acrobot, "--config", str(tmp_path / "c.yaml"))
    assert (file.batch_size, file.gamma, file.hidden) == (16, 0.7, (256, 256))
    line = config(*acrobot, f"--config={tmp_path / 'c.yaml'}", "--batch-size", "4")
    assert (line.batch_size, line.gamma) == (4, 0.7)
    assert config(*acrobot, "--no-tuned") == ALGORITHMS["dqn"].Config()
    assert config(*acrobot, "--no_tuned") == ALGORITHMS["dqn"].Config()  # tyro takes both
