"""Config dataclasses as JSON and back; a number that may change over time is a Schedule, written as its text."""

from __future__ import annotations

import dataclasses
import json
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from rlcore.fields import Schedule

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as JSON values."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return str(value)
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def from_dict(cls: type[T], data: dict[str, Any]) -> T:
    """A dataclass from JSON values; ValueError for an unknown field, TypeError for a value of the wrong type."""
    if not isinstance(data, dict):
        raise TypeError(f"{cls.__name__} takes an object of its fields, got {data!r}")
    hints = get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in data:
        if name not in names:
            near = get_close_matches(name, names, n=3, cutoff=0.5) or names
            raise ValueError(f"{cls.__name__} has no field {name!r}; did you mean {', '.join(near)}?")
    return cls(**{name: _typed(f"{cls.__name__}.{name}", hints[name], value) for name, value in data.items()})


def _typed(name: str, hint: Any, value: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        if type(value) in get_args(hint) and type(value) in (type(None), str):
            return value
        hint = next(h for h in get_args(hint) if h is not type(None))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{name} takes {' or '.join(map(repr, get_args(hint)))}, got {value!r}")
        return value
    if hint is Schedule and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return Schedule.parse(value) if isinstance(value, str) else Schedule(float(value))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple([_typed(name, get_args(hint)[0], v) for v in value])
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, get_origin(hint) or hint) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"{name} takes {getattr(hint, '__name__', hint)}, got {value!r}")
    return value


def save_config(path: str | Path, config: dict[str, Any]) -> None:
    """Write JSON values to a new file."""
    text = json.dumps(config, indent=2)  # before the file is there: a value may turn out to be none of JSON's
    with Path(path).open("x") as file:
        file.write(text + "\n")


def load_config(path: str | Path) -> dict[str, Any]:
    """Read JSON values, or YAML's of a .yaml or .yml file; ValueError names a file that holds none."""
    path = Path(path)
    is_yaml = path.suffix in (".yaml", ".yml")
    try:
        data = _yaml(path.read_text()) if is_yaml else json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no {'YAML' if is_yaml else 'JSON'}: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ImportError('to read YAML: pip install "rlcore[yaml]"') from None
    try:
        return yaml.safe_load(text)  # plain values only
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
