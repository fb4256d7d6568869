"""`rlcore eval` and `rlcore export` of the best policy."""

import sys

import gymnasium
import numpy as np
import pytest

import rlcore
from rlcore.api import EVALUATION
from rlcore.cli import main
from rlcore.commands.evaluate import take_best
from rlcore.harness import evaluate, load_state


@pytest.fixture
def run(tmp_path):
    """Of a policy that is best at its first evaluation, before the moments of observations have moved on."""
    settings = {"normalize_obs": True, "n_steps": 64, "n_epochs": 2, "frame_stack": 2}
    run = rlcore.PPO("CartPole-v1", n_envs=2, folder=tmp_path / "run", eval_every=256, eval_episodes=4, **settings)
    run.learn(256)
    run._watch.best_mean = 1e9
    run.learn(512)
    run.close()
    return tmp_path / "run"


def test_the_best_policy_sees_observations_as_it_did_when_it_was_the_best(run):
    last, best = rlcore.Run.read(run), rlcore.Run.read(run)
    take_best(best, run)
    stored = load_state(run / "best")
    assert (best.t, last.t) == (256, 768)
    mean = stored["learned"][0]["moments"][0]["mean"]
    exported, moved = (
        next(w for w in _wrappers(r.env) if w.exported().get("kind") == "normalize") for r in (best, last)
    )
    assert np.array_equal(exported.exported()["mean"], mean)
    assert not np.allclose(moved.exported()["mean"], mean)
    again = evaluate(best.agent.policy(), best._evaluation_env(EVALUATION, 4), 4)[0]
    assert again.mean() == stored["mean"]


def test_a_best_policy_of_other_wrappers_is_refused(run):
    bare = rlcore.PPO("CartPole-v1", n_envs=2, frame_stack=2)
    with pytest.raises(ValueError, match="of 1 learning wrappers, the run has 0"):
        take_best(bare, run)
    assert bare.t == 0


def test_the_command_says_of_which_step_the_policy_is(run, capsys):
    main(["eval", str(run), "--episodes", "2"])
    main(["eval", str(run), "--episodes", "2", "--best"])
    last, best = capsys.readouterr().out.splitlines()
    assert last.endswith("after 768 steps")
    assert best.endswith("after 256 steps")


def test_an_environment_of_a_module_is_named_anew(tmp_path, monkeypatch, capsys):
    entry = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    text = f"import gymnasium\ngymnasium.register('Named-v0', '{entry}', max_episode_steps=30)\n"
    (tmp_path / "module_with_one.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    main(["train", "dqn", "--env", "module_with_one:Named-v0", "--steps", "60", "--folder", str(tmp_path / "run")])
    try:
        for words in (["eval"], ["export", "--out", str(tmp_path / "policy")]):
            del sys.modules["module_with_one"], gymnasium.registry["Named-v0"]
            with pytest.raises(SystemExit, match=r"no file may import a module: .*--env module_with_one:Named-v0"):
                main([*words, str(tmp_path / "run")])
            main([*words, str(tmp_path / "run"), "--env", "module_with_one:Named-v0"])
    finally:
        gymnasium.registry.pop("Named-v0", None)
        sys.modules.pop("module_with_one", None)
    assert "mean return" in capsys.readouterr().out
    assert rlcore.load_policy(tmp_path / "policy")(np.zeros(4)) in (0, 1)


def _wrappers(env):
    while hasattr(env, "exported"):
        yield env
        env = env.env
