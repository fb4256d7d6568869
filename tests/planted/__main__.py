"""The command of this package."""

import json
import os
import sys

import gymnasium  # noqa: F401  once, before the forks
import hypothesis  # noqa: F401
import numpy as np  # noqa: F401

from tests.planted.bugs import BUGS
from tests.planted.plant import run_all

WITHOUT = "no bug"  # the name of the run of all tests
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take five times as long to import as a bug to find


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--json"]
    if unknown := set(names) - {bug.name for bug in BUGS}:
        sys.exit(f"no bug is named {', '.join(unknown)}; known are {', '.join([bug.name for bug in BUGS])}")
    bugs = [bug for bug in BUGS if bug.name in names or not names]
    tests = list(dict.fromkeys([test for bug in bugs for test in bug.tests.split()]))
    jobs = [(None, tests), *((bug, bug.tests.split()) for bug in bugs)]
    found = dict(zip([WITHOUT, *(bug.name for bug in bugs)], run_all(jobs, os.cpu_count() or 1)))
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for name, (verdict, seconds, output) in found.items():
        print(f"{seconds:6.2f} s  {name}: {verdict}")
        if names or verdict not in ("red", "green"):
            print(output)


if __name__ == "__main__":
    main()
