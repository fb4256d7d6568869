"""The command line, run in this process."""

import json
import re

import pytest

from rlcore.cli import main

QUICK = [
    "--learning-starts",
    "50",
    "--update-every",
    "10",
    "--gradient-steps",
    "2",
    "--hidden",
    "8",
    "--batch-size",
    "8",
]
EVERY = ["--eval-every", "150", "--eval-episodes", "2", "--checkpoint-every", "100"]


def train(tmp_path, *more):
    main(["train", "dqn", "--root", str(tmp_path), "--seed", "3", *QUICK, *EVERY, *more])
    (folder,) = (tmp_path / "CartPole-v1" / "dqn").iterdir()
    return folder


def test_train_then_eval(tmp_path, capsys):
    folder = train(tmp_path, "--steps", "300")
    out = capsys.readouterr().out
    assert re.search(r"^dqn on CartPole-v1, seed 3, from step 0, in ", out)
    (mean,) = re.findall(r"^mean return ([\d.]+) \+- [\d.]+ over 20 fresh episodes, after 300 steps$", out, re.M)
    main(["eval", str(folder)])
    assert f"mean return {mean} " in capsys.readouterr().out
    main(["eval", str(folder), "--best", "--episodes", "3"])
    assert re.search(r"over 3 fresh episodes, after (150|300) steps", capsys.readouterr().out)


def test_resume_goes_on_when_steps_have_grown_and_only_then(tmp_path, capsys):
    folder = train(tmp_path, "--steps", "200")
    assert train(tmp_path, "--steps", "400", "--resume") == folder
    assert "from step 200" in capsys.readouterr().out
    assert json.loads((folder / "config.json").read_text())["steps"] == 400
    rows = (folder / "scores.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows] == ["steps", "150", "300"]
    with pytest.raises(SystemExit, match=r"is a run with other settings \(agent"):
        main(["train", "dqn", "--folder", str(folder), "--resume", "--seed", "3", "--steps", "400", *EVERY])


def test_a_config_is_passed_back(tmp_path):
    folder = train(tmp_path, "--steps", "60", "--learning-rate", "linear:1e-2:0:100")
    config = folder / "config.json"
    main(["train", "dqn", "--config", str(config), "--folder", str(tmp_path / "again"), "--gamma", ".9"])
    one, two = (json.loads((f / "config.json").read_text()) for f in (folder, tmp_path / "again"))
    assert one["agent"]["learning_rate"] == "linear:0.01:0:100"
    assert two == {**one, "agent": {**one["agent"], "gamma": 0.9}}
    one["agent"]["gama"] = 1
    config.write_text(json.dumps(one))
    with pytest.raises(SystemExit, match=r"DQNConfig has no field 'gama'; did you mean gamma"):
        main(["train", "dqn", "--config", str(config)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "dqn", "--env", "CartPol-v1"], "unknown environment id 'CartPol-v1'"),
        (["train", "dqn", "--env", "Pendulum-v1"], "DQN needs a Discrete action space"),
        (["train", "dqn", "--steps", "-1"], "--steps must not be negative, got -1"),
        (["eval", "nowhere"], "nowhere is no run folder"),
    ],
)
def test_bad_input_ends_with_one_line(words, message, tmp_path):
    root = ["--root", str(tmp_path)] if words[0] == "train" else []
    with pytest.raises(SystemExit, match=f"^rlcore: {message}"):
        main([*words, *root])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    with pytest.raises(SystemExit, match="mine exists; choose another folder"):
        main(["train", "dqn", "--folder", str(tmp_path / "mine"), "--steps", "10"])
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes"]


@pytest.mark.parametrize(("words", "message"), [(["--gama", "1"], "--gama"), (["--gamma", "2"], "gamma must be")])
def test_bad_options_are_refused(words, message, capsys):
    with pytest.raises(SystemExit):
        main(["train", "dqn", *words])
    assert message in capsys.readouterr().err
