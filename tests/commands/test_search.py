"""The search for settings: what it tries, drops, refuses and keeps; returns are a known function of the settings."""

import json

import numpy as np
import pytest

from rlcore.agents import ALGORITHMS, DQNConfig
from rlcore.cli import main
from rlcore.commands import search
from rlcore.harness.tuned import FOLDER

optuna = pytest.importorskip("optuna")
FILES = sorted(path.stem for path in (FOLDER / "search").glob("*.json"))


class FakeRun:
    """Its return is 100 at gamma 0.5 and falls with the distance; batches of 999 are refused, of 998 they fail."""

    made: list["FakeRun"] = []

    def __init__(self, agent_class, config, env, seed, n_envs, **settings):
        if settings.get("batch_size") == 999:
            raise ValueError("batch_size 999 is too much")
        if settings.get("batch_size") == 998:
            raise FloatingPointError("updates in a row had a loss that is NaN")
        self.seed, self.t, self.settings = seed, 0, settings
        self.made.append(self)

    def learn(self, steps):
        self.t += steps

    closed = False

    def close(self):
        self.closed = True

    def evaluate(self, episodes):
        return np.full(episodes, 100 - 100 * abs(self.settings["gamma"] - 0.5) - self.seed % 2)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    FakeRun.made = []
    monkeypatch.setattr(search, "Run", FakeRun)


def run(tmp_path, space, *words, env="none"):
    (tmp_path / "space.json").write_text(json.dumps(space))
    main(
        [
            "search",
            "dqn",
            "--env",
            env,
            "--space",
            str(tmp_path / "space.json"),
            "--out",
            str(tmp_path / "o.json"),
            *words,
        ]
    )
    return json.loads((tmp_path / "o.json").read_text())


def test_the_best_settings_are_found_and_kept(tmp_path, capsys):
    best = run(tmp_path, {"gamma": {"range": [0.0, 1.0]}}, "--trials", "40", "--steps", "100", "--pruner", "none")
    assert abs(best["agent"]["gamma"] - 0.5) < 0.05
    assert (best["algorithm"], best["env"], best["steps"]) == ("dqn", "none", 100)
    assert {made.seed for made in FakeRun.made} == {1000, 1001}
    assert {made.t for made in FakeRun.made} == {100}
    assert all(made.closed for made in FakeRun.made)
    (mean,) = [float(line.split()[3]) for line in capsys.readouterr().out.splitlines() if line.startswith("best mean")]
    assert mean == pytest.approx(99.5 - 100 * abs(best["agent"]["gamma"] - 0.5), abs=0.06)  # the mean of two seeds


def test_a_trial_is_told_with_the_settings_that_it_tried(tmp_path, capsys):
    space = {"batch_size": {"one of": [8]}, "gamma": {"one of": [0.5]}, "epsilon": {"linear": [[1, 1], [0, 0], [1, 1]]}}
    run(tmp_path, space, "--trials", "1", "--steps", "100", "--seeds", "1", "--sampler", "random")
    said = 'trial 0: 100.0 (complete), best 100.0; {"batch_size": 8, "gamma": 0.5, "epsilon": "linear:1.0:0.0:100"}'
    assert said in capsys.readouterr().out


def test_two_searches_with_one_seed_are_the_same(tmp_path):
    words = {"gamma": {"range": [0.0, 1.0]}}, "--trials", "15"
    one = run(tmp_path, *words)
    (tmp_path / "o.json").unlink()
    assert run(tmp_path, *words) == one
    (tmp_path / "o.json").unlink()
    assert run(tmp_path, *words, "--seed", "5") != one


def test_trials_that_do_not_keep_up_are_dropped(tmp_path, capsys):
    space = {"gamma": {"one of": [0.5, 0.9]}}
    run(tmp_path, space, "--trials", "30", "--sampler", "random", "--steps", "100", "--evaluations", "5")
    bad = [made for made in FakeRun.made if made.settings["gamma"] == 0.9]
    assert {made.t for made in bad[-2:]} == {20}  # at the first of five evaluations
    assert "(pruned)" in capsys.readouterr().out


