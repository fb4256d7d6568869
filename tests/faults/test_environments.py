"""Environments that raise, die, hang, give what is no number, or re-use their buffer; and what becomes of workers."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from tempfile import gettempdir
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.buffers import Replay
from rlcore.envs import EnvError, ProcessEnv, SerialEnv, episode_seed
from rlcore.envs.process import Worker, _leave_all
from rlcore.envs.toy import HashChain
from rlcore.rng import generator
from tests.envs.worlds import Faulty, Global, Reuses, Walk, World

multiprocessing.set_forkserver_preload(["tests.envs.worlds"])

ROOT = Path(__file__).parents[2]
BUG = "ZeroDivisionError: a bug of the environment"
SEED = episode_seed(0, 4)  # of the second episode of stream 1 of 3


def kinds(make, n_envs=3, **settings):
    """One of each kind; workers have the streams 0, and 1 and 2."""
    process = {k: settings.pop(k) for k in ("timeout_s",) if k in settings}
    return (
        lambda: SerialEnv(make, n_envs, **settings),
        lambda: ProcessEnv(make, n_envs, workers=2, **settings, **process),
    )


def steps(env, k, rng=None):
    """The k-th step from here, whose arrays are still there."""
    rng = rng or generator(0)
    for _ in range(k):
        step = env.step(rng.integers(4, size=env.n_envs))
    return step


def until(env, rng):
    """The observations before the next step that is not all transitions, and this step."""
    for _ in range(200):
        before = env.obs.copy()
        step = env.step(rng.integers(4, size=env.n_envs))
        if not step.valid.all():
            return before, step
    raise AssertionError("every row was a transition")


def played(make, k):
    """What the k-th episode begins with."""
    return make().reset(seed=episode_seed(0, k))[0].tolist()


# 23: an environment raises
@pytest.mark.fault(23)
@pytest.mark.parametrize("call", ["reset", "step"])
@pytest.mark.parametrize("kind", [0, 1])
def test_an_environment_that_raises_says_where(kind, call):
    env = kinds(partial(Faulty, call, "raise", {SEED}))[kind]()
    env.reset()
    with pytest.raises(EnvError) as caught:
        steps(env, 1000)
    where = (
        f"environment 1 (Faulty) in step {2 if call == 'step' else 0} of episode 4 (seed {SEED}): {call}() raised {BUG}"
    )
    assert where in str(caught.value)
    if kind:  # the traceback of the other process
        assert "tests/envs/worlds.py" in str(caught.value).replace(os.sep, "/")
        assert "in fail" in str(caught.value)
    else:
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    number = env.state()["numbers"][1]
    assert env.step(np.zeros(3, int)).valid.tolist() == [False] * 3  # goes on, with new episodes
    assert env.state()["numbers"][1] == number + 3
    assert steps(env, 20).valid.all()
    env.close()


@pytest.mark.fault(23)
@pytest.mark.parametrize("call", ["reset", "step"])
def test_an_environment_that_raises_is_restarted(call):
    """In a row that is no transition, where the row before has the last observation seen; the others do not notice."""
    make = partial(Faulty, call, "raise", {SEED})
    seen = []
    for kind in kinds(make, on_fault="restart"):
        env, rng = kind(), generator(0)
        env.reset()
        rows = []
        with pytest.warns(RuntimeWarning, match=f"restarted: environment 1.*{BUG}") as warned:  # noqa: PT031
            for _ in range(200):
                step = env.step(rng.integers(4, size=3))
                rows.append([a.tolist() for a in step[:6]])
        assert len(warned) == 1
        invalid = [k for k, row in enumerate(rows) if not all(row[5])]
        if call == "step":
            (k,) = invalid
            obs, reward, terminated, truncated, _, valid = rows[k]
            assert valid == [True, False, True]
            assert (reward[1], terminated[1], truncated[1]) == (0.0, False, False)
            assert obs[1] == played(HashChain, 7)  # not its episode 4 again
        else:
            assert invalid == []  # the row before was whole: episode 1 had ended
        assert [played(HashChain, 7)] == [row[0][1] for row in rows if row[0][1] == played(HashChain, 7)]
        seen.append(rows)
        env.close()
    assert seen[0] == seen[1]


@pytest.mark.fault(23)
@pytest.mark.parametrize("kind", [0, 1])
def test_a_replay_mixes_no_episodes_across_restarts(kind):
    bad = {episode_seed(0, k) for k in (4, 9, 11, 13, 20)}
    env = kinds(partial(Faulty, "step", "raise", bad), on_fault="restart")[kind]()
    buffer, rng = Replay(2000, {"obs": ((2,), np.int64), "action": ((), np.int64)}, generator(0)), generator(1)
    obs, cut = env.reset(), 0
    with pytest.warns(RuntimeWarning, match="restarted") as warned:  # noqa: PT031
        for _ in range(200):
            action = rng.integers(4, size=3)
            step = env.step(action)
            buffer.add(obs, action, step)
            cut += (~step.valid).sum()
            obs = step.obs
    assert cut == len(warned) == 5
    batch = buffer.sample(3000)
    np.testing.assert_array_equal(HashChain.after(batch["obs"], batch["action"]), batch["next_obs"])
    env.close()


@pytest.mark.fault(23)
@pytest.mark.parametrize("kind", [0, 1])
def test_restarts_are_bounded(kind):
    bad = {episode_seed(0, k) for k in range(1, 100, 3)}  # all episodes of stream 1
    env = kinds(partial(Faulty, "step", "raise", bad), on_fault="restart")[kind]()
    env.reset()
    with pytest.warns(RuntimeWarning) as warned, pytest.raises(EnvError, match=f"more than 10 restarts of .*{BUG}"):
        steps(env, 1000)
    assert len(warned) == 10
    env.close()


@pytest.mark.fault(23)
def test_restarts_long_ago_do_not_count(monkeypatch):
    """And each is of a new environment: what failed may be broken."""
    monkeypatch.setattr("rlcore.envs.vector.ROWS", 30)
    bad = {episode_seed(0, k) for k in range(1, 10_000, 3)}  # an error in every second row of three
    env = SerialEnv(partial(Faulty, "step", "raise", bad), 3, on_fault="restart")
    env.reset()
    made = list(env.envs)
    with pytest.warns(RuntimeWarning, match="restarted") as warned:
        steps(env, 60)
    assert len(warned) > 20
    assert [env.envs[i] is made[i] for i in range(3)] == [True, False, True]
    env.close()


@pytest.mark.fault(23)
@pytest.mark.parametrize("kind", [0, 1])
def test_an_environment_that_never_begins_is_given_up(kind):
    env = kinds(partial(Faulty, "reset", "raise", {episode_seed(0, k) for k in range(1, 200)}), on_fault="restart")[
        kind
    ]()
    with pytest.raises(EnvError, match=BUG):
        env.reset()
    env.close()


@pytest.mark.fault(23)
@pytest.mark.parametrize("policy", ["raise", "restart"])
@pytest.mark.parametrize("kind", [0, 1])
def test_an_environment_that_raises_when_it_is_closed(kind, policy):
    before = multiprocessing.active_children()
    env = kinds(partial(Faulty, "close", "raise", {episode_seed(0, 1)}), on_fault=policy)[kind]()
    env.reset()
    steps(env, 1)
    said = rf"environment 1 .*close\(\) raised {BUG}"
    with pytest.raises(EnvError, match=said) if policy == "raise" else pytest.warns(RuntimeWarning, match=said):
        env.close()
    assert multiprocessing.active_children() == before


@pytest.mark.fault(23)
def test_all_are_closed_whatever_the_first_raises():
    closed = []

    class Closes(World):
        def close(self):
            closed.append(self)
            raise ZeroDivisionError("a bug of the environment")

    env = SerialEnv(Closes, 3)
    with pytest.raises(EnvError, match=rf"environment 0 .*close\(\) raised {BUG}"):
        env.close()
    assert closed == env.envs


# 24: a worker is killed
@pytest.mark.fault(24)
@pytest.mark.parametrize("start", ["forkserver", "spawn"])
def test_a_worker_killed_between_two_steps(start):
    env = ProcessEnv(Walk, 4, workers=2, start=start)
    env.reset()
    steps(env, 5)
    victim = env._running[1].process
    os.kill(victim.pid, signal.SIGKILL)
    if start == "spawn":  # it is gone when the next command is written
        victim.join(5)
    begin = time.monotonic()
    with pytest.raises(
        EnvError, match=rf"worker 1 \(process {victim.pid}\) was killed by SIGKILL, none of env.* 2 to 3"
    ):
        steps(env, 2)
    assert time.monotonic() - begin < 1
    assert env.state()["resumable"] == "no"  # which needs no worker
    assert env.step(np.zeros(4, int)).valid.tolist() == [False] * 4  # a new one begins new episodes
    assert steps(env, 20).valid.all()
    env.close()


@pytest.mark.fault(24)
def test_a_worker_killed_in_a_step():
    env = ProcessEnv(partial(Faulty, "step", "kill", {SEED}), 3, workers=2)
    env.reset()
    said = (
        rf"worker 1 .* was killed by SIGKILL, environment 1 \(Faulty\) at work in step 2 of episode 4 \(seed {SEED}\)"
    )
    with pytest.raises(EnvError, match=said):
        steps(env, 1000)
    assert env._running[0].process.is_alive()
    env.close()
    assert not multiprocessing.active_children()


@pytest.mark.fault(24)
@pytest.mark.parametrize("call", ["reset", "step"])
def test_a_worker_killed_is_replaced(call):
    """All its streams are cut, as what another environment of it did in this step is lost."""
    env, rng = ProcessEnv(partial(Faulty, call, "kill", {SEED}), 3, workers=2, on_fault="restart"), generator(0)
    env.reset()
    with pytest.warns(RuntimeWarning, match="restarted: worker 1 .* was killed by SIGKILL"):
        _, step = until(env, rng)
    numbers = env.state()["numbers"]
    assert step.valid.tolist() == [True, False, False]
    assert step.ended[1:].tolist() == step.reward[1:].tolist() == [0, 0]
    assert [step.obs[i].tolist() for i in (1, 2)] == [played(HashChain, numbers[i]) for i in (1, 2)]
    assert numbers[1] in (7, 10)  # 7, or the next, should its worker have been killed before it was known to begin 4
    obs = step.obs.copy()
    for _ in range(50):
        action = rng.integers(4, size=3)
        step = env.step(action)
        np.testing.assert_array_equal(HashChain.after(obs, action), step.final_obs)
        obs = step.obs.copy()
    env.close()


@pytest.mark.fault(24)
def test_a_worker_that_dies_before_it_is_ready():
    with pytest.raises(EnvError, match=r"worker 0 was killed by SIGKILL before it was ready; .* `if __name__ =="):
        ProcessEnv(dies_in_a_worker, 2, workers=1)


def dies_in_a_worker():
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return Walk()


@pytest.mark.fault(24)
@pytest.mark.parametrize("when", ["between", "waiting"])
def test_a_worker_whose_child_outlives_it(when):
    """The child holds the worker's end of the pipe open, where nothing will come any more."""
    env = ProcessEnv(parent_of_another, 2, workers=2)
    env.reset()
    victim = env._running[1].process
    if when == "waiting":
        os.kill(victim.pid, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (victim.pid, signal.SIGKILL)).start()
    else:
        victim.kill()
        victim.join(5)
    begin = time.monotonic()
    with pytest.raises(EnvError, match=rf"worker 1 \(process {victim.pid}\) was killed by SIGKILL"):
        steps(env, 1)
    assert time.monotonic() - begin < 1.2
    env.close()


