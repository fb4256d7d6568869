"""What is recorded: averages worked out by hand, read back by TensorBoard itself; and files that fail."""

from __future__ import annotations

import math
import shutil
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from rlcore.autograd.links import Linear
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.harness import Checkpoint, Evaluation, Recorder, events, logs, record, train
from tests.autograd import device
from tests.harness.fakes import Clock, Wanderer, lines, one_step, scalars, scores

CLOCKED = {"time/fps": 0, "time/time_elapsed": 0, "time/memory_mb": 0}
CLOCKS = {"time/fps", "time/time_elapsed", "time/memory_mb", "charts/SPS", "charts/time_elapsed", "charts/memory_mb"}


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(record, "time", clock)
    monkeypatch.setattr(events, "time", clock)
    monkeypatch.setattr(record, "resident_bytes", lambda: 2_500_000)
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
        "time/memory_mb": [(6, 2.5), (12, 2.5)],
    }
    assert recorder.mean_return == 30.0


def test_of_a_count_the_newest_is_written(tmp_path):
    recorder = Recorder(tmp_path, 2, every=4)
    for t, stats in ((2, {"n_updates": 3, "loss": 1.0}), (4, {"n_updates": 5, "loss": 2.0}), (6, {"n_updates": 6})):
        recorder(t, one_step(2), stats)
    recorder.flush(6)
    assert scalars(tmp_path)["train/n_updates"] == [(4, 5.0), (6, 6.0)]


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


def test_nothing_is_said_of_what_is_not_there(tmp_path, monkeypatch):
    """Of episodes before one has ended, and of memory where the system does not tell."""
    monkeypatch.setattr(record, "resident_bytes", lambda: None)
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


def test_statistics_that_are_no_numbers_leave_no_half_row(tmp_path):
    recorder = Recorder(tmp_path, 1, every=3)
    recorder(1, one_step(), {"a": 1.0, "b": 10.0})
    with pytest.raises(ValueError, match="size 1"):
        recorder(2, one_step(), {"a": 2.0, "b": np.ones(2)})
    recorder(3, one_step(), {"a": 3.0, "b": 20.0})
    found = scalars(tmp_path)
    assert (found["train/a"], found["train/b"]) == ([(3, 2.0)], [(3, 15.0)])


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
    assert len(list((tmp_path / "b").glob("events.*"))) == 2  # one of each process
    assert [{**row, **CLOCKED} for row in lines(tmp_path / "a")] == [
        {**row, **CLOCKED} for row in lines(tmp_path / "b")
    ]


def parts(folder, goal, n_envs=2, **settings):
    """A run with all that is recorded, gone on with up to a row; gives the recorder."""
    agent, env = Wanderer(), SerialEnv(lambda: Chain(3, limit=9), n_envs)
    recorder = Recorder(folder, n_envs, every=10, **settings)
    watch = Evaluation(agent, SerialEnv(lambda: Chain(3, limit=9), 2, 50), 20, 4, recorder)
    save = Checkpoint(folder / "checkpoints", 30, agent=agent, env=env, recorder=recorder, evaluation=watch)
    t = save.restore()
    if t == 0:
        recorder.clear_files()
    train(agent, env, goal, [recorder, watch, save], t)
    return recorder


@pytest.mark.parametrize("tags", ["sb3", "cleanrl"])
def test_a_resumed_run_records_what_an_undisturbed_one_does(tmp_path, tags):
    settings = {"tags": tags, "hyperparameters": {"gamma": 0.9}}
    parts(tmp_path / "whole", 200, **settings).flush_files()
    for goal in (20, 76, 130, 158, 200):  # checkpoints at 30, 60 ...: the logs are ahead of them each time
        recorder = parts(tmp_path / "broken", goal, **settings)
        recorder.flush_files()
        for name in ("scores.tsv", "scalars.jsonl"):
            with (tmp_path / "broken" / name).open("a") as file:
                file.write("a line cut sh" if goal < 200 else "")
    assert len(scores(tmp_path / "whole")) == 10
    assert scores(tmp_path / "broken") == scores(tmp_path / "whole")
    whole, broken = scalars(tmp_path / "whole"), scalars(tmp_path / "broken")
    some = {"train/loss", "rollout/ep_rew_mean", "eval/mean_reward"}
    if tags == "cleanrl":
        some = {"losses/td_loss", "charts/episodic_return", "eval/episodic_return"}
    assert whole.keys() == broken.keys() > some
    for tag in whole.keys() - CLOCKS:
        assert broken[tag] == whole[tag], tag
    for tag in whole.keys() & CLOCKS:
        assert [t for t, _ in broken[tag]] == [t for t, _ in whole[tag]]
    clocked = [
        [{**row, **dict.fromkeys(CLOCKS & row.keys())} for row in lines(tmp_path / name)]
        for name in ("whole", "broken")
    ]
    assert clocked[0] == clocked[1]
    described = [path for path in (tmp_path / "broken").glob("events.*") if b"session_start_info" in path.read_bytes()]
    assert len(described) == 1


