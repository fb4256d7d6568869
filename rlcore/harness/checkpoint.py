"""Checkpoint: a hook that saves all parts of a run, and brings back the newest save that is whole."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlcore import rng
from rlcore.harness.files import names, present
from rlcore.harness.loop import due
from rlcore.harness.storage import CheckpointError, load_state, save_state, verify_state
from rlcore.stream import Step
from rlcore.tree import Ring, leaves

STEP = re.compile(r"step-(\d{12})")
FAILURES = 3  # saves in a row that fail, and end the run


class Checkpoint:
    """Saves `parts`, objects with state() and load(), every so many rows into `folder/step-<t>`, and keeps the newest.

    Give it as the last hook, so that it saves what the others have done in the same step. The library's own random
    generator is saved with the parts. A disk that is full costs a warning and the save; the third time in a row it ends
    the run with the OSError. report: called with ("faults/checkpoint", failures so far, t).
    """

    def __init__(
        self,
        folder: str | Path,
        every: int,
        keep: int = 3,
        report: Callable[[str, float, int], None] | None = None,
        **parts: Any,
    ):
        if every < 1 or keep < 1:
            raise ValueError(f"Checkpoint: every and keep must be at least 1, got {every} and {keep}")
        self.folder, self.every, self.keep, self.report, self.parts = Path(folder), every, keep, report, parts
        self.last: Path | None = None
        self.failures = self._in_a_row = 0
        self._seen: dict[Any, dict[str, str]] = {}  # files found whole

    def __call__(self, t: int, step: Step, stats: dict[str, Any]) -> None:
        if due(t, len(step.reward), self.every):
            try:
                self.save(t)
            except (OSError, CheckpointError) as error:
                self._failed(t, error)

    def _failed(self, t: int, error: Exception) -> None:
        self.failures += 1
        self._in_a_row += 1
        if self.report is not None:
            self.report("faults/checkpoint", self.failures, t)
        if self._in_a_row == FAILURES:
            raise error
        if self._in_a_row == 1:
            warnings.warn(
                f"no checkpoint at step {t:,}: {error}; older ones are kept, the next try is in {self.every:,} steps",
                stacklevel=3,
            )

    def path(self, t: int) -> Path:
        """Where the save of row t is, or would be."""
        return self.folder / f"step-{t:012d}"

    def saved(self, t: int) -> bool:
        """Whether the newest save of this process is of row t."""
        return self.last == self.path(t)

    def save(self, t: int) -> Path:
        """Save now; gives the folder. OSError if it cannot be written, CheckpointError if it cannot be read back.

        Of the saves up to t the newest `keep` that are whole stay, and damaged ones between them; later ones are left
        alone. Nothing is deleted before the new one has been read back.
        """
        path = self.path(t)
        state = {"t": t, "library_rng": rng.state_of(rng.default())}
        state["parts"] = {name: part.state() for name, part in self.parts.items()}
        save_state(path, state, self.last)
        whole = [verify_state(path, self._seen)]
        self.last, self._in_a_row = path, 0
        for old in [p for p in checkpoints(self.folder) if p.name < path.name]:
            if len(whole) == self.keep:
                shutil.rmtree(present(old), ignore_errors=True)
                continue
            with suppress(CheckpointError):
                whole.append(verify_state(old, self._seen))
        self._seen = {mark: files for seen in whole for mark, files in seen.items()}
        return path

    def restore(self) -> int:
        """Load the newest save that is whole into the parts, in their order; gives its t, 0 if there is none.

        All parts with a check(state) do so before any is loaded; give one that may fail later, an environment, first.
        """
        found = newest_state(self.folder)
        if found is None:
            return 0
        path, state = found
        if state["parts"].keys() != self.parts.keys():
            raise ValueError(f"{path} holds {', '.join(state['parts'])}; this run has {', '.join(self.parts)}")
        load_parts(self.parts, state["parts"])
        rng.restore(rng.default(), state["library_rng"])
        self.last = path
        return state["t"]


def load_parts(parts: dict[str, Any], states: dict[str, Any]) -> None:
    """Load states into parts of the same names, in their order, after each part that can has checked its own."""
    for name, part in parts.items():
        if hasattr(part, "check"):
            part.check(states[name])
    for name, part in parts.items():
        part.load(states[name])


def keep_fault(folder: Path, t: int, agent: dict[str, Any], batch: Any, part: str = "") -> Path:
    """Keep what an update failed on, and the agent, its Rings excepted, to do it again with; gives the folder.

    part: what its name ends with, where several processes of a run keep theirs.
    """
    kept = folder / "faults" / f"step-{t:012d}{part}"
    small = {k: v for k, v in agent.items() if not any(isinstance(x, Ring) for x in leaves(v))}
    save_state(kept, {"t": t, "batch": batch, "agent": small, "library_rng": rng.state_of(rng.default())})
    return kept


def check_state(state: dict[str, Any], path: str | Path) -> None:
    """CheckpointError unless a loaded state is one of a run."""
    if not (isinstance(state.get("t"), int) and isinstance(state.get("parts"), dict) and "library_rng" in state):
        raise CheckpointError(f"{path} is a saved state, but no checkpoint of a run")


def checkpoints(folder: str | Path) -> list[Path]:
    """The saves in a folder, newest first."""
    folder = Path(folder)
    paths = [folder / name for name in names(folder) if STEP.fullmatch(name)] if folder.is_dir() else []
    return sorted(paths, reverse=True)


def newest_state(folder: str | Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest save that is whole, with a warning for each damaged one; CheckpointError if all are damaged."""
    damages = []
    for path in checkpoints(folder):
        try:
            state = load_state(path)
            check_state(state, path)
        except CheckpointError as error:
            damages.append(str(error))
            continue
        for damage in damages:
            warnings.warn(f"{damage}; using the older {path.name}", stacklevel=2)
        return path, state
    if damages:
        raise CheckpointError(f"no checkpoint in {folder} is whole: {'; '.join(damages)}. Nothing has been changed")
    return None