def parent_of_another():
    if multiprocessing.parent_process() is not None and os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    return Walk()


# 25: an environment hangs
@pytest.mark.fault(25)
def test_an_environment_that_hangs_at_the_start():
    env = ProcessEnv(partial(Faulty, "reset", "hang", {episode_seed(0, 1)}), 3, workers=2, timeout_s=0.5)
    begin = time.monotonic()
    with pytest.raises(
        EnvError, match=r"worker 1 .* has not answered in time .*, environment 1 .* in step 0 of episode 1 "
    ):
        env.reset()
    assert time.monotonic() - begin < 1.5
    env.close()


@pytest.mark.fault(25)
@pytest.mark.parametrize("call", ["reset", "step"])
def test_an_environment_that_hangs(call):
    env = ProcessEnv(partial(Faulty, call, "hang", {SEED}), 3, workers=2, timeout_s=0.5)
    env.reset()
    begin = time.monotonic()
    said = r"worker 1 .* has not answered in time \(timeout_s 0.5\), environment 1 .* at work in step .* of episode 4 "
    with pytest.raises(EnvError, match=said):
        steps(env, 1000)
    assert time.monotonic() - begin < 1.5 + 1
    env.reset()  # in a new process
    env.close()
    assert not multiprocessing.active_children()


@pytest.mark.fault(25)
def test_an_environment_that_hangs_is_replaced():
    settings = dict(workers=2, timeout_s=0.5, on_fault="restart")
    env, rng = ProcessEnv(partial(Faulty, "step", "hang", {SEED}), 3, **settings), generator(0)
    env.reset()
    with pytest.warns(RuntimeWarning, match=r"restarted: worker 1 .* has not answered in time"):
        _, step = until(env, rng)
    assert step.valid.tolist() == [True, False, False]
    assert steps(env, 30).valid.all()
    env.close()


