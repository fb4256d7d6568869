"""Event files, as TensorBoard reads them."""

import struct

import numpy as np
import pytest

from rlcore.harness import events

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder):
    return event_accumulator.EventAccumulator(str(folder)).Reload()


def test_scalars_of_a_row_are_one_event(tmp_path):
    (tmp_path / "events.out.tfevents.1.here").write_bytes(
        events.version() + events.scalars({"a/b": 1.5, "c": -2.0}, 7, 100.0) + events.scalars({"c": np.inf}, 9, 101.0)
    )
    found = read(tmp_path)
    assert [(e.wall_time, e.step, e.value) for e in found.Scalars("a/b")] == [(100.0, 7, 1.5)]
    assert [(e.wall_time, e.step, e.value) for e in found.Scalars("c")] == [(100.0, 7, -2.0), (101.0, 9, np.inf)]


def test_a_histogram_counts_what_is_finite(tmp_path):
    values = np.array([[0.0, 1.0, 64.0], [64.0, np.nan, -np.inf]])
    (tmp_path / "events.out.tfevents.1.here").write_bytes(events.version() + events.histogram("h", values, 3))
    (drawn,) = read(tmp_path).Histograms("h")
    h = drawn.histogram_value
    assert (drawn.step, h.min, h.max, h.num, h.sum, h.sum_squares) == (3, 0.0, 64.0, 4.0, 129.0, 8193.0)
    assert h.bucket_limit == [*range(1, 65)]
    assert h.bucket == [1, 1, *[0] * 61, 2]  # a bucket ends before its limit, the last one with it


@pytest.mark.parametrize(
    "values",
    [np.full(5, 0.1, np.float32), np.array(3), np.array([1e308, -1e308]), np.array([1e16, 1e16 + 2]), np.ones(9, bool),
     np.array([1, 200], np.uint8), np.array([2048] * 99, np.float16)],
)  # fmt: skip
def test_a_histogram_of_extremes(tmp_path, values):
    (tmp_path / "events.out.tfevents.1.here").write_bytes(events.version() + events.histogram("h", values, 3))
    (drawn,) = read(tmp_path).Histograms("h")
    assert sum(drawn.histogram_value.bucket) == drawn.histogram_value.num == values.size


@pytest.mark.parametrize("values", [np.zeros((0, 3)), np.array([np.nan, np.inf])])
def test_a_histogram_of_nothing_is_nothing(values):
    assert events.histogram("h", values, 3) == b""


@pytest.mark.fault(46)
@pytest.mark.parametrize("now", [50.0, 1000.0, 2e9])
def test_a_new_file_is_read_after_those_that_are_there(tmp_path, monkeypatch, now):
    """TensorBoard reads a folder in the order of names: a clock that was set back must not turn a curve around."""
    first = events.new_path(tmp_path)
    first.touch()
    (tmp_path / "events.out.tfevents.odd").touch()
    monkeypatch.setattr(events.time, "time", lambda: now)
    second = events.new_path(tmp_path)
    second.touch()
    assert [p.name for p in events.paths(tmp_path)[:2]] == [first.name, second.name]
    assert events.is_name(second.name)
    assert not events.is_name("scores.tsv")


def test_hyperparameters_of_any_kind():
    pytest.importorskip("tensorboardX")
    values = {
        "a": True,
        "b": 3,
        "c": 0.5,
        "d": "x",
        "e": [1, None],
        "f": None,
        "gr": {"k": 1, "l": {"m": "1e-3"}},
        "h": object,
    }
    written = events.hyperparameters(values)
    for name in [*"abcdefh", "gr.k", "gr.l.m"]:
        assert name.encode() in written
    assert b"1e-3" not in written
    assert struct.pack("<d", 1e-3) in written
    assert b"[1, null]" in written
