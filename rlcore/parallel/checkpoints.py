"""Checkpoints of all ranks: whole where every rank's part is, and gone on with by as many ranks, or by others.

A save of row t is `step-<t>`, the part of rank 0, which any tool reads as the checkpoint of one process, and beside it
`step-<t>.rank-<r>` of each other rank r, without the networks and the optimizers' vectors, in which all ranks agree.
Rank 0 writes its part last, with the SHA-256 of the others: without it, or with others, there is no save. The folder
must be one that all ranks see.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rlcore import rng
from rlcore.agents.base import Agent
from rlcore.harness.checkpoint import Checkpoint, check_state, checkpoints, load_parts
from rlcore.harness.files import present, read, sha
from rlcore.harness.storage import CheckpointError, load_state, save_state, verify_state
from rlcore.parallel.base import Comm
from rlcore.parallel.data_parallel import share, shared_text
from rlcore.parallel.worlds import filled, moved, needed, stripped

T = TypeVar("T")
NOTHING, DAMAGED = -1, -2  # what rank 0 tells instead of a row to go on from


class JointCheckpoint(Checkpoint):
    """A `Checkpoint` of all ranks, each with its own parts, the agents of `join` among them.

    As a hook, and in save and restore, it is called by all ranks at the same row; what fails on one fails on all.
    """

    def __init__(
        self,
        comm: Comm,
        folder: str | Path,
        every: int,
        keep: int = 3,
        report: Callable[[str, float, int], None] | None = None,
        **parts: Any,
    ):
        super().__init__(folder, every, keep, report, **parts)
        self.comm = comm

    def save(self, t: int) -> Path:
        """Save now; gives the folder. OSError or CheckpointError, on all ranks, if one cannot write its part.

        The newest `keep` saves stay; nothing is deleted before the new one has been read back.
        """
        path, state = self.part(t, self.comm.rank), {"t": t, "library_rng": rng.state_of(rng.default())}
        state["parts"] = {name: self._state(part) for name, part in self.parts.items()}
        digest = self._together(lambda: self._written(path, state) if self.comm.rank else bytes(32))
        others = [bytes(row).hex() for row in self.comm.allgather(np.frombuffer(digest, np.uint8))[1:]]
        if self.comm.rank == 0:
            state["world"] = others
        self._together(lambda: self._written(path, state) if self.comm.rank == 0 else b"")
        if self.comm.rank == 0:
            self._tidy(path.name)
        self.last, self._in_a_row = path, 0
        return self.path(t)

    def saved(self, t: int) -> bool:
        """Whether the newest save is of row t: so on all ranks, or on none."""
        return self.last == self.part(t, self.comm.rank)

    def part(self, t: int, rank: int) -> Path:
        """Where a rank's part of the save of row t is, or would be."""
        path = self.path(t)
        return path if rank == 0 else path.with_name(f"{path.name}.rank-{rank}")

    def _state(self, part: Any) -> dict[str, Any]:
        return stripped(part) if self.comm.rank and isinstance(part, Agent) else part.state()

    def _written(self, path: Path, state: dict[str, Any]) -> bytes:
        """The SHA-256 of what has been written, and read back."""
        save_state(path, state, self.last)
        self._seen = verify_state(path, self._seen)
        return _digest(path)

    def _tidy(self, newest: str) -> None:
        """Delete the saves before the newest `keep`, and what other ranks have written of saves that are none."""
        before = [path for path in checkpoints(self.folder) if path.name < newest]
        kept = {path.name for path in before[: self.keep - 1]}
        for path in before[self.keep - 1 :]:
            shutil.rmtree(present(path), ignore_errors=True)
        for path in self.folder.glob("step-*.rank-*"):
            name = path.name.partition(".rank-")[0]
            if name < newest and name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def restore(self) -> int:
        """Load the newest save that is whole into the parts, in their order; gives its t, 0 if there is none.

        A save of as many ranks is gone on from bit for bit; for one of another number see `worlds.moved`. Every rank
        must have joined. CheckpointError, on all ranks, if all saves are damaged.
        """
        paths = checkpoints(self.folder) if self.comm.rank == 0 else []
        damages: list[str] = []
        while True:
            t, digests, state = self._candidate(paths, damages)
            if t == NOTHING:
                return 0
            if t == DAMAGED:
                raise CheckpointError(f"no checkpoint in {self.folder} is whole: {'; '.join(damages) or 'see rank 0'}")
            try:
                states = self._together(lambda: self._read(t, digests, state))  # noqa: B023
            except CheckpointError as error:
                damages.append(str(error))
                continue
            for damage in damages:
                warnings.warn(f"{damage}; using the older {self.path(t).name}", stacklevel=2)
            self._together(lambda: self._load(states, len(digests) + 1))  # noqa: B023
            for part in self.parts.values():
                if isinstance(part, Agent):
                    share(part, self.comm)
            return t

    def _candidate(self, paths: list[Path], damages: list[str]) -> tuple[int, list[bytes], dict[str, Any]]:
        """The row of the next save whose part of rank 0 is whole, and the SHA-256 of the others: rank 0 looks."""
        state: dict[str, Any] = {}
        head, world = np.array([DAMAGED if damages else NOTHING, 0]), np.zeros((0, 32), np.uint8)
        while paths and not state:
            try:
                path = paths.pop(0)
                state = load_state(path)
                check_state(state, path)
                world = _digests(state, path)
                head[:] = state["t"], len(world)
            except CheckpointError as error:
                damages.append(str(error))
                head[0], state = DAMAGED, {}
        self.comm.bcast_(head)
        world = np.zeros((head[1], 32), np.uint8) if self.comm.rank else world
        if len(world):
            self.comm.bcast_(world)
        return int(head[0]), [bytes(row) for row in world], state

    def _read(self, t: int, digests: list[bytes], first: dict[str, Any]) -> list[dict[str, Any]]:
        """The states of the parts that this rank goes on from."""
        states = []
        for rank in needed(len(digests) + 1, self.comm):
            if rank == 0 and first:
                states.append(first)
                continue
            path = self.part(t, rank)
            state = load_state(path)
            check_state(state, path)
            if rank and _digest(path) != digests[rank - 1]:
                raise CheckpointError(f"{path} is not the part of rank {rank} that belongs to {self.path(t)}")
            states.append(state)
        return states

    def _load(self, states: list[dict[str, Any]], size: int) -> None:
        given = states[0]["parts"]
        if size != self.comm.size:
            moved(self.parts, [state["parts"] for state in states], size, self.comm, states[0]["t"])
            return
        if given.keys() != self.parts.keys():
            raise ValueError(f"the checkpoint holds {', '.join(given)}; this run has {', '.join(self.parts)}")
        agents = {name: filled(part, given[name]) for name, part in self.parts.items() if isinstance(part, Agent)}
        load_parts(self.parts, {**given, **agents})
        rng.restore(rng.default(), states[0]["library_rng"])
        self.last = self.part(states[0]["t"], self.comm.rank)

    def _together(self, work: Callable[[], T]) -> T:
        """What work() gives; what it raises on one rank is raised on all, as the same kind of error."""
        kinds: tuple[type[Exception], ...] = (CheckpointError, OSError, ValueError)
        failure, result = None, None
        try:
            result = work()
        except kinds as error:
            failure = error
        worst = 0 if failure is None else next(i for i, kind in enumerate(kinds, 1) if isinstance(failure, kind))
        found = self.comm.allgather(np.array([worst])).ravel()
        if not found.any():
            return result  # type: ignore[return-value]
        why = shared_text(self.comm, "" if failure is None else str(failure) or type(failure).__name__)
        rank = int(np.flatnonzero(found)[0])
        if failure is not None and worst == found[rank]:
            raise failure
        raise kinds[int(found[rank]) - 1](f"rank {rank}: {why}") from failure


def _digest(path: Path) -> bytes:
    """The SHA-256 of a part, whose state.json has those of all its files."""
    return bytes.fromhex(sha(read(present(path) / "state.json")))


def _digests(state: dict[str, Any], path: Path) -> np.ndarray:
    """Those of the other ranks' parts (ranks - 1, 32) that the part of rank 0 names."""
    world = state.get("world", [])  # a checkpoint of one process has none
    try:
        rows = [np.frombuffer(bytes.fromhex(text), np.uint8) for text in world]
        return np.array(rows, np.uint8).reshape(len(rows), 32)
    except (TypeError, ValueError):
        raise CheckpointError(f"{path} does not say of which ranks it is") from None
