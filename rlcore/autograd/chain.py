"""Links made of links: Chain by name, ChainList by number, Sequential one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, TypeVar

from rlcore.autograd.link import Link
from rlcore.autograd.parameter import changed

L = TypeVar("L", bound="ChainList")


def _nested(link: Link, named: Iterable[tuple[str, Any]]) -> str:
    """A link and what it is made of, each on its line."""
    lines = [f"  ({name}): {text}," for name, text in named]
    return "\n".join([f"{type(link).__name__}(", *(line.replace("\n", "\n  ") for line in lines), ")"])


def _in_words(layer: Any) -> str:
    return repr(layer) if isinstance(layer, Link) else getattr(layer, "__name__", None) or repr(layer)


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

    def __repr__(self) -> str:
        links = [(name, repr(link)) for name, link in self._items() if isinstance(link, Link)]
        return _nested(self, links) if links else super().__repr__()


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

    def __repr__(self) -> str:
        named = [(str(i), _in_words(layer)) for i, layer in enumerate(self._children)]
        return _nested(self, named) if named else super().__repr__()


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
