"""The header of a run: whole when it is read, compared name by name when the run goes on."""

from __future__ import annotations

import pytest

from rlcore.harness.header import Header, Monitor, check_header, check_names, completed

HEADER = {
    "algorithm": "dqn", "env": "CartPole-v1", "observation_space": "Box", "action_space": "Discrete(2)", "seed": 0,
    "n_envs": 1, "agent": {"gamma": 0.9, "hidden": [8]}, "envs": {"nested": {"a": 1}}, "monitor": {"keep": 3},
}  # fmt: skip


def test_the_same_run():
    Header(HEADER).check(HEADER)
    Header(HEADER).check({**HEADER, "monitor": {"keep": 9}, "steps": 100})  # these may change
    Header(HEADER).check({**HEADER, "agent": {"gamma": 0.9}})  # by a version that did not know `hidden`
    assert Header(HEADER).state() == HEADER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "with seed 1, this one has 0$"),
        ({"agent": {"gamma": 0.9, "hidden": [9]}}, r"with agent\.hidden \[9\], this one has \[8\]$"),
        ({"agent": {**HEADER["agent"], "tau": 1}}, r"with agent\.tau 1, this one has None$"),
        ({"agent": None}, r"with agent None, this one has \{"),
        ({"envs": {"nested": {"a": 2}}}, r"with envs\.nested\.a 2, this one has 1$"),
        ({"seed": 1, "n_envs": 2}, "with seed 1, this one has 0; with n_envs 2, this one has 1$"),
    ],
)
def test_every_difference_is_told(change, message):
    with pytest.raises(ValueError, match=f"the checkpoint is of a run {message}"):
        Header(HEADER).check({**HEADER, **change})


def test_what_a_header_does_not_say_is_as_by_default():
    defaults = {"agent": {"gamma": 0.99, "tau": 1.0}, "envs": {"frame_stack": 1}}
    filled = completed(HEADER, defaults)
    assert filled["agent"] == {"gamma": 0.9, "tau": 1.0, "hidden": [8]}
    assert filled["envs"] == {"frame_stack": 1, "nested": {"a": 1}}
    assert completed({"agent": [1], "seed": 3}, defaults) == {"agent": [1], "seed": 3}


def test_a_header_is_whole():
    check_header(HEADER, "here")
    for name in HEADER:
        with pytest.raises(ValueError, match=f"here is of no run: it has no '{name}'"):
            check_header({k: v for k, v in HEADER.items() if k != name}, "here")
        with pytest.raises(ValueError, match=f"here: '{name}' is True, which no run has"):
            check_header({**HEADER, name: True}, "here")
    with pytest.raises(ValueError, match="here has no header of a run, but None"):
        check_header(None, "here")


def test_names_of_a_config():
    check_names({"seed": 1, "steps": 5}, "here")
    with pytest.raises(ValueError, match="here has an unknown name 'sed'; did you mean seed"):
        check_names({"sed": 1}, "here")


@pytest.mark.parametrize("name", ["log_every", "eval_every", "eval_episodes", "checkpoint_every", "keep"])
def test_what_is_monitored_is_a_number_of_at_least_one(name):
    Monitor(**{name: 1})
    with pytest.raises(ValueError, match=name):
        Monitor(**{name: 0})
