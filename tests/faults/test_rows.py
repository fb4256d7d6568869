"""Every row of the fault table has a test that is marked with it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.faults import EXEMPT, ROWS

TESTS = Path(__file__).parents[1]


def marks(source: str) -> Iterator[object]:
    """The arguments of all uses of pytest.mark.fault."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fault":
            yield from (getattr(argument, "value", None) for argument in node.args)


@cache
def proved() -> dict[object, list[str]]:
    """Row -> the files with tests of it."""
    found: dict[object, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        source = path.read_text("utf-8")
        if path != Path(__file__) and "mark.fault(" in source:  # most have none, and need not be parsed
            for row in marks(source):
                found.setdefault(row, []).append(str(path.relative_to(TESTS)))
    return found


@pytest.mark.parametrize("row", sorted(set(ROWS) - set(EXEMPT)))
def test_a_row_is_proved(row):
    assert row in proved(), f"no test is marked fault({row}): {ROWS[row]}"


def test_no_test_proves_a_row_that_there_is_not():
    assert {row: files for row, files in proved().items() if row not in ROWS} == {}


def test_what_is_exempt_has_no_test_yet():
    assert set(EXEMPT) <= set(ROWS)
    assert {row: files for row, files in proved().items() if row in EXEMPT} == {}


def test_marks_are_found_wherever_they_are():
    source = """
@pytest.mark.fault(1, 2)
@pytest.mark.parametrize("x", [1, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.fault(3)])])
def test(x): ...
class TestA:
    pytestmark = pytest.mark.fault(4)
"""
    assert sorted(marks(source)) == [1, 2, 3, 4]
    assert list(marks("fault(1)\nself.fault\npytest.mark.fault")) == []
