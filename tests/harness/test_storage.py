"""Stored states: they come back as they were, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlcore.harness import rings
from rlcore.harness.storage import CheckpointError, load_state, save_state
from rlcore.harness.tensors import DTYPES
from rlcore.rng import generator, state_of
from rlcore.tree import Ring, map_


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No waiting for the disk: an end of the process loses nothing that was written."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# what is the same


def same(a: Any, b: Any) -> bool:
    """Equal in types, dtypes, shapes and bits; of a Ring in the rows that it holds."""
    if isinstance(a, Ring) and isinstance(b, Ring):
        held = slice(0, min(a.written, len(a.array)))
        same_rows = np.ascontiguousarray(a.array[held]).tobytes() == b.array[held].tobytes()
        return same_rows and (a.written, a.array.shape, a.array.dtype) == (b.written, b.array.shape, b.array.dtype)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def there_and_back(folder, state):
    save_state(folder, state)
    return load_state(folder)


EXAMPLE = {
    "agent": {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([1.5, np.nan]), "steps": 17},
    "ring": {"obs": Ring(np.arange(60, dtype=np.float32).reshape(20, 3), 27), "done": Ring(np.ones(20, bool), 27)},
    "other": Ring(np.arange(7), 3),
    "rng": state_of(generator(3)),
    "name": "x",
    "pair": (1, (2.5, None)),
}


# there and back
@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_every_dtype_and_shape(tmp_path, dtype, shape):
    array = np.full(shape, 77, dtype)
    state = {"x": array, "r": Ring(np.stack([array] * 4), 2)}
    assert same(there_and_back(tmp_path / "a", state), state)


def test_what_is_loaded_can_be_written_to(tmp_path):
    back = there_and_back(tmp_path / "a", EXAMPLE)
    back["agent"]["w"] += 1
    back["ring"]["obs"].array[0] = 7


@pytest.mark.parametrize(
    "view", [lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::2], lambda a: np.broadcast_to(a[0], (3, 4))]
)
def test_views_are_stored_as_they_look(tmp_path, view):
    array = view(np.arange(12.0).reshape(3, 4))
    back = there_and_back(tmp_path / "a", {"x": array, "r": Ring(array, 2)})
    assert same(back, {"x": np.ascontiguousarray(array), "r": Ring(array, 2)})


@pytest.mark.parametrize("written", [0, 1, 5, 7, 8, 9, 13, 16, 1000])
def test_a_ring_before_and_after_it_wraps(tmp_path, monkeypatch, written):
    monkeypatch.setattr(rings, "CHUNK", 3)
    array = np.arange(24.0).reshape(8, 3)
    back = there_and_back(tmp_path / "a", {"r": Ring(array, written)})["r"]
    held = min(written, 8)
    assert same(back, Ring(array, written))
    assert not back.array[held:].any()
    assert len(list((tmp_path / "a").glob("ring-*"))) == -(-held // 3)


def test_rings_of_equal_length_share_files(tmp_path):
    back = there_and_back(tmp_path / "a", EXAMPLE)
    assert same(back, EXAMPLE)
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        "state.json", "tensors.safetensors", "ring-0-0.bin", "ring-1-0.bin",
    }  # fmt: skip
    obs, done = EXAMPLE["ring"]["obs"].array, EXAMPLE["ring"]["done"].array
    assert (tmp_path / "a" / "ring-0-0.bin").read_bytes() == obs.tobytes() + done.tobytes()


def test_a_generator_goes_on(tmp_path):
    rng = generator(2**100)
    rng.random(5)
    back = there_and_back(tmp_path / "a", {"rng": state_of(rng)})
    assert back["rng"] == state_of(rng)
    assert back["rng"]["state"]["state"] > 2**64


def test_numpy_scalars_become_pythons(tmp_path):
    state = {"f": np.float32(0.1), "i": np.int64(3), "b": np.bool_(True), "list": [np.int8(1), (np.float64(2), None)]}
    back = there_and_back(tmp_path / "a", state)
    assert same(back, {"f": float(np.float32(0.1)), "i": 3, "b": True, "list": [1, (2.0, None)]})


KEYS = st.text(st.characters(codec="utf-8"), max_size=5).filter(lambda k: not k.startswith("$"))
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats() | st.text(st.characters(codec="utf-8"))
)
ARRAYS = hnp.arrays(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
RINGS = st.builds(
    Ring,
    hnp.arrays(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(max_dims=2, min_side=1, max_side=4)),
    st.integers(0, 9),
)
TREES = st.recursive(
    SCALARS | ARRAYS | RINGS,
    lambda inner: (
        st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(state=st.dictionaries(KEYS, TREES, max_size=4))
def test_any_tree(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("any") / "state"
    assert same(there_and_back(folder, state), state)


def test_names_with_a_slash_are_told_apart(tmp_path):
    """As observations of robots have them: robot/joints."""
    names = {"a/b": 1, "a": {"b": 2, "b/c": 6}, "a~1b": 3, "a~b": 4, "/": 5}
    state = map_(lambda x: np.array([x]), names) | {"r/s": Ring(np.array([[7]]), 1), "r": {"s": Ring(np.array([8]), 1)}}
    assert same(there_and_back(tmp_path / "state", state), state)


# refused
REFUSED = [
    ({"$a": 1}, "key '\\$a' under / must be a str without a leading '\\$'"),
    ({"a": {"$ring": 1}}, "key '\\$ring' under /a must be"),
    ({"a": {3: 1}}, "key 3 under /a must be a str"),
    ({"a": [np.array(["x"], object)]}, "state: /a/0 has dtype object"),
    ({"a": {"r": Ring(np.array([[1]], object), 1)}}, "state: /a/r has dtype object"),
    ({"a": np.zeros(2, complex)}, "/a has dtype complex128"),
    ({"a": np.array(["text"])}, "/a has dtype <U4"),
    ({"a": np.zeros(2, ">f4")}, "/a has dtype >f4"),
    ({"a": np.zeros(2, "f4,i4")}, "/a has dtype"),
    ({"a": ({"b": {1, 2}},)}, "state: /a/0/b is a set; arrays, Rings and JSON scalars can be stored"),
    ({"a": b"bytes"}, "/a is a bytes"),
    ({"a": 1j}, "/a is a complex"),
]


@pytest.mark.parametrize(("state", "message"), REFUSED)
def test_what_cannot_be_stored_is_refused(tmp_path, state, message):
    save_state(tmp_path / "a", {"x": 1})
    with pytest.raises(TypeError, match=message):
        save_state(tmp_path / "a", state)
    assert load_state(tmp_path / "a") == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds something that is no saved state"):
        save_state(tmp_path / "a", {"x": 1})
    assert (tmp_path / "a" / "thesis.tex").read_text() == "years of work"
    (tmp_path / "b").write_text("a file")
    with pytest.raises(OSError, match="b"):
        save_state(tmp_path / "b", {"x": 1})
    assert (tmp_path / "b").read_text() == "a file"


def test_a_damaged_state_can_be_replaced(tmp_path):
    save_state(tmp_path / "a", EXAMPLE)
    (tmp_path / "a" / "state.json").unlink()
    save_state(tmp_path / "a", {"x": 1})
    (tmp_path / "a" / "tensors.safetensors").unlink()
    save_state(tmp_path / "a", {"x": 2})
    assert load_state(tmp_path / "a") == {"x": 2}


# incremental saves
def inodes(folder):
    return {p.name: p.stat().st_ino for p in folder.glob("ring-*")}


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 30),
    chunk=st.integers(1, 9),
    writes=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    every=st.integers(1, 3),
)
def test_unchanged_chunks_are_links(tmp_path_factory, length, chunk, writes, every):
    """Against a model: the chunks that were written to since the previous save."""
    root = tmp_path_factory.mktemp("ring")
    a, b = np.zeros((length, 2), np.float32), np.zeros(length, np.int16)
    written, previous, kept, touched = 0, None, {}, set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rings, "CHUNK", chunk)
        for k, count in enumerate(writes):
            for row in range(written, written + count):
                a[row % length], b[row % length] = row + 1, row * 7 % 1000
                touched.add(row % length // chunk)
            written += count
            state = {"x": {"a": Ring(a, written), "b": Ring(b, written)}, "k": k}
            save_state(root / str(k), state, previous)
            assert same(load_state(root / str(k)), state)
            now = inodes(root / str(k))
            linked = {name for name in now if kept.get(name) == now[name]}
            assert linked == {name for name in now if name in kept and int(name[7:-4]) not in touched}
            if k % every == 0:  # the previous save need not be the newest
                previous, kept, touched = root / str(k), now, set()


@pytest.mark.parametrize("change", ["length", "dtype", "column", "fewer rows", "damaged", "missing", "chunk gone"])
def test_a_previous_save_of_something_else_is_not_linked(tmp_path, monkeypatch, change):
    monkeypatch.setattr(rings, "CHUNK", 4)
    array = np.arange(12, dtype=np.int32)
    save_state(tmp_path / "a", {"r": Ring(array, 10)})
    state: dict[str, Any] = {"r": Ring(array, 10)}
    if change == "length":
        state = {"r": Ring(np.arange(100, 116, dtype=np.int32), 10)}
    if change == "dtype":
        state = {"r": Ring(np.arange(12, dtype=np.float32), 10)}
    if change == "column":
        state = {"q": Ring(array + 1, 10)}
    if change == "fewer rows":
        state = {"r": Ring(array + 1, 9)}
    if change == "damaged":
        (tmp_path / "a" / "state.json").write_text("{}")
    if change == "chunk gone":
        (tmp_path / "a" / "ring-0-1.bin").unlink()
    save_state(tmp_path / "b", state, tmp_path / ("c" if change == "missing" else "a"))
    assert same(load_state(tmp_path / "b"), state)
    old, new = inodes(tmp_path / "a"), inodes(tmp_path / "b")
    links = {name for name in old if old[name] == new.get(name)}
    assert links == ({"ring-0-0.bin", "ring-0-2.bin"} if change == "chunk gone" else set())


def test_a_chunk_gone_bad_does_not_spread(tmp_path, monkeypatch):
    monkeypatch.setattr(rings, "CHUNK", 4)
    state = {"r": Ring(np.arange(12), 12)}
    save_state(tmp_path / "a", state)
    path = tmp_path / "a" / "ring-0-1.bin"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    save_state(tmp_path / "b", state, tmp_path / "a")
    assert same(load_state(tmp_path / "b"), state)
    old, new = inodes(tmp_path / "a"), inodes(tmp_path / "b")
    assert {name for name in old if old[name] == new[name]} == {"ring-0-0.bin", "ring-0-2.bin"}


def test_a_save_of_wide_rows_writes_little_more_than_is_new(tmp_path, monkeypatch):
    monkeypatch.setattr(rings, "CHUNK_BYTES", 100)
    frames, small = np.arange(60 * 40, dtype=np.uint8).reshape(60, 40), np.arange(60, dtype=np.int64)
    save_state(tmp_path / "a", {"frames": Ring(frames, 60), "small": Ring(small, 60)})  # 48 bytes a row: 2 a chunk
    frames[0] = 7
    state = {"frames": Ring(frames, 61), "small": Ring(small, 61)}
    save_state(tmp_path / "b", state, tmp_path / "a")
    assert len(list((tmp_path / "a").glob("ring-*"))) == 30
    new = [p for p in (tmp_path / "b").glob("ring-*") if p.stat().st_nlink == 1]
    assert [p.stat().st_size for p in new] == [96]
    assert same(load_state(tmp_path / "b"), state)
    monkeypatch.setattr(rings, "CHUNK_BYTES", 1 << 20)  # what is read does not depend on how it would be written
    assert same(load_state(tmp_path / "b"), state)


def test_a_save_may_follow_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(rings, "CHUNK", 4)
    array = np.arange(12)
    for written in (5, 7, 12, 12):
        state = {"r": Ring(array, written)}
        save_state(tmp_path / "a", state, tmp_path / "a")
        assert same(load_state(tmp_path / "a"), state)
    assert {p.stat().st_nlink for p in (tmp_path / "a").glob("ring-*")} == {1}


def test_links_survive_that_the_older_save_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(rings, "CHUNK", 4)
    state = {"r": Ring(np.arange(12), 8)}
    save_state(tmp_path / "a", state)
    save_state(tmp_path / "b", state, tmp_path / "a")
    assert {p.stat().st_nlink for p in (tmp_path / "b").glob("ring-*")} == {2}
    save_state(tmp_path / "a", {"x": 1})
    assert same(load_state(tmp_path / "b"), state)


# damage
@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored") / "a"
    save_state(folder, EXAMPLE)
    return folder


def tampered(stored, tmp_path, name, data):
    """A copy of the stored state in which one file holds other data."""
    folder = tmp_path / "copy"
    folder.mkdir(exist_ok=True)
    for path in stored.iterdir():
        (folder / path.name).unlink(missing_ok=True)  # to write over a file that was cut waits for the disk
        (folder / path.name).write_bytes(data if path.name == name else path.read_bytes())
    return folder


FILES = ("state.json", "tensors.safetensors", "ring-0-0.bin", "ring-1-0.bin")


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found(stored, tmp_path, name):
    data = (stored / name).read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for _ in range(100):
        at, bit = int(rng.integers(len(data))), 1 << int(rng.integers(8))
        flipped = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
        try:
            assert same(load_state(tampered(stored, tmp_path, name, flipped)), EXAMPLE), (at, bit)
        except CheckpointError:
            refused += 1
    assert refused >= (95 if name == "state.json" else 100)  # of JSON a bit may be free: 1e-5 is 1E-5


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_or_longer_file_is_found(stored, tmp_path, name):
    data = (stored / name).read_bytes()
    cuts = {*range(0, len(data), max(1, len(data) // 100)), 1, 7, 8, 9, len(data) - 1}
    for other in [*[data[:cut] for cut in cuts], data + b"\0", data + data]:
        with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
            load_state(tampered(stored, tmp_path, name, other))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(stored, tmp_path, name):
    (tampered(stored, tmp_path, "", b"") / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read: No such file"):
        load_state(tmp_path / "copy")


def test_the_damaged_tensor_is_named(stored, tmp_path):
    data = (stored / "tensors.safetensors").read_bytes()
    at = data.index(np.array([5.0], np.float32).tobytes())
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors is damaged, and with it tensor /agent/w: "):
        load_state(tampered(stored, tmp_path, "tensors.safetensors", flipped))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere/state.json cannot be read: No such file"):
        load_state(tmp_path / "nowhere")


# hostile
def nested(depth, leaf: Any = 1):
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


def _set(tree, *path_and_value):
    *path, last, value = path_and_value
    for key in path:
        tree = tree[key]
    tree[last] = value


GROUP = {"length": 4, "written": 0, "columns": [["/r", "float32", []]]}
HOSTILE = {
    "dots": lambda b: _set(b, "files", "../../secret", "0" * 64),
    "absolute": lambda b: _set(b, "files", "/etc/passwd", "0" * 64),
    "inner": lambda b: _set(b, "files", "ring-0-0.bin/../x", "0" * 64),
    "newline": lambda b: _set(b, "files", "tensors.safetensors\n", "0" * 64),
    "no files": lambda b: b.pop("files"),
    "files is a list": lambda b: _set(b, "files", ["tensors.safetensors"]),
    "files is empty": lambda b: _set(b, "files", {}),
    "digest is none": lambda b: _set(b, "files", "tensors.safetensors", None),
    "no tree": lambda b: b.pop("tree"),
    "tree is a number": lambda b: _set(b, "tree", 3),
    "tree is a list": lambda b: _set(b, "tree", []),
    "tree is an array": lambda b: _set(b, "tree", {"$array": "/agent/w"}),
    "unknown array": lambda b: _set(b, "tree", "name", {"$array": "/none"}),
    "unhashable array": lambda b: _set(b, "tree", "name", {"$array": []}),
    "unknown ring": lambda b: _set(b, "tree", "name", {"$ring": "/none"}),
    "tuple of a number": lambda b: _set(b, "tree", "name", {"$tuple": 5}),
    "no groups": lambda b: b.pop("groups"),
    "groups is a number": lambda b: _set(b, "groups", 3),
    "group is a number": lambda b: _set(b, "groups", [3]),
    "group is empty": lambda b: _set(b, "groups", [{}]),
    "length is huge": lambda b: _set(b, "groups", 0, "length", 10**30),
    "length is large": lambda b: _set(b, "groups", 0, "length", 2**60),
    "length is negative": lambda b: _set(b, "groups", 0, "length", -1),
    "length is text": lambda b: _set(b, "groups", 0, "length", "9"),
    "chunk is zero": lambda b: _set(b, "groups", 0, "chunk", 0),
    "chunk is negative": lambda b: _set(b, "groups", 0, "chunk", -1),
    "written is negative": lambda b: _set(b, "groups", 0, "written", -1),
    "written is a fraction": lambda b: _set(b, "groups", 0, "written", 2.5),
    "more rows than bytes": lambda b: _set(b, "groups", 0, "length", 27),
    "shape is large": lambda b: _set(b, "groups", 0, "columns", 0, 2, [2**40, 2**40]),
    "shape is negative": lambda b: _set(b, "groups", 0, "columns", 0, 2, [-3]),
    "shape is text": lambda b: _set(b, "groups", 0, "columns", 0, 2, "ab"),
    "objects": lambda b: _set(b, "groups", [{**GROUP, "columns": [["/r", "O", []]]}]),
    "records": lambda b: _set(b, "groups", [{**GROUP, "columns": [["/r", "f4,O", []]]}]),
    "dtype is a list": lambda b: _set(b, "groups", [{**GROUP, "columns": [["/r", [["a", "O"]], []]]}]),
    "columns of two": lambda b: _set(b, "groups", [{**GROUP, "columns": [["/r", "float32"]]}]),
    "reader 99": lambda b: _set(b, "min_reader", 99),
    "reader 0": lambda b: _set(b, "min_reader", 0),
    "reader is text": lambda b: _set(b, "min_reader", "1"),
    "reader is true": lambda b: _set(b, "min_reader", True),
    "no reader": lambda b: b.pop("min_reader"),
    "deep": lambda b: _set(b, "tree", nested(900)),
}


def forge(folder, change=None, body: Any = None):
    """Give state.json another body, and the checksum that belongs to it."""
    path = folder / "state.json"
    if change is not None:
        body = json.loads(path.read_text())["body"]
        change(body)
    path.write_text(json.dumps({"sha256": hashlib.sha256(json.dumps(body).encode()).hexdigest(), "body": body}))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_state_is_refused(stored, tmp_path, name):
    folder = tampered(stored, tmp_path, "", b"")
    (tmp_path / "secret").write_text("x")
    forge(folder, HOSTILE[name])
    limit = sys.getrecursionlimit()
    try:
        if name == "deep":  # as deep as JSON is still read
            sys.setrecursionlimit(600)
        with pytest.raises(CheckpointError) as caught:
            load_state(folder)
    finally:
        sys.setrecursionlimit(limit)
    if name == "reader 99":
        assert "can be read by format 99 and later, this version of rlcore reads format 1" in str(caught.value)
    if name in ("dots", "absolute", "inner", "newline"):
        assert "names a file" in str(caught.value)


@pytest.mark.parametrize("body", [None, 3, [], "x", {}, {"min_reader": 1}])
def test_a_hostile_body_is_refused(stored, tmp_path, body):
    folder = tampered(stored, tmp_path, "", b"")
    forge(folder, body=body)
    with pytest.raises(CheckpointError):
        load_state(folder)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"3", b"null", b"{}", b'{"body": {}}', b'{"sha256": 1, "body": {}}', b"\xff\xfe", b"{" * 10,
     b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000],
)  # fmt: skip
def test_text_that_is_no_state_is_refused(stored, tmp_path, text):
    with pytest.raises(CheckpointError, match=r"state\.json"):
        load_state(tampered(stored, tmp_path, "state.json", text))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_regular_files_are_read(stored, tmp_path, name, kind):
    folder = tampered(stored, tmp_path, "", b"")
    (folder / name).unlink()
    if kind == "link":
        (folder / name).symlink_to(stored / name)  # even to what would fit
    elif kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    with pytest.raises(CheckpointError, match=name):
        load_state(folder)


def test_loading_runs_and_writes_nothing(stored):
    code = f"""
        import sys
        from rlcore.harness.storage import load_state
        import safetensors.numpy
        refused = "exec os.system subprocess.Popen socket.connect os.remove os.rename os.mkdir".split()
        def hook(event, args):
            if event in refused:
                raise SystemExit(f"{{event}} {{args}}")
            if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
                raise SystemExit(f"{{event}} {{args}}")
        sys.addaudithook(hook)
        load_state({str(stored)!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_state_is_only_read_where_it_belongs(tmp_path):
    save_state(tmp_path / ".a.tmp.1.01234567", {"x": 1})
    with pytest.raises(CheckpointError, match="No such file"):
        load_state(tmp_path / "a")
    save_state(tmp_path / "a", {"x": 2})
    assert load_state(str(tmp_path / "a")) == {"x": 2}
