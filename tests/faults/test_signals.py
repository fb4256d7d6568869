"""SIGTERM, SIGUSR1 and Ctrl-C at any moment: saved, ended, gone with all workers, and gone on with bit for bit."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import rlcore
from rlcore.envs.toy import Chain
from rlcore.harness import newest_state
from rlcore.harness.signals import Interrupted
from tests.test_resume import compare, scores

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals of a Unix")

# Signals at random times, each to a child that was forked to go on with the run.
DRIVER = """
    import os, random, signal, sys, time
    from pathlib import Path
    import rlcore
    from rlcore.harness import newest_state
    from tests.test_resume import compare, scores

    root, wanted, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    STEPS = 3_000
    settings = dict(hidden=(16,), learning_starts=200, update_every=8, gradient_steps=2, buffer_size=1500, n_step=2)
    watched = dict(checkpoint_every=700, eval_every=300, eval_episodes=5, log_every=100)

    def train(folder, hook):
        resumed = folder.exists()
        run = rlcore.Run.resume(folder) if resumed else rlcore.DQN("CartPole-v1", folder=folder, **settings, **watched)
        run.learn(STEPS - run.t, [hook])

    def child(folder, said):
        for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
            default = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
            signal.signal(getattr(signal, name), default)
        steps = iter([0])
        try:
            train(folder, lambda t, step, stats: os.write(said, b".") and None if next(steps, None) == 0 else None)
        except SystemExit as end:
            os._exit(end.code)
        except KeyboardInterrupt:
            os._exit(130)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)

    train(root / "whole", lambda *step: None)
    rng, codes, between, rounds = random.Random(seed), [], 0, 0
    while codes.count(75) + codes.count(130) < wanted:
        folder, rounds = root / str(rounds), rounds + 1
        while not (folder / "finished").exists():
            heard, said = os.pipe()
            pid = os.fork()
            if pid == 0:
                child(folder, said)
            os.close(said)
            os.read(heard, 1)  # its first step; before that there is nothing to save
            time.sleep(rng.uniform(0, 0.25))
            name = rng.choice(["SIGTERM", "SIGUSR1", "SIGINT"])
            os.kill(pid, getattr(signal, name))
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(heard)
            finished = (folder / "finished").exists()
            assert code == (130 if name == "SIGINT" else 75) or finished and code in (0, -2, -10, -15), (name, code)
            codes.append(code)
            path, state = newest_state(folder / "checkpoints")
            assert state["t"] == int(path.name[5:])
            between += state["t"] % 700 > 0 and not finished
        one, other = (newest_state(root / name / "checkpoints")[1] for name in ("whole", folder.name))
        compare("", one, other)
        assert scores(root / "whole") == scores(folder)
    print(codes.count(75), codes.count(130), between)
"""


def run_python(code, *args, timeout=120):
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout, check=False)


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize("wanted", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_a_run_that_signals_end_goes_on_bit_for_bit(tmp_path, wanted):
    done = run_python(DRIVER, tmp_path, wanted, 1, timeout=600)
    assert done.returncode == 0, done.stderr
    requeued, interrupted, between = map(int, done.stdout.split())
    assert requeued + interrupted >= wanted
    assert requeued > 0
    assert between > wanted // 2  # saved when the signal came, not only when a checkpoint was due


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("at", [60, 120])  # the last evaluation, too
def test_an_evaluation_is_left_at_once_and_made_up_for(tmp_path, monkeypatch, name, at):
    """It may take longer than a scheduler waits."""
    settings = dict(learning_starts=10, batch_size=8, hidden=(8,), buffer_size=200, eval_every=60, eval_episodes=5)
    whole = rlcore.DQN(lambda: Chain(3), folder=tmp_path / "whole", **settings).learn(120)
    before = signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        run, steps = rlcore.DQN(lambda: Chain(3), folder=tmp_path / "run", **settings), []

        def hook(t, step, stats):
            if t != at:
                return
            watched = run._watch.env
            real = watched.step
            monkeypatch.setattr(watched, "step", lambda action: (steps.append(t), call(len(steps)), real(action))[-1])

        def call(n):
            if n == 2:
                signal.raise_signal(getattr(signal, name))

        with pytest.raises(KeyboardInterrupt if name == "SIGINT" else Interrupted) as caught:
            run.learn(120, [hook])
    finally:
        signal.signal(getattr(signal, name), before)
    assert len(steps) == 2
    assert run.t == at
    assert name == "SIGINT" or not caught.value.finished
    assert not (tmp_path / "run" / "finished").exists()
    run = rlcore.Run.resume(tmp_path / "run", env=lambda: Chain(3)).learn(120 - at)
    assert (tmp_path / "run" / "finished").exists()
    assert scores(tmp_path / "run") == scores(tmp_path / "whole")
    one, two = (newest_state(tmp_path / name / "checkpoints")[1]["parts"] for name in ("whole", "run"))
    compare("", one, two)
    compare("", whole.agent.state(), run.agent.state())


# The command, with workers, in a terminal of its own.
COMMAND = """
    import fcntl, multiprocessing, os, signal, sys, termios
    import rlcore.api, rlcore.cli
    from rlcore.harness import train
    from rlcore.envs.process import ProcessEnv

    if __name__ == "__main__":
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for name in ("SIGINT", "SIGTERM", "SIGUSR1"):  # a shell has some ignored for what runs in the background
            signal.signal(getattr(signal, name), signal.SIG_DFL if name != "SIGINT" else signal.default_int_handler)
        def told(*args):
            print("workers", *[child.pid for child in multiprocessing.active_children()], ".", flush=True)
            return train(*args)

        rlcore.api.loop_of = lambda *args: told
        rlcore.api.make_env = lambda env, n_envs, seed, config: ProcessEnv(env, n_envs, seed, workers=2)
        rlcore.cli.main(sys.argv[1:])
