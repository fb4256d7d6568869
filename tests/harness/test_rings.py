"""Chunks of rings: those without new rows are linked unread, but what another run wrote or the disk spoiled is not."""

from __future__ import annotations

import numpy as np
import pytest

from rlcore.harness import load_state, rings, save_state
from rlcore.tree import Ring

SIZE = 48  # slots, in 12 chunks


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(rings, "CHUNK", 4)
    monkeypatch.setattr(rings, "COMPARED", 2)


def inodes(folder):
    return [(folder / f"ring-0-{k}.bin").stat().st_ino for k in range(SIZE // 4)]


def links(one, two):
    """The chunks that two saves share."""
    return [k for k, (a, b) in enumerate(zip(inodes(one), inodes(two))) if a == b]


def rows(first, n):
    """A ring's slots after rows first ... were written into slots 0 ..."""
    return np.arange(first, first + n, dtype=np.float64)


def test_only_some_chunks_are_read_back_at_each_save_and_all_in_turns(tmp_path, monkeypatch):
    state, seen, really = {"r": Ring(rows(0, SIZE), SIZE)}, [], rings.read
    monkeypatch.setattr(rings, "read", lambda path: seen.append(int(path.name[7:-4])) or really(path))
    save_state(tmp_path / "0", state)
    for k in range(6):
        save_state(tmp_path / str(k + 1), state, tmp_path / str(k))
        assert links(tmp_path / str(k), tmp_path / str(k + 1)) == list(range(12))
    assert [seen[i : i + 2] for i in range(0, 12, 2)] == [[2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [0, 1]]


def test_a_chunk_that_the_disk_has_spoiled_is_written_anew_when_its_turn_comes(tmp_path):
    state = {"r": Ring(rows(0, SIZE), SIZE)}
    save_state(tmp_path / "0", state)
    path = tmp_path / "0" / "ring-0-6.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for k in range(6):
        save_state(tmp_path / str(k + 1), state, tmp_path / str(k))
    anew = [k for k in range(6) if 6 not in links(tmp_path / str(k), tmp_path / str(k + 1))]
    assert len(anew) == 1
    assert load_state(tmp_path / "6")["r"].array.tolist() == rows(0, SIZE).tolist()


@pytest.mark.parametrize("change", ["cut", "gone", "a link"])
def test_a_chunk_that_is_not_there_whole_is_written_anew_at_once(tmp_path, change):
    state = {"r": Ring(rows(0, SIZE), SIZE)}
    save_state(tmp_path / "0", state)
    path = tmp_path / "0" / "ring-0-9.bin"
    data = path.read_bytes()
    path.unlink()
    if change == "cut":
        path.write_bytes(data[:-1])
    if change == "a link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    save_state(tmp_path / "1", state, tmp_path / "0")
    if change != "gone":
        assert links(tmp_path / "0", tmp_path / "1") == [k for k in range(12) if k != 9]
    assert load_state(tmp_path / "1")["r"].array.tolist() == rows(0, SIZE).tolist()
    assert not (tmp_path / "1" / "ring-0-9.bin").is_symlink()


@pytest.mark.parametrize("written", [SIZE, SIZE + 5, 3 * SIZE])
def test_rows_of_another_run_are_not_taken_for_these(tmp_path, written):
    """As when an agent is given another state between two saves: nothing but its rows tells."""
    save_state(tmp_path / "0", {"r": Ring(rows(0, SIZE), SIZE)})
    other = {"r": Ring(rows(1000, SIZE), written)}
    save_state(tmp_path / "1", other, tmp_path / "0")
    assert links(tmp_path / "0", tmp_path / "1") == []
    assert load_state(tmp_path / "1")["r"].array.tolist() == other["r"].array.tolist()


def test_a_run_that_went_back_and_on_otherwise_keeps_what_both_have(tmp_path):
    array = rows(0, SIZE)
    save_state(tmp_path / "0", {"r": Ring(array, SIZE)})  # of 48 rows, after which it went back to 20
    array[20:] += 500
    save_state(tmp_path / "1", {"r": Ring(array, SIZE)}, tmp_path / "0")
    assert links(tmp_path / "0", tmp_path / "1") == [0, 1, 2, 3, 4]
    assert load_state(tmp_path / "1")["r"].array.tolist() == array.tolist()


def test_bytes_behind_the_rows_of_a_chunk_are_refused(tmp_path):
    from rlcore.harness.files import sha
    from tests.harness.test_storage import forge

    save_state(tmp_path / "0", {"r": Ring(rows(0, SIZE), SIZE)})
    data = bytes(33)
    (tmp_path / "0" / "ring-0-1.bin").write_bytes(data)
    forge(tmp_path / "0", lambda body: body["files"].update({"ring-0-1.bin": sha(data)}))
    with pytest.raises(ValueError, match=r"ring-0-1\.bin has 33 bytes, its rows 32"):
        load_state(tmp_path / "0")
