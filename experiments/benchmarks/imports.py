"""What `import rlcore` takes over `import numpy`, in fresh processes by turns."""

from timing import PAIRS, Row, table

# isort: split
import subprocess
import sys
from statistics import median


def seconds(package: str) -> float:
    script = f"from time import perf_counter as now; start = now(); import {package}; print(now() - start)"
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def rows() -> list[Row]:
    seconds("rlcore")  # writes the byte code
    turns = [(seconds("rlcore"), seconds("numpy")) for _ in range(PAIRS)]
    ours, numpy = (median(side) for side in zip(*turns))
    over = median(a - b for a, b in turns)
    return [Row("import rlcore", f"{ours:.3f} s", f"{numpy:.3f} s NumPy", over, 0.25, "s over")]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs of fresh processes")