def test_json_lines_hold_all_scalars(tmp_path, clock):
    recorder = Recorder(tmp_path, 1, every=2)
    clock.now += 1
    recorder.scalar("eval/mean_reward", 0.1, 1)
    recorder.scalar("mine/a", math.nan, 2)
    recorder.scalar("mine/b", -math.inf, 2)
    recorder.scalar("mine/a", 2**70, 2)
    recorder(2, one_step(), {"loss": 0.25})
    counts = {"time/episodes": 0.0, "time/total_timesteps": 2.0, "time/memory_mb": 2.5}
    assert lines(tmp_path) == [
        {"t": 1, "eval/mean_reward": 0.1},
        {"t": 2, "mine/a": "NaN", "mine/b": "-Infinity"},
        {"t": 2, "mine/a": 2.0**70, "train/loss": 0.25, "time/fps": 2.0, "time/time_elapsed": 1.0, **counts},
    ]
    assert [float(row["mine/a"]) for row in lines(tmp_path)[1:]][1] == 2.0**70
    found = scalars(tmp_path)
    assert [t for t, _ in found["mine/a"]] == [2, 2]
    assert found["train/loss"] == [(2, 0.25)]


def test_cleanrl_has_each_episode_at_its_row(tmp_path, clock):
    recorder = Recorder(tmp_path, 2, every=6, tags="cleanrl")
    clock.now += 3
    recorder(2, one_step(2), {"loss": 2.0, "learning_rate": 0.5, "rollout/exploration_rate": 0.25})
    recorder(4, one_step(2, ([0, 1], [10, 20], [3, 4])), {})
    recorder(6, one_step(2, ([1], [60], [8])), {})
    recorder.scalar("eval/mean_reward", 7.0, 6)
    recorder.flush_files()
    assert scalars(tmp_path) == {
        "charts/episodic_return": [(4, 10.0), (4, 20.0), (6, 60.0)],
        "charts/episodic_length": [(4, 3.0), (4, 4.0), (6, 8.0)],
        "losses/td_loss": [(6, 2.0)],
        "charts/learning_rate": [(6, 0.5)],
        "charts/epsilon": [(6, 0.25)],
        "charts/SPS": [(6, 2.0)],
        "charts/episodes": [(6, 3.0)],
        "charts/time_elapsed": [(6, 3.0)],
        "charts/total_timesteps": [(6, 6.0)],
        "charts/memory_mb": [(6, 2.5)],
        "eval/episodic_return": [(6, 7.0)],
    }
    assert recorder.mean_return == 30.0


def test_statistics_on_a_device_come_over_once_a_flush(tmp_path, monkeypatch):
    device.install(monkeypatch)
    cupy, transfers = device.module(), []
    monkeypatch.setattr(cupy, "asnumpy", lambda array: transfers.append(array) or array.hidden)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    recorder = Recorder(tmp_path, 1, every=100)
    for t in range(1, 101):
        half = cupy.asarray(2048, np.float16)  # whose sum would overflow
        recorder(t, one_step(), {"a": half, "b": cupy.asarray(t, np.int8), "c": float(t)})
    found = scalars(tmp_path)
    assert (found["train/a"], found["train/b"], found["train/c"]) == ([(100, 2048.0)], [(100, 50.5)], [(100, 50.5)])
    assert len(transfers) == 1


class Model(Linear):
    """Two weights, whose values and gradients are set by hand."""

    def __init__(self, weights):
        super().__init__(2, 1, nobias=True)
        self.W.array[...] = weights


