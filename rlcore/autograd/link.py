"""Link: an object that owns parameters and other links, with flat storage, copies and views.

Parameters and child links are plain attributes, found in order of assignment, each once. `flatten()` lays all of them
into one array and their gradients into a second one, so that an optimizer step, clipping, a target copy or a message
between processes is one array operation.
"""

from __future__ import annotations

import copy as _copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import rlcore.autograd.parameter as _parameter
from rlcore.autograd import link_calls, link_states, storage
from rlcore.autograd.devices import mover
from rlcore.autograd.function import next_order
from rlcore.autograd.link_members import Members
from rlcore.autograd.parameter import Parameter

L = TypeVar("L", bound="Link")
CACHES = ("_leaf_cache", "_pair_cache", "_plan_cache")  # attributes that are found again, not copied


class Link(Members):
    """A part of a model. Subclasses assign parameters and links in `__init__` and define `forward`."""

    def __init__(self, **params: Any) -> None:
        """Parameters may be given as name=shape; nothing else needs to be set up."""
        for name, shape in params.items():
            self.add_param(name, shape)

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        call, plain = (getattr(c.__call__, "plain", c.__call__) for c in (cls, Link))  # behind a hook at work
        direct = call is plain or call in {base.__dict__.get("forward") for base in cls.__mro__}
        if "forward" in cls.__dict__ and "__call__" not in cls.__dict__ and direct:
            cls.__call__ = cls.__dict__["forward"]  # type: ignore[method-assign]  # saves a frame for each call

    forward: Any

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.forward(*args, **named)

    @contextmanager
    def init_scope(self) -> Iterator[None]:
        """Accepted as in Chainer; does nothing."""
        yield

    # gradients
    def _leaves(self) -> list[Any]:
        """The vertices of all parameters, found again only when a structure has changed."""
        cached = self.__dict__.get("_leaf_cache")
        if cached is None or cached[0] != _parameter.version:
            cached = (_parameter.version, [p.node for p in self.params()])
            self.__dict__["_leaf_cache"] = cached
        return cached[1]

    def cleargrads(self) -> None:
        """Set every gradient to None."""
        for leaf in self._leaves():
            leaf.grad = leaf.grad_var = None

    def addgrads(self, link: Link) -> None:
        """Add another link's gradients to this one's; parameters without one are left alone."""
        storage.match(self, link)
        now = next_order()
        for p, q in zip(self.params(), link.params(), strict=True):
            if q.grad is not None:
                p.node.add(q.grad, now)

    @property
    def update_enabled(self) -> bool:
        """Whether optimizers change any of the parameters."""
        return any(p.update_enabled for p in self.params())

    def enable_update(self) -> None:
        """Let optimizers change all parameters."""
        for p in list(self.params()):
            p.update_enabled = True

    def disable_update(self) -> None:
        """Let optimizers leave all parameters alone; gradients are still computed."""
        for p in list(self.params()):
            p.update_enabled = False

    # flat storage
    def flatten(self: L, flat: Any = None, grad: Any = None) -> L:
        """Lay parameters (then persistent arrays) into one array, `flat` if given, and gradients into another.

        What already lies in one slice is left alone, and so is a parameter that another model holds in its own array.
        """
        storage.flatten(self, flat, grad)
        return self

    @property
    def flat(self) -> Any:
        """All parameters as one vector, this link's slice of where they lie; do not keep it between calls."""
        return storage.vector(self.flatten(), "data")

    @property
    def flat_grad(self) -> Any:
        """All gradients as one vector, zeros where there is none."""
        self.flatten()
        for leaf in self._leaves():
            if leaf.grad is None and leaf.slot is not None:
                leaf.slot[...] = 0  # the memory only: the parameter still counts as unused
        return storage.vector(self, "grad")

    @property
    def flat_state(self) -> Any:
        """Parameters and persistent arrays as one vector: what targets, actors and ranks are sent."""
        return storage.vector(self.flatten(), "data", tail=True)

    def split(self, vector: Any) -> list[Any]:
        """A vector in flat order as arrays with the parameters' shapes."""
        return storage.split(list(self.params(include_uninit=False)), vector)

    def join(self, arrays: Any) -> Any:
        """Arrays with the parameters' shapes as one vector in flat order."""
        return storage.join(list(self.params(include_uninit=False)), arrays)

    # copies and views
    def view(self: L) -> L:
        """The same arrays, seen as constants: for acting, for targets, for a loss through another model.

        Stays right when sizes, layout or values change. Between forward and backward of a loss through a view, do not
        update the viewed model.
        """
        return self._viewed({})

    def _viewed(self: L, memo: dict[int, Any]) -> L:
        if id(self) in memo:
            return memo[id(self)]
        twin = memo[id(self)] = object.__new__(type(self))
        for name, value in self.__dict__.items():
            if isinstance(value, Link):
                value = value._viewed(memo)
            elif isinstance(value, Parameter):
                value = value.const
            if name not in CACHES:
                twin.__dict__[name] = value
        # a tuple is not searched; it keeps the parameters behind the twins alive
        twin.__dict__["_viewed_link"] = (self,)
        return twin

    def copy(self: L, mode: str = "copy") -> L:
        """An independent link with the same values ("copy") or freshly drawn ones ("init")."""
        if mode not in ("copy", "init"):
            raise ValueError(f"copy: mode must be 'copy' or 'init', got {mode!r}; to share arrays use view()")
        twin = _copy.deepcopy(self)
        if mode == "init":
            for p in twin.params(include_uninit=False):
                p.initializer(p.array)
        return twin

    def __deepcopy__(self: L, memo: dict[int, Any]) -> L:
        twin = memo[id(self)] = object.__new__(type(self))
        for name, value in self.__dict__.items():
            if name not in CACHES:
                twin.__dict__[name] = _copy.deepcopy(value, memo)
        return twin

    def repeat(self, n_repeat: int, mode: str = "init") -> Any:
        """A Sequential of n copies of this link; mode as in `copy`."""
        from rlcore.autograd.chain import Sequential

        return Sequential(*[self.copy(mode) for _ in range(n_repeat)])

    def copyparams(self, link: Link, copy_persistent: bool = True) -> None:
        """Take the values of another link of the same structure, persistent ones and sizes included."""
        storage.match(self, link, settle=True)
        if copy_persistent:
            self.soft_copyparams(link, 1)
            return
        for p, q in zip(self.params(include_uninit=False), link.params(include_uninit=False), strict=True):
            p.array = q.array

    def soft_copyparams(self, link: Link, tau: float) -> None:
        """Move every parameter and persistent array by tau towards another link's: p += tau * (q - p)."""
        arrays, others = self._paired(link)
        for a, b in arrays:
            if tau == 1:
                a[...] = b
            else:
                a += tau * (b - a)
        for here, there, name in others:
            here[name] = there[name]
        self._touch()

    def _paired(self, link: Link) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any, str]]]:
        """Vectors or arrays that hold the same values here and there, and the dicts of other persistent values."""
        cached = self.__dict__.get("_pair_cache")
        if cached is None or cached[0] != (_parameter.version, id(link)):
            storage.match(self, link)
            self.flatten()
            link.flatten()
            pairs = storage.pairs(self, link)
            cached = self.__dict__["_pair_cache"] = ((_parameter.version, id(link)), pairs)
        return cached[1]

    def _touch(self) -> None:
        now = next_order()
        for leaf in self._leaves():
            leaf.written = now

    # devices
    def to_device(self: L, device: Any) -> L:
        """Move all arrays, gradients included, to "@numpy", "@cupy" or "@cupy:1"; flat storage stays flat.

        Sizes settled later are drawn on the host and moved. A Variable kept as an attribute loses its graph.
        """
        storage.move(self, mover(device))
        return self

    def to_cpu(self: L) -> L:
        return self.to_device("@numpy")

    def to_gpu(self: L, device: int | None = None) -> L:
        return self.to_device("@cupy" if device is None else f"@cupy:{device}")

    # hooks
    def add_hook(self: L, hook: Any, name: str | None = None) -> L:
        """Call a LinkHook around this link's forward; without one a call costs nothing more."""
        link_calls.add(self, hook, name or hook.name)
        return self

    def delete_hook(self, name: str) -> None:
        link_calls.delete(self, name)

    @property
    def local_link_hooks(self) -> dict[str, Any]:
        """name -> hook of this link."""
        return self.__dict__.get("_link_hooks", {})

    # saving
    def state(self) -> dict[str, Any]:
        """Nested dicts of arrays, as the links nest; None for a parameter whose shape is not known yet."""
        return link_states.nested(link_states.entries(self))

    def check(self, state: dict[str, Any]) -> None:
        """ValueError, naming the first wrong entry, unless `state` has this link's names, shapes and dtypes."""
        link_states.check(self, link_states.flattened(state))

    def load(self, state: dict[str, Any]) -> None:
        """Take values from `state()`, in place, after `check`; sizes still unknown are taken from the state."""
        given = link_states.flattened(state)
        link_states.check(self, given)
        for path, p in self.namedparams():
            if given[path] is not None:
                if p.array is None:
                    p.settle(given[path])
                else:
                    p.array = p.xp.asarray(given[path])
        for path, link, name in self.namedpersistents():
            link._set_persistent(name, given[path])
