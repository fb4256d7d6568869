"""Run, the short form: train, predict, save, load, resume; and what it refuses."""

import json

import gymnasium
import numpy as np
import pytest

import rlcore
from rlcore import api
from rlcore.agents import DQN
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.explorers import Schedule

QUICK = dict(learning_starts=50, update_every=4, gradient_steps=1, batch_size=8, hidden=(8,), buffer_size=500)


def quick(env="CartPole-v1", **settings):
    return rlcore.DQN(env, **{**QUICK, **settings})


def test_the_short_form_trains_and_predicts():
    run = quick(seed=1, n_envs=2, learning_rate=1e-2, epsilon="linear:1:0.1:100").learn(200)
    assert run.t == run.agent.t == 200
    assert run.agent.n_updates == 200 // 4 - 50 // 4
    assert run.config.learning_rate == Schedule(1e-2)
    assert run.config.epsilon == Schedule(1, 0.1, 100)
    action, state = run.predict(np.zeros(4))
    assert state is None
    assert action in run.env.action_space
    batch, _ = run.predict(np.zeros((3, 4), np.float32))
    assert batch.tolist() == [action] * 3
    assert {int(run.predict(np.zeros(4), deterministic=False)[0]) for _ in range(200)} == {0, 1}
    assert run.evaluate(3).shape == (3,)
    assert run.learn(100).t == 300


def test_double_dqn_has_a_short_form_too():
    assert type(rlcore.DoubleDQN("CartPole-v1", **QUICK).learn(60).agent).__name__ == "DoubleDQN"


def test_environments_are_made_of_ids_callables_and_vector_envs():
    assert quick(lambda: Chain(3)).learn(20).env.observation_space.shape == (4,)
    assert quick(SerialEnv(lambda: Chain(3), n_envs=3)).learn(21).t == 21
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    assert quick(vector).learn(60).t == 60
    with pytest.raises(ValueError, match="to evaluate, give the environment as an id or a callable"):
        quick(SerialEnv(lambda: Chain(3))).evaluate()


def test_one_environment_is_not_trained_and_evaluated_at_once():
    env = Chain(3)
    with pytest.raises(ValueError, match="gave the environment of the training again"):
        quick(lambda: env).evaluate(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quick("CartPol-v1"), "unknown environment id 'CartPol-v1'; did you mean CartPole-v1"),
        (lambda: quick("Pendulum-v1"), "DQN needs a Discrete action space that starts at 0, got Box"),
        (lambda: quick(learning_rat=1), "DQN has no setting 'learning_rat'; did you mean learning_rate"),
        (lambda: quick(gamma="high"), "gamma takes float, got 'high'"),
        (lambda: quick(learning_rate="fast"), "'fast' is no schedule"),
        (lambda: quick(eval_every=0), "eval_every must be at least 1"),
        (lambda: quick(n_envs=0), "n_envs must be at least 1, got 0"),
        (lambda: quick().learn(-1), "steps must not be negative, got -1"),
        (lambda: quick(gymnasium.make("CartPole-v1")), "expected an id, a callable .* or a vector env"),
        (lambda: quick().predict(np.zeros(5)), r"an observation of shape \(5,\); expected \(4,\) or \(N, \*\(4,\)\)"),
        (lambda: quick().predict(np.array(["a"])), "an observation of dtype <U1; expected float32"),
    ],
)
def test_bad_input_is_refused_in_one_message(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_vector_env_without_a_known_auto_reset_mode_is_refused():
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    del vector.metadata["autoreset_mode"]
    with pytest.raises(ValueError, match=r"metadata\['autoreset_mode'\] is None"):
        quick(vector)


def test_a_saved_run_goes_on_bit_for_bit(tmp_path):
    run = quick(seed=2).learn(300)
    run.save(tmp_path / "saved")
    other = rlcore.Run.load(tmp_path / "saved")
    assert (other.t, other.seed, other.config) == (300, 2, run.config)
    np.testing.assert_array_equal(other.learn(200).agent.q.flat, run.learn(200).agent.q.flat)
    with pytest.raises(ValueError, match=r"saved exists; choose another folder"):
        run.save(tmp_path / "saved")


def test_what_was_saved_is_not_loaded_into_another_environment(tmp_path):
    quick().learn(20).save(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"observation_space Box\(.*\(4,\), float32\), this one has Box\(.*\(6,\)"):
        rlcore.Run.load(tmp_path / "saved", env=lambda: Chain(5))
    quick(lambda: Chain(3)).learn(20).save(tmp_path / "chain")
    with pytest.raises(ValueError, match="the environment was not made from a Gymnasium id; give env="):
        rlcore.Run.load(tmp_path / "chain")
    assert rlcore.Run.load(tmp_path / "chain", env=lambda: Chain(3)).t == 20


def test_a_damaged_file_is_refused(tmp_path):
    quick().learn(20).save(tmp_path / "saved")
    path = tmp_path / "saved" / "tensors.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"tensors\.safetensors is damaged"):
        rlcore.Run.load(tmp_path / "saved")


def test_a_folder_keeps_the_run(tmp_path):
    folder = tmp_path / "run"
    run = quick(folder=folder, eval_every=200, eval_episodes=2, checkpoint_every=100, log_every=100, keep=2).learn(250)
    assert json.loads((folder / "config.json").read_text())["agent"]["hidden"] == [8]
    assert [p.name for p in sorted((folder / "checkpoints").iterdir())] == ["step-000000000200", "step-000000000250"]
    rows = (folder / "scores.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["steps", "episodes", "elapsed", "mean", "median", "stdev", "max", "min"]
    assert rows[1].split("\t")[0] == "200"
    assert (folder / "best" / "state.json").exists()
    again = rlcore.Run.read(folder)
    np.testing.assert_array_equal(again.agent.q.flat, run.agent.q.flat)
    assert again.t == 250
    with pytest.raises(ValueError, match="run exists; choose another folder"):
        quick(folder=folder)
    with pytest.raises(ValueError, match=r"no run folder: it has no config\.json"):
        rlcore.Run.read(tmp_path)


def test_a_checkpoint_of_another_run_is_refused_before_anything_changes(tmp_path):
    folder = tmp_path / "run"
    quick(folder=folder, checkpoint_every=100, eval_every=1_000).learn(100)
    config = json.loads((folder / "config.json").read_text())
    config["agent"]["hidden"] = [9]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"the checkpoint is of a run with agent .*\[8\].* this one has .*\[9\]"):
        rlcore.Run.resume(folder)


def test_only_known_algorithms_are_loaded(tmp_path):
    run = quick().learn(20)
    run.header = lambda: {**api.Run.header(run), "algorithm": "os.system"}
    run.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"unknown algorithm 'os.system'; known are dqn"):
        rlcore.Run.load(tmp_path / "saved")


def test_seeds_decide_everything():
    one, two, other = (quick(seed=s).learn(150).agent.q.flat for s in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_names_of_the_package():
    assert rlcore.Run is api.Run
    rlcore.seed(3)
    with pytest.raises(AttributeError, match="has no attribute 'PPOO'"):
        rlcore.PPOO  # noqa: B018
    assert api.ALGORITHMS["dqn"] is DQN
