"""The safetensors format: what we write, its package reads; what we read has been checked bound by bound."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlcore.harness import tensors
from rlcore.harness.tensors import DTYPES, packed, strict_json, unpacked

ARRAYS = hnp.arrays(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(
        (ours[k].dtype, ours[k].shape, ours[k].tobytes()) == (theirs[k].dtype, theirs[k].shape, theirs[k].tobytes())
        for k in ours
    )


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), ARRAYS, max_size=5))
def test_the_package_of_the_format_reads_what_we_write_and_we_read_what_it_writes(arrays):
    from safetensors.numpy import load, save

    arrays.pop("__metadata__", None)
    data = b"".join(packed(arrays, {"writer": "us", "crc32 x": "1"}))
    assert same(load(data), arrays)
    back, notes = unpacked(data)
    assert same(back, arrays)
    assert notes == {"writer": "us", "crc32 x": "1"}
    assert all(array.flags.writeable and array.flags.aligned for array in back.values())
    assert same(unpacked(save(arrays, {"a": "b"}))[0], arrays)


def test_every_array_is_aligned_in_the_file():
    data = b"".join(packed({"a": np.ones(3, np.int8), "b": np.ones(3), "c": np.ones(1, np.float32)}, {}))
    size = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert [entries[name]["data_offsets"] for name in "abc"] == [[28, 31], [0, 24], [24, 28]]


def test_more_than_would_be_read_is_not_written(monkeypatch):
    arrays = {str(k): np.zeros(1) for k in range(4)}
    monkeypatch.setattr(tensors, "MOST", 3)
    with pytest.raises(ValueError, match="4 arrays are too many to be stored"):
        packed(arrays, {})
    monkeypatch.setattr(tensors, "MOST", 4)
    packed(arrays, {})
    monkeypatch.setattr(tensors, "LONGEST", 200)
    with pytest.raises(ValueError, match="4 arrays are too many to be stored"):
        packed(arrays, {})


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def forged(header, data=bytes(8), size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


HUGE = 1 << 61
BAD = {
    "empty": b"",
    "seven bytes": bytes(7),
    "no header": bytes(8),
    "header of a terabyte": forged(b"{}", size=1 << 40),
    "header beyond the file": forged({"a": entry()}, size=1000),
    "half a header": forged({"a": entry()}, size=20),
    "leading space": forged(b' {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "a list": forged([]),
    "no JSON": forged(b"{a}"),
    "no UTF-8": forged(b'{"\xff":1}'),
    "name comes twice": forged(b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2)),
    "dtype comes twice": forged(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "notes are a list": forged({"__metadata__": [], "a": entry()}),
    "a note is a number": forged({"__metadata__": {"x": 1}, "a": entry()}),
    "entry is a list": forged({"a": []}),
    "more in an entry": forged({"a": {**entry(), "more": 1}}),
    "less in an entry": forged({"a": {"dtype": "F32", "shape": [2]}}),
    "unknown dtype": forged({"a": entry("BF16", (4,))}),
    "object dtype": forged({"a": entry("O", (1,))}),
    "dtype is a list": forged({"a": entry([["a", "O"]], (1,))}),
    "negative length": forged({"a": entry(shape=(-2,), offsets=(8, 0))}),
    "two negative lengths": forged({"a": entry(shape=(-2, -1))}),
    "fraction": forged({"a": entry(shape=(2.0,))}),
    "true": forged({"a": entry(shape=(2, True))}),
    "NaN": forged(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}'),
    "Infinity": forged(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,Infinity]}}'),
    "10 to the 400": forged({"a": entry(shape=(10**400,))}),
    "overflow to 8": forged({"a": entry(shape=(HUGE + 2, 8), offsets=(0, 64))}, bytes(64)),
    "overflow to 0": forged({"a": entry(shape=(HUGE, HUGE, 0, 5), offsets=(0, 8))}),
    "shape is text": forged({"a": entry(shape="2")}),
    "shape is a number": forged({"a": entry(shape=2)}),
    "33 axes": forged({"a": entry(shape=(1,) * 32 + (2,))}),
    "offsets of three": forged({"a": entry(offsets=(0, 8, 16))}),
    "offsets are text": forged({"a": entry(offsets="08")}),
    "offsets backwards": forged({"a": entry(offsets=(8, 0))}),
    "offsets are negative": forged({"a": entry(offsets=(-8, 0))}),
    "more than the file": forged({"a": entry(shape=(4,), offsets=(0, 16))}),
    "shape and offsets differ": forged({"a": entry(shape=(1,))}),
    "a length that is true": forged({"a": entry(shape=(True, 2))}),
    "hole": forged({"a": entry(shape=(1,), offsets=(4, 8))}),
    "tail": forged({"a": entry()}, bytes(9)),
    "overlap": forged({"a": entry(), "b": entry(shape=(1,), offsets=(4, 8))}),
    "one inside the other": forged({"a": entry(), "b": entry(shape=(0,), offsets=(4, 4))}),
    "the same bytes": forged({"a": entry(), "b": entry()}),
    "deep": forged(b'{"a":' * 100_000),
    "many digits": forged(b'{"a":%b}' % (b"1" * 5000)),
}


@pytest.mark.fault(17)
@pytest.mark.parametrize("name", BAD)
def test_a_file_that_does_not_fit_is_refused(name):
    with pytest.raises((ValueError, TypeError)):
        unpacked(BAD[name])


def test_what_was_forged_would_be_read_otherwise():
    assert unpacked(forged({"a": entry()}))[0]["a"].tolist() == [0, 0]


@pytest.mark.fault(17)
def test_too_many_and_too_long(monkeypatch):
    header = {str(k): entry(shape=(0,), offsets=(0, 0)) for k in range(4)}
    monkeypatch.setattr(tensors, "MOST", 3)
    with pytest.raises(ValueError, match="4 tensors; at most 3 are read"):
        unpacked(forged(header, b""))
    with pytest.raises(ValueError, match="4 arrays are too many to be stored"):
        packed({str(k): np.zeros(0) for k in range(4)}, {})
    monkeypatch.setattr(tensors, "LONGEST", 100)
    with pytest.raises(ValueError, match="a header of"):
        unpacked(forged(header, b""))
    with pytest.raises(ValueError, match="JSON of 101 bytes; at most 100 are read"):
        strict_json(b" " * 101)


@pytest.mark.fault(17)
def test_a_name_that_comes_twice_is_refused_at_any_depth():
    assert strict_json(b'[{"a": {"b": 1, "c": 2}}]') == [{"a": {"b": 1, "c": 2}}]
    with pytest.raises(ValueError, match="a name comes twice"):
        strict_json(b'[{"a": {"b": 1, "b": 2}}]')
