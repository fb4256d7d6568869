"""`rlcore doctor`: what it prints, and its exit code."""

import re

import gymnasium
import pytest

from rlcore.commands.doctor import main


def test_a_sound_environment(capsys):
    main("CartPole-v1", steps=300)
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"ok       observation space  Box\(\[-4.8", lines[0])
    assert lines[-1] == "CartPole-v1: 0 problems, 0 warnings, 16 ok"
    assert "->" not in "".join(lines)


def test_a_problem_has_a_remedy_and_an_exit_code(capsys):
    gymnasium.register("NeverEnds-v0", "tests.harness.patients:NeverEnds")
    try:
        with pytest.raises(SystemExit) as end:
            main("tests.harness.patients:NeverEnds-v0", steps=300)
    finally:
        del gymnasium.registry["NeverEnds-v0"]
    assert end.value.code == 1
    out = capsys.readouterr().out
    assert re.search(
        r"^problem  episodes +a random episode has not ended .*\n +-> train with time_limit",
        out,
        re.M,
    )
    assert out.endswith("NeverEnds-v0: 1 problem, 0 warnings, 15 ok\n")
