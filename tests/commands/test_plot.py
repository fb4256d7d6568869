"""`rlcore plot` from run folders to a picture."""

import pytest

from rlcore.commands import plot
from tests.harness.folders import run_folder


@pytest.fixture
def drawn(monkeypatch):
    """What is given to be drawn."""
    calls = []
    monkeypatch.setattr(plot, "draw", lambda *args: calls.append(args))
    return calls


def test_a_panel_for_each_environment_and_a_curve_for_each_group(tmp_path, drawn, capsys):
    for seed in range(3):
        run_folder(tmp_path, [1, 2], seed, seconds=60)
        run_folder(tmp_path, [3, 9 * seed], seed, algorithm="ppo", seconds=60)
        run_folder(tmp_path, [1, 2], seed, env="Acrobot-v1", finished=seed > 0)
    plot.main((tmp_path,), out=tmp_path / "a.png")
    plot.main((tmp_path,), out=tmp_path / "a.png", x="time", mean=True, all_runs=True, unfinished=True)
    (panels, out, column, y, all_runs), (times, _, seconds, means, thin) = drawn
    assert {env: [c.label for c in curves] for env, curves in panels.items()} == {
        "Acrobot-v1": ["dqn (2 seeds)"],
        "CartPole-v1": ["dqn (3 seeds)", "ppo (3 seeds)"],
    }
    assert (out, column, y, all_runs) == (
        tmp_path / "a.png",
        "steps",
        "return (IQM, 95 % interval)",
        False,
    )
    assert (seconds, means, thin) == ("elapsed", "return (mean, 95 % interval)", True)
    assert times["Acrobot-v1"][0].label == "dqn (3 seeds)"
    assert times["CartPole-v1"][1].x.tolist() == [60, 120]
    assert times["CartPole-v1"][1].middle.tolist() == [3, 9]
    shown, err = capsys.readouterr()
    assert shown.splitlines()[0] == f"{tmp_path / 'a.png'}: learning curves on Acrobot-v1, CartPole-v1"
    assert err.count("it is not finished") == 1


def test_a_picture_comes_out(tmp_path):
    pytest.importorskip("matplotlib")
    run_folder(tmp_path, [1, 2])
    plot.main((tmp_path,), out=tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