# 26, 27: no numbers
def spoil(t, obs, reward, what):
    if t == 10 and what == "reward":
        return obs, float("nan")
    return (obs * np.nan if t == 10 else obs), reward


@pytest.mark.fault(26, 27)
@pytest.mark.parametrize("what", ["reward", "observation"])
@pytest.mark.parametrize("kind", [0, 1])
def test_what_is_no_number_is_refused_in_its_step(kind, what):
    env = kinds(partial(World, change=partial(spoil, what=what)))[kind]()
    buffer, obs = Replay(500, {"obs": ((2,), np.float32), "action": ((), np.int64)}, generator(0)), env.reset()
    said = rf"environment 0 \(World\) gave the {what} .*nan.* in step 10 .* the action 1,"
    with pytest.raises(ValueError, match=said):  # noqa: PT012
        for _ in range(20):
            action = np.ones(3, int)
            step = env.step(action)
            buffer.add(obs, action, step)
            obs = step.obs
    assert len(buffer) == 8 * 3  # the ninth row waits for its successor
    assert np.isfinite(buffer.sample(100)["next_obs"]).all()
    env.close()


@pytest.mark.fault(23, 26, 27)
@pytest.mark.parametrize("what", ["reward", "observation"])
@pytest.mark.parametrize("kind", [0, 1])
def test_an_episode_with_what_is_no_number_is_dropped(kind, what):
    env = kinds(partial(World, change=partial(spoil, what=what)), n_envs=2, on_fault="restart")[kind]()
    env.reset()
    with pytest.warns(RuntimeWarning, match=f"restarted: environment . .*gave the {what}"):
        before, step = until(env, generator(0))
    assert before.tolist() == [[9, 9]] * 2
    assert step.obs.tolist() == step.final_obs.tolist() == [[0, 0]] * 2
    assert (step.valid.tolist(), step.reward.tolist(), step.info) == ([False] * 2, [0.0] * 2, {})
    assert steps(env, 3).obs.tolist() == [[3, 3]] * 2
    env.close()


