"""A state tree as a folder: `state.json`, `tensors.safetensors` and chunks of rings, whole or not at all.

state.json holds the tree with its JSON scalars, the SHA-256 of every other file, and one of itself; tensors carry a
CRC-32 each, which names the damaged one. A ring is cut into chunks of rows; a chunk that is the same as in an earlier
save is linked, not written again.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.backend import is_array, to_cpu
from rlcore.harness.files import linked, present, read, whole_folder, write
from rlcore.tree import Ring

FORMAT = 1
CHUNK = 16_384  # rows, at most
CHUNK_BYTES = 4 << 20  # at most, but a row: a save writes whole chunks, and frames of 84 x 84 are 7 kB each
DTYPES = {"bool", *(f"{kind}{n}" for kind in ("int", "uint") for n in (8, 16, 32, 64)), "float16", "float32", "float64"}
NAME = re.compile(r"tensors\.safetensors|ring-[0-9]+-[0-9]+\.bin")


class CheckpointError(ValueError):
    """A stored state that cannot be trusted or read."""


def save_state(folder: str | Path, state: dict[str, Any], previous: str | Path | None = None) -> None:
    """Store a tree of arrays, Rings, tuples, lists and JSON scalars.

    previous: an earlier save of the same Rings, whose unchanged chunks are linked, each after it was read and found the
    same as in memory: a file gone bad does not spread to later saves, and a GB costs about 1 s if it is cached. A state
    that has been saved under this name is replaced, and an interruption leaves the old one or the new one; ValueError
    if it is something else.
    """
    folder = Path(folder)
    if folder.exists() and not _is_state(folder):
        raise ValueError(f"{folder} holds something that is no saved state; choose another folder")
    with whole_folder(folder) as new:
        arrays: dict[str, np.ndarray] = {}
        rings: dict[str, Ring] = {}
        tree = _encoded(state, "", arrays, rings)
        files = {"tensors.safetensors": _save_arrays(new / "tensors.safetensors", arrays)}
        groups = _save_rings(new, rings, files, None if previous is None else present(Path(previous)))
        body = {"format": FORMAT, "tree": tree, "groups": groups, "files": files}
        text = json.dumps(body)
        write(new / "state.json", json.dumps({"sha256": _sha(text.encode()), "body": body}).encode())


def load_state(folder: str | Path) -> dict[str, Any]:
    """Read a saved tree back; CheckpointError names the file or tensor that is missing, damaged or not ours."""
    folder = present(Path(folder))
    body = _read_body(folder)
    try:
        files = body["files"]
        for name in files:
            if not NAME.fullmatch(name):
                raise CheckpointError(f"{folder}: state.json names a file {name!r} that no checkpoint has")
        arrays = _arrays_in(_checked(folder, "tensors.safetensors", files))
        rings = _rings_in(body["groups"], lambda name: _checked(folder, name, files))
        tree = _decoded(body["tree"], arrays, rings)
        if not isinstance(tree, dict):
            raise TypeError(f"it holds a {type(tree).__name__}, not a dict")
    except CheckpointError:
        raise
    except Exception as error:  # whatever a hostile file brings about, MemoryError and RecursionError among it
        raise CheckpointError(f"{folder} cannot be read: {type(error).__name__}: {error}") from None
    return tree


def _read_body(folder: Path) -> dict[str, Any]:
    try:
        whole = json.loads(_read(folder / "state.json"))
        body, digest = whole["body"], whole["sha256"]
        whole = digest == _sha(json.dumps(body).encode()) and isinstance(body, dict)
    except CheckpointError:
        raise
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{folder / 'state.json'} is damaged: {type(error).__name__}") from None
    if not whole:
        raise CheckpointError(f"{folder / 'state.json'} is damaged: its checksum does not fit")
    if body.get("format") != FORMAT:
        raise CheckpointError(f"{folder} has format {body.get('format')}; this version of rlcore reads format {FORMAT}")
    return body


# the tree
def _encoded(value: Any, path: str, arrays: dict[str, np.ndarray], rings: dict[str, Ring]) -> Any:
    """The tree as JSON values; arrays and Rings go into the two dicts, and a reference stays in their place."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or "/" in key or key.startswith("$"):
                raise TypeError(f"state: key {key!r} under {path or '/'} must be a str without '/' and a leading '$'")
        return {key: _encoded(v, f"{path}/{key}", arrays, rings) for key, v in value.items()}
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


