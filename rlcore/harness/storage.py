"""A state tree as a folder: `state.json`, `tensors.safetensors` and chunks of rings, whole or not at all.

Every file is written into a folder with a temporary name, synchronised, and the folder renamed. state.json holds the tree
with its JSON scalars, the SHA-256 of every other file, and one of itself; tensors carry a CRC-32 each, which names the
damaged one. A ring is cut into chunks of rows; one that has not changed since an earlier save is linked, not written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.backend import is_array, to_cpu
from rlcore.tree import Ring

FORMAT = 1
CHUNK = 16_384  # rows
NAME = re.compile(r"tensors\.safetensors|ring-[0-9]+-[0-9]+\.bin")
KINDS = "biuf"


class CheckpointError(ValueError):
    """A stored state that cannot be trusted or read."""


def save_state(folder: str | Path, state: dict[str, Any], previous: str | Path | None = None) -> None:
    """Store a tree of arrays, Rings and JSON scalars; `previous` is an earlier save whose unchanged chunks are linked.

    What was there under this name is replaced; an interruption leaves the old one or the new one.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{folder.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}"
    temporary.mkdir(mode=0o755)
    try:
        arrays: dict[str, np.ndarray] = {}
        rings: dict[str, Ring] = {}
        tree = _encoded(state, "", arrays, rings)
        files = {"tensors.safetensors": _save_arrays(temporary / "tensors.safetensors", arrays)}
        groups = _save_rings(temporary, rings, files, None if previous is None else Path(previous))
        body = {"format": FORMAT, "tree": tree, "groups": groups, "files": files}
        text = json.dumps(body)
        _write(temporary / "state.json", json.dumps({"sha256": _sha(text.encode()), "body": body}).encode())
        _sync(temporary)
        if folder.exists():
            old = temporary.with_name(temporary.name + ".old")
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_state(folder: str | Path) -> dict[str, Any]:
    """Read a saved tree back; CheckpointError names the file or tensor that is missing, damaged or not ours."""
    folder = Path(folder)
    body = _read_body(folder)
    data = {}
    for name, digest in body["files"].items():
        if not NAME.fullmatch(name):
            raise CheckpointError(f"{folder}: state.json names a file {name!r} that no checkpoint has")
        data[name] = _read(folder / name)
        if _sha(data[name]) != digest:
            what = _damaged_tensor(data[name]) if name == "tensors.safetensors" else ""
            raise CheckpointError(f"{folder / name} is damaged{what}: its checksum is not the one in state.json")
    try:
        arrays = _arrays_in(data["tensors.safetensors"])
        rings = _rings_in(body["groups"], data)
        return _decoded(body["tree"], arrays, rings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder} cannot be read: {type(error).__name__}: {error}") from None


def _read_body(folder: Path) -> dict[str, Any]:
    try:
        whole = json.loads(_read(folder / "state.json"))
        body, digest = whole["body"], whole["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / 'state.json'} is damaged: {type(error).__name__}") from None
    if _sha(json.dumps(body).encode()) != digest:
        raise CheckpointError(f"{folder / 'state.json'} is damaged: its checksum does not fit")
    if body.get("format") != FORMAT:
        raise CheckpointError(f"{folder} has format {body.get('format')}; this version of rlcore reads format {FORMAT}")
    return body


# the tree
def _encoded(value: Any, path: str, arrays: dict[str, np.ndarray], rings: dict[str, Ring]) -> Any:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or "/" in key or key.startswith("$"):
                raise TypeError(f"state: key {key!r} under {path or '/'} must be a str without '/' and a leading '$'")
        return {key: _encoded(v, f"{path}/{key}", arrays, rings) for key, v in value.items()}
    if isinstance(value, Ring):
        rings[path] = value
        return {"$ring": path}
    if is_array(value):
        array = to_cpu(value)
        if array.dtype.kind not in KINDS:
            raise TypeError(f"state: {path} has dtype {array.dtype}; bool, integers and floats can be stored")
        arrays[path] = array if array.flags.c_contiguous else array.copy(order="C")
        return {"$array": path}
    if isinstance(value, tuple):
        return {"$tuple": [_encoded(v, f"{path}/{i}", arrays, rings) for i, v in enumerate(value)]}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _decoded(value: Any, arrays: dict[str, np.ndarray], rings: dict[str, Ring]) -> Any:
    if isinstance(value, dict):
        if "$array" in value:
            return arrays[value["$array"]]
        if "$ring" in value:
            return rings[value["$ring"]]
        if "$tuple" in value:
            return tuple([_decoded(v, arrays, rings) for v in value["$tuple"]])
        return {key: _decoded(v, arrays, rings) for key, v in value.items()}
    return value