def histograms(folder):
    """What TensorBoard finds in a folder: tag -> [(step, min, max, number, sum, values in the buckets)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    read = {tag: found.Histograms(tag) for tag in found.Tags()["histograms"]}
    return {
        tag: [(e.step, *(getattr(e.histogram_value, x) for x in ("min", "max", "num", "sum"))) for e in drawn]
        for tag, drawn in read.items()
    }


def test_histograms_are_drawn_at_the_first_update_after_they_are_due(tmp_path):
    model = Model([[1.0, 3.0]])
    recorder = Recorder(tmp_path, 1, model=model, histograms_every=4)
    for t in range(1, 10):
        model.W.grad = np.array([[t, 5.0]], np.float32) if t > 2 else None
        recorder(t, one_step(), {"loss": 1.0} if t in (2, 3, 6, 7) else {})
    recorder.flush_files()
    assert histograms(tmp_path) == {
        "parameters/W": [(6, 1.0, 3.0, 2.0, 4.0)],
        "gradients/W": [(6, 5.0, 6.0, 2.0, 11.0)],
    }
    again = Recorder(tmp_path / "again", 1, model=model, histograms_every=4)
    again.load(recorder.state())  # due at row 8, and no update since
    again(10, one_step(), {"loss": 1.0})
    again.flush_files()
    assert histograms(tmp_path / "again")["parameters/W"] == [(10, 1.0, 3.0, 2.0, 4.0)]


def test_parameters_without_a_size_or_a_gradient_are_left_out(tmp_path):
    model = Linear(None, 2)
    recorder = Recorder(tmp_path, 1, model=model, histograms_every=1)
    recorder(1, one_step(), {"loss": 1.0})
    recorder.flush_files()
    assert histograms(tmp_path).keys() == {"parameters/b"}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"tags": "wandb"}, "tags must be 'sb3' or 'cleanrl', got 'wandb'"),
        ({"histograms_every": 10}, "takes a model"),
        ({"histograms_every": -1}, "0 or more"),
    ],
)
def test_settings_are_refused(tmp_path, settings, text):
    with pytest.raises(ValueError, match=text):
        Recorder(tmp_path / "new", 1, **settings)
    assert not (tmp_path / "new").exists()


def test_hyperparameters_are_what_tensorboard_shows(tmp_path):
    """By TensorBoard's own plugin, over two runs with other settings."""
    for name, lr in (("a", 0.1), ("b", 0.2)):
        values = {"lr": lr, "algorithm": "dqn", "hidden": [64, 64], "dueling": False, "limit": None}
        recorder = Recorder(tmp_path / name, 1, hyperparameters=values)
        recorder.scalar("eval/mean_reward", 10 * lr, 5)
        recorder.flush_files()
    found = sessions(tmp_path)
    assert found["names"] == {"lr", "algorithm", "hidden", "dueling", "limit"}
    assert found["metrics"] == {"eval/mean_reward"}
    assert found["values"] == {
        "a": {"lr": 0.1, "algorithm": "dqn", "hidden": "[64, 64]", "dueling": False, "limit": "null"},
        "b": {"lr": 0.2, "algorithm": "dqn", "hidden": "[64, 64]", "dueling": False, "limit": "null"},
    }


def sessions(folder):
    """What the tab HPARAMS makes of a folder of runs."""
    from google.protobuf.json_format import MessageToDict
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    ctx, context = RequestContext(), backend_context.Context(TBContext(data_provider=provider))
    metadata = context.hparams_metadata(ctx, "")
    experiment = context.experiment_from_metadata(
        ctx, "", True, metadata, provider.list_hyperparameters(ctx, experiment_ids=[""])
    )
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_RUNNING, api_pb2.STATUS_SUCCESS]
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=10, allowed_statuses=statuses)
    groups = list_session_groups.Handler(ctx, context, "", request).run().session_groups
    return {
        "names": {info.name for info in experiment.hparam_infos},
        "metrics": {info.name.tag for info in experiment.metric_infos},
        "values": {g.sessions[0].name: {k: MessageToDict(v) for k, v in g.hparams.items()} for g in groups},
    }


def test_a_state_of_something_else_is_refused(tmp_path):
    recorder = Recorder(tmp_path, 1, every=1)
    recorder.scalar("x", 1.0, 1)
    state = recorder.state()
    for name in state:
        with pytest.raises(ValueError, match=f"load: {name} of a recorder is"):
            recorder.load({**state, name: SimpleNamespace()})
        with pytest.raises(ValueError, match=f"load: {name} of a recorder is"):
            recorder.check(
                {key: value for key, value in state.items() if key != name} | ({name: 1.5} if name == "files" else {})
            )
    assert lines(tmp_path) == [{"t": 1, "x": 1.0}]


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
    assert len(list(tmp_path.iterdir())) == 4
    recorder.clear_files()
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def use(recorder, times=3, first=1):
    """All that can fail."""
    for t in range(first, first + times):
        recorder(t, one_step(1, ([0], [1], [1])), {"loss": 1.0})
        recorder.score(t, np.ones(3))
        recorder.scalar("eval/mean_reward", 1.0, t)
        recorder.flush_files()
        recorder.state()


