"""Methods of a class and of all its subclasses, replaced by wrappers while somebody needs it: off, it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any


class Swap:
    """wraps: method name -> a function that makes a wrapper of a method; `left` is a method that stays as it is."""

    def __init__(self, root: type, wraps: dict[str, Callable[[Any], Any]], left: Any = None):
        self.root, self.wraps, self.left = root, wraps, left
        self.users = 0  # of all threads
        self.lock = Lock()

    def acquire(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                for cls in classes(self.root):
                    self.wrap(cls)

    def release(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                for cls, name in self.wrapped():
                    setattr(cls, name, cls.__dict__[name].plain)

    def wrap(self, cls: type) -> None:
        """Wrap the methods that a class defines itself."""
        for name, wrap in self.wraps.items():
            method = cls.__dict__.get(name)
            if method is not None and method is not self.left and not hasattr(method, "plain"):
                wrapper = wrap(method)
                wrapper.plain = method
                setattr(cls, name, wrapper)

    def wrapped(self) -> list[tuple[type, str]]:
        """The classes and methods that have a wrapper."""
        return [(c, name) for c in classes(self.root) for name in self.wraps if hasattr(c.__dict__.get(name), "plain")]


def classes(root: Any) -> Iterator[type]:
    """A class and all its subclasses, each once."""
    seen, stack = {root}, [root]
    while stack:
        cls = stack.pop()
        yield cls
        new = [sub for sub in cls.__subclasses__() if sub not in seen]
        seen.update(new)
        stack.extend(new)
