"""Links made of links: Chain by name, ChainList by number, Sequential one after the other."""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence
from typing import Any, TypeVar

from rlcore.autograd.link import Link
from rlcore.autograd.parameter import changed

L = TypeVar("L", bound="ChainList")


class Chain(Link):
    """A link made of named links: `Chain(l1=L.Linear(2, 3), l2=L.Linear(3, 1))`, or by assignment in `__init__`."""

    def __init__(self, **links: Link):
        super().__init__()
        for name, link in links.items():
            self.add_link(name, link)

    def add_link(self, name: str, link: Link) -> None:
        """Assign a link to an attribute that does not exist yet."""
        if not isinstance(link, Link):
            raise TypeError(f"{type(self).__name__}: {name} must be a link, got {type(link).__name__}")
        self._new(name)
        setattr(self, name, link)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class ChainList(Link, MutableSequence):
    """A link made of a list of links, named by their numbers; changed as a list is."""

    def __init__(self, *links: Any):
        super().__init__()
        self._children: list[Any] = []
        self.extend(links)

    def _checked(self, link: Any) -> Any:
        if not isinstance(link, Link):
            raise TypeError(f"{type(self).__name__}: expected a link, got {type(link).__name__}")
        return link

    def insert(self, index: int, link: Any) -> None:
        """Put a link before the one that has this number."""
        self._children.insert(index, self._checked(link))
        changed()

    def add_link(self, link: Any) -> None:
        """Add a link at the end: `append`, in Chainer's word."""
        self.append(link)

    def __setitem__(self, index: Any, link: Any) -> None:
        self._children[index] = [self._checked(k) for k in link] if isinstance(index, slice) else self._checked(link)
        changed()

    def __delitem__(self, index: Any) -> None:
        del self._children[index]
        changed()

    def _items(self) -> Iterator[tuple[str, Any]]:
        for i, link in enumerate(self._children):
            if isinstance(link, Link):
                yield str(i), link
        yield from super()._items()

    def _viewed(self: L, memo: dict[int, Any]) -> L:
        if id(self) in memo:
            return memo[id(self)]
        twin = super()._viewed(memo)
        children = [link._viewed(memo) if isinstance(link, Link) else link for link in self._children]
        twin.__dict__["_children"] = children
        return twin

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._children)

    def __getitem__(self, index: Any) -> Any:
        return self._children[index]

    def _parts(self) -> list[tuple[str, str]]:
        words = [repr(k) if isinstance(k, Link) else getattr(k, "__name__", repr(k)) for k in self._children]
        return [(str(i), text) for i, text in enumerate(words)]


class Sequential(ChainList):
    """Calls its layers in turn: links and plain functions such as `F.relu`; a tuple is handed on as several arguments.

    `flatten()` lays out memory, as it does for every link; Chainer's `Sequential.flatten` is `flattened`.
    """

    def _checked(self, layer: Any) -> Any:
        if not callable(layer):
            raise TypeError(f"Sequential: a layer must be a link or a function, got {type(layer).__name__}")
        return layer

    def forward(self, *xs: Any) -> Any:
        x = xs[0] if len(xs) == 1 else xs
        for layer in self._children:
            x = layer(*x) if type(x) is tuple else layer(x)
        return x

    def __add__(self, other: Any) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def count_by_layer_type(self, type_name: Any) -> int:
        """The number of layers of a type, or whose class or function has this name."""
        return sum(_is_of(layer, type_name) for layer in self._children)

    def remove_by_layer_type(self, type_name: Any) -> None:
        """Remove the layers of a type, or whose class or function has this name."""
        self[:] = [layer for layer in self._children if not _is_of(layer, type_name)]

    def flattened(self) -> Sequential:
        """A Sequential of the same layers, in which those of inner Sequentials stand in their place."""
        layers: list[Any] = []
        for layer in self._children:
            layers.extend(layer.flattened() if isinstance(layer, Sequential) else [layer])
        return Sequential(*layers)


def _is_of(layer: Any, kind: Any) -> bool:
    if isinstance(kind, type):
        return isinstance(layer, kind)
    return kind in (type(layer).__name__, getattr(layer, "__name__", None))
