"""Exported policies, run by NumPy alone: they act as the agent does, and what is no policy is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import rlcore
from rlcore import policy as runner
from rlcore.harness.export import export_policy
from rlcore.policy import load_policy
from rlcore.tree import leaves, map_
from tests.harness.exporting import CASES, built, played


def alike(one, two):
    """Equal actions, up to rounding where they are floats."""
    one, two = list(leaves(one)), list(leaves(two))
    assert len(one) == len(two)
    for a, b in zip(one, two):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        else:
            assert (a == b).all()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_does_what_the_agent_does(tmp_path, case):
    agent, env, other = built(case)
    export_policy(tmp_path / "p", agent.policy(), env)
    policy, acting = load_policy(tmp_path / "p"), agent.policy()
    network, _ = acting.exported()
    for seen, told in played(acting, other, 6):
        alike(policy(seen), told)
        out = network(other.obs) if acting.state is None else network(other.obs, acting.state)[0]
        numbers = out.array
        np.testing.assert_allclose(policy.network(other.obs), numbers, rtol=1e-4, atol=1e-5)
        assert np.unique(numbers).size > 4  # or little would have been compared


def test_one_observation_gives_one_action(tmp_path):
    agent, env, _ = built(next(case for case in CASES if case.name == "nested"))
    export_policy(tmp_path / "p", agent.policy(), env)
    policy = load_policy(tmp_path / "p")
    batch = policy(env.obs)
    single = policy(map_(lambda leaf: leaf[1], env.obs))
    alike(single, map_(lambda leaf: leaf[1], batch))
    assert env.action_space.contains(single)


def test_stacked_frames_begin_anew_where_an_episode_does(tmp_path):
    agent, env, _ = built(next(case for case in CASES if case.name == "normalised and stacked"))
    export_policy(tmp_path / "p", agent.policy(), env)
    policy, fresh = load_policy(tmp_path / "p"), load_policy(tmp_path / "p")
    first, second = np.float32(np.eye(2, 5)), np.float32(np.eye(2, 5, 2))
    start = policy(first)
    moved = policy(second)
    assert not np.allclose(moved, fresh(second))
    policy.reset()
    alike(policy(first), start)
    policy.reset(np.array([True, False]))
    after = policy(second)
    alike(after[0], load_policy(tmp_path / "p")(second)[0])
    alike(after[1], moved[1])


def test_what_a_network_remembers_begins_anew_where_an_episode_does(tmp_path):
    agent, env, _ = built(next(case for case in CASES if case.name == "with a memory"))
    export_policy(tmp_path / "p", agent.policy(), env)
    policy, own, obs = load_policy(tmp_path / "p"), agent.policy(), np.float32(np.eye(2, 5))
    for mask in (None, [True, False], [False, False], None, [True, True]):
        for _ in range(3):
            alike(policy(obs), own(obs))
            for ours, theirs in zip(policy.state, own.state):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
        before = [array.copy() for array in policy.state]
        given = policy.state
        for each in (policy, own):
            each.reset(mask if mask is None else np.array(mask))
        np.testing.assert_array_equal(given, before)  # what was given away stays as it was
    policy(obs[0])  # another number of streams: they begin
    fresh = load_policy(tmp_path / "p")
    fresh(obs[0])
    np.testing.assert_array_equal(policy.state, fresh.state)


def test_it_needs_numpy_and_nothing_else(tmp_path):
    agent, env, _ = built(CASES[0])
    export_policy(tmp_path / "p", agent.policy(), env)
    (tmp_path / "alone.py").write_text(Path(runner.__file__).read_text())
    np.save(tmp_path / "obs.npy", env.obs)
    script = (
        "import sys\nfor name in ('rlcore', 'gymnasium', 'safetensors'): sys.modules[name] = None\n"
        "import numpy as np, alone\n"
        "print(alone.load_policy('p')(np.load('obs.npy')).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == agent.policy()(env.obs).tolist()


@pytest.fixture
def exported(tmp_path):
    agent, env, _ = built(CASES[0])
    export_policy(tmp_path / "p", agent.policy(), env, algorithm="dqn")
    return tmp_path / "p"


def test_a_wrong_observation_is_refused(exported):
    policy = rlcore.load_policy(exported)
    assert policy.description["algorithm"] == "dqn"
    for obs in (np.zeros(4, np.float32), np.zeros((2, 2, 5), np.float32), 3.0, np.zeros(5, complex)):
        with pytest.raises(ValueError, match=r"an observation of shape .*; expected \(5,\) or \(N, \*\(5,\)\) float32"):
            policy(obs)


def edit(folder, change):
    text = json.loads((folder / "policy.json").read_text())
    change(text)
    (folder / "policy.json").write_text(json.dumps(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=9), "it has format 9, this version reads 1"),
        (lambda d: d["nodes"][0].update(op="system"), "'system'"),
        (lambda d: d["nodes"][0]["in"].__setitem__(1, "tensor/99"), "tensor/99 is missing"),
        (lambda d: d.update(before=[{"kind": "exec"}]), "'exec'"),
        (lambda d: d.pop("nodes"), "'nodes'"),
    ],
)
def test_a_description_that_is_none_is_refused(exported, change, message):
    edit(exported, change)
    with pytest.raises(ValueError, match=f"p is no exported policy: .*{message}"):
        load_policy(exported)


@pytest.mark.parametrize("data", [b"", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0{}"[:9]])
def test_damaged_tensors_are_refused(exported, data):
    (exported / "tensors.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="is no exported policy"):
        load_policy(exported)


def test_tensors_are_read_as_safetensors_writes_them(tmp_path):
    arrays = {dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in ("bool", "u1", "i2", "i8", "f2", "f4", "f8")}
    save_file(arrays, tmp_path / "t")
    mine, theirs = runner._tensors((tmp_path / "t").read_bytes()), load_file(tmp_path / "t")
    assert mine.keys() == theirs.keys()
    for name, array in theirs.items():
        alike(mine[name], array)


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="is no exported policy"):
        load_policy(tmp_path / "none")
