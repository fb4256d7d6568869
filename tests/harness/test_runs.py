"""Run folders that are found, grouped and read, and what is said of those that are not."""

import numpy as np
import pytest

from rlcore.envs.make import EnvConfig
from rlcore.harness.config import to_dict
from rlcore.harness.runs import common_end, curves, find, read_run, score
from tests.harness.folders import run_folder


def labels(found):
    return {(g.env, g.label): [run.config["seed"] for run in g.runs] for g in found.groups}


def test_groups_differ_by_what_they_are_named_for(tmp_path):
    for seed in (1, 0):
        run_folder(tmp_path, [1, 2], seed)
        run_folder(tmp_path, [1, 2], seed, time="2", agent={"learning_rate": "0.01", "hidden": [4]})
        run_folder(tmp_path, [1, 2], seed, algorithm="ppo", n_envs=8)
        run_folder(tmp_path, [1, 2], seed, env="Acrobot-v1")
    found = find([tmp_path])
    assert labels(found) == {
        ("Acrobot-v1", "dqn"): [0, 1],
        ("CartPole-v1", "dqn learning_rate=0.001 hidden=8x8"): [0, 1],
        ("CartPole-v1", "dqn learning_rate=0.01 hidden=4"): [0, 1],
        ("CartPole-v1", "ppo"): [0, 1],
    }
    assert found.notes == []


def test_how_often_a_run_was_evaluated_keeps_it_apart_but_not_how_often_it_was_logged(tmp_path):
    monitor = {"log_every": 10, "eval_every": 100, "eval_episodes": 20}
    run_folder(tmp_path, [1, 2], 0, monitor=monitor)
    run_folder(tmp_path, [1, 2], 1, monitor={**monitor, "log_every": 99, "videos": True})
    run_folder(tmp_path, [1, 2], 2, monitor={**monitor, "eval_episodes": 5})
    assert labels(find([tmp_path])) == {
        ("CartPole-v1", "dqn eval_episodes=20"): [0, 1],
        ("CartPole-v1", "dqn eval_episodes=5"): [2],
    }


def test_an_ambiguous_name_is_said_in_full(tmp_path):
    run_folder(tmp_path, [1], 0, agent={"vector": 1})
    run_folder(tmp_path, [1], 1, agent={"vector": 2})
    assert [g.label for g in find([tmp_path]).groups] == ["dqn agent.vector=1", "dqn agent.vector=2"]


def test_spaces_are_said_only_where_nothing_else_tells_groups_apart(tmp_path):
    run_folder(tmp_path, [1], 0, env=None)
    run_folder(tmp_path, [1], 1, env=None, observation_space="Other")
    run_folder(tmp_path, [1], 0)
    run_folder(tmp_path, [1], 1, observation_space="Box84", n_envs=2)
    run_folder(tmp_path, [1], 0, env="A")
    run_folder(tmp_path, [1], 1, env="A", observation_space="Box84")
    run_folder(tmp_path, [1], 2, env="A", observation_space="Box84", n_envs=2)
    assert set(labels(find([tmp_path]))) == {
        ("Box -> Discrete(2)", "dqn"),
        ("Other -> Discrete(2)", "dqn"),
        ("CartPole-v1", "dqn n_envs=1"),
        ("CartPole-v1", "dqn n_envs=2"),
        ("A", "dqn n_envs=1 observation_space=Box"),
        ("A", "dqn n_envs=1 observation_space=Box84"),
        ("A", "dqn n_envs=2 observation_space=Box84"),
    }


def test_what_is_left_out_is_named(tmp_path):
    run_folder(tmp_path, [1, 2], 0)
    run_folder(tmp_path, [1], 1, finished=False)
    (run_folder(tmp_path, [1], 2) / "scores.tsv").unlink()
    run_folder(tmp_path, [], 3)
    run_folder(tmp_path, [1, float("nan")], 4)
    (run_folder(tmp_path, [1], 5) / "scores.tsv").write_text("steps\tscore\n1\t2\n")
    with (run_folder(tmp_path, [1], 6) / "scores.tsv").open("a") as file:
        file.write("200\t3")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "config.json").write_text("{}")
    old = run_folder(tmp_path, [9, 9], 0, time="2025")
    found = find([tmp_path])
    assert labels(found) == {("CartPole-v1", "dqn"): [0]}
    assert found.groups[0].runs[0].scores["mean"].tolist() == [1, 2]
    notes = "\n".join(found.notes)
    for words in (
        "-s1: it is not finished (--unfinished takes it in)",
        "-s2: it has no scores.tsv, so no evaluation yet",
        "-s3: its scores.tsv has no evaluation yet",
        "-s4: scores.tsv has a number that is not finite",
        "-s5: scores.tsv does not begin with the columns steps episodes elapsed mean",
        "-s6: scores.tsv has a line that is not of numbers",
        "web: config.json is of no run",
        f"left out {old}: 20260101-000000-s0 is a newer run of the same seed and settings",
    ):
        assert words in notes
    assert len(found.notes) == 8
    with_it = find([tmp_path], unfinished=True)
    assert {seed for seeds in labels(with_it).values() for seed in seeds} == {0, 1}


