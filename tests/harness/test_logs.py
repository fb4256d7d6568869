"""A log file that can be written to, cannot, and can again."""

import shutil

import pytest

from rlcore.harness import logs
from rlcore.harness.logs import Log, cut_back, sizes


def test_records_come_in_order_after_one_head(tmp_path):
    log = Log(tmp_path / "log", b"head\n")
    log.flush()
    assert not (tmp_path / "log").exists()
    log.add(b"")
    log.flush()
    assert not (tmp_path / "log").exists()
    for record in (b"a\n", b"b\n"):
        log.add(record)
    log.flush()
    log.flush()
    again = Log(tmp_path / "log", b"head\n")
    again.add(b"c\n")
    again.flush()
    assert (tmp_path / "log").read_bytes() == b"head\na\nb\nc\n"


@pytest.mark.fault(11)
def test_a_folder_that_was_deleted_is_made_again(tmp_path):
    log = Log(tmp_path / "run" / "log", b"head\n")
    log.add(b"a\n")
    with pytest.raises(FileNotFoundError):
        log.flush()
    log.add(b"b\n")
    log.flush()
    assert (tmp_path / "run" / "log").read_bytes() == b"head\na\nb\n"
    shutil.rmtree(tmp_path / "run")
    log.add(b"c\n")
    with pytest.raises(FileNotFoundError):
        log.flush()
    log.flush()
    assert (tmp_path / "run" / "log").read_bytes() == b"head\nc\n"


@pytest.mark.fault(11)
def test_of_what_waits_the_newest_is_kept(tmp_path, monkeypatch):
    log, size = Log(tmp_path / "log"), 1000
    really = logs.append

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs, "append", full)
    for k in range(2000):
        log.add(b"%0*d" % (size, k))
        with pytest.raises(OSError, match="No space"):
            log.flush()
        assert sum(map(len, log._waiting)) <= logs.WAITING <= 1_000_000 / 3
    monkeypatch.setattr(logs, "append", really)
    log.flush()
    written = (tmp_path / "log").read_bytes()
    assert [int(written[i : i + size]) for i in range(0, len(written), size)] == list(range(1700, 2000))


def test_while_all_is_well_a_record_may_be_larger(tmp_path):
    log = Log(tmp_path / "log")
    log.add(b"x" * 2 * logs.WAITING)
    log.flush()
    assert (tmp_path / "log").stat().st_size == 2 * logs.WAITING


def test_forgotten_records_are_not_written(tmp_path):
    log = Log(tmp_path / "log")
    log.add(b"a")
    log.clear()
    log.flush()
    assert not (tmp_path / "log").exists()


def test_files_are_cut_or_deleted(tmp_path):
    paths = [tmp_path / name for name in ("kept", "new", "gone", "missing")]
    for path in paths[:2]:
        path.write_text("12345")
    assert sizes(paths) == {"kept": 5, "new": 5}
    cut_back(paths, {"kept": 3, "gone": 4})
    assert (tmp_path / "kept").read_text() == "123"
    assert sizes(paths) == {"kept": 3}
