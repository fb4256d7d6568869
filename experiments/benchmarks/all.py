"""All benchmarks in one table; --write puts it into the README.md of this folder, BENCH_THREADS=2 takes two threads."""

import timing

# isort: split
import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

import asynchronous
import autograd
import checkpoints
import convolution
import environments
import gpu
import imports
import monitoring
import optimizers
import parallel
import pong
import recurrent
import replay
import scaling
import training
import updates

PACKAGES = ("numpy", "gymnasium", "torch", "stable-baselines3", "sb3-contrib", "pfrl", "ale-py")


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    write = parser.parse_args().write
    rulers = [timing.ruler()]
    rows = []
    for subject in (
        autograd,
        updates,
        optimizers,
        recurrent,
        convolution,
        replay,
        training,
        pong,
        asynchronous,
        parallel,
        gpu,
        environments,
        monitoring,
        imports,
        checkpoints,
    ):
        for row in subject.rows():
            print(" | ".join(filter(None, timing.cells_of(row))), flush=True)
            rows.append(row)
        rulers.append(timing.ruler())
    threads = "one thread" if timing.COUNT == "1" else f"{timing.COUNT} threads"
    clock = f"np.add on one element took {timing.µs(min(rulers))} to {timing.µs(max(rulers))} in between"
    text = f"{timing.table(rows)}\n\n{platform.machine()} {platform.system()}, {threads}, {versions()}; {clock}."
    print(f"\n{text}")
    if write:
        timing.write(f"table, {threads}", text)
    if timing.COUNT == "1":
        modelled = scaling.measure()
        print(f"\n{modelled}")
        if write:
            timing.write("scaling", modelled)


if __name__ == "__main__":
    main()
