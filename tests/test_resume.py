"""A run killed at any moment and resumed ends with the numbers of one that was never killed, clocks excepted."""

import copy
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import rlcore
from rlcore.agents import ALGORITHMS
from rlcore.envs import ForeignEnv, SerialEnv
from rlcore.envs.make import EnvConfig, make_env
from rlcore.envs.process import ProcessEnv
from rlcore.harness import Checkpoint, newest_state, train
from rlcore.rng import default, generator, state_of
from rlcore.stream import Step
from rlcore.tree import Ring
from tests.envs.worlds import Cut, Hidden

STEPS, N = 3_000, 1_000  # of the run, and after which it may be killed
SETTINGS = ["--steps", str(STEPS), "--checkpoint-every", "500", "--eval-every", "700", "--eval-episodes", "3"]
SETTINGS += ["--learning-starts", "200", "--update-every", "8", "--gradient-steps", "2", "--hidden", "16"]
SETTINGS += ["--buffer-size", "1500", "--epsilon", "linear:1:0.1:1000"]  # the ring wraps
CLOCKS = ("elapsed", "since_flush", "files", "sizes")  # of the recorder; event files hold the time of each line


def start(folder: Path, *more: str) -> subprocess.Popen:
    code = "from rlcore.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "dqn", "--folder", str(folder), *SETTINGS, *more]
    root = Path(__file__).parents[1]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(root)}
    )


def finish(child: subprocess.Popen) -> str:
    out = child.communicate(timeout=120)[0].decode()
    assert child.returncode == 0, out
    return out


def kill_after(folder: Path, child: subprocess.Popen, steps: int, delay: float) -> bool:
    """SIGKILL the child some time after a checkpoint of at least so many steps; whether it was still running."""
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        names = [p.name for p in (folder / "checkpoints").glob("step-*")]
        if names and int(max(names)[5:]) >= steps:
            break
        time.sleep(0.002)
    time.sleep(delay)
    running = child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return running


