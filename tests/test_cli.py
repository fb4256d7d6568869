"""The command line, run in this process."""

import json
import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import rlcore
from rlcore import api
from rlcore.agents import ALGORITHMS, DoubleDQN
from rlcore.api import Monitor
from rlcore.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]

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
    words = ["train", "dqn", "--folder", str(folder), "--resume", "--seed", "3", *EVERY]
    with pytest.raises(
        SystemExit, match=r"is a run with agent\.gamma 0\.99, this one has 0\.5; give the same settings"
    ):
        main([*words, *QUICK, "--steps", "400", "--gamma", "0.5"])
    with pytest.raises(SystemExit, match=r"is a run with steps 400, this one has 300; give"):
        main([*words, *QUICK, "--steps", "300"])


@pytest.mark.parametrize(("word", "kept"), [("0.25", "0.25"), ("linear:1:0.1:50", "linear:1:0.1:50"), ("None", None)])
def test_a_schedule_that_may_be_none_is_an_option(tmp_path, word, kept):
    folder = train(tmp_path, "--steps", "20", "--epsilon", word)
    assert json.loads((folder / "config.json").read_text())["agent"]["epsilon"] == kept


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
    ("config", "message"),
    [
        ({"sed": 3}, "has an unknown name 'sed'; did you mean seed"),
        ({"algorithm": "double-dqn"}, "is of algorithm 'double-dqn': give it to `rlcore train` for that one"),
        ({"agent": 3}, "DQNConfig takes an object of its fields, got 3"),
        ({"seed": "3"}, "Train.seed takes int, got '3'"),
        ({"env": "rlcore_trap:CartPole-v1"}, "but no file may import a module: give --env rlcore_trap:CartPole-v1"),
    ],
)
@pytest.mark.parametrize("form", ["two words", "one word"])
def test_an_odd_config_is_refused(tmp_path, config, message, form):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    words = ["--config", str(path)] if form == "two words" else [f"--config={path}"]
    with pytest.raises(SystemExit, match=message):
        main(["train", "dqn", "--root", str(tmp_path / "runs"), *words])
    assert not (tmp_path / "runs").exists()


