"""`rlcore launch -n N -- SCRIPT ARGUMENTS` or `-- train ALGORITHM ...`: on N ranks, watched, and started again."""

from __future__ import annotations

import sys

from rlcore.agents import ALGORITHMS
from rlcore.parallel.launch import launch
from rlcore.parallel.supervise import Settings, say


def main(
    command: tuple[str, ...],
    /,
    *,
    n: int,
    elastic: bool = False,
    max_restarts: int = 3,
    heartbeat: float = 120.0,
    timeout: float = 0.0,
    refill: float = 0.0,
) -> None:
    """Run a script, or `train ...`, on several ranks of MPI on this machine, to the end.

    An exception in one rank ends all with its traceback. When a rank dies or hangs, all are started again: `train` with
    --resume, a script with RLCORE_RESTART=1, 2 ... in its environment. SIGTERM, SIGUSR1 and Ctrl-C let ranks save and
    leave. On a cluster start the same script by mpiexec or srun. What is asynchronous on one machine, `train a3c`, is
    one process with as many workers. Exit codes: 75 saved, start again; 130 Ctrl-C; 124 --timeout; 128 and the number
    of the signal that has killed a rank; else that of the first rank that failed.

    Args:
        command: behind `--`: SCRIPT.py and its arguments, -m MODULE and its arguments, or train ALGORITHM and options.
        n: ranks, also -n.
        elastic: ranks outlive one that dies; needs Open MPI 5.
        max_restarts: how often all are started again.
        heartbeat: seconds after which a rank whose work does not go on is ended; 0: never.
        timeout: seconds after which everything is ended; 0: never.
        refill: with --elastic, seconds after a loss until ranks save and all are started again; 0: never.
    """
    settings = Settings(n, elastic, max_restarts, heartbeat, timeout, refill)
    if not command:
        raise ValueError("what is to be started? rlcore launch -n 4 -- SCRIPT.py, or -- train ALGORITHM --env ENV")
    ended = launch(*plan(list(command), settings))
    if ended.code:
        say(ended.words)
        sys.exit(ended.code)


def plan(words: list[str], settings: Settings) -> tuple[list[str], Settings]:
    """What a rank runs, and on how many: `train` of an agent whose workers share memory is one rank with workers."""
    if words[0] != "train":
        return words, settings
    cls = ALGORITHMS.get(words[1]) if len(words) > 1 else None
    if cls is not None and cls.asynchronous:
        if settings.elastic:
            raise ValueError(f"--elastic is of ranks of MPI, and {words[1]} learns in workers that share memory")
        if not any(word.partition("=")[0] == "--workers" for word in words):
            words = [*words, "--workers", str(settings.ranks)]
        settings = Settings(1, False, settings.max_restarts, settings.heartbeat_s, settings.timeout_s)
    return ["-m", "rlcore", *words], settings
