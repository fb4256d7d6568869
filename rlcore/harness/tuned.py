"""Tuned settings: data files of `rlcore/settings/`, one per algorithm, each entry with its source."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "settings"


def tuned(algorithm: str, env: str) -> dict[str, Any]:
    """The tuned settings of an algorithm on an environment, as a config.json has them; {} if there are none.

    A key of the file is an id, or a pattern of ids (`ALE/*`); an id itself goes first.
    """
    entries = _entries(algorithm)
    name = env.rpartition(":")[2]
    fitting = [name] if name in entries else [key for key in entries if fnmatchcase(name, key)]
    return {k: v for k, v in entries[fitting[0]].items() if k != "source"} if fitting else {}


def overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two configs, the second one's values before the first one's; groups of settings are merged."""
    groups = [k for k in below.keys() & above.keys() if isinstance(below[k], dict) and isinstance(above[k], dict)]
    return {**below, **above, **{k: {**below[k], **above[k]} for k in groups}}


@cache
def _entries(algorithm: str) -> dict[str, Any]:
    path = FOLDER / f"{algorithm}.json"
    if not path.is_file():
        return {}
    entries = json.loads(path.read_text("utf-8"))
    return _entries(entries["same as"]) if "same as" in entries else entries
