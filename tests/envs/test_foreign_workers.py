"""What happens in the worker processes of an AsyncVectorEnv is told, and a Ctrl-C of theirs is not ours."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, VectorWrapper

from rlcore.envs import ForeignEnv
from rlcore.envs.base import EnvError
from rlcore.envs.toy import HashChain

pytestmark = pytest.mark.filterwarnings("ignore:.*ERROR")  # Gymnasium's log of the same


class Breaks(HashChain):
    """Raises when it is told to by action 3, or by the seeds of its later episodes."""

    def step(self, action):
        if action == 3:
            raise ZeroDivisionError("the plant is broken")
        return super().step(action)


class NeverBegins(HashChain):
    def reset(self, *, seed=None, options=None):
        raise OSError("no plant")


def in_processes(make=Breaks, around=lambda env: env):
    base = AsyncVectorEnv([make] * 2, context="forkserver")
    return ForeignEnv(around(base)), base.processes


@pytest.mark.fault(23)
@pytest.mark.parametrize("around", [lambda env: env, VectorWrapper])
def test_an_error_in_a_worker_comes_with_its_traceback(around):
    env, processes = in_processes(around=around)
    env.reset()
    env.step(np.array([0, 1]))
    before = env.obs.copy()
    with pytest.raises(EnvError, match="environment 1 raised ZeroDivisionError: the plant is broken") as error:
        env.step(np.array([0, 3]))
    assert "in step\n    raise ZeroDivisionError" in str(error.value)
    assert env.obs.tobytes() == before.tobytes()
    for call in (lambda: env.step(np.array([0, 0])), env.reset):
        with pytest.raises(EnvError, match=r"cannot go on: environment 1 raised .*; make the vector environment anew"):
            call()
    env.close()
    assert not any(process.is_alive() for process in processes)


@pytest.mark.fault(23)
def test_an_error_in_a_reset_comes_with_its_traceback():
    env, _ = in_processes(NeverBegins)
    with pytest.raises(EnvError, match=r"environment [01] raised OSError: no plant(.|\n)*in reset\n    raise OSError"):
        env.reset()
    env.close()


@pytest.mark.fault(24)
def test_a_worker_that_is_killed_is_named():
    env, processes = in_processes()
    env.reset()
    os.kill(processes[1].pid, signal.SIGKILL)
    with pytest.raises(EnvError, match="the process of environment 1 ended with exit code -9"):
        env.step(np.array([0, 0]))
    env.close()
    assert not any(process.is_alive() for process in processes)


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize(("sent", "gone"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, True)])
def test_a_signal_to_the_workers_lets_a_run_end_in_peace(sent, gone):
    """Terminals and schedulers send it to all processes; where this one catches it, one row is left, no transition."""
    env, processes = in_processes()
    env.reset()
    env.step(np.array([0, 1]))
    for process in processes:
        os.kill(process.pid, sent)
        process.join(10 if gone else 0)  # as in a long update
    step = env.step(np.array([0, 1]))
    assert not step.valid.any()
    assert step.obs is env.obs
    assert env.state()["resumable"] == "no"
    with pytest.raises(EnvError, match=r"cannot go on: .* (raised KeyboardInterrupt|ended with exit code -15)"):
        env.step(np.array([0, 1]))
    env.close()


@pytest.mark.fault(40)
def test_workers_that_have_ended_can_be_closed():
    env, processes = in_processes()
    env.reset()
    os.kill(processes[0].pid, signal.SIGINT)
    processes[0].join(10)
    env.close()
    assert not any(process.is_alive() for process in processes)


@pytest.mark.fault(40)
def test_a_ctrl_c_of_ours_passes_and_is_remembered():
    env, processes = in_processes()
    env.reset()

    def interrupted():
        raise KeyboardInterrupt

    env.env.parent_pipes[1] = type("Pipe", (), {"recv": staticmethod(interrupted), "send": lambda self, x: None})()
    with pytest.raises(KeyboardInterrupt):
        env.step(np.array([0, 1]))
    with pytest.raises(EnvError, match="cannot go on: a call was interrupted"):
        env.step(np.array([0, 1]))
    env.close()
    assert not any(process.is_alive() for process in processes)


def test_errors_that_are_not_theirs_pass():
    env, _ = in_processes()
    env.reset()
    env.env.step = lambda action: 1 / 0
    with pytest.raises(ZeroDivisionError):
        env.step(np.array([0, 0]))
    del env.env.step
    assert not env.step(np.array([0, 0])).valid.any()
    assert env.step(np.array([0, 0])).valid.all()
    env.close()