@pytest.mark.fault(11)
def test_a_folder_that_cannot_be_made_warns_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="the logs in .*file cannot be written: .*; training goes on"):
        recorder = Recorder(tmp_path / "file", 1, every=1)
    use(recorder)  # from here on a warning would be an error
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    "fails",
    [lambda r: r.flush(4), lambda r: r.score(4, np.ones(2)), lambda r: (r.scalar("x", 1.0, 4), r.state()), use],
    ids=["flush", "score", "state", "use"],
)
def test_a_folder_that_vanishes_warns_once(tmp_path, fails):
    recorder = Recorder(tmp_path / "run", 1, every=1)
    use(recorder)
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(UserWarning, match="the logs in .*run cannot be written: .*No such file.*; training") as caught:
        fails(recorder)
    assert len(caught) == 1
    use(recorder, first=5)  # from here on a warning would be an error
    assert [row["steps"] for row in scores(tmp_path / "run")][-3:] == ["5", "6", "7"]  # it has been made again
    assert scalars(tmp_path / "run")["faults/recorder"][-1] == (7, recorder.faults)
    assert recorder.mean_return == 1.0


@pytest.mark.fault(11)
def test_a_file_in_the_place_of_the_folder_warns_once(tmp_path):
    recorder = Recorder(tmp_path / "run", 1, every=1)
    use(recorder)
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").write_text("")
    with pytest.warns(UserWarning, match="cannot be written") as caught:
        use(recorder)
    assert len(caught) == 1


@pytest.mark.fault(11)
@pytest.mark.parametrize("which", ["scores.tsv", "scalars.jsonl", "tfevents"])
def test_what_a_full_disk_does_not_take_waits(tmp_path, monkeypatch, which):
    recorder, twin = Recorder(tmp_path / "a", 1, every=1), Recorder(tmp_path / "b", 1, every=1)
    use(recorder)
    really = logs.append

    def full(path, data):
        if which in path.name:
            raise OSError(28, "No space left on device")
        really(path, data)

    monkeypatch.setattr(logs, "append", full)
    with pytest.warns(UserWarning, match="No space left on device; training goes on") as caught:
        use(recorder, first=4)
    assert len(caught) == 1
    before = recorder.faults
    assert before >= 3
    monkeypatch.setattr(logs, "append", really)
    use(recorder, first=7)
    assert recorder.faults == before
    use(twin, 9)
    assert scores(tmp_path / "a") == scores(tmp_path / "b")
    ours, other = scalars(tmp_path / "a"), scalars(tmp_path / "b")
    assert ours.pop("faults/recorder")[-1] == (9, before)
    assert {tag: ours[tag] for tag in ours.keys() - CLOCKS} == {tag: other[tag] for tag in other.keys() - CLOCKS}
    assert [row["t"] for row in lines(tmp_path / "a")] == [row["t"] for row in lines(tmp_path / "b")]


@pytest.mark.fault(11)
def test_a_tensorboard_that_fails_leaves_the_rest(tmp_path, monkeypatch):
    def broken(*args):
        raise TypeError("Descriptors cannot be created directly")

    for name in ("version", "scalars"):
        monkeypatch.setattr(events, name, broken)
    recorder = Recorder(tmp_path, 1, every=1)
    with pytest.warns(UserWarning, match="Descriptors cannot be created directly; training goes on"):
        use(recorder, 1)
    use(recorder, 2, first=2)
    assert {path.name for path in tmp_path.iterdir()} == {"scores.tsv", "scalars.jsonl"}
    assert [row["t"] for row in lines(tmp_path)] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("which", ["scores.tsv", "scalars.jsonl", "tfevents"])
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
    with pytest.warns(UserWarning, match="cannot be written.*no regular file"):
        use(other)
    third = Recorder(run, 1, every=1)
    with pytest.warns(UserWarning, match="cannot be written.*no regular file"):
        third.load(state)
    assert mine.read_text() == "precious" * 10_000


def test_nothing_is_warned_of_when_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(Recorder(tmp_path / "a" / "b", 1, every=1))
