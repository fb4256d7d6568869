"""What importing rlcore takes over `import numpy`, in fresh processes by turns."""

from timing import PAIRS, Row, table

# isort: split
import os
import subprocess
import sys
from statistics import median

WHAT = {  # `import rlcore` alone loads nothing, not even NumPy, so it is also measured with what is needed to train
    "import rlcore (and NumPy)": "import numpy, rlcore",
    "import rlcore, and what `rlcore.Run` needs": "import rlcore; rlcore.Run",
}

# a second start is measured, which finds byte code: compiling takes 0.25 s more
WRITING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(statement: str) -> float:
    script = f"from time import perf_counter as now; start = now(); {statement}; print(now() - start)"
    command = [sys.executable, "-c", script]
    return float(subprocess.run(command, env=WRITING, capture_output=True, text=True, check=True).stdout)


def rows() -> list[Row]:
    found = []
    for what, statement in WHAT.items():
        seconds(statement)  # writes the byte code
        turns = [(seconds(statement), seconds("import numpy")) for _ in range(PAIRS)]
        ours, numpy = (median(side) for side in zip(*turns))
        over = median(a - b for a, b in turns)
        found.append(Row(what, f"{ours:.3f} s", f"{numpy:.3f} s NumPy", over, 0.25, "s over"))
    return found


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs of fresh processes")
