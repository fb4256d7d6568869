"""Links made of links: Chain by name, ChainList by number, Sequential one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from rlcore.autograd.link import Link
from rlcore.autograd.parameter import changed

L = TypeVar("L", bound="ChainList")


class Chain(Link):
    """A link made of named links: `Chain(l1=L.Linear(2, 3), l2=L.Linear(3, 1))`, or by assignment in `__init__`."""

    def __init__(self, **links: Link):
        super().__init__()
        for name, link in links.items():
            setattr(self, name, link)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class ChainList(Link):
    """A link made of a list of links, named by their numbers."""

    def __init__(self, *links: Any):
        super().__init__()
        self._children: list[Any] = []
        for link in links:
            self.append(link)

    def append(self, link: Any) -> None:
        """Add a link at the end."""
        if not isinstance(link, Link):
            raise TypeError(f"{type(self).__name__}: expected a link, got {type(link).__name__}")
        self._children.append(link)
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


class Sequential(ChainList):
    """Calls its layers in turn: links and plain functions such as `F.relu`."""

    def append(self, layer: Any) -> None:
        """Add a link or a function at the end."""
        if not callable(layer):
            raise TypeError(f"Sequential: a layer must be a link or a function, got {type(layer).__name__}")
        self._children.append(layer)
        changed()

    def forward(self, x: Any) -> Any:
        for layer in self._children:
            x = layer(x)
        return x
