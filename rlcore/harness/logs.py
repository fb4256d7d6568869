"""Log files of a run, which outlive a disk that fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rlcore.harness.files import append, cut

WAITING = 300_000  # bytes of a file that wait for a disk that fails: under 1 MB for the three files of a run


class Log:
    """A file that is appended to, record by record; what cannot be written waits for the next `flush`.

    head: what a new file begins with. While the disk fails the newest 300 kB of records are kept.
    """

    def __init__(self, path: Path, head: bytes = b""):
        self.path, self.head = path, head
        self._waiting: deque[bytes] = deque()
        self._failed = False

    def add(self, record: bytes) -> None:
        """Take a record, whole or not at all in the file after the next `flush` that succeeds."""
        if record:
            self._waiting.append(record)

    def flush(self) -> None:
        """Write what waits; OSError if that fails, and the next call tries again."""
        if not self._waiting:
            return
        try:
            if self._failed:
                self.path.parent.mkdir(parents=True, exist_ok=True)  # it may have been deleted
            new = not (self.path.exists() and self.path.stat().st_size)
            append(self.path, b"".join([self.head if new else b"", *self._waiting]))
        except OSError:
            self._failed = True
            size = sum(map(len, self._waiting))
            while size > WAITING:
                size -= len(self._waiting.popleft())
            raise
        self._failed = False
        self._waiting.clear()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()


def sizes(paths: Iterable[Path]) -> dict[str, int]:
    """How long the files are, by name; those that do not exist are left out. OSError if that cannot be told."""
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path.name] = path.lstat().st_size
    return found


def cut_back(paths: Iterable[Path], known: dict[str, int]) -> None:
    """Cut files to the sizes known, and delete the others."""
    for path in paths:
        if path.name not in known:
            path.unlink(missing_ok=True)
        elif path.exists():
            cut(path, known[path.name])
