"""Each bug of the table is found by the tests that it names, and these pass without it."""

import json
import os
import subprocess
import sys

import pytest

from tests.planted.__main__ import WITHOUT
from tests.planted.bugs import BUGS
from tests.planted.plant import ROOT, Bug, edited

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="bugs are planted in forks")


def planted(*names):
    """What was found of these bugs: verdict, seconds and what pytest printed, by name."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.planted", "--json", *names]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **threads}, capture_output=True, text=True, timeout=600, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(request):
    """What was found of the bugs whose tests are to run, all planted at once."""
    chosen = [item.callspec.params for item in request.session.items if item.originalname == "test_a_bug_is_found"]
    return planted(*[params["bug"].name for params in chosen])


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_found(found, bug):
    verdict, _, output = found[bug.name]
    assert verdict == "red", output


@pytest.mark.slow  # by default these tests are part of the suite anyway
def test_without_a_bug_the_tests_pass():
    verdict, _, output = planted(WITHOUT)[WITHOUT]
    assert verdict == "green", output


def test_names_are_their_own():
    assert len({bug.name for bug in BUGS}) == len(BUGS)


def test_a_text_that_is_not_there_once_is_refused():
    for text, times in (("no such text", 0), ("import", 3)):
        bug = Bug("stale", "stream", text, "", "test_stream.py")
        with pytest.raises(ValueError, match=f"stale: '{text}' stands {times} times in rlcore.stream; mend its row"):
            edited(bug)
