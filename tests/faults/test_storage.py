"""A checkpoint is the old one or the new one, whatever stops its writer; what is damaged is found and passed over."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlcore
from rlcore.envs.toy import Chain
from rlcore.harness import Checkpoint, CheckpointError, load_state, newest_state, rings, save_state
from rlcore.harness.checkpoint import checkpoints
from tests.faults.disk import Died, dies_after, interrupted_after, refuses
from tests.faults.parts import Part
from tests.harness.fakes import one_step

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    """Chunks of 8 rows, and no waiting for the disk: an end of the process loses nothing that was written."""
    monkeypatch.setattr(rings, "CHUNK", 8)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def temporaries(folder):
    return [path.name for path in folder.iterdir() if not path.name.startswith("step-")]


def restored(folder, keep=2):
    """A part as the newest whole save has it, which the part checks, and its Checkpoint."""
    part = Part()
    checkpoint = Checkpoint(folder, 1, keep, part=part)
    assert checkpoint.restore() == part.t
    return part, checkpoint


def saved(folder, *rows, keep=2):
    part, checkpoint = restored(folder, keep)
    for n in rows:
        part.write(n)
        checkpoint.save(part.t)
    return part, checkpoint


def run_python(code, *args, timeout=60):
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout, check=False)


# row 1: killed at any moment
KILLS = """
    import os, random, signal, sys, time
    from pathlib import Path
    from rlcore.harness import rings
    from rlcore.harness.checkpoint import Checkpoint
    from rlcore.harness.storage import load_state
    from tests.faults.parts import Part

    rings.CHUNK = 8
    root, kills = Path(sys.argv[1]), int(sys.argv[2])
    os.fsync = lambda descriptor: None  # a kill loses nothing that was written, and a busy disk would take seconds

    def work(done):
        part = Part()
        save = Checkpoint(root, 1, keep=3, part=part)
        save.restore()
        while True:
            part.write(7)
            save.save(part.t)
            os.write(done, b".")

    reached, loaded = 0, 0
    random.seed(5)
    for k in range(kills):
        saves, done = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                work(done)
            finally:
                os._exit(3)
        os.close(done)
        assert os.read(saves, 1), "it cannot save"
        time.sleep(random.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.close(saves)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        part = Part()
        t = Checkpoint(root, 1, part=part).restore()
        assert t == part.t >= reached, (t, part.t, reached)
        reached, loaded = t, loaded + 1
        whole = [p for p in root.iterdir() if p.name.startswith("step-")]
        for path in sorted(whole)[-3:]:
            load_state(path)
    print(loaded, reached, len(whole))
"""


@pytest.mark.fault(1)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kills", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path, kills):
    done = run_python(KILLS, tmp_path, kills, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    loaded, reached, whole = map(int, done.stdout.split())
    assert loaded == kills
    assert reached >= 7 * kills
    assert whole in (3, 4)


# row 2: killed between any two changes of the disk
@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Three saves of which two are kept, in a ring that has wrapped: the next save links, writes and deletes."""
    folder = tmp_path_factory.mktemp("begun") / "checkpoints"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rings, "CHUNK", 8)
        saved(folder, 30, 25, 5)
    return folder


def changes(begun, folder, n):
    """The changes that a save makes after n more rows."""
    shutil.copytree(begun, folder)
    part, checkpoint = restored(folder)
    part.write(n)
    with dies_after(10_000).watched() as disk:
        checkpoint.save(part.t)
    return disk.done


@pytest.mark.fault(1, 2)
def test_a_save_is_on_the_disk_before_it_has_its_name(begun, tmp_path):
    """Each file, then the folder, then the name, and only then is anything deleted; else a power cut could tear it."""
    files = r"(mkdir )?mkdir( open( write)+ fsync| link)+ chmod fsync"  # Python 3.10's Path.mkdir is not counted
    done = changes(begun, tmp_path / "new", 10)
    assert re.fullmatch(files + " rename fsync( unlink)+ rmdir", " ".join(done))
    assert done.count("link") == 3  # of five chunks, two of which got rows
    again = changes(begun, tmp_path / "again", 0)  # the same row once more, in the place of its first save
    assert re.fullmatch(files + " rename rename fsync( unlink)+ rmdir", " ".join(again))