"""


def alive(pid):
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def read_until(descriptor, word, seconds=60):
    text, end = b"", time.monotonic() + seconds
    while word not in text and time.monotonic() < end:
        if select.select([descriptor], [], [], 1)[0]:
            try:
                text += os.read(descriptor, 4096)
            except OSError:  # the terminal is gone with the last process
                break
    assert word in text, text.decode()
    return text.decode()


@pytest.mark.fault(39, 40)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("how", "code"), [("ctrl-c", 130), ("SIGTERM", 75), ("SIGUSR1", 75), ("group", 75)])
def test_no_worker_outlives_a_run(tmp_path, how, code):
    """Ctrl-C reaches all processes of the terminal, as Slurm may send its signals to all of a step."""
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(COMMAND))
    words = ["train", "dqn", "--folder", tmp_path / "run", "--steps", "1000000", "--n-envs", "2"]
    words += ["--hidden", "8", "--buffer-size", "2000", "--checkpoint-every", "100000", "--eval-every", "100000"]
    ours, theirs = os.openpty()
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    command = [sys.executable, str(script), *map(str, words)]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    try:
        os.close(theirs)
        pids = [int(word) for word in read_until(ours, b" .").split("workers")[1].split(".")[0].split()]
        assert len(pids) == 2
        assert all(map(alive, pids))
        read_until(ours, b"steps/s")  # it has trained
        if how == "ctrl-c":
            os.write(ours, b"\x03")
        elif how == "group":
            os.killpg(child.pid, signal.SIGTERM)
        else:
            child.send_signal(getattr(signal, how))
        end = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < end:
            if select.select([ours], [], [], 0.05)[0]:  # or what it prints would block it
                try:
                    os.read(ours, 4096)
                except OSError:  # the terminal is gone with the last process
                    time.sleep(0.05)
        assert child.returncode == code
        end = time.monotonic() + 3
        while any(map(alive, pids)) and time.monotonic() < end:
            time.sleep(0.02)
        assert not any(map(alive, pids))
        assert newest_state(tmp_path / "run" / "checkpoints")[1]["t"] > 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)


STUCK = """
    import signal, sys, time
    import rlcore
    from rlcore.envs.toy import Chain

    for name in ("SIGTERM", "SIGUSR1"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)

    def hang(t, step, stats):
        if t == 25:
            print("hangs", flush=True)
            end = time.monotonic() + 60
            while time.monotonic() < end:
                time.sleep(0.01)

    settings = dict(learning_starts=10, batch_size=8, hidden=(8,), buffer_size=200, checkpoint_every=20)
    rlcore.DQN(lambda: Chain(3), folder=sys.argv[1], **settings).learn(100, [hang])
"""


@pytest.mark.fault(39, 40)
def test_a_second_signal_ends_what_hangs(tmp_path):
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(STUCK), str(tmp_path / "run")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
    try:
        assert child.stdout.readline() == b"hangs\n"
        child.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for the end of the step
            child.wait(1.5)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert newest_state(tmp_path / "run" / "checkpoints")[1]["t"] == 20
