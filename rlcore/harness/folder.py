"""Run folders: `runs/<env>/<algorithm>/<time>-s<seed>/`, one writer each."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rlcore.harness.config import load_config, save_config
from rlcore.harness.files import append, open_regular
from rlcore.harness.header import compared, completed


class RunFolder:
    """A folder that this process alone writes to, until `close()` or its end."""

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path, self.config = path, config
        self._lock: int | None = _locked(path / "lock")

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any]) -> RunFolder:
        """Make a new folder with its config.json and the commit; ValueError if it exists."""
        path = Path(path)
        if path.exists():
            raise ValueError(f"{path} exists; choose another folder, or resume it with --resume")
        json.dumps(config)  # what may fail comes before the folder
        path.mkdir(parents=True)
        folder = cls(path, config)  # locked before it has a config.json: nobody can take it for a run to resume
        try:
            save_config(path / "config.json", config)
            (path / "commit.txt").write_text(_commit() + "\n")
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Take a folder that exists."""
        path = Path(path)
        if not (path / "config.json").is_file():
            raise ValueError(f"{path} is no run folder: it has no config.json")
        return cls(path, load_config(path / "config.json"))

    def finish(self) -> None:
        """Mark the run as complete, so that it is not resumed."""
        append(self.path / "finished", b"")

    def extend(self, steps: int | None) -> None:
        """Take the run up again, to so many steps if they are more than before; what has changed in config is kept."""
        (self.path / "finished").unlink(missing_ok=True)
        self.config["steps"] = max(self.config["steps"], steps or 0)
        new = self.path / ".config.json.tmp"
        new.unlink(missing_ok=True)
        save_config(new, self.config)
        new.replace(self.path / "config.json")

    def close(self) -> None:
        """Let others write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def new_path(root: str | Path, env: str, algorithm: str, seed: int) -> Path:
    """A path for a new run, by its start time."""
    stamp, base = time.strftime("%Y%m%d-%H%M%S"), Path(root) / safe(env) / algorithm
    path, n = base / f"{stamp}-s{seed}", 1
    while path.exists():
        n += 1
        path = base / f"{stamp}.{n}-s{seed}"
    return path


def find_resumable(
    root: str | Path, env: str, algorithm: str, config: dict[str, Any], defaults: dict[str, Any] | None = None
) -> RunFolder | None:
    """The newest unfinished run of this config that nobody writes to; `steps` may have grown.

    defaults: of the settings that a config.json does not say, as an older version did not know them.
    """
    base = Path(root) / safe(env) / algorithm
    for path in sorted(base.iterdir(), reverse=True) if base.is_dir() else ():
        try:
            theirs = completed(load_config(path / "config.json"), defaults or {})
        except (OSError, ValueError):
            continue
        finished = (path / "finished").exists() and theirs.get("steps") == config.get("steps")
        if finished or not same_run(theirs, config):
            continue
        try:
            return RunFolder.open(path)
        except OSError:  # it is held, or its lock is no file
            continue
    return None


def same_run(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether two configs are of one run: equal but for steps, which may have grown, and what changes no number."""
    steps = theirs.get("steps")
    return isinstance(steps, int) and steps <= ours["steps"] and compared(theirs) == compared(ours)


def safe(name: str) -> str:
    """A name of an environment as a folder name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".") or "_"


def _locked(path: Path) -> int:
    """An open, locked file; BlockingIOError if another process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks, so no protection
        return open_regular(path, os.O_CREAT | os.O_RDWR)
    descriptor = open_regular(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 200).decode(errors="replace").strip()
        os.close(descriptor)
        raise BlockingIOError(f"{path.parent} is being written to by {holder or 'another process'}") from None
    os.truncate(descriptor, 0)
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0)
    return descriptor


def _commit() -> str:
    """The commit of the working folder, or that there is none."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return "no git"
    return done.stdout.strip() if done.returncode == 0 else "no git checkout"
