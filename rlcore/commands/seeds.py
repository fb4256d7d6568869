"""`rlcore train ... --seeds 0..9`: one run for each seed, several at a time, a process each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

PARTS = re.compile(r"(\d+)(?:\.\.(\d+))?")
# the command rlcore; unlike `python -m rlcore` it does not look for modules in the working folder first
CHILD = "import sys; sys.path[:] = filter(None, sys.path); from rlcore.cli import main; main()"
REQUEUE = 75  # exit code of a run that was told to stop and has saved


def seeds_of(text: str) -> list[int]:
    """0..4 is 0, 1, 2, 3, 4; parts are joined by commas: 0..2,7."""
    seeds: list[int] = []
    for part in text.split(","):
        found = PARTS.fullmatch(part.strip())
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise ValueError(f"--seeds takes numbers and ranges as in 0..9 or 0,2,5, got {text!r}")
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {text} names a seed twice")
    return seeds


def without(argv: Sequence[str], *options: str) -> list[str]:
    """The words of a command line without some options and their values."""
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word in options:
            skip = True
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return kept


def run_all(argv: Sequence[str], seeds: list[int], jobs: int) -> None:
    """Run `rlcore` with these words and each seed, `jobs` at a time (0: one per core), and pass on what they print.

    A run that fails ends no other. SIGTERM and SIGUSR1 are passed on. SystemExit if not all runs came to their end.
    """
    if jobs < 0:
        raise ValueError(f"--jobs must not be negative, got {jobs}")
    words = without(argv, "--seeds", "--jobs", "--seed")
    children: dict[int, subprocess.Popen[str]] = {}
    told: list[int] = []  # signals that came

    def one(seed: int) -> int:
        if told:
            return REQUEUE
        command = [sys.executable, "-c", CHILD, *words, "--seed", str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1) as child:
            children[seed] = child
            for line in child.stdout or ():
                print(f"[seed {seed}] {line}", end="", flush=True)
        return child.returncode

    def tell(number: int, frame: Any) -> None:
        told.append(number)
        for child in list(children.values()):
            if child.poll() is None:
                with suppress(ValueError):  # Windows sends no SIGINT, and its consoles' Ctrl-C reaches them anyway
                    child.send_signal(number)

    with _handling(tell), ThreadPoolExecutor(min(jobs or os.cpu_count() or 1, len(seeds))) as pool:
        codes = dict(zip(seeds, pool.map(one, seeds)))
    failed = [seed for seed, code in codes.items() if code not in (0, REQUEUE)]
    if failed:
        sys.exit(f"rlcore: {len(failed)} of {len(seeds)} runs failed: seeds {', '.join(map(str, failed))}")
    if told or REQUEUE in codes.values():
        sys.exit(REQUEUE if signal.SIGINT not in told else 130)


@contextmanager
def _handling(tell: Any) -> Iterator[None]:
    """The signals that end a run go to the children, which save; this process then waits for them."""
    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    before = {number: signal.signal(number, tell) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
