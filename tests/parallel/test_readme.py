"""What the page on several processes says works, word for word."""

import re
from pathlib import Path

import pytest

import rlcore.parallel
from rlcore.commands.launch import main as launch
from rlcore.parallel import supervise, verdict
from tests.parallel.launching import launched, needs_mpi

PAGE = Path(rlcore.parallel.__file__).with_name("README.md")
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.mpi
@pytest.mark.parametrize("block", BLOCKS, ids=["as one", "actors", "a model"])
def test_a_script_runs_on_two_ranks(block, tmp_path):
    needs_mpi()
    script = tmp_path / "script.py"
    script.write_text(block)
    done = launched("-n", 2, "--max-restarts", 0, "--timeout", 100, "--", script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [BLOCKS[0], BLOCKS[2]], ids=["as one", "a model"])
def test_a_script_runs_alone(block):
    names: dict = {}
    exec(block, names)
    assert names["comm"].size == 1


def test_codes_and_numbers_are_those_of_the_launcher():
    codes = verdict.REQUEUE, verdict.TIMEOUT, verdict.INTERRUPTED
    assert all(f"\n| {code} | " in TEXT for code in codes)
    settings = supervise.Settings(2)
    assert f"`--heartbeat {settings.heartbeat_s:.0f}`" in TEXT
    assert f"`--max-restarts {settings.max_restarts}`" in TEXT
    options = set(launch.__kwdefaults__) | {"n"}
    named = re.findall(r"`rlcore launch[^`]* --([a-z-]+)`|`--(elastic|max-restarts|heartbeat|timeout|refill)", TEXT)
    assert {(a or b).replace("-", "_") for a, b in named} <= options | {"help"}


def test_tags_are_those_of_a_learner():
    source = PAGE.with_name("crew.py").read_text("utf-8")
    tags = re.findall(r"`((?:parallel|faults)/[a-z_]+)", TEXT)
    assert len(tags) == 4
    assert all(tag in source for tag in tags)


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXT):
        assert (PAGE.parent / link).exists(), link