@pytest.mark.fault(26)
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])  # the last is beyond float32
def test_a_reward_that_is_infinite_is_refused_in_its_step(value):
    env = SerialEnv(lambda: World(change=lambda t, obs, reward: (obs, value if t == 3 else reward)))
    env.reset()
    assert steps(env, 2).reward.tolist() == [1.0]
    with pytest.raises(
        ValueError, match=rf"gave the reward {re.escape(str(value))} in step 3 .*, which is not a finite"
    ):
        steps(env, 1)


@pytest.mark.fault(27)
@pytest.mark.parametrize("kind", [0, 1])
def test_a_first_observation_that_is_no_number_is_refused(kind):
    env = kinds(partial(World, change=spoil_first))[kind]()
    with pytest.raises(
        ValueError, match=r"environment 0 \(World\): reset\(\) gave the observation \[nan nan\], which is"
    ):
        env.reset()
    env.close()


def spoil_first(t, obs, reward):
    return (obs + np.float32("nan") if t == 0 else obs), reward


# 29: another shape, dtype or range
@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros(1, np.float32), r"of shape \(1,\) float32, its observation_space promises \(2,\) float32"),
        (np.float32(3), r"of shape \(\) float32"),
        (np.zeros((1, 2), np.float32), r"of shape \(1, 2\) float32"),
        (np.zeros(2, complex), "complex128"),
        (None, r"of shape \(\) object"),
    ],
)
@pytest.mark.parametrize("kind", [0, 1])
def test_another_shape_or_dtype_in_any_step_is_refused(kind, wrong, words):
    env = kinds(partial(World, change=partial(swap, wrong=wrong)))[kind]()
    env.reset()
    steps(env, 4)
    with pytest.raises(ValueError, match=rf"environment 0 \(World\): step\(\) gave an observation.*{words}"):
        steps(env, 1)
    env.close()


def swap(t, obs, reward, wrong):
    return (wrong if t == 5 else obs), reward