# arrays
def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> str:
    from safetensors.numpy import save

    data = save(arrays, {f"crc32 {name}": str(zlib.crc32(a.tobytes())) for name, a in arrays.items()})
    _write(path, data)
    return _sha(data)


def _arrays_in(data: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(error) from None


def _damaged_tensor(data: bytes) -> str:
    """Which tensor of a damaged file it is, as far as it can be told."""
    try:
        size = int.from_bytes(data[:8], "little")
        crcs = json.loads(data[8 : 8 + size])["__metadata__"]
        for name, array in _arrays_in(data).items():
            if str(zlib.crc32(array.tobytes())) != crcs[f"crc32 {name}"]:
                return f" in tensor {name}"
    except Exception:  # the file is known to be damaged; this only adds where
        pass
    return ""


# rings
def _save_rings(folder: Path, rings: dict[str, Ring], files: dict[str, str], previous: Path | None) -> list[Any]:
    """Rings of one length and one number of rows share their chunk files, one column after the other."""
    shared: dict[tuple[int, int], list[str]] = {}
    for path, ring in rings.items():
        shared.setdefault((len(ring.array), ring.written), []).append(path)
    before = None
    if previous is not None:
        try:
            before = _read_body(previous)
        except CheckpointError:
            pass  # then every chunk is written anew
    groups = []
    for g, ((length, written), paths) in enumerate(shared.items()):
        columns = [[p, str(rings[p].array.dtype), list(rings[p].array.shape[1:])] for p in paths]
        groups.append({"length": length, "written": written, "columns": columns})
        old = before["groups"][g] if before is not None and g < len(before["groups"]) else None
        same = old is not None and old["length"] == length and old["columns"] == columns and old["written"] <= written
        for k in range(-(-min(length, written) // CHUNK)):
            name, rows = f"ring-{g}-{k}.bin", slice(k * CHUNK, min((k + 1) * CHUNK, length, written))
            if same and not _touched(k, length, old["written"], written) and name in before["files"]:  # type: ignore[index]
                _link(previous / name, folder / name)  # type: ignore[operator]
                files[name] = before["files"][name]  # type: ignore[index]
            else:
                data = b"".join([rings[p].array[rows].tobytes() for p in paths])
                _write(folder / name, data)
                files[name] = _sha(data)
    return groups


def _touched(k: int, length: int, before: int, written: int) -> bool:
    """Whether rows from `before` up to `written` fell into chunk k."""
    if written - before >= length:
        return True
    first, last = k * CHUNK, min((k + 1) * CHUNK, length)
    start, count = before % length, written - before
    return count > 0 and ((start < last and start + count > first) or start + count - length > first)


def _rings_in(groups: list[Any], data: dict[str, bytes]) -> dict[str, Ring]:
    rings = {}
    for g, group in enumerate(groups):
        length, written = group["length"], group["written"]
        arrays = [np.zeros((length, *shape), np.dtype(dtype)) for _, dtype, shape in group["columns"]]
        for k in range(-(-min(length, written) // CHUNK)):
            chunk, at = data[f"ring-{g}-{k}.bin"], 0
            rows = slice(k * CHUNK, min((k + 1) * CHUNK, length, written))
            for array in arrays:
                part = array[rows]
                part[...] = np.frombuffer(chunk, array.dtype, part.size, at).reshape(part.shape)
                at += part.nbytes
        rings |= {column[0]: Ring(array, written) for column, array in zip(group["columns"], arrays)}
    return rings


# files
def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
        _sync(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
