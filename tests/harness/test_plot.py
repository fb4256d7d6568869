"""Learning curves: the numbers that are drawn, and the picture read back."""

import builtins

import numpy as np
import pytest

from rlcore.harness import plot
from rlcore.harness.plot import Curve, curve, draw
from rlcore.harness.runs import find
from rlcore.harness.stats import bootstrap
from rlcore.rng import generator
from tests.harness.folders import run_folder


def group(tmp_path, runs):
    for seed, scores in enumerate(runs):
        run_folder(tmp_path, scores, seed)
    return find([tmp_path]).groups[0]


def test_a_curve_is_the_iqm_of_its_runs_with_the_bootstraps_interval(tmp_path):
    runs = [[0, 10], [2, 30], [4, 20], [6, 50], [8, 40]]
    found = curve(group(tmp_path, runs))
    assert found.label == "dqn (5 seeds)"
    assert found.x.tolist() == [100, 200]
    np.testing.assert_array_equal(found.runs, runs)
    np.testing.assert_allclose(found.middle, [4, 30])
    expected = bootstrap([np.array(runs, float)], generator(0), resamples=plot.RESAMPLES)
    np.testing.assert_array_equal([found.low, found.high], [expected.low, expected.high])
    np.testing.assert_allclose(
        curve(group(tmp_path / "b", [*runs[:3], [99, 99]]), statistic=np.mean).middle, [26.25, 39.75]
    )


def test_two_runs_have_no_band(tmp_path):
    found = curve(group(tmp_path, [[0, 10], [2, 30]]))
    assert (found.low, found.high) == (None, None)
    assert found.label == "dqn (2 seeds)"
    assert curve(group(tmp_path / "one", [[0, 10]])).label == "dqn (1 seed)"


def test_runs_that_never_meet_are_refused(tmp_path):
    run_folder(tmp_path, [1], 0, steps=900)
    run_folder(tmp_path, [1, 2], 1, steps=900, every=200, monitor={"eval_every": 100, "eval_episodes": 20})
    with pytest.raises(ValueError, match="the runs of dqn on CartPole-v1 have no evaluations at a common steps"):
        curve(find([tmp_path]).groups[0])


x = np.arange(0.0, 60_001, 10_000)
RISING = Curve("dqn (5 seeds)", x, x / 120, x / 130, x / 110, np.stack([x / 130, x / 110]))
FEW = Curve("ppo (2 seeds)", x, 500 - x / 120, None, None, np.stack([500 - x / 130, 500 - x / 110]))


@pytest.mark.parametrize("all_runs", [False, True])
def test_the_picture_has_the_lines_in_their_colours(tmp_path, all_runs):
    image = pytest.importorskip("matplotlib.image")
    draw({"CartPole-v1": [RISING, FEW]}, tmp_path / "a.png", all_runs=all_runs)
    pixels = image.imread(tmp_path / "a.png")[:, :, :3]
    assert pixels.shape == (600, 960, 3)
    assert (pixels == 1).mean() > 0.5  # the paper
    for colour in plot.COLOURS[:2]:
        rgb = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        assert (np.abs(pixels - rgb).max(axis=2) < 0.01).sum() > 500, colour
    assert not (np.abs(pixels - [0, 158 / 255, 115 / 255]).max(axis=2) < 0.01).any()  # a third colour


def test_each_run_is_drawn_where_it_is_asked_for_or_where_there_is_no_band(tmp_path):
    pytest.importorskip("matplotlib")

    def picture(one, all_runs=False):
        draw({"CartPole-v1": [one]}, tmp_path / "a.png", all_runs=all_runs)
        return (tmp_path / "a.png").read_bytes()

    assert picture(RISING) != picture(RISING, all_runs=True)
    assert picture(FEW) == picture(FEW, all_runs=True) != picture(FEW._replace(runs=FEW.runs[:1]))


def test_panels_share_colours_and_are_set_in_rows(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    draw({f"env {k}": [RISING] if k else [FEW, RISING] for k in range(4)}, tmp_path / "a.png", x="elapsed")
    assert image.imread(tmp_path / "a.png").shape[:2] == (1200, 2340)


def test_a_point_alone_is_seen(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    alone = Curve("dqn (1 seed)", x[:1], x[:1], None, None, x[None, :1])
    draw({"CartPole-v1": [alone]}, tmp_path / "a.png")
    pixels = image.imread(tmp_path / "a.png")[:300, :, :3]  # above the legend
    assert (np.abs(pixels - [0, 114 / 255, 178 / 255]).max(axis=2) < 0.01).sum() > 20


def test_the_kind_of_picture_is_its_ending(tmp_path):
    pytest.importorskip("matplotlib")
    draw({"CartPole-v1": [RISING]}, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(ValueError, match=r"no pictures of kind 'csv'; the ending must be one of .*png"):
        draw({"CartPole-v1": [RISING]}, tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_without_matplotlib_it_is_said_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r'pip install "rlcore\[plot\]"'):
        draw({"CartPole-v1": [RISING]}, tmp_path / "a.png")


@pytest.mark.parametrize(("value", "text"), [(10_000, "10,000"), (0.25, "0.25"), (-500, "-500"), (1234.5, "1,234")])
def test_thousands(value, text):
    assert plot._thousands(value) == text
