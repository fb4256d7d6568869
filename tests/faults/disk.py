"""A disk that fails on demand: every call that changes it is counted, and may be the last one or go wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "link", "chmod", "ftruncate")


class Died(BaseException):
    """The process is gone."""


class Disk:
    """Counts the changes in a with-block; before(k, name, args) is called before the k-th, counted from 1."""

    def __init__(self, before: Callable[[int, str, Any], None] = lambda k, name, args: None):
        self.before, self.done = before, []

    @contextmanager
    def watched(self) -> Iterator[Disk]:
        with mock.patch.multiple(os, **{name: self._counted(name, getattr(os, name)) for name in CALLS}):
            yield self

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or args[1] & os.O_CREAT:
                self.done.append(name)
                self.before(len(self.done), name, args)
            return real(*args, **kwargs)

        return call


def dies_after(changes: int, torn: bool = False) -> Disk:
    """A process that is killed: the next change, and all that would clean up after it, are not done.

    torn: of a write, half is done.
    """
    write = os.write

    def before(k: int, name: str, args: Any) -> None:
        if torn and k == changes + 1 and name == "write":
            write(args[0], bytes(args[1])[: len(args[1]) // 2])
        if k > changes:
            raise Died

    return Disk(before)


def interrupted_after(changes: int) -> Disk:
    """A process that is interrupted at the next change, and cleans up."""

    def before(k: int, name: str, args: Any) -> None:
        if k == changes + 1:
            raise KeyboardInterrupt

    return Disk(before)


def refuses(name: str, error: int) -> Disk:
    """A disk on which all calls of one name fail with an errno, as they do when it is full."""

    def before(k: int, called: str, args: Any) -> None:
        if called == name:
            raise OSError(error, os.strerror(error))

    return Disk(before)
