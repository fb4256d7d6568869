"""Signals are noted between two steps, a second one ends at once, and nothing stays behind."""

from __future__ import annotations

import signal
import threading

import pytest

from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.harness import signals
from rlcore.harness.loop import train
from rlcore.harness.signals import Interrupted, Signals
from tests.harness.fakes import Clock, Wanderer

NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")


@pytest.fixture(autouse=True)
def known_handlers(monkeypatch):
    """Handlers that raise, for a process in the background has some of these signals ignored; and a clock to move."""

    def at_once(number, frame):
        raise TimeoutError(signal.Signals(number).name)

    before = {name: signal.signal(getattr(signal, name), at_once) for name in NAMES}
    clock = Clock()
    monkeypatch.setattr(signals, "time", clock)
    yield clock
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def send(name):
    signal.raise_signal(getattr(signal, name))


def handlers():
    return [signal.getsignal(getattr(signal, name)) for name in NAMES]


def raises(name):
    return pytest.raises(KeyboardInterrupt if name == "SIGINT" else Interrupted)


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize("name", NAMES)
def test_a_signal_ends_the_loop_after_the_step_in_which_it_came(name):
    seen, before, ends = [], handlers(), []
    hook = lambda t, step, stats: seen.append(t) or (send(name) if t == 6 else None)  # noqa: E731
    with raises(name), Signals() as noted:
        ends.append(train(Wanderer(), SerialEnv(Chain, 2), 100, [hook, noted]))
        ends.append(noted.received)
    assert ends == [6, name]
    assert seen == [2, 4, 6]
    assert handlers() == before


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("finished", [False, True])
def test_the_exit_code_says_start_again(name, finished):
    noted = Signals()
    noted.finished = finished
    with pytest.raises(SystemExit) as caught, noted:
        send(name)
    assert (caught.value.code, caught.value.finished) == (75, finished)
    assert str(caught.value) == f"ended by {name}"


def test_without_a_signal_nothing_happens():
    before = handlers()
    with Signals() as noted:
        assert handlers() != before
        assert noted(1, None, {}) is False
    assert handlers() == before


@pytest.mark.fault(39, 40)
@pytest.mark.parametrize("second", NAMES)
def test_a_second_signal_ends_at_once(second, known_handlers):
    with raises("SIGTERM"), Signals():
        send("SIGTERM")
        known_handlers.now += 2
        with pytest.raises(TimeoutError, match=second):
            send(second)
    with pytest.raises(TimeoutError, match=second):
        send(second)


def test_signals_of_one_moment_are_one(known_handlers):
    """Ctrl-C reaches all processes of a terminal, and a parent may pass it on, too."""
    with raises("SIGINT"), Signals():
        send("SIGINT")
        known_handlers.now += 0.1
        send("SIGINT")
        send("SIGTERM")


def test_only_ctrl_c_counts_where_nothing_is_saved():
    with raises("SIGINT"), Signals(scheduler=False) as noted:
        with pytest.raises(TimeoutError, match="SIGTERM"):
            send("SIGTERM")
        assert noted.received == ""
        send("SIGINT")


def test_what_is_ignored_stays_ignored():
    """As a shell sets Ctrl-C for what runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Signals() as noted:
        send("SIGINT")
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert noted.received == ""
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_other_threads_handle_no_signals():
    before, seen = handlers(), []

    def work():
        with Signals() as noted:
            seen.append((handlers() == before, noted.received))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(True, "")]


@pytest.mark.fault(39, 40)
def test_an_error_leaves_the_handlers_as_they_were():
    before = handlers()

    def broken():
        send("SIGTERM")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), Signals():
        broken()
    assert handlers() == before