def test_a_config_is_of_the_algorithm_that_is_trained(tmp_path, monkeypatch):
    """Its agent settings are read by no other one's rules."""

    class Other(DoubleDQN):
        Config = Monitor

    monkeypatch.setitem(ALGORITHMS, "other", Other)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"steps": 10, "agent": {"hidden": [8]}}))
    main(["train", "dqn", "--folder", str(tmp_path / "run"), f"--config={path}", "--eval-every", "100"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["agent"]["hidden"], config["steps"]) == ([8], 10)


def test_a_run_of_no_steps_is_evaluated(tmp_path, capsys):
    folder = train(tmp_path, "--steps", "0")
    main(["eval", str(folder), "--episodes", "2"])
    assert "over 2 fresh episodes, after 0 steps" in capsys.readouterr().out
    for words, message in (
        (["--best"], "has no evaluation yet, so no best policy"),
        (["--episodes", "0"], "evaluate: episodes must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(["eval", str(folder), *words])


def test_resume_with_other_monitoring(tmp_path, capsys):
    folder = train(tmp_path, "--steps", "200", "--resume")
    assert "no unfinished run with these settings: starting a new one" in capsys.readouterr().out
    assert train(tmp_path, "--steps", "300", "--resume", "--keep", "2") == folder
    out = capsys.readouterr().out
    assert "from step 200" in out
    assert "starting a new one" not in out
    assert json.loads((folder / "config.json").read_text())["monitor"]["keep"] == 2
    assert len(list((folder / "checkpoints").iterdir())) == 2


def test_a_file_that_is_no_config_of_a_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"^rlcore: .*config\.json is of no run: it has no 'algorithm'"):
        main(["eval", str(tmp_path)])


@pytest.mark.parametrize("more", [[], ["--folder"]])
def test_a_run_of_an_older_version_goes_on_with_what_is_new_by_default(tmp_path, more, capsys):
    folder = train(tmp_path, "--steps", "100")
    more = [*more, str(folder)] if more else []
    config = json.loads((folder / "config.json").read_text())
    for group, name in (("envs", "frame_stack"), ("agent", "tau")):
        del config[group][name]
    (folder / "config.json").write_text(json.dumps(config))
    main(["eval", str(folder), "--episodes", "1"])
    assert train(tmp_path, "--steps", "160", "--resume", *more) == folder
    assert "from step 100, in" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"with envs\.frame_stack 1, this one has 2"):
        train(tmp_path, "--steps", "160", "--resume", "--frame-stack", "2", "--folder", str(folder))


def test_what_it_is_and_what_it_can(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"rlcore {rlcore.__version__}\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    for name in ("train", *COMMANDS):
        assert re.search(rf"• {name} +[A-Z]", told), name


def test_an_interruption_has_its_exit_code(tmp_path, monkeypatch, capsys):
    def interrupted(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(api.Run, "learn", interrupted)
    with pytest.raises(SystemExit) as end:
        train(tmp_path)
    assert end.value.code == 130
    assert "the same command with --resume goes on" in capsys.readouterr().err


def test_an_interruption_of_what_cannot_be_resumed(monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("rlcore.commands.doctor.audit", interrupted)
    with pytest.raises(SystemExit) as end:
        main(["doctor", "CartPole-v1"])
    assert (end.value.code, capsys.readouterr().err) == (130, "rlcore: interrupted\n")


def test_an_interruption_of_the_last_evaluation_leaves_a_finished_run(tmp_path, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(api.Run, "evaluate", interrupted)
    with pytest.raises(SystemExit) as end:
        train(tmp_path, "--steps", "60")
    assert end.value.code == 130
    out, err = capsys.readouterr()
    (folder,) = (tmp_path / "CartPole-v1" / "dqn").iterdir()
    assert f"the run is finished; to evaluate it: rlcore eval {folder}\n" in out
    assert "--resume" not in err


def test_the_environments_that_a_command_has_made_are_closed(tmp_path, monkeypatch):
    made, closed, make, close = [], [], api.make_env, api.Run.close
    monkeypatch.setattr(api, "make_env", lambda *args: made.append(make(*args)) or made[-1])
    monkeypatch.setattr(api.Run, "close", lambda run: closed.append(run.env) or close(run))
    train(tmp_path, "--steps", "60")
    train(tmp_path, "--steps", "90", "--resume")
    assert len(made) == 2
    assert closed == made


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "dqn", "--env", "CartPol-v1"], "unknown environment id 'CartPol-v1'"),
        (["train", "dqn", "--env", "Pendulum-v1"], "DQN needs a Discrete action space"),
        (["train", "dqn", "--steps", "-1"], "--steps must not be negative, got -1"),
        (["train", "dqn", "--gamma", "2"], r"gamma must be within \[0, 1\], got 2.0$"),
        (["train", "dqn", "--eval-every", "0"], "eval_every must be at least 1, got 0$"),
        (["train", "dqn", "--seed", "-1"], "seed must not be negative, got -1"),
        (["eval", "nowhere"], "nowhere is no run folder"),
    ],
)
def test_bad_input_ends_with_one_line(words, message, tmp_path):
    root = ["--root", str(tmp_path)] if words[0] == "train" else []
    with pytest.raises(SystemExit, match=f"^rlcore: {message}"):
        main([*words, *root])
    assert not list(tmp_path.iterdir())


def test_the_command_finds_modules_where_it_is_called(tmp_path, monkeypatch, capsys):
    entry = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    (tmp_path / "module_of_mine.py").write_text(f"import gymnasium\ngymnasium.register('Own-v0', '{entry}')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.setattr(sys, "argv", ["rlcore", "train", "dqn", "--env", "module_of_mine:Own-v0", "--steps", "0"])
    try:
        main()
    finally:
        gymnasium.registry.pop("Own-v0", None)
        sys.modules.pop("module_of_mine", None)
    assert "mean return" in capsys.readouterr().out


def test_what_an_environment_is_made_with_is_an_option_of_json(tmp_path):
    words = ["--root", str(tmp_path), "--seed", "3", *QUICK, "--env", "FrozenLake-v1", "--steps", "60"]
    main(["train", "dqn", *words, "--env-kwargs", '{"is_slippery": false, "map_name": "8x8"}'])
    (folder,) = (tmp_path / "FrozenLake-v1" / "dqn").iterdir()
    made = json.loads((folder / "config.json").read_text())
    assert made["envs"]["env_kwargs"] == {"is_slippery": False, "map_name": "8x8"}
    assert made["observation_space"] == "Discrete(64)"
    run = api.Run.read(folder)
    assert run.env.envs[0].unwrapped.spec.kwargs["map_name"] == "8x8"
    assert run._evaluation_env(0, 1).observation_space.n == 64


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    with pytest.raises(SystemExit, match="mine exists; choose another folder"):
        main(["train", "dqn", "--folder", str(tmp_path / "mine"), "--steps", "10"])
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes"]


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["train", "dqn", "--gama", "1"])
    assert "--gama" in capsys.readouterr().err


def test_help_says_what_each_setting_is(capsys):
    with pytest.raises(SystemExit):
        main(["train", "dqn", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("discount per step (default: 0.99)", "rows between evaluations (default: 10000)", "Gymnasium id"):
        assert words in out


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    words = f"{sys.executable} -m rlcore train dqn --steps 30 --folder {tmp_path / 'run'}"
    command = f"{words} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["141"]
    assert done.stderr == ""


def test_a_run_goes_on_with_other_workers(tmp_path, capsys):
    words = ["--vector", "process", "--n-envs", "2", "--eval-every", "1000", "--folder", str(tmp_path / "run")]
    main(["train", "dqn", *QUICK, *words, "--steps", "60", "--workers", "1"])
    main(["train", "dqn", *QUICK, *words, "--steps", "120", "--workers", "2", "--env-timeout", "9", "--resume"])
    assert "from step 60" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "config.json").read_text())["envs"]["workers"] == 2
    with pytest.raises(SystemExit, match=r"is a run with envs\.vector process, this one has serial"):
        main(["train", "dqn", *QUICK, "--n-envs", "2", "--vector", "serial", *words[4:], "--steps", "180", "--resume"])