def _check_dtype(path: str, array: Any) -> None:
    if str(array.dtype) not in DTYPES:
        raise TypeError(
            f"state: {path} has dtype {array.dtype}; bool, integers and floats of this machine can be stored"
        )


def _decoded(value: Any, arrays: dict[str, np.ndarray], rings: dict[str, Ring]) -> Any:
    if isinstance(value, list):
        return [_decoded(v, arrays, rings) for v in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$ring" in value:
        return rings[value["$ring"]]
    if "$tuple" in value:
        return tuple([_decoded(v, arrays, rings) for v in value["$tuple"]])
    return {key: _decoded(v, arrays, rings) for key, v in value.items()}


# arrays
def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> str:
    from safetensors.numpy import save

    crcs = {f"crc32 {name}": str(zlib.crc32(array.tobytes())) for name, array in arrays.items()}
    data = save(arrays, {"writer": "rlcore", **crcs})  # never without a note: such a file of no arrays cannot be read
    write(path, data)
    return _sha(data)


def _arrays_in(data: bytes) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    return load(data)


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
    known = _known(previous)
    groups: list[dict[str, Any]] = []
    for g, ((length, written), paths) in enumerate(shared.items()):
        columns = [[p, str(rings[p].array.dtype), list(rings[p].array.shape[1:])] for p in paths]
        row = sum(rings[p].array[:1].nbytes for p in paths)
        chunk = max(1, min(CHUNK, CHUNK_BYTES // max(row, 1)))
        groups.append({"length": length, "written": written, "chunk": chunk, "columns": columns})
        for k, rows in enumerate(_chunks(length, written, chunk)):
            name = f"ring-{g}-{k}.bin"
            data = b"".join([rings[p].array[rows].tobytes() for p in paths])
            if previous is not None and name in known and linked(previous / name, folder / name, data):
                files[name] = known[name]
            else:
                write(folder / name, data)
                files[name] = _sha(data)
    return groups


def _known(previous: Path | None) -> dict[str, str]:
    """The checksums of an earlier save's files; none if it cannot be read: then every chunk is written."""
    try:
        return {} if previous is None else _read_body(previous)["files"]
    except CheckpointError:
        return {}


def _chunks(length: int, written: int, chunk: int) -> Iterator[slice]:
    """The slots of the chunks that hold rows."""
    end = min(length, written)
    return (slice(start, min(start + chunk, end)) for start in range(0, end, chunk))


def _rings_in(groups: list[Any], contents: Callable[[str], bytes]) -> dict[str, Ring]:
    rings: dict[str, Ring] = {}
    for g, group in enumerate(groups):
        length, written, chunk = group["length"], group["written"], group["chunk"]
        if written < 0 or chunk < 1 or any(dtype not in DTYPES for _, dtype, _ in group["columns"]):
            raise ValueError(f"ring {g} has {written} rows of {group['columns']}")
        arrays = [np.zeros((length, *shape), dtype) for _, dtype, shape in group["columns"]]
        for k, rows in enumerate(_chunks(length, written, chunk)):
            data, at = contents(f"ring-{g}-{k}.bin"), 0
            for array in arrays:
                part = array[rows]
                part[...] = np.frombuffer(data, array.dtype, part.size, at).reshape(part.shape)
                at += part.nbytes
        rings |= {column[0]: Ring(array, written) for column, array in zip(group["columns"], arrays)}
    return rings


# files
def _is_state(folder: Path) -> bool:
    return (folder / "state.json").exists() or all(NAME.fullmatch(path.name) for path in folder.iterdir())


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _checked(folder: Path, name: str, files: dict[str, str]) -> bytes:
    data = _read(folder / name)
    if _sha(data) != files[name]:
        where = _damaged_tensor(data) if name == "tensors.safetensors" else ""
        raise CheckpointError(f"{folder / name} is damaged{where}: its checksum is not the one in state.json")
    return data
