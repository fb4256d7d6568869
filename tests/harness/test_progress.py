"""The progress line: plain where there is no terminal, drawn where there is one."""

from __future__ import annotations

import io
import re
import sys
from itertools import pairwise
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


def test_plain_lines_where_a_terminal_cannot_be_drawn_on(monkeypatch, clock):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")  # of an editor, or of a rank whose lines a launcher passes on
    line = Progress(RECORDER, 1000)
    clock.now += 10
    line(100, one_step(), {})
    assert sys.stdout.getvalue() == "100 of 1,000 steps  10 steps/s  return 12.3  90 s left\n"


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
    for t in range(1001, 1251):
        clock.now += 0.01
        line(t, one_step(), {})
    drawn = screen.getvalue()
    assert "100 steps/s  return 12.3" in drawn
    assert "of 2,000 steps" in drawn
    assert drawn.count("steps/s") == 2  # once a second
    line.close()
    assert "1,250 of 2,000 steps" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[?25h")  # the cursor is back


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (100, "1,234,567 of 50,000,000 steps  12,346 steps/s  return -1234.5"),
        (80, "1,234,567 of 50,000,000 steps  12,346 steps/s  return -1234.5"),
        (60, "2% 12,346/s -1234.5"),
        (30, "2% 12,346/s -1234.5"),
    ],
)
def test_the_line_fits_a_narrow_terminal(monkeypatch, clock, width, shown):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    line = Progress(SimpleNamespace(mean_return=-1234.5), 50_000_000)
    clock.now += 100
    line(1_234_567, one_step(), {})
    line.close()
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).split("\r")[-1].rstrip("\n")
    assert shown in last
    assert len(last) <= width
    assert screen.getvalue().count("\n") == 1


@pytest.mark.parametrize("steps", [0, 5])
def test_a_run_of_no_steps(monkeypatch, clock, steps):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "30")
    line = Progress(RECORDER, steps, t=steps)
    line.close()
    assert "steps" in sys.stdout.getvalue() or "%" in sys.stdout.getvalue()


def test_a_slow_terminal_takes_a_hundredth_of_the_time(monkeypatch, clock):
    class Slow(Terminal):
        def flush(self):
            clock.now += 0.1

    monkeypatch.setattr(sys, "stdout", Slow())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    line = Progress(RECORDER, 2000)
    drawn, really = [], line._draw
    line._draw = lambda: drawn.append(clock.now) or really()
    for t in range(1, 2001):
        clock.now += 0.1
        line(t, one_step(), {})
    assert 5 <= len(drawn) <= 21  # in 200 seconds, and those of the drawings
    assert all(b - a > 9.9 for a, b in pairwise(drawn))


def check_silence(line, clock, t):
    """No more is shown, and no more is warned of."""
    for k in range(t, t + 100):
        clock.now += 60
        line(k, one_step(), {})
    line.close()


@pytest.mark.fault(11)
def test_an_output_that_is_gone_warns_once(monkeypatch, clock):
    monkeypatch.setattr(sys, "stdout", Closed())
    line = Progress(RECORDER, 1000)
    clock.now += 60
    with pytest.warns(UserWarning, match="no more progress is shown: .*Broken pipe; training goes on"):
        line(1, one_step(), {})
    check_silence(line, clock, 2)


@pytest.mark.fault(11)
def test_an_output_that_was_closed_here_warns_once(monkeypatch, clock):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    line = Progress(RECORDER, 1000)
    screen.close()
    clock.now += 60
    with pytest.warns(UserWarning, match="no more progress is shown: .*closed file; training goes on"):
        line(1, one_step(), {})
    check_silence(line, clock, 2)
    with pytest.warns(UserWarning, match="no more progress is shown"):
        line = Progress(RECORDER, 1000)
    check_silence(line, clock, 0)


@pytest.mark.fault(11)
@pytest.mark.parametrize("when", ["start", "later"])
def test_a_terminal_that_is_gone_warns_once(monkeypatch, clock, when):
    screen, error = Terminal(), OSError(5, "Input/output error")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    stderr = sys.stderr

    def hung_up(text):
        raise error

    if when == "start":
        screen.write = hung_up
        with pytest.warns(UserWarning, match="no more progress is shown: .*Input/output error"):
            line = Progress(RECORDER, 1000)
    else:
        line = Progress(RECORDER, 1000)
        screen.write = hung_up
        clock.now += 60
        with pytest.warns(UserWarning, match="no more progress is shown: .*Input/output error"):
            line(1, one_step(), {})
    check_silence(line, clock, 2)
    assert sys.stdout is screen  # which rich stands in for while it draws
    assert sys.stderr is stderr


def test_a_process_without_output(monkeypatch, clock):
    monkeypatch.setattr(sys, "stdout", None)  # as under pythonw
    check_silence(Progress(RECORDER, 1000), clock, 0)