@pytest.mark.fault(29)
def test_only_casts_that_lose_no_kind_are_made():
    doubles = SerialEnv(lambda: World(change=lambda t, obs, reward: (obs.astype(np.float64), reward)))
    assert doubles.reset().dtype == np.float32
    assert steps(doubles, 3).obs.tolist() == [[3, 3]]
    images = spaces.Box(0, 255, (2,), np.uint8)
    for kind in (np.float32, np.int64):
        env = SerialEnv(lambda kind=kind: World(images, change=lambda t, obs, reward: (obs.astype(kind), reward)))
        with pytest.raises(ValueError, match=r"promises \(2,\) uint8"):
            env.reset()


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("space", "obs"),
    [
        (spaces.Discrete(3), 3),
        (spaces.Discrete(3, start=1), 0),
        (spaces.MultiDiscrete([2, 2]), np.array([0, 2])),
        (spaces.MultiBinary(2), np.array([0, 2], np.int8)),
        (spaces.Box(0, 9, (2,), np.uint8), np.array([0, 10], np.uint8)),
        (spaces.Dict(a=spaces.Box(0, 1, (1,)), b=spaces.Discrete(3)), {"a": np.float32([2]), "b": 7}),
    ],
)
def test_integers_out_of_bounds_are_refused(space, obs):
    env = SerialEnv(lambda: World(space, change=lambda t, o, reward: (obs, reward)))
    with pytest.raises(
        ValueError, match=r"environment 0 \(World\): reset\(\) gave an observation.* out of the bounds of"
    ):
        env.reset()


@pytest.mark.fault(29)
def test_floats_out_of_bounds_are_said_once():
    unit = spaces.Box(-1, 1, (2,), np.float32)
    env = SerialEnv(lambda: World(unit, change=lambda t, o, reward: (np.float32([0, 1.5]), reward)), 3)
    with pytest.warns(
        UserWarning, match=r"out of the bounds of Box\(-1.0, 1.0, \(2,\), float32\): \[0. +1.5\]"
    ) as warned:
        env.reset()
    assert len(warned) == 1
    steps(env, 3)
    rounded = SerialEnv(lambda: World(unit, change=lambda t, o, reward: (np.float32([0, 1 + 1e-6]), reward)))
    rounded.reset()


# 30: one buffer
@pytest.mark.fault(30)
@pytest.mark.parametrize("kind", [0, 1])
def test_an_environment_that_reuses_its_buffer(kind):
    env = kinds(Reuses)[kind]()
    obs = env.reset()
    begin = obs[:, 0].tolist()
    assert begin == [episode_seed(0, i) % 97 for i in range(3)]
    buffer = Replay(500, {"obs": ((2,), np.float32), "action": ((), np.int64)}, generator(0))
    for k in range(1, 10):
        step = env.step(np.zeros(3, int))
        if k <= 3:
            assert step.final_obs[:, 0].tolist() == [b + k for b in begin]
            assert obs[:, 0].tolist() == [b + k - 1 for b in begin]
        buffer.add(obs, np.zeros(3, int), step)
        obs = step.obs
    batch = buffer.sample(200)
    np.testing.assert_array_equal(batch["next_obs"], batch["obs"] + 1)
    env.close()


# 31: steps after an end
class Strict(HashChain):
    """Refuses a step after an end."""

    over = True

    def reset(self, *, seed=None, options=None):
        self.over = False
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if self.over:
            raise gymnasium.error.ResetNeeded("a step after an end")
        result = super().step(action)
        self.over = result[2] or result[3]
        return result


def autoreset():
    return gymnasium.wrappers.Autoreset(Strict())


@pytest.mark.fault(31)
@pytest.mark.parametrize("make", [Strict, autoreset])
@pytest.mark.parametrize("kind", [0, 1])
def test_no_step_follows_an_end(kind, make):
    """And an auto-reset inside, which would spend a step on it, has nothing to do."""
    env, bare, rng = kinds(make)[kind](), SerialEnv(HashChain, 3), generator(0)
    obs = env.reset()
    assert obs.tolist() == bare.reset().tolist()
    for _ in range(100):
        action = rng.integers(4, size=3)
        step, other = env.step(action), bare.step(action)
        assert [a.tolist() for a in step[:6]] == [a.tolist() for a in other[:6]]
    env.close()