def test_what_is_refused_costs_its_trial_only_unless_all_are(tmp_path, capsys):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {"gamma": {"one of": [0.5]}, "batch_size": {"one of": [8, 998, 999]}}
    assert run(tmp_path, space, "--trials", "12", "--sampler", "random")["agent"]["batch_size"] == 8
    assert "(fail)" in capsys.readouterr().out
    (tmp_path / "o.json").unlink()
    with pytest.raises(SystemExit, match="no trial came to its end; the last one: batch_size 999 is too much"):
        run(tmp_path, {"batch_size": {"one of": [999]}}, "--trials", "2")


def test_a_study_is_gone_on_with(tmp_path, capsys):
    words = {"gamma": {"range": [0.0, 1.0]}}, "--trials", "3", "--storage", str(tmp_path / "study.db")
    run(tmp_path, *words)
    (tmp_path / "o.json").unlink()
    run(tmp_path, *words)
    assert "trial 5:" in capsys.readouterr().out


def test_tuned_settings_are_what_the_search_starts_from(tmp_path):
    best = run(tmp_path, {"gamma": {"range": [0.0, 1.0]}}, "--trials", "2", env="Acrobot-v1")
    assert best["steps"] == 100_000
    assert best["agent"]["hidden"] == [256, 256]
    assert {made.settings["batch_size"] for made in FakeRun.made} == {128}


def test_kinds_of_ranges():
    trial = optuna.trial.FixedTrial({"a": 0.1, "b": "[64, 64]", "c start": 1.0, "c end": 0.5, "c part": 0.25})
    assert search._drawn(trial, "a", {"log": [0.01, 1]}, 100) == 0.1
    assert search._drawn(trial, "b", {"one of": [[64, 64], [8]]}, 100) == [64, 64]
    assert search._drawn(trial, "c", {"linear": [[1, 1], [0, 1], [0, 1]]}, 100) == "linear:1.0:0.5:25"


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"gama": {"range": [0, 1]}}, "dqn has no setting 'gama'; it has learning_rate, "),
        ({"gamma": {"uniform": [0, 1]}}, "gamma must be .*, got"),
        ({"gamma": {"range": [0]}}, "gamma must be .*, got"),
        ({"gamma": 0.9}, r"gamma must be .*, got 0\.9"),
        ({"gamma": {"one of": []}}, "gamma must be .*, got"),
    ],
)
def test_an_odd_range_is_refused(tmp_path, space, message):
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, space)
    assert not FakeRun.made


def test_odd_arguments_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="--trials must be at least 1, got 0"):
        run(tmp_path, {"gamma": {"range": [0, 1]}}, "--trials", "0")
    with pytest.raises(SystemExit, match="unknown algorithm 'dqm'; known are dqn, "):
        main(["search", "dqm"])
    (tmp_path / "o.json").touch()
    with pytest.raises(SystemExit, match=r"o\.json exists; choose another --out"):
        run(tmp_path, {"gamma": {"range": [0, 1]}})


@pytest.mark.parametrize("name", FILES)
def test_the_ranges_of_an_algorithm_can_be_searched(name):
    ranges = search._ranges(name, None)
    assert "learning_rate" in ranges
    assert ranges.keys() <= ALGORITHMS[name].Config.__dataclass_fields__.keys()


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(SystemExit, match=r'pip install "rlcore\[search\]"'):
        main(["search", "dqn"])


def test_a_real_run_takes_what_is_drawn(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "s.json").write_text('{"learning_rate": {"log": [1e-4, 1e-2]}, "batch_size": {"one of": [8, 16]}}')
    words = ["--trials", "1", "--steps", "40", "--seeds", "1", "--evaluations", "1", "--episodes", "1"]
    main(["search", "dqn", "--space", str(tmp_path / "s.json"), "--out", str(tmp_path / "o.json"), *words])
    agent = json.loads((tmp_path / "o.json").read_text())["agent"]
    assert agent["batch_size"] in (8, 16)
    assert agent.keys() <= DQNConfig.__dataclass_fields__.keys()
