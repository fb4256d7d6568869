"""What is recorded: averages worked out by hand, read back by TensorBoard itself; and files that fail."""

from __future__ import annotations

import math
import shutil
import warnings

import numpy as np
import pytest

from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.harness import Checkpoint, Evaluation, Recorder, record, train
from tests.harness.fakes import Clock, Wanderer, one_step, scalars, scores

CLOCKS = {"time/fps", "time/time_elapsed"}


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(record, "time", clock)
    return clock


def test_the_averages_are_right(tmp_path, clock):
    recorder = Recorder(tmp_path, 2, every=6)
    clock.now += 1
    recorder(2, one_step(2), {"loss": np.asarray(np.float32(1)), "rollout/exploration_rate": 0.5})
    recorder(4, one_step(2, ([0, 1], [10, 20], [3, 4])), {})
    clock.now += 2
    recorder(6, one_step(2, ([1], [60], [8])), {"loss": np.float32(2), "rollout/exploration_rate": 0.25, "rare": 7})
    clock.now += 4
    recorder(8, one_step(2), {"loss": np.asarray(np.float32(8))})
    recorder(10, one_step(2), {"loss": 4.0})
    recorder(12, one_step(2), {})
    assert scalars(tmp_path) == {
        "rollout/ep_rew_mean": [(6, 30.0), (12, 30.0)],
        "rollout/ep_len_mean": [(6, 5.0), (12, 5.0)],
        "train/loss": [(6, 1.5), (12, 6.0)],
        "rollout/exploration_rate": [(6, 0.375)],
        "train/rare": [(6, 7.0)],  # over the updates that had it
        "time/fps": [(6, 2.0), (12, 1.5)],
        "time/episodes": [(6, 3.0), (12, 3.0)],
        "time/time_elapsed": [(6, 3.0), (12, 7.0)],
        "time/total_timesteps": [(6, 6.0), (12, 12.0)],
    }
    assert recorder.mean_return == 30.0


def test_the_window_is_a_hundred_episodes(tmp_path):
    recorder = Recorder(tmp_path, 1, every=130)
    assert math.isnan(recorder.mean_return)
    for t in range(1, 131):
        recorder(t, one_step(1, ([0], [t], [2 * t])), {})
    again = Recorder(tmp_path / "again", 1, every=10)
    again.load(recorder.state())
    for t in range(131, 141):
        again(t, one_step(1, ([0], [t], [2 * t])), {})
    assert scalars(tmp_path / "again")["rollout/ep_rew_mean"] == [(140, 90.5)]  # 41 to 140
    assert scalars(tmp_path / "again")["rollout/ep_len_mean"] == [(140, 181.0)]
    found = scalars(tmp_path)
    assert found["rollout/ep_rew_mean"] == [(130, 80.5)]  # 31 to 130
    assert found["rollout/ep_len_mean"] == [(130, 161.0)]
    assert found["time/episodes"] == [(130, 130.0)]


def test_nothing_is_said_of_episodes_before_one_has_ended(tmp_path):
    Recorder(tmp_path, 1, every=1)(1, one_step(), {})
    assert scalars(tmp_path).keys() == {"time/fps", "time/episodes", "time/time_elapsed", "time/total_timesteps"}


@pytest.mark.parametrize("value", [np.array(True), np.uint8(200), np.int64(3), 2, np.array(7, np.int8)])
def test_sums_of_small_types_do_not_wrap(tmp_path, value):
    recorder = Recorder(tmp_path, 1, every=100)
    for t in range(1, 101):
        recorder(t, one_step(), {"x": value})
    assert scalars(tmp_path)["train/x"] == [(100, float(value))]


def test_sums_of_half_precision_do_not_overflow(tmp_path):
    recorder = Recorder(tmp_path, 1, every=100)
    for t in range(1, 101):
        recorder(t, one_step(), {"x": np.array(2048, np.float16)})
    assert scalars(tmp_path)["train/x"] == [(100, 2048.0)]


def test_a_statistic_may_be_a_buffer_that_is_used_again(tmp_path):
    recorder, loss = Recorder(tmp_path, 1, every=2), np.zeros(())
    for t in (1, 2):
        loss[...] = t
        recorder(t, one_step(), {"loss": loss})
    assert scalars(tmp_path)["train/loss"] == [(2, 1.5)]