def compare(path: str, one, two):
    """Equal trees, bit for bit."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one:
            if key not in CLOCKS:
                compare(f"{path}/{key}", one[key], two[key])
    elif isinstance(one, Ring):
        assert one.written == two.written, path
        compare(path, one.array[: one.written], two.array[: two.written])
    elif isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)):  # some come back as lists
        assert len(one) == len(two), path
        for i, (a, b) in enumerate(zip(one, two)):
            compare(f"{path}/{i}", a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype, path
        assert one.tobytes() == two.tobytes(), path
    else:
        assert one == two, path


def scores(folder: Path) -> list[list[str]]:
    rows = [line.split("\t") for line in (folder / "scores.tsv").read_text().splitlines()]
    return [row[:2] + row[3:] for row in rows]  # without the column `elapsed`


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows, without clocks."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    clocks = ("time/fps", "time/time_elapsed", "time/memory_mb")
    tags = [tag for tag in events.Tags()["scalars"] if tag not in clocks]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


# every algorithm on every kind of environment, in this process: what was not saved is thrown away
SMALL = dict(  # settings of any algorithm, where it has them
    learning_starts=20, batch_size=8, hidden=(8,), buffer_size=64, update_every=4, gradient_steps=1, n_steps=8,
    n_epochs=2, target_update_interval=5, n_step=3,
)  # fmt: skip
VARIANTS = {  # further settings with a state of their own: name -> algorithm and settings
    "ppo, memory": ("ppo", {"lstm_hidden_size": 4, "sequence_length": 4}),
    "ppo, noise": ("ppo", {"use_sde": True, "sde_sample_freq": 3}),
    "reinforce, memory": ("reinforce", {"lstm_hidden_size": 4, "n_episodes": 3}),
    "ddpg, drifting noise": ("ddpg", {"noise_type": "ornstein-uhlenbeck", "prioritized": True}),
}
LENGTH, EVERY = 150, 13  # steps of a run, rows between its checkpoints


def foreign(mode: str, kind: str = "sync"):
    from gymnasium.vector import AutoresetMode

    how = {"vector_kwargs": {"autoreset_mode": AutoresetMode[mode]}}
    return lambda name: ForeignEnv(gymnasium.make_vec(name, 2, vectorization_mode=kind, **how), seed=5)


def stacked(name):
    return make_env(name, 2, 5, EnvConfig(normalize_obs=True, frame_stack=2, normalize_reward=True, time_limit=20))


ENVS = {  # kind -> an environment of this id; an algorithm that needs other actions gets the second id
    "one": lambda name: SerialEnv(name, 1, seed=5),
    "several": lambda name: SerialEnv(name, 3, seed=5),
    "replayed": lambda name: SerialEnv(Hidden, 2, seed=5),  # by its seeds and actions, as it cannot be captured
    "cut": lambda name: SerialEnv(Cut, 2, seed=5),
    "wrapped": stacked,
    "next step": foreign("NEXT_STEP"),
    "same step": foreign("SAME_STEP"),
    "disabled": foreign("DISABLED"),
}
SLOW_ENVS = {
    "process": lambda name: ProcessEnv(name, 3, seed=5, workers=2),
    "async": foreign("NEXT_STEP", "async"),
}
IDS = ("CartPole-v1", "Pendulum-v1")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No waiting for the disk: the end of a process loses nothing that was written."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Killed(BaseException):
    pass


def made(algorithm: str, kind: str):
    """A new agent and its new environment."""
    name, more = VARIANTS.get(algorithm, (algorithm, {}))
    cls = ALGORITHMS[name]
    fields = {field.name for field in dataclasses.fields(cls.Config)}
    config = cls.Config(**{name: value for name, value in SMALL.items() if name in fields}, **more)
    for name in IDS:
        env = {**ENVS, **SLOW_ENVS}[kind](name)
        try:
            return cls.from_spaces(env.observation_space, env.action_space, config, generator(3)), env
        except ValueError:
            env.close()
            if name == IDS[-1] or kind in ("replayed", "cut"):
                pytest.skip(f"{algorithm} cannot act here")


def go(folder: Path, algorithm: str, kind: str, kill_at: int | None = None):
    """Train from the newest checkpoint, and die at a row, or come to the end: the states of agent and environment."""
    agent, env = made(algorithm, kind)
    try:
        save = Checkpoint(folder, EVERY, 2, env=env, agent=agent)
        rlcore.seed(99)  # what is not restored is found out
        t = save.restore()
        if t == 0:
            rlcore.seed(0)

        def kill(t: int, step: Step, stats: dict) -> None:
            if kill_at is not None and t >= kill_at:
                raise Killed

        t = train(agent, env, LENGTH * env.n_envs, [save, kill], t)
        return copy.deepcopy({"t": t, "agent": agent.state(), "env": env.state(), "library": state_of(default())})
    finally:
        env.close()


def check_resumed(tmp_path: Path, algorithm: str, kind: str, kills: int, seed: int):
    rng = np.random.default_rng(seed)
    whole = go(tmp_path / "whole", algorithm, kind)
    for at in sorted(rng.integers(1, whole["t"], size=kills).tolist()):
        with pytest.raises(Killed):
            go(tmp_path / "killed", algorithm, kind, at)
    compare("", whole, go(tmp_path / "killed", algorithm, kind))


@pytest.mark.parametrize("kind", ENVS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_goes_on_in_every_environment(tmp_path, algorithm, kind):
    check_resumed(tmp_path, algorithm, kind, kills=2, seed=len(kind))


@pytest.mark.parametrize("kind", ["several", "cut", "next step"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_goes_on(tmp_path, variant, kind):
    check_resumed(tmp_path, variant, kind, kills=3, seed=len(kind))


@pytest.mark.parametrize("kind", SLOW_ENVS)
def test_an_algorithm_goes_on_with_workers(tmp_path, kind):
    check_resumed(tmp_path, "dqn", kind, kills=1, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", [*ENVS, *SLOW_ENVS])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_goes_on_after_many_kills(tmp_path, algorithm, kind, seed):
    check_resumed(tmp_path, algorithm, kind, kills=3 if kind in SLOW_ENVS else 8, seed=seed)


# the command, killed by SIGKILL
def check_kills(tmp_path: Path, kills: int, n_envs: int, seed: int):
    rng = generator(seed)
    whole = tmp_path / "whole"
    finish(start(whole, "--n-envs", str(n_envs)))
    path, state = newest_state(whole / "checkpoints")
    assert path.name == f"step-{STEPS:012d}" or n_envs > 1
    killed = tmp_path / "killed"
    child, interrupted = start(killed, "--n-envs", str(n_envs)), 0
    for _ in range(kills):
        interrupted += kill_after(killed, child, N, float(rng.uniform(0, 0.3)))
        child = start(killed, "--n-envs", str(n_envs), "--resume")
    out = finish(child)
    assert interrupted, "the runs ended before they could be killed"
    assert "from step 0," not in out
    again, resumed = newest_state(killed / "checkpoints")
    assert again.name == path.name
    compare("", state, resumed)
    assert scores(whole) == scores(killed)
    assert scalars(whole) == scalars(killed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
@pytest.mark.parametrize("n_envs", [1, 3])
def test_killed_and_resumed(tmp_path, n_envs):
    check_kills(tmp_path, kills=2 if n_envs == 1 else 1, n_envs=n_envs, seed=n_envs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
@pytest.mark.parametrize("seed", range(10))
def test_killed_and_resumed_many_times(tmp_path, seed):
    check_kills(tmp_path, kills=5, n_envs=1 + seed % 2 * 7, seed=seed)
