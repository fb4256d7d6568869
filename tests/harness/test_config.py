"""Configs: JSON and back; what does not fit is named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlcore.agents.dqn import DQNConfig
from rlcore.explorers import Schedule
from rlcore.harness.config import from_dict, load_config, save_config, to_dict


@dataclass(frozen=True)
class Inner:
    size: int = 3
    name: str = "x"


@dataclass(frozen=True)
class Config:
    learning_rate: Schedule = Schedule(1e-3)
    gamma: float = 0.99
    batch_size: int = 32
    dueling: bool = False
    name: str = "net"
    hidden: tuple[int, ...] = (64, 64)
    filters: tuple[tuple[int, ...], ...] = ((8, 4), (4, 2))
    clip: float | None = None
    inner: Inner = Inner()
    bounds: list[float] = field(default_factory=list)


FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
SCHEDULES = st.builds(Schedule, FLOATS) | st.builds(Schedule, FLOATS, FLOATS, st.integers(1, 10**9))
CONFIGS = st.builds(
    Config,
    learning_rate=SCHEDULES,
    gamma=st.floats(allow_nan=False),
    batch_size=st.integers(),
    dueling=st.booleans(),
    name=st.text(),
    hidden=st.lists(st.integers(), max_size=3).map(tuple),
    filters=st.lists(st.lists(st.integers(), max_size=2).map(tuple), max_size=2).map(tuple),
    clip=st.none() | FLOATS,
    inner=st.builds(Inner, st.integers(), st.text()),
    bounds=st.lists(FLOATS, max_size=3),
)


@given(CONFIGS)
def test_there_and_back(config):
    data = to_dict(config)
    assert json.loads(json.dumps(data)) == data  # nothing in it that JSON would change: configs are compared so
    assert from_dict(Config, json.loads(json.dumps(data))) == config


def test_it_is_plain_json():
    assert to_dict(Config(learning_rate=Schedule(1, 0.05, 5000), clip=0.5)) == {
        "learning_rate": "linear:1:0.05:5000", "gamma": 0.99, "batch_size": 32, "dueling": False, "name": "net",
        "hidden": [64, 64], "filters": [[8, 4], [4, 2]], "clip": 0.5, "inner": {"size": 3, "name": "x"}, "bounds": [],
    }  # fmt: skip


def test_a_shipped_config_comes_back():
    config = DQNConfig(hidden=(7,), epsilon=Schedule(0.5))
    assert from_dict(DQNConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("value", "schedule"),
    [("3e-4", Schedule(3e-4)), (3e-4, Schedule(3e-4)), (1, Schedule(1.0)), ("linear:1:0.1:50", Schedule(1.0, 0.1, 50))],
)
def test_a_schedule_is_a_number_or_its_text(value, schedule):
    assert from_dict(Config, {"learning_rate": value}).learning_rate == schedule


def test_what_is_left_out_has_its_default():
    assert from_dict(Config, {}) == Config()
    assert from_dict(Config, {"inner": {"size": 9}}).inner == Inner(9, "x")


def test_whole_numbers_are_floats_too():
    gamma = from_dict(Config, {"gamma": 1}).gamma
    assert (gamma, type(gamma)) == (1.0, float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"gama": 1}, r"Config has no field 'gama'; did you mean gamma, name\?"),
        ({"batchsize": 1}, r"no field 'batchsize'; did you mean batch_size\?"),
        ({"zzzzzz": 1}, r"no field 'zzzzzz'; did you mean learning_rate, gamma, batch_size, .*bounds\?"),
        ({"inner": {"sise": 1}}, r"Inner has no field 'sise'; did you mean size\?"),
        ({"learning_rate": "fast"}, "'fast' is no schedule"),
    ],
)
def test_unknown_fields_and_schedules_are_named(data, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Config, data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"gamma": "0.9"}, r"Config\.gamma takes float, got '0\.9'"),
        ({"gamma": True}, "Config.gamma takes float, got True"),
        ({"gamma": None}, "Config.gamma takes float, got None"),
        ({"batch_size": 1.5}, "Config.batch_size takes int, got 1.5"),
        ({"batch_size": True}, "Config.batch_size takes int, got True"),
        ({"dueling": 1}, "Config.dueling takes bool, got 1"),
        ({"name": 3}, "Config.name takes str, got 3"),
        ({"hidden": 64}, "Config.hidden takes .*tuple.*, got 64"),
        ({"hidden": [64, "64"]}, "Config.hidden takes int, got '64'"),
        ({"filters": [[1], 2]}, "Config.filters takes .*tuple.*, got 2"),
        ({"clip": "much"}, "Config.clip takes float, got 'much'"),
        ({"learning_rate": True}, "Config.learning_rate takes Schedule, got True"),
        ({"learning_rate": None}, "Config.learning_rate takes Schedule, got None"),
        ({"inner": 3}, "Config.inner takes Inner, got 3"),
        ({"inner": {"size": "3"}}, "Inner.size takes int, got '3'"),
        (3, "Config takes an object of its fields, got 3"),
    ],
)
def test_wrong_types_are_named(data, message):
    with pytest.raises(TypeError, match=message):
        from_dict(Config, data)


def test_files_go_there_and_back(tmp_path):
    data: dict[str, Any] = {"a": 1, "b": [1.5, None, "ü"], "c": {"d": True}}
    save_config(tmp_path / "config.json", data)
    assert load_config(tmp_path / "config.json") == data
    assert (tmp_path / "config.json").read_text().endswith("}\n")


def test_a_file_is_never_overwritten_nor_left_half(tmp_path):
    save_config(tmp_path / "config.json", {"a": 1})
    with pytest.raises(FileExistsError):
        save_config(tmp_path / "config.json", {"a": 2})
    assert load_config(tmp_path / "config.json") == {"a": 1}
    with pytest.raises(TypeError):
        save_config(tmp_path / "other.json", {"a": {1, 2}})
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize("text", ["", "{", "nothing", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_json_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"config\.json is no JSON"):
        load_config(path)


@pytest.mark.parametrize(("text", "kind"), [("[1]", "list"), ("3", "int"), ("null", "NoneType"), ('"x"', "str")])
def test_json_that_is_no_object_is_refused(tmp_path, text, kind):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=rf"config\.json must hold a JSON object, got {kind}"):
        load_config(tmp_path / "config.json")
