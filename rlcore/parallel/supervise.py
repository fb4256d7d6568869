"""One start of all ranks, watched: who has died, who hangs, and who has been told to leave."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import IO

from rlcore.parallel.faults import bury, tombstones
from rlcore.parallel.heartbeat import FAILED, LEFT, RUNS, Slot
from rlcore.parallel.mpiexec import TAGS
from rlcore.parallel.processes import Process, Workplace
from rlcore.parallel.rank import ALIVE, SLOTS, STACK
from rlcore.parallel.verdict import INTERRUPTED, KILLED, REQUEUE, Ended, meaning, verdict, vital

FOLLOW_S = 2.0  # for mpiexec to end a job of which a rank has failed or died
LEAVE_S = 10.0  # for ranks to follow the first that has left after Ctrl-C, and for MPI to end when all have
DUMP_S = 0.3  # for a hung rank to write its stack


@dataclass(frozen=True)
class Settings:
    """How ranks are started and watched."""

    ranks: int
    elastic: bool = False  # the others outlive a rank that dies
    max_restarts: int = 3
    heartbeat_s: float = 120.0  # after which a rank that has beaten and beats no more is ended; 0: never
    timeout_s: float = 0.0  # for all of it; 0: no limit
    refill_s: float = 0.0  # after the loss of a rank of an elastic job until all are started again; 0: never

    def __post_init__(self) -> None:
        if self.ranks < 1:
            raise ValueError(f"-n must be at least 1, got {self.ranks}")
        if self.max_restarts < 0:
            raise ValueError(f"--max-restarts must not be negative, got {self.max_restarts}")
        for name in ("heartbeat", "timeout", "refill"):
            value = getattr(self, f"{name}_s")
            if not 0 <= value < float("inf"):
                raise ValueError(f"--{name} must be seconds, 0 or more, got {value}")
        if self.refill_s and not self.elastic:
            raise ValueError("--refill is of jobs that outlive their ranks: give --elastic, too")


class Rank:
    """A rank, as its launcher sees it."""

    def __init__(self, number: int, slot: Slot):
        self.number, self.slot, self.process = number, slot, Process(slot.pid)
        self.idle, self.beat = 0.0, slot.beat  # seconds since its last beat in which the launcher was awake
        self.dead = self.told = False

    def __str__(self) -> str:
        return f"rank {self.number} (process {self.process.pid})"


class Job:
    """Ranks that were started together."""

    def __init__(
        self, command: list[str], env: dict[str, str], place: Workplace, settings: Settings, vendor: str | None = None
    ):
        self.place, self.settings, self.vendor = place, settings, vendor
        self.elastic = settings.elastic and vendor is not None  # one rank has nobody that could outlive it
        self.folder = place.new_folder()
        self.slots = Slot.all_in(self.folder / SLOTS, settings.ranks, new=True)
        self.ranks: dict[int, Rank] = {}
        self.told = ""  # the signal that was passed on
        self.lost_at = self._doomed_at = self._over_at = self._left_at = self._killed_at = 0.0
        self._why: Ended | None = None  # of the kill
        os.mkfifo(self.folder / ALIVE, 0o600)
        self._alive = os.open(self.folder / ALIVE, os.O_RDWR)  # which ranks read until this process has ended
        self._keep = env.get("RLCORE_TOMBSTONES", "")  # where they are to be found afterwards
        folder, n = str(self.folder), str(settings.ranks)
        env = env | {"RLCORE_JOB": folder, "RLCORE_RANKS": n, "RLCORE_TOMBSTONES": folder}
        pipe = subprocess.PIPE if vendor is not None else None
        # a session of its own: Ctrl-C in a terminal is for the launcher, which passes it on to ranks alone
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env, start_new_session=True
        )
        pipes = ((self.process.stdout, sys.stdout), (self.process.stderr, sys.stderr))
        tag = TAGS[vendor] if vendor is not None else None
        self._pumps = [Thread(target=pump, args=(theirs, ours, tag), daemon=True) for theirs, ours in pipes if theirs]
        for thread in self._pumps:
            thread.start()
        self._last = monotonic()

    def look(self) -> bool:
        """Look after the ranks once; whether the job goes on."""
        now = monotonic()
        elapsed, self._last = min(now - self._last, 1.0), now  # after Ctrl-Z, say, nobody has been idle
        if self.process.poll() is not None:
            return False
        self._greet()
        for rank in self.ranks.values():
            if not rank.dead and not rank.process.alive():
                rank.dead = True
                self._gone(rank, now)
        self.place.note(self.process.pid, [rank.process.pid for rank in self.ranks.values() if not rank.dead])
        working = [rank for rank in self.ranks.values() if not rank.dead and rank.slot.state == RUNS]
        if self._killed_at:
            if now - self._killed_at > FOLLOW_S:
                self.process.kill()
        else:
            self._end_hung(working, elapsed)
            self._end_doomed(working, now)
            for rank in working if self.told else ():
                if not rank.told:  # it may have come since the others were
                    rank.told = True
                    rank.process.send(signal.SIGINT if self.told == "SIGINT" else signal.SIGUSR1)
        return True

    def _greet(self) -> None:
        """Take note of ranks that have come."""
        if len(self.ranks) < len(self.slots):
            new = {i: Rank(i, slot) for i, slot in enumerate(self.slots) if slot.state and i not in self.ranks}
            self.ranks |= new

    def _gone(self, rank: Rank, now: float) -> None:
        if rank.slot.state != LEFT and not self._killed_at:
            self.lost_at = self.lost_at or now
            if self.elastic and not rank.slot.essential:
                say(f"{rank} has died; the others go on")

    def _end_hung(self, working: list[Rank], elapsed: float) -> None:
        """End the rank that has not beaten for too long: the first that stopped, for others may be waiting for it."""
        for rank in working:
            beat = rank.slot.beat
            rank.idle = rank.idle + elapsed if beat == rank.beat else 0.0
            rank.beat = beat
        # one that never beats may have nothing to beat in, but is not trusted any more when others have died
        idle = [rank for rank in working if rank.idle > self.settings.heartbeat_s > 0 and (rank.beat or self.lost_at)]
        hung = [rank for rank in idle if not rank.slot.waits or rank.process.stopped()]
        if not hung and len(idle) == len(working):
            hung = idle  # all wait for each other, or for one that has left
        if not hung:
            return
        worst = min(hung, key=lambda rank: (not rank.process.stopped(), rank.beat))
        held = " (a signal or a debugger has stopped it)" if worst.process.stopped() else ""
        words = f"{worst} has not beaten for {worst.idle:.0f} s{held}"
        say(f"{words}; it is ended{self._stacks([worst] if self.elastic else hung)}")
        if self.elastic and not worst.slot.essential:
            worst.process.send(signal.SIGKILL)
            for rank in hung:
                rank.idle = 0.0
        else:
            self.kill(Ended(KILLED, words, again=True))

    def _stacks(self, hung: list[Rank]) -> str:
        """Where ranks are in their Python, as far as they can say so."""
        for rank in hung:
            rank.process.send(signal.SIGUSR2)
        sleep(DUMP_S)
        stacks = [(rank, self.folder / STACK.format(rank.number)) for rank in hung]
        return "".join(f"\n{rank}:\n{text}" for rank, path in stacks if (text := path.read_text().rstrip()))

    def _end_doomed(self, working: list[Rank], now: float) -> None:
        """End what mpiexec should have ended by now."""
        lost = [
            rank for rank in self.ranks.values() if rank.slot.state == FAILED or (rank.dead and rank.slot.state == RUNS)
        ]
        if self.elastic:
            lost = [rank for rank in lost if vital(rank.slot)]
        if lost:
            self._doomed_at = self._doomed_at or now
            if now - self._doomed_at > (0 if self.elastic else FOLLOW_S):
                self.kill(Ended(KILLED, f"{lost[0]} has died", again=True))
        elif len(self.ranks) == len(self.slots) and not working:
            self._over_at = self._over_at or now
            if now - self._over_at > LEAVE_S:  # MPI_Finalize hangs now and then when ranks have died
                self.kill(Ended(KILLED, "mpiexec did not end with its ranks", again=True))
        if self.told == "SIGINT" and working and any(rank.slot.state == LEFT for rank in self.ranks.values()):
            self._left_at = self._left_at or now
            if now - self._left_at > LEAVE_S:
                say(f"{', '.join(map(str, working))} did not leave with the others")
                self.kill(None)

    def tell(self, name: str) -> None:
        """Pass a signal on to the ranks: SIGINT, or else SIGUSR1, after which no mpiexec counts the seconds."""
        self.told = name

    def kill(self, why: Ended | None) -> None:
        """End all ranks at once."""
        if not self._killed_at:
            self._why, self._killed_at = why, monotonic()
            for rank in self.ranks.values():
                rank.process.send(signal.SIGKILL)
            with suppress(ProcessLookupError):
                self.process.terminate()

    def close(self) -> Ended:
        """See to it that nothing of the job is left, and say how it has ended."""
        self._greet()
        self.kill(None)
        try:
            self.process.wait(FOLLOW_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        returned = self.process.wait()
        os.close(self._alive)  # which ends ranks that nobody has seen
        for thread in self._pumps:
            thread.join(FOLLOW_S)
        for rank in self.ranks.values():
            rank.process.close()
        self.place.sweep()
        return self._ended(returned)

    def _ended(self, returned: int) -> Ended:
        stones = tombstones(self.folder)
        for stone in stones if self._keep else ():
            try:
                bury(Path(self._keep), stone)
            except OSError as error:
                say(f"no tombstone of rank {stone.rank}: {error}")
        ended = verdict(returned, self.vendor, self.slots, stones, self.elastic, self._why)
        if self.told == "SIGINT" and ended.code:
            return Ended(INTERRUPTED, meaning(INTERRUPTED))
        if self.told and (ended.again or ended.code == INTERRUPTED):
            return Ended(REQUEUE, "ended before it was saved: goes on from the checkpoint before, when started again")
        return ended


def say(text: str) -> None:
    """Say something to whoever has started the launcher."""
    print(f"rlcore launch: {text}", file=sys.stderr, flush=True)


def pump(theirs: IO[bytes], ours: IO[str], tag: re.Pattern[str]) -> None:
    """Pass on what ranks print, each line with its rank before it."""
    for line in theirs:
        text = line.decode(errors="replace")
        found = tag.match(text)
        text = f"[rank {found[1]}] {text[found.end() :].rstrip()}" if found else text.rstrip()
        with suppress(OSError, ValueError):  # nobody reads any more: the ranks must not wait for it
            print(text, file=ours, flush=True)
