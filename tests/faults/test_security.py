"""What is read runs nothing, reaches nowhere and costs little; what is written tells nothing that is private."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import textwrap
import uuid
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rlcore
from rlcore.autograd import links as L
from rlcore.autograd import serializers
from rlcore.envs.toy import Chain
from rlcore.harness import Checkpoint, CheckpointError, RunFolder, load_state, save_state
from rlcore.harness.checkpoint import checkpoints
from rlcore.harness.files import sha, whole_folder, write
from rlcore.harness.tensors import CODES, unpacked
from rlcore.rng import default, state_of
from rlcore.tree import Ring
from tests.harness.test_storage import HOSTILE, forge
from tests.harness.test_tensors import BAD, forged

ROOT = Path(__file__).parents[2]
STATE = {
    "agent": {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "steps": 17},
    "ring": {"obs": Ring(np.arange(60, dtype=np.float32).reshape(20, 3), 27), "done": Ring(np.ones(20, bool), 27)},
    "name": "x",
}


def hostile(folder):
    """Folders that are no checkpoints, each for another reason; all checksums are right."""
    whole = folder / "whole"
    save_state(whole, STATE)

    def copy(name):
        path = folder / name.replace("/", "_").replace("\0", "_")
        shutil.copytree(whole, path)
        return path

    for name, change in HOSTILE.items():
        forge(copy(f"state: {name}"), change)
    for name, data in {**BAD, "a pickle": PICKLE}.items():
        path = copy(f"tensors: {name}")
        (path / "tensors.safetensors").write_bytes(data)
        forge(path, lambda body, data=data: body["files"].update({"tensors.safetensors": sha(data)}))
    for name, data in {"longer": bytes(261), "shorter": bytes(259), "empty": b"", "a pickle": PICKLE}.items():
        path = copy(f"chunk: {name}")
        (path / "ring-0-0.bin").write_bytes(data)
        forge(path, lambda body, data=data: body["files"].update({"ring-0-0.bin": sha(data)}))
    for name in ("state.json", "tensors.safetensors", "ring-0-0.bin"):
        (copy(f"pickle: {name}") / name).write_bytes(PICKLE)
        for kind, target in (("link", whole / name), ("device", "/dev/zero"), ("itself", name)):
            path = copy(f"{kind}: {name}") / name
            path.unlink()
            path.symlink_to(target)
        path = copy(f"pipe: {name}") / name
        path.unlink()
        os.mkfifo(path)
        path = copy(f"folder: {name}") / name
        path.unlink()
        path.mkdir()
    return [path for path in folder.iterdir() if path != whole]


PICKLE = b"cos\nsystem\n(S'echo owned > owned'\ntR."
LOADER = """
    import os, sys
    from pathlib import Path
    from rlcore.harness.storage import CheckpointError, load_state

    folder = Path(sys.argv[1])
    load_state(folder / "whole")  # what it imports, it has imported
    forbidden = ("exec", "compile", "import", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.")
    looking = ("os.listdir", "os.scandir")
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    armed, seen = False, []

    def hook(event, args):
        if not armed:
            return
        if event == "open":
            path, mode, flags = args
            if (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & writing:
                seen.append((event, args))
            elif not isinstance(path, int) and not str(path).startswith(str(folder)):
                seen.append((event, args))
        elif event.startswith(forbidden) and not event.startswith(looking):
            seen.append((event, args))

    sys.addaudithook(hook)
    names = sorted(folder.iterdir())
    armed, read = True, []
    for path in names:
        try:
            load_state(path)
            read.append(path.name)
        except CheckpointError:
            pass
    armed = False
    print(len(names), read, seen)
"""


@pytest.mark.fault(14, 17, 18)
def test_hostile_files_run_nothing_and_reach_nowhere(tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    assert len(hostile(folder)) >= 50
    (tmp_path / "secret").write_text("x")
    before = {path: path.lstat() for path in tmp_path.rglob("*")}
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(LOADER), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == f"{len(list(folder.iterdir()))} ['whole'] []"
    after = {path: path.lstat() for path in tmp_path.rglob("*")}
    assert after.keys() == before.keys()
    assert all(after[path].st_mtime_ns == before[path].st_mtime_ns for path in before)


@pytest.mark.fault(14)
def test_hostile_neighbours_end_no_run(tmp_path):
    """A save looks at older ones before it deletes any."""

    class Part:
        def state(self):
            return {"x": 1}

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for k, path in enumerate(hostile(folder)):
        path.rename(folder / f"step-{k:012d}")
    n = len(checkpoints(folder))
    assert Checkpoint(folder, 1, keep=n + 1, part=Part()).save(1000) == checkpoints(folder)[0]
    assert len(checkpoints(folder)) == n + 1


@pytest.mark.fault(14)
def test_no_file_names_code_to_run(tmp_path):
    """An algorithm is named by its key, an environment's module is imported by its user."""
    run = rlcore.DQN(lambda: Chain(3), learning_starts=10, batch_size=8, hidden=(8,), buffer_size=200).learn(20)
    run.save(tmp_path / "a")
    forge(tmp_path / "a", lambda body: body["tree"]["parts"]["header"].update(algorithm="os.system"))
    with pytest.raises(ValueError, match=r"unknown algorithm 'os\.system'; known are dqn"):
        rlcore.Run.load(tmp_path / "a", env=lambda: Chain(3))
    forge(tmp_path / "a", lambda body: body["tree"]["parts"]["header"].update(algorithm="dqn", env="antigravity:X-v0"))
    with pytest.raises(ValueError, match="no file may import a module"):
        rlcore.Run.load(tmp_path / "a")
    assert "antigravity" not in sys.modules


@pytest.mark.fault(15)
def test_objects_in_npz_files_are_refused(tmp_path):
    model = L.Linear(2, 3)
    before = model.W.array.copy()
    np.savez(tmp_path / "a.npz", W=np.array([print], object), b=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="it holds pickled Python objects, which are not read"):
        serializers.load_npz(tmp_path / "a.npz", model)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("W.npy", PICKLE)
        archive.writestr("b.npy", PICKLE)
    with pytest.raises(ValueError, match="load_npz: W cannot be read"):
        serializers.load_npz(tmp_path / "b.npz", model)
    for wrong in (
        np.full((3, 2), "1"),
        np.ones((3, 2), "m8[s]"),
        np.ones((3, 2), [("x", "f4")]),
        np.ones((3, 2), complex),
    ):
        np.savez(tmp_path / "c.npz", W=wrong, b=np.zeros(3, np.float32))
        with pytest.raises(ValueError, match=r"load: W is \(3, 2\) .* in the file and \(3, 2\) float32 here"):
            serializers.load_npz(tmp_path / "c.npz", model)
    np.testing.assert_array_equal(model.W.array, before)


@pytest.mark.fault(14, 15, 16)
def test_there_is_no_way_back_to_pickles(tmp_path):
    """tests/test_house.py bans every kind of pickle; a file that is no checkpoint is not tried as something else."""
    from tests.test_house import RULES, Module, modules, no_eval, no_pickle

    assert {no_pickle, no_eval} <= set(RULES)
    assert [complaint for module in modules() for rule in (no_pickle, no_eval) for complaint in rule(module)] == []
    for name in ("pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"):
        assert list(no_pickle(Module("rlcore.harness.storage", f"def load():\n    import {name}")))
    for name in ("state.json", "tensors.safetensors", "ring-0-0.bin"):
        save_state(tmp_path / "a", STATE)
        (tmp_path / "a" / name).write_bytes(PICKLE)
        with pytest.raises(CheckpointError, match=name):
            load_state(tmp_path / "a")
    for path in (tmp_path / "a" / "state.json", tmp_path / "a.pt"):
        path.write_bytes(PICKLE)
        with pytest.raises(CheckpointError):
            load_state(path)


# row 17: any header
NUMBERS = st.integers(-2, 40) | st.sampled_from(
    [2**31, 2**62, 2**63, 2**64, 10**30, 1.5, True, None, "8", [], -(2**63)]
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*CODES, "O", "BF16", "f4", "", None]),
        "shape": st.lists(NUMBERS, max_size=4) | NUMBERS,
        "data_offsets": st.lists(NUMBERS, min_size=1, max_size=3) | NUMBERS,
    },
    optional={"more": NUMBERS},
)
HEADERS = st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), ENTRIES | NUMBERS, max_size=4)


