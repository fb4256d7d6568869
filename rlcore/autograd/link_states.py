"""A link's values as a tree of names, and the check of a tree before it is loaded."""

from __future__ import annotations

from typing import Any

from rlcore.autograd import storage
from rlcore.autograd.variable import as_array


def entries(link: Any) -> dict[str, Any]:
    """path -> array of every parameter, once, and every persistent value; None where the shape is not known yet."""
    values: dict[str, Any] = {path: p.array for path, p in storage.own(link).namedparams()}
    return values | {path: owner._persistent[name] for path, owner, name in link.namedpersistents()}


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """{"/a/W": x} as {"a": {"W": x}}."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path[1:].split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return tree


def flattened(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    """{"a": {"W": x}} as {"/a/W": x}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= flattened(value, f"{path}/{name}") if isinstance(value, dict) else {f"{path}/{name}": as_array(value)}
    return flat


def check(link: Any, given: dict[str, Any]) -> None:
    """ValueError, naming the first wrong path, unless given has the link's paths, shapes and dtypes."""
    own = entries(link)
    for path in own:
        if path not in given:
            raise ValueError(f"load: {path} is missing from the state; it has {', '.join(given) or 'nothing'}")
    for path in given:
        if path not in own:
            raise ValueError(f"load: the state has {path}, which this model has not; it has {', '.join(own)}")
    for path, here in own.items():
        value = given[path]
        if hasattr(here, "shape"):
            if not hasattr(value, "shape") or value.shape != here.shape or value.dtype != here.dtype:
                got = f"{value.shape} {value.dtype}" if hasattr(value, "shape") else repr(value)
                raise ValueError(f"load: {path} is {got} in the state and {here.shape} {here.dtype} here")
        elif here is not None and type(value) is not type(here):
            raise ValueError(f"load: {path} is {value!r} in the state, expected a value like {here!r}")
    for path, p in link.namedparams():
        if p.array is None and given[path] is not None and given[path].dtype != p.node.dtype:
            raise ValueError(f"load: {path} is {given[path].dtype} in the state and {p.node.dtype} here")
