"""The command of this package."""

import json
import os
import sys

import gymnasium  # noqa: F401  once, before the forks
import hypothesis  # noqa: F401
import numpy as np  # noqa: F401

from tests.planted.bugs import BUGS
from tests.planted.plant import run_all

WITHOUT = "no bug"  # names a run of all tests that the table names


def main() -> None:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take five times as long to import as a bug to find
    everything = list(dict.fromkeys([test for bug in BUGS for test in bug.tests.split()]))
    jobs = {WITHOUT: (None, everything), **{bug.name: (bug, bug.tests.split()) for bug in BUGS}}
    names = [name for name in sys.argv[1:] if name != "--json"]
    if unknown := set(names) - jobs.keys():
        sys.exit(f"no bug is named {', '.join(unknown)}; known are {', '.join(jobs)}")
    chosen = names or list(jobs)
    found = dict(zip(chosen, run_all([jobs[name] for name in chosen], os.cpu_count() or 1)))
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for name, (verdict, seconds, output) in found.items():
        print(f"{seconds:6.2f} s  {name}: {verdict}")
        if names or verdict not in ("red", "green"):
            print(output)
    print(f"{sum(one.verdict == 'red' for one in found.values())} of {len(found.keys() - {WITHOUT})} bugs were found")


if __name__ == "__main__":
    main()
