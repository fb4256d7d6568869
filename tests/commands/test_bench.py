"""`rlcore bench`: its table."""

import re

import pytest

from rlcore.commands import bench
from rlcore.harness.profile import Profile

FOUND = Profile(
    {"act": 10.0, "env": 20.0, "observe": 5.0, "update": 150.0, "hooks": 5.0, "rest": 10.0}, 200.0, 160.0, 2048, 128
)


def test_the_table(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(bench, "profile", lambda *args: given.append(args) or FOUND)
    monkeypatch.setattr(bench, "ruler", lambda: 0.5)
    monkeypatch.setattr(bench, "tuned", lambda algorithm, env: {"n_envs": 2, "agent": {"hidden": [8]}, "steps": 9})
    bench.main("dqn", steps=1000)
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "dqn on CartPole-v1, 2 environments, tuned settings",
        "medians of 5 stretches of 2,048 rows, an update every 128 rows",
        "",
        "          us a row  share",
        "act           10.0     5%  the agent's act()",
        "env           20.0    10%  the environment's step()",
        "observe        5.0     2%  the agent's observe()",
        "update       150.0    75%  the agent's update()",
        "hooks          5.0     2%  the recorder",
        "rest          10.0     5%  the loop, and the clocks",
        "all          200.0   100%",
        "",
        "6,250 steps/s (160.0 us a row without the clocks)",
        "ruler: np.add on one element takes 0.50 us",
    ]
    ((agent, env, rows, repeats, hooks),) = given
    assert (agent.config.hidden, env.n_envs, rows, repeats, len(hooks)) == ((8,), 2, 100, 5, 1)


def test_a_real_one(capsys, monkeypatch):
    quick = {"learning_starts": 20, "update_every": 10, "gradient_steps": 1, "hidden": [8], "batch_size": 4}
    monkeypatch.setattr(bench, "tuned", lambda algorithm, env: {"agent": quick})
    bench.main("double-dqn", steps=200, n_envs=2, repeats=2)
    out = capsys.readouterr().out
    assert "medians of 2 stretches of 50 rows, an update every 10 rows" in out
    shares = [int(found) for found in re.findall(r" (\d+)%", out)]
    assert sum(shares[:-1]) == pytest.approx(shares[-1], abs=3)
    assert shares[-1] == 100


def test_settings_that_rlcore_lacks_are_the_defaults(monkeypatch, capsys):
    monkeypatch.setattr(bench, "profile", lambda *args: FOUND)
    bench.main("dqn", env="Taxi-v4", n_envs=1)
    assert capsys.readouterr().out.startswith("dqn on Taxi-v4, 1 environment, default settings\n")


@pytest.mark.parametrize(
    ("algorithm", "options", "message"),
    [
        ("dqm", {}, "unknown algorithm 'dqm'; known are dqn"),
        ("dqn", {"steps": 0}, "--steps and --repeats must be at least 1, got 0 and 5"),
    ],
)
def test_bad_input_is_refused(algorithm, options, message):
    with pytest.raises(ValueError, match=message):
        bench.main(algorithm, **options)