def test_commits_are_not_mixed_in_silence(tmp_path):
    run_folder(tmp_path, [1], 0, commit="aaa")
    run_folder(tmp_path, [1], 1, commit="bbb")
    mixed = find([tmp_path])
    assert len(mixed.groups) == 1
    assert mixed.notes == ["dqn on CartPole-v1 mixes runs of 2 commits (--by commit keeps them apart)"]
    apart = find([tmp_path], by="commit")
    assert ([g.label for g in apart.groups], apart.notes) == (["dqn commit=aaa", "dqn commit=bbb"], [])


def test_paths_wildcards_and_runs_themselves(tmp_path):
    one = run_folder(tmp_path / "before", [1], 0)
    run_folder(tmp_path / "after", [1], 0)
    (one / "checkpoints").mkdir()
    (one / "checkpoints" / "config.json").write_text("{}")  # nothing in a run folder is another one
    apart = find([tmp_path / "before", str(tmp_path / "aft*")], by="path")
    assert [g.label for g in apart.groups] == [f"dqn path={tmp_path / 'before'}", f"dqn path={tmp_path / 'aft*'}"]
    assert apart.notes == []
    assert [run.path for run in find([one, tmp_path / "before", one]).groups[0].runs] == [one]
    for path in (tmp_path / "nowhere", str(tmp_path / "none*")):
        with pytest.raises(ValueError, match=r"(nowhere|none\*) does not exist"):
            find([path])


def test_no_run_at_all_says_why(tmp_path):
    with pytest.raises(ValueError, match="no runs to be used in"):
        find([tmp_path])
    run_folder(tmp_path, [1], finished=False)
    with pytest.raises(ValueError, match="it is not finished"):
        find([tmp_path])


def test_scores_by_hand(tmp_path):
    run = read_run(run_folder(tmp_path, [0, 10, 40, 20], every=100))
    assert score(run) == 20
    assert score(run, "best") == 40
    assert score(run, "last-k", last=3) == pytest.approx(70 / 3)
    assert score(run, "last-k", last=9) == pytest.approx(70 / 4)
    assert score(run, "auc") == pytest.approx((0 / 2 + 10 + 40 + 20 / 2) / 3)
    assert score(run, "final", until=250) == 10
    assert score(run, "best", until=200) == 10
    assert score(run, "auc", until=100) == 0


def test_curves_meet_at_common_points_by_straight_lines(tmp_path):
    a = read_run(run_folder(tmp_path, [0, 10, 20, 30], 0, every=100, seconds=1))
    b = read_run(run_folder(tmp_path, [0, 30, 0], 1, every=150, seconds=2))
    points, y = curves([a, b])
    assert points.tolist() == [150, 200, 300, 400]
    np.testing.assert_allclose(y, [[5, 10, 20, 30], [0, 10, 30, 10]])
    assert common_end([a, b]) == 400
    assert curves([a, b], until=200)[0].tolist() == [150, 200]
    assert curves([a, b], "elapsed")[0].tolist() == [2, 3, 4]


def test_settings_have_one_name_each_and_older_configs_the_defaults_of_what_has_come_since(tmp_path):
    settings = read_run(run_folder(tmp_path, [1], envs={"vector": "serial", "workers": 3})).settings
    own = {
        "n_envs": 1, "steps": 100, "observation_space": "Box", "action_space": "Discrete(2)", "eval_every": 100,
        "eval_episodes": 20, "agent.learning_rate": "0.001", "agent.hidden": [8, 8], "envs.vector": "serial",
    }  # fmt: skip
    defaults = {f"envs.{k}": v for k, v in to_dict(EnvConfig()).items() if k not in ("workers", "env_timeout")}
    assert settings == {**defaults, **own}


def test_how_environments_are_run_is_no_setting_but_what_is_put_around_them_is(tmp_path):
    run_folder(tmp_path, [1], 0, envs={"vector": "serial", "workers": 3, "env_timeout": 9.0})
    run_folder(tmp_path, [1], 1, envs={"vector": "serial"})
    run_folder(tmp_path, [1], 2, envs={"vector": "serial", "normalize_obs": True})
    assert labels(find([tmp_path])) == {
        ("CartPole-v1", "dqn normalize_obs=False"): [0, 1],
        ("CartPole-v1", "dqn normalize_obs=True"): [2],
    }


def test_of_many_differing_settings_the_fewest_that_tell_apart_are_said_and_the_others_noted(tmp_path):
    for k in range(3):
        agent = {"learning_rate": str(k), "hidden": [k // 2], "gamma": k % 2, "tau": k % 2}
        run_folder(tmp_path, [1], 0, time=str(k), agent=agent)
    found = find([tmp_path])
    assert [g.label for g in found.groups] == [f"dqn learning_rate={k}" for k in range(3)]
    assert found.notes == ["groups of dqn on CartPole-v1 differ in hidden, gamma, tau, too"]
