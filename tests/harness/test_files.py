"""Files and folders that are there whole or not at all; what interrupted writers left is swept."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from rlcore.harness.files import append, cut, linked, present, read, sha, whole_folder, write


def gone():
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_folder_appears_whole(tmp_path):
    with whole_folder(tmp_path / "new" / "state") as folder:
        write(folder / "a", b"1")
        assert not (tmp_path / "new" / "state").exists()
        assert folder.name.startswith(f".state.tmp.{os.getpid()}.")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["state"]
    assert read(tmp_path / "new" / "state" / "a") == b"1"


def test_a_folder_is_replaced_whole(tmp_path):
    for k in range(3):
        with whole_folder(tmp_path / "state") as folder:
            write(folder / str(k), b"")
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["state", "state/2"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_what_was_there(tmp_path, error):
    with whole_folder(tmp_path / "state") as folder:
        write(folder / "old", b"")

    def replace():
        with whole_folder(tmp_path / "state") as folder:
            write(folder / "new", b"")
            raise error

    with pytest.raises(error):
        replace()
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["state", "state/old"]


def test_a_replacement_that_fails_between_its_renames_leaves_the_old_one_readable(tmp_path, monkeypatch):
    with whole_folder(tmp_path / "state") as folder:
        write(folder / "old", b"")
    really = os.rename

    def rename(path, target):
        if ".tmp." in path.name:
            raise OSError("no")
        really(path, target)

    monkeypatch.setattr(os, "rename", rename)
    for _ in range(2):  # the second time there is nothing in the way
        with pytest.raises(OSError, match="no"), whole_folder(tmp_path / "state"):
            pass
        assert not (tmp_path / "state").exists()
        assert (present(tmp_path / "state") / "old").exists()
    monkeypatch.undo()
    with whole_folder(tmp_path / "state") as folder:
        write(folder / "new", b"")
    assert present(tmp_path / "state") == tmp_path / "state"
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["state", "state/new"]


@pytest.mark.fault(22)
def test_a_file_is_never_overwritten(tmp_path):
    write(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        write(tmp_path / "a", b"2")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write(tmp_path / "link", b"2")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.fault(18)
def test_only_regular_files_are_read(tmp_path):
    write(tmp_path / "a", b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "missing"):
        with pytest.raises(OSError):  # noqa: PT011  which one differs between systems
            read(tmp_path / name)


@pytest.mark.fault(18)
def test_only_regular_files_are_written_to(tmp_path):
    write(tmp_path / "a", b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "dangling", "pipe", "."):
        for change in (lambda path: append(path, b"!"), lambda path: cut(path, 0)):
            with pytest.raises(OSError):  # noqa: PT011  which one differs between systems
                change(tmp_path / name)
    with pytest.raises(OSError, match="no regular file"):
        append(tmp_path / "link", b"!")
    assert read(tmp_path / "a") == b"precious"
    assert not (tmp_path / "new").exists()
    append(tmp_path / "b", b"12")
    append(tmp_path / "b", b"34")
    cut(tmp_path / "b", 9)
    assert read(tmp_path / "b") == b"1234"
    cut(tmp_path / "b", 3)
    assert read(tmp_path / "b") == b"123"


def test_a_disk_that_is_full_leaves_no_half_line(tmp_path, monkeypatch):
    path, really = tmp_path / "log", os.write
    append(path, b"whole\n")

    def full(descriptor, data):
        if len(data) < 6:
            raise OSError(28, "No space left on device")
        return really(descriptor, data[:3])  # a short write, as the kernel gives before the error

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        append(path, b"torn!\n")
    monkeypatch.undo()
    append(path, b"next\n")
    assert path.read_bytes() == b"whole\nnext\n"


def test_a_file_system_without_links(tmp_path, monkeypatch):
    write(tmp_path / "a", b"1")
    assert linked(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").stat().st_ino == (tmp_path / "b").stat().st_ino
    assert not linked(tmp_path / "missing", tmp_path / "c")

    def no(*args):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no)
    assert not linked(tmp_path / "a", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_file_of_parts(tmp_path):
    write(tmp_path / "a", b"12", memoryview(b"34"), np.arange(3, dtype=np.uint8).data)
    assert read(tmp_path / "a") == b"1234\0\1\2"
    assert sha(b"12", b"34") == sha(b"1234") == hashlib.sha256(b"1234").hexdigest()


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    write(tmp_path / "a", b"1234")
    assert read(tmp_path / "a", 4) == b"1234"
    with pytest.raises(OSError, match="longer than 3 bytes"):
        read(tmp_path / "a", 3)


def test_an_error_of_writing_names_the_file(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write(tmp_path / "a", b"1")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o700])
def test_a_folder_is_private_until_it_is_whole(tmp_path, mode):
    tmp_path.chmod(mode)
    with whole_folder(tmp_path / "state") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        write(folder / "a", b"")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "state" / "a").stat().st_mode) & ~0o644 == 0