# 41, 40: the parent ends
SCRIPT = """
import ctypes, signal, sys, time
import numpy as np
from rlcore.envs import ProcessEnv
from tests.envs.worlds import Walk

class Stuck(Walk):
    def step(self, action):
        ctypes.PyDLL(None).sleep(1000)  # keeps all other threads of Python waiting

if __name__ == "__main__":
    how, start = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler)
    env = ProcessEnv(Stuck if how == "stuck" else Walk, 2, workers=2, start=start)
    env.reset()
    print(*[worker.process.pid for worker in env._running], flush=True)
    try:
        while how != "idle":
            env.step(np.zeros(2, int))
        time.sleep(1000)
    except KeyboardInterrupt:
        env.close()
        print("closed", flush=True)
"""


def started(tmp_path, how, start):
    """The process of a script, and its workers."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    command = [sys.executable, str(script), how, start]
    process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2, process.communicate()[1]
    return process, pids


def running(pid):
    """Whether a process is there, and is not only waiting for somebody to ask how it ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    with suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return not stat.parent.parent.exists()


@pytest.mark.fault(41)
@pytest.mark.parametrize(("how", "start"), [("stuck", "forkserver"), ("stuck", "spawn"), ("idle", "forkserver")])
def test_workers_end_with_their_parent(tmp_path, how, start):
    if how == "stuck" and sys.platform != "linux":
        pytest.skip("where the kernel does not end it, a worker needs Python to run")
    process, pids = started(tmp_path, how, start)
    time.sleep(0.2)  # into the step
    assert all(map(running, pids))
    process.kill()
    process.wait()
    process.stdout.close(), process.stderr.close()
    end = time.monotonic() + 3
    while any(map(running, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(running, pids))
    left = [name for folder in ("/dev/shm", gettempdir()) if Path(folder).exists() for name in os.listdir(folder)]
    assert [name for name in left if name.startswith(f"pym-{process.pid}-")] == []  # multiprocessing's arrays


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize(
    ("how", "sent"), [("idle", "SIGINT"), ("busy", "SIGINT"), ("busy", "SIGTERM"), ("idle", "SIGUSR1")]
)
def test_signals_to_all_processes_are_the_parents_alone(tmp_path, how, sent):
    process, pids = started(tmp_path, how, "spawn")
    time.sleep(0.1)
    os.killpg(process.pid, getattr(signal, sent))  # as a terminal and Slurm do
    try:
        out, err = process.communicate(timeout=10)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (out, err, process.returncode) == ("closed\n", "", 0)
    assert not any(map(running, pids))


# 42, 43: what processes share
@pytest.mark.fault(42)
def test_the_draws_of_sixteen_workers_are_distinct():
    """Also of generators that are global to a process, in forks of one server that has loaded them."""
    env = ProcessEnv(Global, 16, workers=16)
    obs = env.reset()
    assert obs.shape == (16, 100)
    assert len(np.unique(obs)) == 1600
    env.close()
    again = ProcessEnv(Global, 2, workers=2)
    assert again.reset().tolist() == obs[:2].tolist()
    again.close()


BUSY = """
import sys, threading
import numpy as np
from rlcore.envs import ProcessEnv
from tests.envs.worlds import Threads

def work():
    a = np.ones((300, 300))
    while not done:
        a @ a

if __name__ == "__main__":
    done, times, start = False, int(sys.argv[2]), sys.argv[1]
    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(times):
        env = ProcessEnv(Threads, 2, workers=2, timeout_s=30, start=start)
        print(env.reset().tolist(), flush=True)
        env.close()
    done = True
    thread.join()
"""


@pytest.mark.fault(43)
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize(
    ("start", "times"),
    [("forkserver", 2), ("spawn", 1), pytest.param("forkserver", 100, marks=pytest.mark.slow)],
)
def test_workers_start_while_blas_is_busy_and_take_one_thread_each(tmp_path, start, times):
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    many = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **many}
    command = [sys.executable, str(script), start, str(times)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 + 6 * times)
    assert (done.stdout, done.stderr) == ("[[1, 1], [1, 1]]\n" * times, "")


@pytest.mark.fault(43)
def test_a_fork_of_the_process_may_not_use_its_workers():
    env = ProcessEnv(Walk, 2)
    env.reset()
    env._pid += 1  # as it is in a fork
    for call in (env.state, lambda: env.step(np.zeros(2, int)), env.reset):
        with pytest.raises(ValueError, match="this process was forked from the one that made it"):
            call()
    env.close()
    _leave_all(env._running, env._pid)  # as the end of the fork would
    env._pid -= 1
    env.reset()  # nothing was closed
    env.close()


