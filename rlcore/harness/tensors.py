"""Arrays in the safetensors format: the length of a header, the header in JSON, the data.

The package of that name writes the same and reads it, but takes duplicate names; so what is read is checked here, bound
by bound, before anything is made of it.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np

LONGEST = 16 << 20  # bytes of JSON in a header or a state.json
MOST = 100_000  # tensors in a file
LARGEST = 1 << 62  # of any number that counts bytes or rows
CODES = {"BOOL": "bool", "F16": "float16", "F32": "float32", "F64": "float64"}
CODES |= {f"{code}{8 * n}": f"{kind}{8 * n}" for code, kind in (("I", "int"), ("U", "uint")) for n in (1, 2, 4, 8)}
DTYPES = frozenset(CODES.values())


def strict_json(text: bytes) -> Any:
    """JSON values; ValueError if the text is too long or too deep, or a name comes twice in an object."""
    if len(text) > LONGEST:
        raise ValueError(f"JSON of {len(text):,} bytes; at most {LONGEST:,} are read")
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def count(value: Any, what: str) -> int:
    """A number of bytes or rows; ValueError if it is none."""
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise ValueError(f"{what} is {str(value)[:40]}")
    return value


def buffer(array: np.ndarray) -> memoryview:
    """The bytes of an array in C order, where they are."""
    return array.reshape(-1).view(np.uint8).data


def packed(arrays: dict[str, np.ndarray], notes: dict[str, str]) -> list[Any]:
    """The buffers that make up a file of arrays, which are in C order; ValueError if there are too many."""
    codes, end = {name: code for code, name in CODES.items()}, 0
    header: dict[str, Any] = {"__metadata__": notes}
    names = sorted(arrays, key=lambda name: -arrays[name].itemsize)  # so that each array is aligned
    for name in names:
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = {"dtype": codes[str(array.dtype)], "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST or len(arrays) > MOST:
        raise ValueError(f"{len(arrays):,} arrays are too many to be stored: put them together into larger ones")
    return [len(text).to_bytes(8, "little"), text, *[buffer(arrays[name]) for name in names]]


def unpacked(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays, of their own memory, and notes; ValueError unless the header and the data fit each other exactly."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= min(len(data) - 8, LONGEST) or data[8:9] != b"{":
        raise ValueError(f"a header of {size} bytes in a file of {len(data)}")
    header, rest = strict_json(data[8 : 8 + size]), memoryview(data)[8 + size :]
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise ValueError("__metadata__ that is no text")
    if len(header) > MOST:
        raise ValueError(f"{len(header):,} tensors; at most {MOST:,} are read")
    arrays, spans = {}, []
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"tensor {name[:80]}: no dtype, shape and data_offsets")
        (start, end), shape, dtype = entry["data_offsets"], entry["shape"], CODES.get(str(entry["dtype"]))
        shape = [count(n, f"tensor {name[:80]}: a length") for n in shape]
        if dtype is None or len(shape) > 32:
            raise ValueError(f"tensor {name[:80]}: dtype {str(entry['dtype'])[:20]}, {len(shape)} axes")
        items = prod(shape)
        if count(end, "an offset") - count(start, "an offset") != items * np.dtype(dtype).itemsize or end > len(rest):
            raise ValueError(f"tensor {name[:80]}: {items} of {dtype} from {start} to {end} of {len(rest)} bytes")
        arrays[name] = np.frombuffer(rest[start:end], dtype).reshape(shape).copy()
        spans.append((start, end))
    covered = 0
    for start, end in sorted(spans):
        if start != covered:
            raise ValueError(f"byte {min(start, covered)} belongs to no tensor, or to two")
        covered = end
    if covered != len(rest):
        raise ValueError(f"{len(rest) - covered} bytes behind the last tensor")
    return arrays, notes