def test_scalars_of_others_are_written_at_the_next_flush(tmp_path):
    recorder = Recorder(tmp_path, 1)
    recorder.scalar("eval/mean_reward", np.float32(2.5), 7)
    recorder.scalar("mine/nan", math.nan, 8)
    recorder.flush_files()
    found = scalars(tmp_path)
    assert found["eval/mean_reward"] == [(7, 2.5)]
    assert math.isnan(found["mine/nan"][0][1])


def test_scores(tmp_path, clock):
    recorder = Recorder(tmp_path, 1)
    recorder(1, one_step(1, ([0], [1], [1])), {})
    clock.now += 12.5
    recorder.score(10, np.array([1.0, 2.0, 6.0]))
    recorder.score(20, np.array([0.1]))
    assert (tmp_path / "scores.tsv").read_text() == (
        "steps\tepisodes\telapsed\tmean\tmedian\tstdev\tmax\tmin\n"
        f"10\t1\t12.500\t3.0\t2.0\t{7**0.5!r}\t6.0\t1.0\n"
        "20\t1\t12.500\t0.1\t0.1\t0.0\t0.1\t0.1\n"
    )


@pytest.mark.parametrize("every", [0, -1])
def test_every_is_refused_below_one(tmp_path, every):
    with pytest.raises(ValueError, match=f"every must be at least 1 row, got {every}"):
        Recorder(tmp_path / "new", 1, every)
    assert not (tmp_path / "new").exists()


def test_a_state_brings_the_averages_back(tmp_path, clock):
    def steps(recorder, first, last):
        for t in range(first, last + 1):
            clock.now += 0.5
            recorder(t, one_step(1, ([0], [t], [t]) if t % 4 == 0 else None), {"loss": np.float32(t), "x/y": t * 0.1})

    steps(Recorder(tmp_path / "a", 1, 10), 1, 20)
    half = Recorder(tmp_path / "b", 1, 10)
    steps(half, 1, 15)
    state = half.state()
    clock.now += 100  # between two processes
    rest = Recorder(tmp_path / "b", 1, 10)
    rest.load(state)
    steps(rest, 16, 20)
    assert scalars(tmp_path / "a") == scalars(tmp_path / "b")
    assert len(list((tmp_path / "b").iterdir())) == 2  # an event file for each


def parts(folder, goal, hooks=(), n_envs=2):
    """A run with all that is recorded; gives a function that resumes and trains, and the recorder."""
    agent, env = Wanderer(), SerialEnv(lambda: Chain(3, limit=9), n_envs)
    recorder = Recorder(folder, n_envs, every=10)
    watch = Evaluation(agent, SerialEnv(lambda: Chain(3, limit=9), 2, 50), 20, 4, recorder)
    save = Checkpoint(folder / "checkpoints", 30, agent=agent, env=env, recorder=recorder, evaluation=watch)
    t = save.restore()
    if t == 0:
        recorder.clear_files()
    train(agent, env, goal, [recorder, watch, save, *hooks], t)
    return recorder


def test_a_resumed_run_records_what_an_undisturbed_one_does(tmp_path):
    parts(tmp_path / "whole", 200).flush_files()
    for goal in (20, 76, 130, 158, 200):  # checkpoints at 30, 60 ...: the logs are ahead of them each time
        recorder = parts(tmp_path / "broken", goal)
        recorder.flush_files()
        with (tmp_path / "broken" / "scores.tsv").open("a") as file:
            file.write("a line cut sh" if goal < 200 else "")
    assert len(scores(tmp_path / "whole")) == 10
    assert scores(tmp_path / "broken") == scores(tmp_path / "whole")
    whole, broken = scalars(tmp_path / "whole"), scalars(tmp_path / "broken")
    assert whole.keys() == broken.keys() > {"train/loss", "rollout/ep_rew_mean", "eval/mean_reward"}
    for tag in whole.keys() - CLOCKS:
        assert broken[tag] == whole[tag], tag
    for tag in CLOCKS:
        assert [t for t, _ in broken[tag]] == [t for t, _ in whole[tag]]