@pytest.mark.fault(17)
@settings(max_examples=300, deadline=None)
@given(header=HEADERS, data=st.binary(max_size=80), size=st.none() | st.integers(0, 2**64 - 1))
@example(header={"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, data=bytes(4), size=None)
def test_any_header_gives_arrays_that_fit_or_an_error(header, data, size):
    try:
        arrays, _ = unpacked(forged(header, data, size))
    except (ValueError, TypeError):
        return
    assert sum(array.nbytes for array in arrays.values()) == len(data)
    from safetensors.numpy import load

    assert load(forged(header, data)).keys() == arrays.keys()  # nothing passes here that the format's package refuses


FUZZ = """
    import json, os, random, resource, shutil, sys
    from pathlib import Path
    from rlcore.harness.files import sha
    from rlcore.harness.storage import CheckpointError, load_state

    folder, n = Path(sys.argv[1]), int(sys.argv[2])
    names = ("state.json", "tensors.safetensors", "ring-0-0.bin")
    whole = {name: (folder / name).read_bytes() for name in names}
    body = json.loads(whole["state.json"])["body"]
    rng = random.Random(17)
    words = [b"0", b"-1", b"9" * 30, b"1e999", b"NaN", b"true", b"null", b"[", b"]", b"{", b"}", b'"', b",", b":",
             b"\\\\u", b"\\xff", b"\\0" * 8, b"$ring", b"$array", b"$tuple", b'"shape":[', b'"data_offsets":[0,8]',
             b"F64", b"BOOL"]

    def mutated(data):
        data = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
            at, way = rng.randrange(len(data) + 1), rng.randrange(5)
            if way == 0 and at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            elif way == 1:
                data[at:at] = rng.choice(words)
            elif way == 2:
                del data[at : at + rng.randrange(1, 20)]
            elif way == 3:
                data[at : at + rng.randrange(1, 8)] = rng.choice(words)
            else:
                data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.randrange(60)]
        return bytes(data)

    def put(name, data):
        (folder / name).unlink()  # to write over a file that was cut waits for the disk
        (folder / name).write_bytes(data)

    base, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for k in range(n):
        name = rng.choice(names)
        if name == "state.json":
            text = mutated(json.dumps(body).encode())
            try:  # its checksum is that of the values written again: so that the mutation is looked at
                digest = sha(json.dumps(json.loads(text)).encode())
            except (ValueError, RecursionError):
                digest = "0"
            put(name, b'{"sha256": "%b", "body": %b}' % (digest.encode(), text))
        else:
            data = mutated(whole[name])
            put(name, data)
            text = json.dumps({**body, "files": {**body["files"], name: sha(data)}}).encode()
            put("state.json", b'{"sha256": "%b", "body": %b}' % (sha(text).encode(), text))
        try:
            load_state(folder)
        except CheckpointError:
            refused += 1
        for name in {name, "state.json"}:
            put(name, whole[name])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
    print(refused, grown // 1024)
"""


@pytest.mark.fault(17)
@pytest.mark.parametrize("n", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mutated_files_are_refused_and_take_no_memory(tmp_path, n):
    save_state(tmp_path / "a", STATE)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(FUZZ), str(tmp_path / "a"), str(n)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    refused, megabytes = map(int, done.stdout.split())
    assert refused > 0.5 * n
    assert megabytes <= 64


@pytest.mark.fault(17)
def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    import tracemalloc

    claims = [forged(b"{}", size=1 << 62), forged(b"{" + b" " * 100, size=16 << 20)]
    claims.append(forged({"a": {"dtype": "F64", "shape": [1 << 40], "data_offsets": [0, 8 << 40]}}))
    tracemalloc.start()
    try:
        for data in claims:
            with pytest.raises(ValueError, match=r"a header of|tensor a"):
                unpacked(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.fault(17)
def test_a_state_that_is_too_deep_or_too_long_is_neither_written_nor_read(tmp_path, monkeypatch):
    deep = {"x": 1}
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(TypeError, match="nested deeper than 32 levels"):
        save_state(tmp_path / "a", deep)
    save_state(tmp_path / "a", {"x": 1})
    forge(tmp_path / "a", lambda body: body.update(tree=deep))
    with pytest.raises(CheckpointError, match="nested deeper than 32 levels"):
        load_state(tmp_path / "a")
    monkeypatch.setattr("rlcore.harness.storage.LONGEST", 300)
    with pytest.raises(ValueError, match="bytes of JSON, more than are read: put it into arrays"):
        save_state(tmp_path / "b", {"x": list(range(1000))})
    with pytest.raises(CheckpointError, match="longer than 300 bytes"):
        load_state(tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize("leaf", [1, np.arange(3), (1, 2), [1], {}, Ring(np.arange(3), 2)])
def test_what_can_be_written_can_be_read(tmp_path, leaf):
    """Up to the same depth."""
    written = 0
    for depth in range(29, 36):
        state = {"a": leaf}
        for _ in range(depth):
            state = {"a": state}
        try:
            save_state(tmp_path / "a", state)
        except TypeError:
            continue
        written += 1
        load_state(tmp_path / "a")
    assert 0 < written < 7


# row 18: names
@pytest.mark.fault(18)
@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", ".", "", "a/b", "ring-0-0.bin/..", "ring-0-0.bin\n", "RING-0-0.bin", "x"]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    (tmp_path / "secret").write_text("x")
    save_state(tmp_path / "a", STATE)
    forge(tmp_path / "a", lambda body: body["files"].update({name: sha(b"x")}))
    with pytest.raises(CheckpointError, match=r"names a file .* that no checkpoint has"):
        load_state(tmp_path / "a")


# row 20: secrets
@pytest.mark.fault(20)
def test_no_secret_is_written(tmp_path):
    """A token in the environment, in the arguments and in git's remote is nowhere in a run folder after training."""
    canary = f"canary{secrets.token_hex(8)}"
    home = tmp_path / "home"
    home.mkdir()
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for words in (
        ["init", "-q", "."],
        ["remote", "add", "origin", f"https://me:{canary}@example.org/x"],
        ["commit", "-q", "--allow-empty", "-m", "first"],
    ):
        subprocess.run([*git, *words], cwd=home, check=True, capture_output=True)
    code = """
        import sys
        import rlcore.cli
        words, sys.argv = sys.argv[2:], ["train.py", "--token", sys.argv[1]]
        rlcore.cli.main(words)
    """
    words = [
        "train",
        "dqn",
        "--root",
        str(tmp_path / "runs"),
        "--steps",
        "300",
        "--eval-every",
        "150",
        "--log-every",
        "50",
    ]
    words += ["--eval-episodes", "1", "--checkpoint-every", "100", "--learning-starts", "50", "--hidden", "8"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "API_TOKEN": canary, "GIT_AUTHOR_NAME": canary, "LOGNAME": canary}
    command = [sys.executable, "-c", textwrap.dedent(code), canary, *words]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert {"config.json", "commit.txt", "lock", "scores.tsv", "state.json"} <= {path.name for path in files}
    assert [path for path in files if canary.encode() in path.read_bytes() or canary in path.name] == []


# row 22: temporary names
@pytest.mark.fault(22)
def test_a_link_at_the_temporary_name_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(secrets, "token_hex", lambda n: "0" * 2 * n)  # as if somebody had guessed it
    name = f".state.tmp.{os.getpid()}.00000000"
    for plant in (
        lambda path: path.symlink_to(tmp_path / "mine"),
        lambda path: path.symlink_to(tmp_path / "nowhere"),
        lambda path: path.mkdir(),
    ):
        plant(tmp_path / name)
        with pytest.raises(FileExistsError):
            save_state(tmp_path / "state", {"x": 1})
        assert list((tmp_path / "mine").iterdir()) == []
        assert not (tmp_path / "nowhere").exists()
        assert not (tmp_path / "state").exists()
        (tmp_path / name).unlink() if (tmp_path / name).is_symlink() else (tmp_path / name).rmdir()


@pytest.mark.fault(22)
def test_a_link_at_the_temporary_name_of_a_config_is_not_followed(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {"steps": 1})
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run" / ".config.json.tmp").symlink_to(tmp_path / "mine")
    folder.extend(2)
    folder.close()
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "run" / "config.json").is_symlink()
    assert RunFolder.open(tmp_path / "run").config == {"steps": 2}


@pytest.mark.fault(22)
def test_a_link_at_the_temporary_name_of_an_npz_is_refused(tmp_path, monkeypatch):
    replace, names = os.replace, set()
    monkeypatch.setattr(os, "replace", lambda source, target: (names.add(source), replace(source, target)))
    for _ in range(3):
        serializers.save_npz(tmp_path / "a.npz", L.Linear(2, 3))
    assert len(names) == 3
    (tmp_path / "mine").write_text("mine")
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=0))  # as if somebody had guessed it
    (tmp_path / f"a.npz.{'0' * 32}").symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError):
        serializers.save_npz(tmp_path / "a.npz", L.Linear(2, 3))
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.fault(22)
def test_what_is_being_written_is_private_and_its_name_is_new_each_time(tmp_path):
    names = set()
    for _ in range(3):
        with whole_folder(tmp_path / "state") as folder:
            names.add(folder.name)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "tensors.safetensors").symlink_to(tmp_path / "mine")
            with pytest.raises(FileExistsError):
                write(folder / "tensors.safetensors", b"x")
            (folder / "tensors.safetensors").unlink()
    assert len(names) == 3
    assert not (tmp_path / "mine").exists()


