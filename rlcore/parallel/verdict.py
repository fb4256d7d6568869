"""How a job has ended, in words and as an exit code, and whether it may do better when it is started again."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple

from rlcore.parallel.faults import Tombstone, lost
from rlcore.parallel.heartbeat import FAILED, LEFT, Slot
from rlcore.parallel.mpiexec import MPICH

REQUEUE, TIMEOUT, INTERRUPTED, KILLED = 75, 124, 130, 137  # exit codes: sysexits.h, timeout(1), shells
MEANINGS = {
    0: "all ranks are done",
    REQUEUE: "saved, and to be started again",
    126: "the command cannot be executed",
    127: "the command was not found",
    INTERRUPTED: "interrupted",
    KILLED: "killed by SIGKILL: by hand, or for want of memory",
    139: "killed by SIGSEGV: a crash in compiled code",
}


DEADLY = (4, 6, 7, 8, 9, 10, 11, 15)  # signals that end what did not expect them


class Ended(NamedTuple):
    """How a job has ended."""

    code: int
    words: str
    again: bool = False


def meaning(code: int) -> str:
    """An exit code in words."""
    if code in MEANINGS:
        return MEANINGS[code]
    if 128 < code < 128 + signal.NSIG:
        try:
            return f"killed by {signal.Signals(code - 128).name}"
        except ValueError:
            return f"killed by signal {code - 128}"
    return f"exit code {code}"


def exit_code(returned: int, vendor: str | None) -> int:
    """What a child returned, as shells have it: 128 and the number of a signal. MPICH gives the bare number."""
    if returned < 0:
        return 128 - returned
    return 128 + returned if vendor == MPICH and returned in DEADLY else returned


def verdict(
    returned: int,
    vendor: str | None,
    slots: Sequence[Slot],
    stones: Sequence[Tombstone],
    elastic: bool,
    why: Ended | None = None,
) -> Ended:
    """How a job has ended, by what its process returned, its ranks' slots, and the tombstones of some.

    why: it was killed, of which what the ranks say themselves may be the cause.
    """
    if why is not None and why.code == TIMEOUT:
        return why
    left = [slot.code for slot in slots if slot.state == LEFT]
    gone = [slot for slot in slots if slot.state != LEFT]
    outlived = elastic and left and not any(map(vital, gone))
    if outlived or not gone:
        code = next((code for code in (REQUEUE, INTERRUPTED) if code in left), 0)
        if returned == 0 or outlived or why is not None:
            return Ended(code, meaning(code))
        return Ended(exit_code(returned, vendor), f"after all ranks had left: {meaning(exit_code(returned, vendor))}")
    if vendor is not None and returned < 0 and why is None:  # ranks may have failed as they wrote to it
        return Ended(exit_code(returned, vendor), f"mpiexec was {meaning(exit_code(returned, vendor))}", again=True)
    own = [stone for stone in stones if not lost(stone)]
    if own:
        first = own[0]
        kind = "" if first.type == SystemExit.__name__ else f"{first.type}: "
        return Ended(first.code, f"rank {first.rank} has failed: {kind}{_first_line(first.message)}")
    if why is not None:
        return why
    if not any(slot.state for slot in slots):
        code = exit_code(returned, None) or 1
        return Ended(code, f"no rank was started ({meaning(code)})")
    if stones:
        return Ended(1, f"rank {stones[0].rank}: {_first_line(stones[0].message)}", again=True)
    code = exit_code(returned, vendor) or 1
    return Ended(code, meaning(code) if returned else "a rank has died", again=code > 128 or elastic)


def vital(slot: Slot) -> bool:
    """Whether an elastic job cannot outlive the loss of a rank."""
    return slot.essential or (slot.state == FAILED and not slot.joined)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