def test_recorders_that_begin_in_one_second_lose_nothing(tmp_path, clock):
    for k in range(12):
        recorder = Recorder(tmp_path, 1)
        recorder.scalar("x", k, k)
        recorder.flush_files()
    assert scalars(tmp_path)["x"] == [(k, float(k)) for k in range(12)]


def test_a_log_shorter_than_the_state_says_is_left(tmp_path):
    recorder = Recorder(tmp_path, 1)
    recorder.score(1, np.ones(2))
    state = recorder.state()
    (tmp_path / "scores.tsv").write_text("short\n")
    recorder.load(state)
    assert (tmp_path / "scores.tsv").read_text() == "short\n"


def test_logs_without_a_checkpoint_are_cleared(tmp_path):
    recorder = Recorder(tmp_path, 1, every=1)
    recorder(1, one_step(), {})
    recorder.score(1, np.ones(2))
    (tmp_path / "config.json").write_text("{}")
    assert len(list(tmp_path.iterdir())) == 3
    recorder.clear_files()
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def use(recorder, times=3):
    """All that can fail."""
    for t in range(1, times + 1):
        recorder(t, one_step(1, ([0], [1], [1])), {"loss": 1.0})
        recorder.score(t, np.ones(3))
        recorder.scalar("eval/mean_reward", 1.0, t)
        recorder.flush_files()
        recorder.load(recorder.state())


def test_a_folder_that_cannot_be_made_warns_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="no more is recorded in .*file.*; training goes on"):
        recorder = Recorder(tmp_path / "file", 1, every=1)
    use(recorder)  # from here on a warning would be an error
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    "fails",
    [lambda r: r.flush(4), lambda r: r.score(4, np.ones(2)), lambda r: (r.scalar("x", 1.0, 4), r.state()), use],
    ids=["flush", "score", "state", "use"],
)
def test_a_folder_that_vanishes_warns_once(tmp_path, fails):
    recorder = Recorder(tmp_path / "run", 1, every=1)
    use(recorder)
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(UserWarning, match="no more is recorded in .*run: .*No such file.*; training goes on") as caught:
        fails(recorder)
    assert len(caught) == 1
    use(recorder)  # from here on a warning would be an error
    assert not (tmp_path / "run").exists()
    assert recorder.mean_return == 1.0  # it goes on counting


def test_a_file_in_the_place_of_the_folder_warns_once(tmp_path):
    recorder = Recorder(tmp_path / "run", 1, every=1)
    use(recorder)
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").write_text("")
    with pytest.warns(UserWarning, match="no more is recorded") as caught:
        use(recorder)
    assert len(caught) == 1


@pytest.mark.parametrize("which", ["scores.tsv", "tfevents"])
def test_a_full_disk_warns_once(tmp_path, monkeypatch, which):
    recorder = Recorder(tmp_path, 1, every=1)
    use(recorder)
    really = record.append

    def full(path, data):
        if which in path.name:
            raise OSError(28, "No space left on device")
        really(path, data)

    monkeypatch.setattr(record, "append", full)
    with pytest.warns(UserWarning, match="No space left on device; training goes on") as caught:
        use(recorder)
    assert len(caught) == 1


@pytest.mark.parametrize("which", ["scores.tsv", "tfevents"])
def test_a_link_is_not_followed(tmp_path, which):
    """Neither for more to be written, nor to be cut or deleted at its end."""
    run, mine = tmp_path / "run", tmp_path / "mine"
    recorder = Recorder(run, 1, every=1)
    use(recorder)
    state = recorder.state()
    (path,) = [p for p in run.iterdir() if which in p.name][-1:]
    path.unlink()
    path.symlink_to(mine)
    mine.write_text("precious" * 10_000)
    other = Recorder(run, 1, every=1)
    other._events = recorder._events
    with pytest.warns(UserWarning, match="no more is recorded.*no regular file"):
        use(other)
    third = Recorder(run, 1, every=1)
    with pytest.warns(UserWarning, match="no more is recorded.*no regular file"):
        third.load(state)
    assert mine.read_text() == "precious" * 10_000


def test_nothing_is_warned_of_when_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(Recorder(tmp_path / "a" / "b", 1, every=1))
