"""A state tree as a folder: `state.json`, `tensors.safetensors` and chunks of rings, whole or not at all.

state.json holds the tree with its JSON scalars, the SHA-256 of every other file, and one of itself; tensors carry a
CRC-32 each, which names the damaged one. A ring is cut into chunks of rows; a chunk that is the same as in an earlier
save is linked, not written again.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.backend import is_array, to_cpu
from rlcore.harness.files import present, read, sha, whole_folder, write
from rlcore.harness.rings import Earlier, rings_in, save_rings
from rlcore.harness.tensors import DTYPES, LONGEST, buffer, count, packed, strict_json, unpacked
from rlcore.tree import Ring

FORMAT = 1  # of what is written; what is read says in min_reader which format a reader must know
DEPTH = 32  # of a tree
STORED = frozenset(map(np.dtype, DTYPES))
NAME = re.compile(r"tensors\.safetensors|ring-[0-9]+-[0-9]+\.bin")


class CheckpointError(ValueError):
    """A stored state that cannot be trusted or read."""


def save_state(folder: str | Path, state: dict[str, Any], previous: str | Path | None = None) -> None:
    """Store a tree of arrays, Rings, tuples, lists and JSON scalars; OSError names what could not be written.

    previous: an earlier save of the same Rings: chunks to which no row has been added since are linked. Of each such
    chunk two rows are compared with what they were, and some chunks are read back whole, others at the next save: what
    is found to differ is written anew. A state that has been saved under this name is replaced, and an interruption
    leaves the old one or the new one; ValueError if it is something else.
    """
    folder = Path(folder)
    if folder.exists() and not _is_state(folder):
        raise ValueError(f"{folder} holds something that is no saved state; choose another folder")
    with whole_folder(folder) as new:
        arrays: dict[str, np.ndarray] = {}
        rings: dict[str, Ring] = {}
        tree = _encoded(state, "", arrays, rings)
        files = {"tensors.safetensors": _save_arrays(new / "tensors.safetensors", arrays)}
        body = {"format": FORMAT, "min_reader": FORMAT, "tree": tree, "files": files}
        body |= save_rings(new, rings, files, _earlier(previous))
        text = json.dumps(body)
        whole = json.dumps({"sha256": sha(text.encode()), "body": body}).encode()
        if len(whole) > LONGEST:
            raise ValueError(f"the state has {len(whole):,} bytes of JSON, more than are read: put it into arrays")
        write(new / "state.json", whole)


def load_state(folder: str | Path) -> dict[str, Any]:
    """Read a saved tree back; CheckpointError names the file or tensor that is missing, damaged or not ours."""
    folder = present(Path(folder))
    body = _read_body(folder)
    try:
        arrays = unpacked(_checked(folder, "tensors.safetensors", body["files"]))[0]
        rings = rings_in(body["groups"], lambda name, what: _checked(folder, name, body["files"], what))
        tree = _decoded(body["tree"], arrays, rings)
        if not isinstance(tree, dict):
            raise TypeError(f"it holds a {type(tree).__name__}, not a dict")
    except CheckpointError:
        raise
    except Exception as error:  # whatever a hostile file brings about, MemoryError among it
        raise CheckpointError(f"{folder} cannot be read: {type(error).__name__}: {error}") from None
    return tree


def verify_state(folder: str | Path, seen: dict[Any, dict[str, str]]) -> dict[Any, dict[str, str]]:
    """CheckpointError unless every file of a saved state is whole on the disk; gives what was seen of them.

    Files that were seen, and have not been touched since, are not read again.
    """
    folder = present(Path(folder))
    state = _mark(folder / "state.json")
    files = seen[state] if state in seen else _read_body(folder)["files"]
    now: dict[Any, dict[str, str]] = {state: files}
    for name, digest in files.items():
        mark = *_mark(folder / name), digest
        if mark not in seen:
            _checked(folder, name, files)
        now[mark] = {}
    return now


def _mark(path: Path) -> tuple[int, ...]:
    """What changes when a file does."""
    try:
        about = path.lstat()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _read_body(folder: Path) -> dict[str, Any]:
    try:
        whole = strict_json(_read(folder / "state.json", LONGEST))
        body, digest = whole["body"], whole["sha256"]
        whole = digest == sha(json.dumps(body).encode()) and isinstance(body, dict)
    except CheckpointError:
        raise
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / 'state.json'} is damaged: {type(error).__name__}") from None
    if not whole:
        raise CheckpointError(f"{folder / 'state.json'} is damaged: its checksum does not fit")
    least = body.get("min_reader")
    if type(least) is not int or not 1 <= least <= FORMAT:
        raise CheckpointError(
            f"{folder} can be read by format {str(least)[:20]} and later, this version of rlcore reads format "
            f"{FORMAT}; install the version that wrote it, or a later one"
        )
    files = body.get("files")
    for name, digest in files.items() if isinstance(files, dict) else [(None, None)]:
        if not NAME.fullmatch(str(name)) or not isinstance(digest, str):
            raise CheckpointError(f"{folder}: state.json names a file {name!r} that no checkpoint has")
    return body


# the tree
def _encoded(value: Any, path: str, arrays: dict[str, np.ndarray], rings: dict[str, Ring]) -> Any:
    """The tree as JSON values; arrays and Rings go into the two dicts, and a reference stays in their place."""
    if value is None or type(value) in (bool, int, float, str):  # most are
        return value
    if path.count("/") > DEPTH:
        raise TypeError(f"state: {path} is nested deeper than {DEPTH} levels")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"state: key {key!r} under {path or '/'} must be a str without a leading '$'")
        return {key: _encoded(v, f"{path}/{_told(key)}", arrays, rings) for key, v in value.items()}
    if isinstance(value, Ring):
        _check_dtype(path, value.array)
        rings[path] = value
        return {"$ring": path}
    if is_array(value):
        _check_dtype(path, value)
        array = to_cpu(value)
        arrays[path] = array if array.flags.c_contiguous else array.copy(order="C")
        return {"$array": path}
    if isinstance(value, (tuple, list)):
        items = [_encoded(v, f"{path}/{i}", arrays, rings) for i, v in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"state: {path} is a {type(value).__name__}; arrays, Rings and JSON scalars can be stored")


def _told(key: str) -> str:
    """A key as part of a path, which a slash in it would cut (RFC 6901): robots observe robot/joints."""
    return key.replace("~", "~0").replace("/", "~1")


def _check_dtype(path: str, array: Any) -> None:
    if array.dtype not in STORED:
        raise TypeError(
            f"state: {path} has dtype {array.dtype}; bool, integers and floats of this machine can be stored"
        )


def _decoded(value: Any, arrays: dict[str, np.ndarray], rings: dict[str, Ring], depth: int = 0) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    if depth > DEPTH:
        raise ValueError(f"nested deeper than {DEPTH} levels")
    if isinstance(value, list):
        return [_decoded(v, arrays, rings, depth + 1) for v in value]
    if "$array" in value:
        return arrays[value["$array"]]
    if "$ring" in value:
        return rings[value["$ring"]]
    if "$tuple" in value:
        return tuple([_decoded(v, arrays, rings, depth + 1) for v in value["$tuple"]])
    return {key: _decoded(v, arrays, rings, depth + 1) for key, v in value.items()}


# arrays
def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> str:
    crcs = {f"crc32 {name}": str(zlib.crc32(buffer(array))) for name, array in arrays.items()}
    parts = packed(arrays, {"writer": "rlcore", **crcs})
    write(path, *parts)
    return sha(*parts)


def _damaged_tensor(data: bytes) -> str:
    """Which tensor of a damaged file it is, as far as it can be told."""
    try:
        arrays, crcs = unpacked(data)
    except ValueError:
        return ""
    wrong = [name for name, array in arrays.items() if str(zlib.crc32(buffer(array))) != crcs.get(f"crc32 {name}")]
    return f"tensor {', '.join(wrong)}" if wrong else ""


def _earlier(previous: str | Path | None) -> Earlier | None:
    """None if there is none, or if it cannot be read: then every chunk is written."""
    if previous is None:
        return None
    try:
        folder = present(Path(previous))
        body = _read_body(folder)
        return Earlier(folder, body["files"], body["groups"], count(body["turn"], "turn"))
    except (ValueError, LookupError):
        return None


# files
def _is_state(folder: Path) -> bool:
    return (folder / "state.json").exists() or all(NAME.fullmatch(path.name) for path in folder.iterdir())


def _read(path: Path, limit: int | None = None) -> bytes:
    try:
        return read(path, limit)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _checked(folder: Path, name: str, files: dict[str, str], what: str = "") -> bytes:
    """The contents of a file; CheckpointError, with which tensor or with `what` is lost, if they are not as written."""
    data = _read(folder / name)
    if sha(data) != files[name]:
        what = _damaged_tensor(data) if name == "tensors.safetensors" else what
        raise CheckpointError(
            f"{folder / name} is damaged{f', and with it {what}' if what else ''}: its checksum is not the one in "
            "state.json"
        )
    return data