@pytest.mark.fault(2)
@pytest.mark.parametrize("way", ["killed", "torn", "interrupted"])
@pytest.mark.parametrize("rows", [10, 0])
def test_a_save_that_stops_at_any_change_leaves_the_old_or_the_new_one(begun, tmp_path, way, rows):
    n, outcomes = len(changes(begun, tmp_path / "whole", rows)), []
    for k in range(n):
        folder = tmp_path / str(k)
        shutil.copytree(begun, folder)
        part, checkpoint = restored(folder)
        old = part.t
        part.write(rows)
        disk = interrupted_after(k) if way == "interrupted" else dies_after(k, way == "torn")
        with disk.watched(), pytest.raises((Died, KeyboardInterrupt)):
            checkpoint.save(part.t)
        if way == "interrupted" and "rename" not in disk.done[:k]:
            assert temporaries(folder) == []
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing that would count as a checkpoint is half there
            again, checkpoint = restored(folder)
        assert again.t in (old, old + rows)
        outcomes.append(again.t - old)
        again.write(3)
        checkpoint.save(again.t)
        assert restored(folder)[0].t == again.t
        assert len(list(checkpoints(folder))) <= 3
        shutil.rmtree(folder)
    assert sorted(outcomes) == outcomes  # from some change on it is the new one
    if rows:
        assert set(outcomes) == {0, rows}


# row 3: the disk is full
def tried(checkpoint, part, *rows):
    for n in rows:
        part.write(n)
        checkpoint(part.t, one_step(), {})


@pytest.mark.fault(3)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync", "mkdir", "rename", "open", "chmod"])
def test_a_full_disk_costs_a_save_and_not_the_run(tmp_path, call, error):
    part, checkpoint = saved(tmp_path, 30, 5)
    reported = []
    checkpoint.report = lambda name, value, t: reported.append((name, value, t))
    before = contents(tmp_path)
    with refuses(call, error).watched():
        with pytest.warns(UserWarning, match=r"no checkpoint at step 36: .*; older ones are kept, the next try is in"):
            tried(checkpoint, part, 1)
        tried(checkpoint, part, 1)  # without a further warning
    assert contents(tmp_path) == before
    assert temporaries(tmp_path) == []
    assert reported == [("faults/checkpoint", 1, 36), ("faults/checkpoint", 2, 37)]
    tried(checkpoint, part, 1)  # there is room again
    assert restored(tmp_path)[0].t == 38
    with refuses(call, error).watched():
        with pytest.warns(UserWarning, match="no checkpoint at step 39"):
            tried(checkpoint, part, 1)
        tried(checkpoint, part, 1)
        with pytest.raises(OSError, match=os.strerror(error)) as caught:
            tried(checkpoint, part, 1)
    assert caught.value.errno == error
    assert reported[-1] == ("faults/checkpoint", 5, 41)
    if call in ("write", "fsync"):
        assert str(tmp_path) in str(caught.value)
    assert restored(tmp_path)[0].t == 38


@pytest.mark.fault(3, 10)
def test_a_save_that_cannot_be_read_back_counts_as_failed(tmp_path, monkeypatch):
    part, checkpoint = saved(tmp_path, 30, 5)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, bytes(data).replace(b"\0\0\0\0", b"\0\0\0\1")))
        with pytest.warns(UserWarning, match="no checkpoint at step 36: .* is damaged"):
            tried(checkpoint, part, 1)
    assert {path.name[-2:] for path in checkpoints(tmp_path)} == {"30", "35", "36"}  # no good one was deleted for it
    tried(checkpoint, part, 1)
    assert restored(tmp_path)[0].t == 37


@pytest.mark.fault(3)
def test_a_write_that_takes_a_part_is_gone_on_with(tmp_path, monkeypatch):
    """As one of more than 2 GiB is, or one that a signal interrupts."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:1000]))
    saved(tmp_path, 30)
    assert restored(tmp_path)[0].t == 30


LIMITED = """
    import resource, signal, sys, warnings
    import rlcore
    from rlcore.envs.toy import Chain

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    run = rlcore.DQN(
        lambda: Chain(3), folder=sys.argv[1], hidden=(64, 64), buffer_size=200, learning_starts=10, batch_size=8,
        update_every=10, gradient_steps=1, checkpoint_every=100, eval_every=10_000, log_every=100,
    )
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    warned = []
    warnings.showwarning = lambda message, *rest: warned.append(str(message))

    def limit(t, step, stats):
        if t == 150:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        if t == int(sys.argv[2]):
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    try:
        run.learn(550, [limit])
    except OSError as error:
        print(error.errno, error.filename)
    print(len([text for text in warned if "no checkpoint at step 200" in text]), run.t)
