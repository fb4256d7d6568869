"""`rlcore compare` on runs whose scores are known."""

import json

import numpy as np
import pytest

from rlcore.commands.compare import main
from rlcore.harness import stats
from rlcore.rng import generator
from tests.harness.folders import run_folder

GOOD, BAD = [[1, 480], [2, 490], [3, 500], [4, 495], [5, 500]], [[1, 380], [2, 395], [3, 401], [4, 390], [5, 400]]


@pytest.fixture
def two(tmp_path):
    """Five runs each of two settings."""
    for seed, (good, bad) in enumerate(zip(GOOD, BAD)):
        run_folder(tmp_path, good, seed, seconds=30)
        run_folder(tmp_path, bad, seed, algorithm="ppo", seconds=2000)
    return tmp_path


def test_table_and_verdict(two, capsys):
    main((two,))
    out, err = capsys.readouterr()
    title, head, dqn, ppo, empty, verdict = out.splitlines()
    assert title == "CartPole-v1: last evaluation, returns over 20 episodes"
    assert " ".join(head.split()) == "group seeds IQM 95 % interval mean median min max steps wall time"
    assert len(head) == len(dqn) == len(ppo)  # columns are aligned
    interval = stats.bootstrap([np.array([480.0, 490, 500, 495, 500])], generator(0))
    assert dqn.split()[:5] == ["dqn", "5", "495.0", *stats.span(interval).split()]
    assert dqn.split()[5:] == ["493.0", "495.0", "480.0", "500.0", "200", "1", "min", "00", "s"]
    assert ppo.split()[5:] == ["393.2", "395.0", "380.0", "401.0", "200", "1", "h", "06", "min"]
    assert empty == ""
    assert verdict.startswith("dqn is better than ppo on CartPole-v1: IQM difference 100.0 [")
    assert err == ""


def test_one_group_has_just_its_table(tmp_path, capsys):
    for seed in range(5):
        run_folder(tmp_path, [seed], seed)
    main((tmp_path,))
    out, err = capsys.readouterr()
    assert (len(out.rstrip().splitlines()), err) == (3, "")


def test_metrics(two, capsys, tmp_path):
    for metric, mean in (("best", "493.0"), ("last-k", "248.0"), ("auc", "248.0")):
        main((two,), metric=metric, last=2)
        assert capsys.readouterr().out.splitlines()[2].split()[5] == mean
    main((two,), until=150)
    assert capsys.readouterr().out.splitlines()[2].split()[5:10] == ["3.00", "3.00", "1.00", "5.00", "100"]
    with pytest.raises(ValueError, match="has no evaluation up to step 50: its first is later"):
        main((two,), until=50)


def test_markdown_is_a_table(two, capsys):
    main((two,), markdown=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "**CartPole-v1**: last evaluation, returns over 20 episodes"
    assert lines[3] == "|---|" + "---:|" * 9
    assert {line.count("|") for line in lines[2:6]} == {11}
    assert lines[7].startswith("- dqn is better than ppo")


def test_json_has_all_numbers(two, tmp_path, capsys):
    main((two,), json=tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    dqn, ppo = found["groups"]
    assert (dqn["label"], dqn["seeds"], dqn["scores"]) == ("dqn", [0, 1, 2, 3, 4], [480, 490, 500, 495, 500])
    assert (ppo["env"], ppo["mean"], ppo["steps"], len(ppo["runs"])) == ("CartPole-v1", 393.2, 200, 5)
    assert dqn["settings"]["agent.hidden"] == [8, 8]
    (verdict,) = found["verdicts"]
    assert (verdict["a"], verdict["b"], verdict["better"]) == ("dqn", "ppo", "a")
    assert verdict["probability_of_improvement"] == {"value": 1, "low": 1, "high": 1}
    assert verdict["iqm_difference"]["value"] == pytest.approx(dqn["iqm"]["value"] - ppo["iqm"]["value"])
    assert verdict["words"] in capsys.readouterr().out


def test_a_baseline_is_compared_with_all_others_and_with_nothing_else(two, capsys):
    for seed in range(5):
        run_folder(two, [0, 1], seed, algorithm="a2c")
    main((two,), baseline="pp")
    verdicts = capsys.readouterr().out.splitlines()[6:]
    assert [v.split(" on ")[0] for v in verdicts] == ["ppo is better than a2c", "dqn is better than ppo"]
    with pytest.raises(ValueError, match=r"--baseline 'q2' fits 0 groups on CartPole-v1: 'a2c', 'dqn', 'ppo'"):
        main((two,), baseline="q2")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"gate": 390}, None),
        ({"gate": 400}, 1),
        ({"strict": True, "baseline": "dqn"}, 1),
        ({"strict": True, "baseline": "ppo"}, None),
    ],
)
def test_gates_for_ci(two, options, code, capsys):
    if code is None:
        main((two,), **options)
        return
    with pytest.raises(SystemExit) as end:
        main((two,), **options)
    assert end.value.code == code
    assert "is better than" in capsys.readouterr().out  # the report comes first


def test_over_environments(two, capsys):
    for seed, (good, bad) in enumerate(zip(GOOD, BAD)):
        run_folder(two, bad, seed, env="Acrobot-v1")
        run_folder(two, good, seed, env="Acrobot-v1", algorithm="ppo")
    main((two,))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "over 2 environments, P(dqn > ppo) = 0.50 [0.50, 0.50]"


def test_what_to_mind_is_said(tmp_path, capsys):
    run_folder(tmp_path, [1, 2], 0)
    run_folder(tmp_path, [1, 2], 1)
    run_folder(tmp_path, [3, 4, 5], 0, algorithm="ppo")
    run_folder(tmp_path, [3, 4, 5], 0, algorithm="a2c", finished=False)
    main((tmp_path,))
    err = capsys.readouterr().err
    assert "an interval of fewer than 3 runs cannot be trusted" in err
    assert "groups on CartPole-v1 are compared after 200 and 300 steps" in err
    assert "it is not finished" in err
    main((tmp_path,), unfinished=True)
    out, err = capsys.readouterr()
    assert "compared after" not in err  # all are taken at step 200, where the shortest ends
    assert out.splitlines()[2].split()[:4] == ["a2c", "1", "4.00", "-"]
    assert "3 verdicts at 95 % each" in err


def test_four_runs_are_few(tmp_path, capsys):
    for seed in range(4):
        run_folder(tmp_path, [1, 2], seed)
    main((tmp_path,))
    assert "intervals of fewer than 5 runs are too narrow" in capsys.readouterr().err


def test_options_that_make_no_sense_are_refused(two):
    with pytest.raises(ValueError, match="--last must be at least 1, got 0"):
        main((two,), last=0)
    with pytest.raises(ValueError, match="--strict needs a --baseline"):
        main((two,), strict=True)


def test_the_command_line_takes_several_paths(two, capsys):
    from rlcore.cli import main as cli

    cli(
        [
            "compare",
            str(two / "CartPole-v1" / "dqn"),
            str(two / "CartPole-v1" / "ppo"),
            "--by",
            "path",
            "--metric",
            "best",
        ]
    )
    out = capsys.readouterr().out
    assert out.startswith("CartPole-v1: best evaluation")
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["dqn", "ppo"]
    with pytest.raises(SystemExit, match=r"^rlcore: .*nowhere does not exist"):
        cli(["compare", str(two / "nowhere")])
