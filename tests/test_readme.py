"""What the README says works, word for word."""

import re
from pathlib import Path

import numpy as np

TEXT = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def test_the_first_two_commands_are_the_main_job_and_the_tests():
    job, tests = blocks("bash")[:2]
    assert "rlcore train dqn --env CartPole-v1 --seed 0" in job
    assert "pytest" in tests


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short, core, _ = blocks("python")
    assert "50_000" in short
    names: dict = {}
    exec(short.replace("50_000", "1_200").replace("evaluate(20)", "evaluate(2)"), names)
    assert names["run"].t == 1_200
    exec(core, names)
    assert float(names["loss"].array) > 0


def test_the_op_of_the_recipe_is_right():
    names: dict = {}
    exec("import numpy as np\nfrom rlcore.autograd import Function, Variable\n" + blocks("python")[2], names)
    x = names["Variable"](np.float64([0.5]))
    y = names["tanh"](x)
    y.backward()
    np.testing.assert_allclose(x.grad, 1 - np.tanh(0.5) ** 2)