"""


@pytest.mark.fault(3)
@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("room_at", [350, 9999])
def test_files_that_may_not_grow(tmp_path, room_at):
    """Real errors of the kernel: two saves are lost and the run goes on, or a third one ends it."""
    done = run_python(LIMITED, tmp_path / "run", room_at)
    assert done.returncode == 0, done.stderr
    *error, last = done.stdout.splitlines()
    names = [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")]
    if room_at == 350:
        assert (error, last) == ([], "1 550")
        assert names == ["step-000000000550", "step-000000000500", "step-000000000400"]
    else:
        number, path = error[0].split(" ", 1)
        assert int(number) == errno.EFBIG
        assert str(tmp_path / "run" / "checkpoints") in path
        assert last == "1 400"
        assert names == ["step-000000000100"]
        assert temporaries(tmp_path / "run" / "checkpoints") == []
    newest_state(tmp_path / "run" / "checkpoints")


@pytest.mark.fault(3)
def test_the_last_save_of_a_run_says_that_it_is_missing(tmp_path):
    settings = dict(learning_starts=10, batch_size=8, hidden=(8,), buffer_size=200)
    run = rlcore.DQN(lambda: Chain(3), folder=tmp_path / "run", checkpoint_every=40, keep=1, **settings)
    with refuses("fsync", errno.ENOSPC).watched() as disk:
        really, disk.before = disk.before, lambda *call: None
        hook = lambda t, step, stats: setattr(disk, "before", really) if t == 50 else None  # noqa: E731
        with pytest.raises(OSError, match=r"No space left on device: .*step-000000000060"):
            run.learn(60, [hook])
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["step-000000000040"]
    assert not (tmp_path / "run" / "finished").exists()
    assert rlcore.Run.resume(tmp_path / "run", env=lambda: Chain(3)).learn(20).t == 60


# row 4: what a killed writer left
@pytest.mark.fault(4)
def test_leftovers_are_no_checkpoints_and_go_when_they_are_old(tmp_path):
    saved(tmp_path, 5)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    old, new, alive, wrong = (
        tmp_path / f".step-000000000099.tmp.{pid}.0123abc{k}"
        for k, pid in enumerate((child.pid, child.pid, os.getpid(), "x"))
    )
    for path in (old, new, alive, wrong):
        shutil.copytree(tmp_path / "step-000000000005", path)
    for path in (old, alive, wrong):
        os.utime(path, (time.time() - 3700,) * 2)
    part, checkpoint = restored(tmp_path)
    assert part.t == 5
    part.write(1)
    checkpoint.save(6)
    assert not old.exists()
    assert new.exists()  # less than an hour: another machine may be at it
    assert alive.exists()
    assert wrong.exists()


# rows 5 to 8: damage
@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """An older and a newer save that share no file."""
    folder = tmp_path_factory.mktemp("twin") / "checkpoints"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rings, "CHUNK", 8)
        part = Part()
        part.write(45)
        Checkpoint(folder, 1, 2, part=part).save(part.t)
        part.write(1)
        Checkpoint(folder, 1, 2, part=part).save(part.t)
    return folder


NEWER = "step-000000000046"
FILES = ("state.json", "tensors.safetensors", "ring-0-0.bin", "ring-0-4.bin")


def outcome(folder, name, data):
    """What newest_state gives when a file of the newer save holds these data: "refused" or "irrelevant"."""
    path = folder / NEWER / name
    whole = path.read_bytes()
    path.unlink()  # to write over a file that was cut waits for the disk
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, state = newest_state(folder)
    path.unlink()
    path.write_bytes(whole)
    part = Part()
    part.load(state["parts"]["part"])  # which checks every number
    if found.name == NEWER:
        assert part.t == 46
        assert not caught
        return "irrelevant"
    assert part.t == 45
    text = str(caught[0].message)
    assert name in text
    assert "using the older step-000000000045" in text
    if name == "tensors.safetensors":
        size = int.from_bytes(whole[:8], "little")
        if len(data) == len(whole) and data[: 8 + size] == whole[: 8 + size]:
            assert "and with it tensor /parts/part/w" in text
    return "refused"


@pytest.mark.fault(5)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("flips", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_flipped_bit_is_found_and_the_older_one_used(twin, tmp_path, name, flips):
    folder = tmp_path / "copy"
    shutil.copytree(twin, folder)
    whole, rng = (folder / NEWER / name).read_bytes(), np.random.default_rng(5)
    outcomes = []
    for at, bit in zip(rng.integers(len(whole), size=flips), rng.integers(8, size=flips)):
        data = bytearray(whole)
        data[at] ^= 1 << bit
        outcomes.append(outcome(folder, name, bytes(data)))
    irrelevant = outcomes.count("irrelevant")
    assert irrelevant <= (0.05 * flips if name == "state.json" else 0)  # of JSON a bit may be free: 1e-5 is 1E-5


@pytest.mark.fault(6)
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_found_and_the_older_one_used(twin, tmp_path, name):
    folder = tmp_path / "copy"
    shutil.copytree(twin, folder)
    whole = (folder / NEWER / name).read_bytes()
    sizes = {len(whole) * percent // 100 for percent in range(100)} | {0, 1, 7, 8, 9, len(whole) - 1}
    if name == "tensors.safetensors":
        header = 8 + int.from_bytes(whole[:8], "little")
        sizes |= {header - 1, header, header + 1}
    assert {outcome(folder, name, whole[:size]) for size in sizes} == {"refused"}
    assert outcome(folder, name, whole + b"\0") == "refused"


@pytest.mark.fault(7)
def test_if_all_are_damaged_nothing_starts_over_and_nothing_is_deleted(tmp_path):
    folder, settings = tmp_path / "run", dict(learning_starts=10, batch_size=8, hidden=(8,), buffer_size=200)
    watched = dict(checkpoint_every=20, log_every=20, eval_every=20, eval_episodes=1)
    rlcore.DQN(lambda: Chain(3), folder=folder, **watched, **settings).learn(60)
    assert {"scores.tsv", "scalars.jsonl"} <= {path.name for path in folder.iterdir()}
    for k, path in enumerate(checkpoints(folder / "checkpoints")):
        name = ["state.json", "tensors.safetensors", "ring-0-0.bin"][k]
        (path / name).write_bytes((path / name).read_bytes()[:-1])
    before = contents(folder)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole: .*Nothing has been changed"):
        rlcore.Run.resume(folder, env=lambda: Chain(3))
    after = contents(folder)
    before.pop("lock"), after.pop("lock")
    assert after == before


@pytest.mark.fault(8)
@pytest.mark.parametrize("keep", [0, 1, 100, 191])
def test_a_cut_replay_is_refused_with_what_is_lost(tmp_path, keep):
    part = Part()
    part.write(50)
    save_state(tmp_path / "a", part.state())
    path = tmp_path / "a" / "ring-0-3.bin"
    assert path.stat().st_size == 192
    os.truncate(path, keep)
    with pytest.raises(CheckpointError, match=r"ring-0-3\.bin is damaged, and with it 8 of 40 rows of /ring: "):
        load_state(tmp_path / "a")


# row 9: two writers
@pytest.mark.fault(9)
def test_a_second_writer_is_refused(tmp_path):
    settings = dict(learning_starts=10, batch_size=8, hidden=(8,), buffer_size=200)
    run = rlcore.DQN(lambda: Chain(3), folder=tmp_path / "run", **settings)
    seen = []

    def second(t, step, stats):
        if t == 5:
            code = "import sys, rlcore.cli; rlcore.cli.main(sys.argv[1:])"
            start = time.monotonic()
            with pytest.raises(BlockingIOError, match=f"is being written to by process {os.getpid()} on .+ since 20"):
                rlcore.Run.resume(tmp_path / "run", env=lambda: Chain(3))
            seen.append(time.monotonic() - start)
            words = ["train", "dqn", "--folder", tmp_path / "run", "--resume", "--hidden", "8", "--buffer-size", "200"]
            seen.append(run_python(code, *words))

    run.learn(10, [second])
    took, done = seen
    assert took < 2
    assert done.returncode == 1
    assert f"is being written to by process {os.getpid()} on" in done.stderr
    assert rlcore.Run.resume(tmp_path / "run", env=lambda: Chain(3)).t == 10


# row 10: what is deleted
EVENTS = st.lists(st.sampled_from(["save", "save", "save", "save twice", "damage", "restart"]), max_size=14)


def damage(path, draw):
    victim = sorted(p for p in path.iterdir() if p.is_file())[draw % len(list(path.iterdir()))]
    if draw % 3 == 0:
        victim.unlink()
        return
    data = bytearray(victim.read_bytes())
    data[draw % len(data)] ^= 16
    victim.unlink()  # chunks are shared: only this save is hurt
    victim.write_bytes(bytes(data))


@pytest.mark.fault(10)
@settings(max_examples=60, deadline=None)
@given(keep=st.integers(1, 4), events=EVENTS, draws=st.lists(st.integers(0, 10**6), min_size=14, max_size=14))
def test_the_newest_whole_ones_are_kept(tmp_path_factory, keep, events, draws):
    """Against a model: which saves there have been, and which of them are whole."""
    folder = tmp_path_factory.mktemp("kept") / "checkpoints"
    best = folder.parent / "best"
    save_state(best, {"x": 1})
    part, checkpoint = Part(), Checkpoint(folder, 1, keep)
    checkpoint.parts["part"] = part
    whole: list[int] = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(rings, "CHUNK", 8)
        for event, draw in zip(events, draws):
            if event.startswith("save"):
                part.write(draw % 30 + 1 if event == "save" else 0)
                checkpoint.save(part.t)
                whole = sorted({*whole, part.t})
                there = [int(path.name[5:]) for path in checkpoints(folder)]
                up_to = [t for t in whole if t <= part.t]
                assert set(up_to[-keep:]) <= set(there)
                if len(up_to) >= keep:
                    assert not [t for t in there if t < up_to[-keep]]
                whole = [t for t in whole if t in there]
            elif event == "damage" and (paths := checkpoints(folder)):
                path = paths[draw % len(paths)]
                damage(path, draw)
                try:
                    load_state(path)
                except CheckpointError:
                    whole = [t for t in whole if t != int(path.name[5:])]
            elif event == "restart":
                part, checkpoint = Part(), Checkpoint(folder, 1, keep)
                checkpoint.parts["part"] = part
                if whole:
                    assert checkpoint.restore() == part.t == whole[-1]
                elif checkpoints(folder):
                    with pytest.raises(CheckpointError):
                        checkpoint.restore()
                    return
    assert load_state(best) == {"x": 1}


@pytest.mark.fault(10)
@pytest.mark.parametrize("again", [False, True])
def test_a_save_that_went_bad_costs_no_good_one(tmp_path, again):
    """Neither one that this process has written, nor one that it has found."""
    part, checkpoint = saved(tmp_path, 30, 1, 1, keep=3)
    if again:
        part, checkpoint = restored(tmp_path, keep=3)
    path = tmp_path / "step-000000000031" / "tensors.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    part.write(1)
    checkpoint.save(part.t)
    assert [int(path.name[5:]) for path in checkpoints(tmp_path)] == [33, 32, 31, 30]
    part.write(1)
    checkpoint.save(part.t)
    assert [int(path.name[5:]) for path in checkpoints(tmp_path)] == [34, 33, 32]


@pytest.mark.fault(10)
def test_later_ones_are_left_alone(tmp_path):
    """Somebody may have gone back to an earlier save."""
    _, checkpoint = saved(tmp_path, 30, 1)
    for t in (10, 11, 12):
        checkpoint.save(t)
    assert [int(path.name[5:]) for path in checkpoints(tmp_path)] == [31, 30, 12, 11]


# row 12: other versions
@pytest.mark.fault(12)
def test_a_checkpoint_of_the_first_format_is_read():
    """Written by tests/data/write.py at the first release of the format; it stays as it is."""
    state = load_state(ROOT / "tests" / "data" / "format-1")
    assert state.keys() == {"t", "library_rng", "parts"}
    part = state["parts"]["part"]
    assert part["w"].tolist() == [[0.0, 0.5], [1.0, 1.5]]
    assert (part["w"].dtype, part["flags"].tolist(), part["pair"]) == (np.float32, [True, False], (1, [2.5, None, "x"]))
    ring = part["ring"]
    assert (ring.written, ring.array.tolist(), ring.array.dtype) == (23, [20, 21, 22, *range(13, 20)], np.int64)
    assert part["nan"] != part["nan"]
    assert state["library_rng"]["state"]["state"] == 2**100 + 1


@pytest.mark.fault(12)
@pytest.mark.parametrize(("written", "least", "read"), [(1, 1, True), (2, 1, True), (2, 2, False), (9, 7, False)])
def test_a_later_format_is_read_if_it_says_so(tmp_path, written, least, read):
    from tests.harness.test_storage import forge

    save_state(tmp_path / "a", {"x": 1})
    forge(tmp_path / "a", lambda body: body.update(format=written, min_reader=least))
    if read:
        assert load_state(tmp_path / "a") == {"x": 1}
    else:
        with pytest.raises(CheckpointError, match=f"can be read by format {least} and later, this version of rlcore"):
            load_state(tmp_path / "a")
