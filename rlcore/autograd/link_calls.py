"""What is called around a link's forward.

A link with hooks of its own changes its class, to a subclass whose `__call__` calls them: other links pay nothing. A
hook in a `with` block is called around all links of its thread, by swapping their classes' `__call__`.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

from rlcore.autograd.parameter import changed
from rlcore.autograd.swap import Swap

H = TypeVar("H", bound="LinkHook")
_working: ContextVar[tuple[Any, ...]] = ContextVar("link_hooks", default=())  # those of this thread's `with` blocks
_inside: ContextVar[Any] = ContextVar("inside", default=None)  # the link whose call this thread is in


class Call:
    """One call of a link, as its hooks see it; `out` is there after forward."""

    forward_name = "forward"
    out: Any = None

    def __init__(self, plain: Any, link: Any, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.plain, self.link, self.args, self.kwargs = plain, link, args, kwargs
        self.before: Any = None

    def __call__(self) -> Any:
        return self.plain(self.link, *self.args, **self.kwargs)


class LinkHook:
    """Called around a link's forward, with a `Call`: link, args, kwargs, and afterwards out.

    `link.add_hook(hook)` for one link, or `with hook:` for all.
    """

    name = "LinkHook"

    def __enter__(self: H) -> H:
        if self in _working.get():
            raise ValueError(f"{self.name}: this hook is at work already")
        self.added(None)
        _swap().acquire()
        _working.set((*_working.get(), self))
        return self

    def __exit__(self, *error: Any) -> None:
        _working.set(tuple(h for h in _working.get() if h is not self))
        _swap().release()
        self.deleted(None)

    def added(self, link: Any) -> None:
        """Called when the hook has been added to a link, with None when a `with` block begins."""

    def deleted(self, link: Any) -> None:
        """Called when the hook has been taken off a link, with None when a `with` block ends."""

    def forward_preprocess(self, args: Any) -> None:
        """Called before forward."""

    def forward_postprocess(self, args: Any) -> None:
        """Called after forward."""

    def finished(self, args: Any) -> None:
        """Called last, after an error too."""


def add(link: Any, hook: LinkHook, name: str) -> None:
    """What `Link.add_hook` does."""
    if "_viewed_link" in link.__dict__:
        raise TypeError("add_hook: a view has the hooks of its model; add the hook there, before the view is made")
    hooks = link.__dict__.setdefault("_link_hooks", {})
    if name in hooks:
        raise KeyError(f"add_hook: this {type(link).__name__} has a hook {name!r} already")
    hook.added(link)
    hooks[name] = hook
    if len(hooks) == 1:
        link.__class__ = _hooked(type(link))
        changed()


def delete(link: Any, name: str) -> None:
    """What `Link.delete_hook` does."""
    hooks = link.__dict__.get("_link_hooks", {})
    if name not in hooks:
        raise KeyError(f"delete_hook: this {type(link).__name__} has no hook {name!r}, only {list(hooks)}")
    hook = hooks.pop(name)
    if not hooks:
        link.__class__ = type(link).__bases__[0]
        changed()
    hook.deleted(link)


def _hooked(cls: Any) -> Any:
    """The subclass, made once, that a link with hooks is of."""
    found = cls.__dict__.get("_hooked_class")
    if found is None:
        plain = cls.__call__

        def __call__(self: Any, *args: Any, **named: Any) -> Any:
            return _around(plain, tuple(self._link_hooks.values()), self, args, named)

        names = {"__call__": __call__, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
        found = cls._hooked_class = type(cls)(cls.__name__, (cls,), names)
    return found


def _around(plain: Any, hooks: tuple[Any, ...], link: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    calls = [(hook, Call(plain, link, args, named)) for hook in hooks]
    done = 0
    try:
        for hook, call in calls:
            done += 1
            hook.forward_preprocess(call)
        out = plain(link, *args, **named)
        for hook, call in calls:
            call.out = out
            hook.forward_postprocess(call)
    finally:
        for hook, call in reversed(calls[:done]):
            hook.finished(call)
    return out


def _called(plain: Any) -> Any:
    def __call__(self: Any, *args: Any, **named: Any) -> Any:
        hooks = _working.get()
        if not hooks or _inside.get() is self:  # of a class and its base class only the outer method counts
            return plain(self, *args, **named)
        token = _inside.set(self)
        try:
            return _around(plain, hooks, self, args, named)
        finally:
            _inside.reset(token)

    return __call__


@cache
def _swap() -> Swap:
    from rlcore.autograd.link import Link

    return Swap(Link, {"__call__": _called})