@pytest.mark.fault(43)
def test_this_process_is_never_forked():
    with pytest.raises(
        ValueError, match=r"start must be 'forkserver' or 'spawn' \(fork copies locks held\), got 'fork'"
    ):
        ProcessEnv(Walk, 1, start="fork")
    env = ProcessEnv(Walk, 1)
    assert env._context.get_start_method() == "forkserver"
    env.close()


# 49: limits
@pytest.mark.fault(49)
def test_too_few_file_descriptors_are_said_before_anything_starts():
    code = "from rlcore.envs import ProcessEnv\nfrom tests.envs.worlds import Walk\nProcessEnv(Walk, 32, workers=32)"
    command = ["bash", "-c", 'ulimit -n 64; exec "$0" -c "$1"', sys.executable, code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    last = done.stderr.strip().split("\n")[-1]
    assert last.startswith("ValueError: ProcessEnv: 32 workers need ")
    assert "RLIMIT_NOFILE is 64; raise it (ulimit -n " in last


@pytest.mark.fault(49)
def test_too_little_shared_memory_is_said_before_anything_starts(monkeypatch):
    full = os.statvfs("/")
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=1, f_frsize=full.f_frsize))
    with pytest.raises(
        ValueError, match=r"arrays take 28 MiB of shared memory, free are 0 MiB in .*; make /dev/shm larger"
    ):
        ProcessEnv(partial(World, spaces.Box(0, 255, (10**7,), np.uint8)), 1)


@pytest.mark.fault(49)
def test_too_few_processes_are_said(monkeypatch):
    born = iter([Worker])

    def worker(*args):
        for cls in born:
            return cls(*args)
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("rlcore.envs.process.Worker", worker)
    with pytest.raises(
        EnvError, match=r"worker 1 could not be started \(BlockingIOError: .*RLIMIT_NPROC \(ulimit -u\)"
    ):
        ProcessEnv(Walk, 2, workers=2)
    assert not multiprocessing.active_children()


@pytest.mark.fault(40)
def test_an_interruption_leaves_no_reply_to_the_wrong_question(monkeypatch):
    """Whether it comes while nothing was heard, or in the middle of a reply."""
    env, bare = ProcessEnv(Walk, 3, workers=2), SerialEnv(Walk, 3)
    env.reset(), bare.reset()
    steps(env, 3), steps(bare, 3)

    def interrupted(*_):
        raise KeyboardInterrupt

    for at in ("_poll", "_connection"):
        worker = env._running[1]
        inner = getattr(worker, at)
        fake = SimpleNamespace(
            poll=interrupted, recv=interrupted, send=getattr(inner, "send", None), close=lambda: None
        )
        monkeypatch.setattr(worker, at, fake)
        with pytest.raises(KeyboardInterrupt):
            env.state()  # a save that a second Ctrl-C ends
        monkeypatch.setattr(worker, at, inner)
        if at == "_poll":
            assert frozen(steps(env, 5)) == frozen(steps(bare, 5))
    with pytest.raises(EnvError, match=r"worker 1 .* is gone"):
        steps(env, 1)
    assert not env._running[1].owing
    env.reset(), bare.reset()
    assert frozen(steps(env, 5)) == frozen(steps(bare, 5))
    env.close()


def frozen(step):
    return [a.tolist() for a in step[:6]]


@pytest.mark.fault(24)
@pytest.mark.skipif(sys.platform != "linux", reason="sees by /proc whether a process runs")
def test_workers_outlive_their_fork_server():
    """A signal to a whole group ends the server; multiprocessing then takes its children for ended, too."""
    env, here = ProcessEnv("CartPole-v1", 2, seed=3, workers=2), SerialEnv("CartPole-v1", 2, seed=3)
    workers = list(env._running)
    np.testing.assert_array_equal(env.reset(), here.reset())
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    for worker in workers:
        worker.process.join(10)
        assert worker.process.exitcode is not None
    for _ in range(40):
        there, plain = env.step(np.ones(2, np.int64)), here.step(np.ones(2, np.int64))
        np.testing.assert_array_equal(there.obs, plain.obs)
    os.kill(workers[0].process.pid, signal.SIGKILL)
    with pytest.raises(EnvError, match="worker 0"):
        env.step(np.ones(2, np.int64))
    env.close()
    assert not any(worker._lives() for worker in workers)
