"""Files that are on the disk once written, and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TEMPORARY = re.compile(r"\..+\.tmp\.([0-9]{1,9})\.[0-9a-f]{8}")  # the number is the writer's process id
ABANDONED = 3600  # seconds after which a temporary folder may be swept: another machine may be writing here, too


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write files into; at the end it gets its name, or is deleted if an exception came.

    A folder that has the name is replaced: until that is done, `present(folder)` is the old one, then the new one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    temporary = folder.with_name(f".{folder.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
    os.mkdir(temporary, 0o700)  # of its own name, or not at all; nobody else may look or write into it
    aside = _aside(folder)
    try:
        yield temporary
        with suppress(PermissionError):  # of a file system that knows no modes
            os.chmod(temporary, os.stat(folder.parent).st_mode & 0o777)
        _sync(temporary)
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(folder, aside)
        os.rename(temporary, folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def present(folder: Path) -> Path:
    """Where the contents of a folder are: elsewhere if its replacement was interrupted between two renames."""
    return _aside(folder) if not folder.exists() and _aside(folder).exists() else folder


def names(folder: Path) -> set[str]:
    """The names in a folder, those of which only `present` knows where they are among them."""
    return {path.name for path in folder.iterdir()} | {path.name[1:-4] for path in folder.glob(".*.old")}


def sweep(folder: Path) -> None:
    """Delete the temporary folders of processes that were killed, an hour after they were last written to."""
    for path in folder.iterdir():
        found = TEMPORARY.fullmatch(path.name)
        try:
            if found and not _alive(int(found[1])) and time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # another process was quicker
            pass


def write(path: Path, *parts: Any) -> None:
    """Make a new file of these bytes or buffers, and have it on the disk; an OSError names the path and leaves none."""
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        for part in parts:
            _write(descriptor, part)
        os.fsync(descriptor)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: Any) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def sha(*parts: Any) -> str:
    """The SHA-256 of bytes or buffers, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def open_regular(path: Path, flags: int) -> int:
    """os.open of a regular file; OSError for all else: a link could lead anywhere, a pipe would never end."""
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = -1
    try:
        descriptor = os.open(path, flags, 0o644)
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        regular = False
    if not regular:
        if descriptor >= 0:
            os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return descriptor


def read(path: Path, limit: int | None = None) -> bytes:
    """The contents of a regular file; OSError if it is longer than the limit, in bytes."""
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        if limit is not None and os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"longer than {limit:,} bytes", str(path))
        return file.read()


def append(path: Path, data: bytes | bytearray) -> None:
    """Add to a regular file, made if need be; all of the data, or none if an OSError comes."""
    descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(descriptor).st_size
        try:
            _write(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, size)  # a half line would run into the next
            raise
    finally:
        os.close(descriptor)


def cut(path: Path, size: int) -> None:
    """Cut a regular file to at most this size."""
    with os.fdopen(open_regular(path, os.O_RDWR), "r+b") as file:
        file.truncate(min(size, file.seek(0, os.SEEK_END)))


def linked(source: Path, target: Path) -> bool:
    """Whether the source could be given a second name."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _sync(folder: Path) -> None:
    if os.name == "nt":  # where folders cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # where os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        pass
    return True
