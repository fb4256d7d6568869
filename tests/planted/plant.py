"""Plants bugs, each in a process of its own: a module of rlcore is compiled from a source with one text replaced."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
OPTIONS = ("-q", "--no-header", "--tb=short", "-p", "no:cacheprovider")
LIMIT = 60  # seconds of the processor within which a bug must be found
STILLBORN = ("NameError", "AttributeError", "ImportError", "SyntaxError", "UnboundLocalError", "ModuleNotFoundError")


class Bug(NamedTuple):
    name: str
    module: str  # of rlcore
    old: str  # stands once in its source
    new: str  # what stands there instead
    tests: str  # files and functions below tests/, each of which must fail


class Found(NamedTuple):
    """What pytest said of the tests of a bug."""

    verdict: str  # "red" is as it must be, "green" if there is no bug; anything else says what went wrong
    seconds: float  # of the processor
    output: str


def edited(bug: Bug) -> str:
    """The source with the bug; ValueError if the text that it replaces is not there once."""
    source = (ROOT / "rlcore" / f"{bug.module.replace('.', '/')}.py").read_text("utf-8")
    if (n := source.count(bug.old)) != 1:
        raise ValueError(f"{bug.name}: {bug.old!r} stands {n} times in rlcore.{bug.module}; mend its row in bugs.py")
    return source.replace(bug.old, bug.new)


class Planted(SourceFileLoader):
    """Loads a module with the bug in it."""

    bug: Bug

    def get_code(self, fullname: str) -> CodeType:
        return compile(edited(self.bug), self.path, "exec")


class Finder:
    """Finds the module that has the bug, before anybody else does."""

    def __init__(self, bug: Bug):
        self.bug, self.module = bug, f"rlcore.{bug.module}"

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = Planted(name, spec.origin)
        spec.loader.bug = self.bug
        return spec


class Reports:
    """A pytest plugin: the tests that failed as they ran, and how."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and report.when == "call":
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed[report.nodeid] = crash.message if crash else str(report.longrepr)


def run(bug: Bug | None, tests: Sequence[str]) -> Found:
    """Plant a bug, or none, in this process, which must not have imported rlcore, and run tests."""
    if bug is not None:
        sys.meta_path.insert(0, Finder(bug))
    signal.signal(signal.SIGPROF, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_PROF, LIMIT if bug else 10 * LIMIT)
    reports, begun, out = Reports(), time.process_time(), io.StringIO()
    nodes = [f"tests/{test}" for test in tests]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        stop = ["-x"] if bug and len(nodes) == 1 else []
        status = pytest.main([*OPTIONS, *stop, *nodes], [reports])
    passing = [node for node in nodes if not any(failed.startswith(node) for failed in reports.failed)]
    stillborn = [how for how in reports.failed.values() if how.startswith(STILLBORN)]
    if status == pytest.ExitCode.OK:
        verdict = "green"
    elif status != pytest.ExitCode.TESTS_FAILED:
        verdict = f"pytest ended with {status!r}"
    elif stillborn:
        verdict = f"the bug does not run: {stillborn[0]}"
    elif bug is not None and passing:
        verdict = f"passes: {', '.join(passing)}"
    else:
        verdict = "red"
    return Found(verdict, round(time.process_time() - begun, 2), out.getvalue())


def run_all(jobs: Sequence[tuple[Bug | None, Sequence[str]]], workers: int) -> list[Found]:
    """Each job in a fork of this process, so many at a time."""
    with tempfile.TemporaryDirectory() as folder:
        sys.dont_write_bytecode, sys.pycache_prefix = False, f"{folder}/compiled"  # once for all of them
        running = 0
        for k, job in enumerate(jobs):
            if running == workers:
                os.wait()
                running -= 1
            if os.fork() == 0:
                try:
                    found = run(*job)
                except BaseException:
                    found = Found("could not be run", 0.0, traceback.format_exc())
                (Path(folder) / str(k)).write_text(json.dumps(found))
                os._exit(0)
            running += 1
        for _ in range(running):
            os.wait()
        paths = [Path(folder) / str(k) for k in range(len(jobs))]
        died = Found("the process died", 0.0, "")
        return [Found(*json.loads(path.read_text())) if path.exists() else died for path in paths]