# row 13: another run
def made(space, **settings):
    """A run on an environment of this observation space and number of actions."""
    observation, actions = space
    defaults = dict(learning_starts=10, batch_size=8, hidden=(8,), buffer_size=200, checkpoint_every=20)
    return rlcore.DQN(world(observation, actions), **{**defaults, **settings})


def world(observation, actions):
    import gymnasium

    class World(gymnasium.Env):
        observation_space, action_space = observation, actions

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.low.copy(), {}

        def step(self, action):
            return self.observation_space.low.copy(), 0.0, False, False, {}

    return World


def box(low=-1.0, high=1.0, shape=(4,), dtype=np.float32):
    from gymnasium import spaces

    return spaces.Box(low, high, shape, dtype)


def discrete(n=2, **more):
    from gymnasium import spaces

    return spaces.Discrete(n, **more)


OTHER_SPACES = [
    ((box(dtype=np.float64), discrete()), r"observation_space Box\(.*float32\), this one has Box\(.*float64\)"),
    ((box(low=-2.0), discrete()), r"observation_space Box\(-1.0, 1.0.*, this one has Box\(-2.0, 1.0"),
    ((box(high=2.0), discrete()), r"observation_space Box\(-1.0, 1.0.*, this one has Box\(-1.0, 2.0"),
    ((box(low=np.array([-1, -1, -1, -3]), high=1, shape=None), discrete()), r"this one has Box\(\[.*-3"),
    ((box(shape=(5,)), discrete()), r"\(4,\), float32\), this one has Box\(-1.0, 1.0, \(5,\)"),
    ((box(shape=(2, 2)), discrete()), r"\(4,\), float32\), this one has Box\(-1.0, 1.0, \(2, 2\)"),
    ((box(0, 255, dtype=np.uint8), discrete()), r"float32\), this one has Box\(0, 255, \(4,\), uint8\)"),
    ((box(), discrete(3)), r"action_space Discrete\(2\), this one has Discrete\(3\)"),
    ((box(shape=(5,)), discrete(3)), r"observation_space .*; with action_space "),
]
OTHER_SETTINGS = [
    ({"seed": 1}, "seed 0, this one has 1"),
    ({"n_envs": 2}, "n_envs 1, this one has 2"),
    ({"algorithm": "double-dqn"}, "algorithm dqn, this one has double-dqn"),
    ({"observation_space": "Box"}, "observation_space "),
    ({"action_space": "Discrete(2, start=1)"}, r"action_space .*Discrete\(2, start=1\)"),
    ({"agent": {"hidden": [8, 8]}}, r"agent\.hidden \[8\], this one has \[8, 8\]"),
    ({"agent": {"hidden": [9]}}, r"agent\.hidden \[8\], this one has \[9\]"),
    ({"agent": {"buffer_size": 300}}, r"agent\.buffer_size 200, this one has 300"),
    ({"agent": {"gamma": 0.9}}, r"agent\.gamma 0.99, this one has 0.9"),
    ({"agent": {"n_step": 1}}, r"agent\.n_step 4, this one has 1"),
    ({"agent": {"learning_rate": "0.5"}}, r"agent\.learning_rate linear:.*, this one has 0.5"),
    (
        {"agent": {"batch_size": 4, "tau": 0.5}},
        r"agent\.batch_size 8, this one has 4; with agent\.tau 1.0, this one has",
    ),
    ({"envs": {"vector": "serial"}}, r"envs\.vector auto, this one has serial"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    made((box(), discrete()), folder=folder).learn(30)
    return folder


def refused(folder, message, **how):
    """Resuming is refused with this message, and nothing has changed: not on the disk, not in the library."""
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    library = state_of(default())
    with pytest.raises(ValueError, match=message):
        rlcore.Run.resume(folder, **how)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"} == files
    assert state_of(default()) == library


@pytest.mark.fault(13)
@pytest.mark.parametrize(("space", "message"), OTHER_SPACES)
def test_another_environment_is_refused_with_the_difference(trained, space, message):
    refused(trained, message, env=world(*space))


@pytest.mark.fault(13)
@pytest.mark.parametrize(("change", "message"), OTHER_SETTINGS)
def test_a_checkpoint_of_other_settings_is_refused_with_the_difference(trained, tmp_path, change, message):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    config = json.loads((folder / "config.json").read_text())
    for name, value in change.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, message, env=world(box(), discrete()))


@pytest.mark.fault(13)
def test_what_did_not_differ_goes_on(trained, tmp_path):
    assert len(OTHER_SPACES) + len(OTHER_SETTINGS) >= 20
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    assert rlcore.Run.resume(folder, env=world(box(), discrete())).learn(10).t == 40
