"""The progress line: plain where there is no terminal, drawn where there is one."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from rlcore.harness import Progress, progress
from tests.harness.fakes import Clock, one_step

RECORDER = SimpleNamespace(mean_return=12.34)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Closed(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_plain_lines_where_there_is_no_terminal(capsys, clock):
    line = Progress(RECORDER, 50_000)
    for t in range(1, 3001):
        clock.now += 0.01
        line(t, one_step(), {})
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2  # one in 10 seconds
    assert out[0] in [f"{t:,} of 50,000 steps  100 steps/s  return 12.3  490 s left" for t in (1000, 1001)]
    line.close()
    assert capsys.readouterr().out == "3,000 of 50,000 steps  100 steps/s  return 12.3  470 s left\n"


def test_a_resumed_run_counts_from_where_it_began(capsys, clock):
    line = Progress(RECORDER, 1000, t=600)
    clock.now += 10
    line(700, one_step(), {})
    assert capsys.readouterr().out == "700 of 1,000 steps  10 steps/s  return 12.3  30 s left\n"


def test_before_the_first_step_and_the_first_episode(capsys, clock):
    line = Progress(SimpleNamespace(mean_return=float("nan")), 1000)
    line.close()
    assert capsys.readouterr().out == "0 of 1,000 steps  0 steps/s  return -  - s left\n"


def test_a_last_step_past_the_goal(capsys, clock):
    line = Progress(RECORDER, 10)
    clock.now += 2
    line.t = 12  # 4 environments
    line.close()
    assert capsys.readouterr().out == "10 of 10 steps  6 steps/s  return 12.3  0 s left\n"


def test_a_terminal_is_drawn_on(monkeypatch, clock):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    line = Progress(RECORDER, 2000, t=1000)
    for t in range(1001, 1101):
        clock.now += 0.01
        line(t, one_step(), {})
    drawn = screen.getvalue()
    assert "100 steps/s  return 12.3" in drawn
    assert "of 2,000 steps" in drawn
    assert drawn.count("steps/s") <= 5  # four times a second
    line.close()
    assert "1,100 of 2,000 steps" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_an_output_that_is_gone_warns_once(monkeypatch, clock):
    monkeypatch.setattr(sys, "stdout", Closed())
    line = Progress(RECORDER, 1000)
    clock.now += 60
    with pytest.warns(UserWarning, match="no more progress is shown: .*Broken pipe; training goes on"):
        line(1, one_step(), {})
    for t in range(2, 100):  # from here on a warning would be an error
        clock.now += 60
        line(t, one_step(), {})
    line.close()
