"""Rings on the disk: in chunks of rows, of which a save writes those that have got rows since the last one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlcore.harness.files import linked, read, sha, write
from rlcore.harness.tensors import DTYPES, count
from rlcore.tree import Ring

CHUNK = 16_384  # rows, at most
CHUNK_BYTES = 4 << 20  # at most, but a row: a save writes whole chunks, and frames of 84 x 84 are 7 kB each
COMPARED = 8  # linked chunks of a save that are read back, in turns, and compared with the memory: 32 MiB at most


class Earlier(NamedTuple):
    """An earlier save whose chunks may be linked."""

    folder: Path
    files: dict[str, str]
    groups: list[Any]
    turn: int


def save_rings(folder: Path, rings: dict[str, Ring], files: dict[str, str], earlier: Earlier | None) -> dict[str, Any]:
    """Rings of one length and one number of rows share their chunk files, one column after the other."""
    shared: dict[tuple[int, int], list[str]] = {}
    for path, ring in rings.items():
        shared.setdefault((len(ring.array), ring.written), []).append(path)
    groups: list[dict[str, Any]] = []
    chunks: list[tuple[str, list[np.ndarray], bool]] = []  # name, contents, whether it is as in the earlier save
    for g, ((length, written), paths) in enumerate(shared.items()):
        arrays = [rings[p].array for p in paths]
        columns = [[p, str(array.dtype), list(array.shape[1:])] for p, array in zip(paths, arrays)]
        size = max(1, min(CHUNK, CHUNK_BYTES // max(sum(array[:1].nbytes for array in arrays), 1)))
        group = {"length": length, "written": written, "chunk": size, "columns": columns}
        slots = list(_chunks(length, written, size))
        group["marks"] = [_mark(arrays, rows) for rows in slots]
        before = earlier.groups[g] if earlier is not None and g < len(earlier.groups) else {}
        for k, rows in enumerate(slots):
            chunks.append((f"ring-{g}-{k}.bin", [array[rows] for array in arrays], _unchanged(group, before, k, rows)))
        groups.append(group)
    turn = earlier.turn if earlier is not None else 0
    for i, (name, parts, unchanged) in enumerate(chunks):
        if earlier is not None and unchanged and name in earlier.files:
            read_back = (i - turn) % len(chunks) < COMPARED
            if _is(earlier.folder / name, parts, read_back) and linked(earlier.folder / name, folder / name):
                files[name] = earlier.files[name]
                continue
        data = b"".join([part.tobytes() for part in parts])
        write(folder / name, data)
        files[name] = sha(data)
    return {"groups": groups, "turn": (turn + COMPARED) % max(len(chunks), 1)}


def _mark(arrays: list[np.ndarray], rows: slice) -> int:
    """A checksum of a chunk's first and last row: those of another run would differ."""
    mark = 0
    for array in arrays:
        for row in (rows.start, rows.stop - 1):
            mark = zlib.crc32(array[row].tobytes(), mark)
    return mark


def _unchanged(group: dict[str, Any], before: dict[str, Any], k: int, rows: slice) -> bool:
    """Whether a chunk has the rows that it had in the same group of an earlier save."""
    if any(group[name] != before.get(name) for name in ("length", "chunk", "columns")):
        return False
    length, added = group["length"], group["written"] - before["written"]
    first = before["written"] % length
    free = added == 0 or (0 < added < length and not _meet(first, added, length, rows))
    return free and k < len(before["marks"]) and group["marks"][k] == before["marks"][k]


def _meet(first: int, n: int, length: int, rows: slice) -> bool:
    """Whether n slots from `first` on, round the ring, are among rows."""
    return (first < rows.stop and rows.start < first + n) or rows.start < first + n - length


def _is(path: Path, parts: list[np.ndarray], read_back: bool) -> bool:
    """Whether a file holds these parts, or at least has their size."""
    try:
        if read_back:
            return read(path) == b"".join([part.tobytes() for part in parts])
        return path.lstat().st_size == sum(part.nbytes for part in parts)
    except OSError:
        return False


def _chunks(length: int, written: int, chunk: int) -> Iterator[slice]:
    """The slots of the chunks that hold rows."""
    end = min(length, written)
    return (slice(start, min(start + chunk, end)) for start in range(0, end, chunk))


def rings_in(groups: list[Any], contents: Callable[[str, str], bytes]) -> dict[str, Ring]:
    rings: dict[str, Ring] = {}
    for g, group in enumerate(groups):
        length, written, chunk = (count(group[name], name) for name in ("length", "written", "chunk"))
        if chunk < 1 or any(dtype not in DTYPES for _, dtype, _ in group["columns"]):
            raise ValueError(f"ring {g} has chunks of {chunk} rows of {group['columns']}")
        arrays = [np.zeros((length, *shape), dtype) for _, dtype, shape in group["columns"]]
        for k, rows in enumerate(_chunks(length, written, chunk)):
            rows_lost = f"{rows.stop - rows.start:,} of {min(length, written):,} rows of {group['columns'][0][0]}"
            data, at = contents(f"ring-{g}-{k}.bin", rows_lost), 0
            for array in arrays:
                part = array[rows]
                part[...] = np.frombuffer(data, array.dtype, part.size, at).reshape(part.shape)
                at += part.nbytes
            if at != len(data):
                raise ValueError(f"ring-{g}-{k}.bin has {len(data)} bytes, its rows {at}")
        rings |= {column[0]: Ring(array, written) for column, array in zip(group["columns"], arrays)}
    return rings
